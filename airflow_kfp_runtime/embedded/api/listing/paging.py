"""Pages of a list call: sort order, page size and the opaque token that points at the next page's first row.

The token holds the position by value, so that rows which come or go meanwhile shift nothing, and the sort
order and filter of the first page, so that a client sends it alone (KFP 2.17, ``list.Options``).
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic

from airflow_kfp_runtime.embedded.api.listing.filters import FilterError, Operation, Predicate, parse_filter
from airflow_kfp_runtime.embedded.state.rows import microseconds
from airflow_kfp_runtime.embedded.state.store import Row, Selection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.embedded.api.listing.listings import Listing
    from airflow_kfp_runtime.embedded.state.store import Store

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 200


class PagingError(ValueError):
    """A sort order, page size or page token that the server does not accept."""


@dataclass(frozen=True)
class ListQuery:
    """One page as it was asked for."""

    predicates: tuple[Predicate, ...] = ()
    sort_by: str = "created_at"
    descending: bool = False
    page_size: int = DEFAULT_PAGE_SIZE
    start: tuple[Any, str] | None = None


@dataclass(frozen=True)
class Page(Generic[Row]):
    """The rows of a page, the number of rows on all pages, and the token of the next (empty on the last)."""

    rows: list[Row]
    total: int
    next_token: str = ""


def parse_query(listing: Listing[Any], parameters: Mapping[str, str]) -> ListQuery:
    """Read ``filter``, ``sort_by``, ``page_size`` and ``page_token`` of a list call.

    :param parameters: the query parameters.
    :raises PagingError: one of them is wrong, or they contradict the page token.
    :raises FilterError: the filter is wrong.
    """
    page_size = _page_size(parameters.get("page_size", ""))
    sort_by, filter_text = parameters.get("sort_by", ""), parameters.get("filter", "")
    asked = replace(_first_page(listing, sort_by, filter_text), page_size=page_size)
    token = parameters.get("page_token", "")
    if not token:
        return asked
    query = replace(_read_token(listing, token), page_size=page_size)
    if (sort_by or filter_text) and not _same(query, asked):
        raise PagingError(
            "page token does not match the supplied sort by and/or filtering criteria. Either specify the "
            "same criteria or leave the latter empty if page token is specified"
        )
    return query


def read_page(store: Store, listing: Listing[Row], query: ListQuery, scope: Selection) -> Page[Row]:
    """Read the page that ``query`` asks for among the rows of ``scope``.

    :param scope: the condition that holds whatever the client filters by (the namespace, the pipeline).
    """
    conditions = [scope.where] if scope.where else []
    values = list(scope.values)
    for predicate in query.predicates:
        condition, operands = predicate.sql(listing.filters)
        conditions.append(condition)
        values += operands
    total = store.count(listing.kind, Selection(" AND ".join(conditions), tuple(values)))
    column, direction, comparison = f"COALESCE({listing.sorts[query.sort_by]}, 0)", "ASC", ">="
    if query.descending:
        direction, comparison = "DESC", "<="
    if query.start is not None:
        conditions.append(f"({column}, {listing.key}) {comparison} (?, ?)")
        values += query.start
    order = f"{column} {direction}, {listing.key} {direction}"
    # One row more than asked for: where it exists, it starts the next page.
    found = store.select(
        listing.kind, Selection(" AND ".join(conditions), tuple(values), order, query.page_size + 1)
    )
    rows, rest = found[: query.page_size], found[query.page_size :]
    return Page(rows, total, _write_token(listing, query, rest[0]) if rest else "")


def _page_size(text: str) -> int:
    try:
        size = int(text or 0)
    except ValueError as error:
        raise PagingError(f'parsing field "page_size": {text!r} is not a number') from error
    if size < 0:
        raise PagingError(f"The page size should be greater than 0. Got {size}")
    return min(size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def _first_page(listing: Listing[Any], sort_by: str, filter_text: str) -> ListQuery:
    words = sort_by.lower().split()
    if len(words) > 2 or (len(words) == 2 and words[1] not in ("asc", "desc")):
        raise PagingError(
            f'Received invalid sort by format "{sort_by}". Supported format: "field_name", "field_name desc",'
            ' or "field_name asc"'
        )
    key = words[0] if words else "created_at"
    if key not in listing.sorts:
        raise PagingError(f'Invalid sorting field: "{key}". Allowed: {", ".join(sorted(listing.sorts))}')
    predicates = tuple(parse_filter(filter_text))
    for predicate in predicates:
        if predicate.key not in listing.filters:
            raise FilterError(f'no support for filtering on unrecognized field "{predicate.key}"')
    return ListQuery(predicates, key, words[1:] == ["desc"])


def _same(query: ListQuery, asked: ListQuery) -> bool:
    """Whether criteria repeated beside a token match it, as the real server compares them.

    There a number that came through the token's JSON is a float and a list has lost its type, so that neither
    ever equals what the client sends again: only scalar strings match.
    """
    return (
        query.descending == asked.descending
        and query.sort_by == asked.sort_by
        and query.predicates == asked.predicates
        and all(isinstance(predicate.value, str) for predicate in asked.predicates)
    )


def _write_token(listing: Listing[Row], query: ListQuery, first: Row) -> str:
    value = getattr(first, listing.sorts[query.sort_by])
    if isinstance(value, datetime):
        value = microseconds(value)
    token = {
        "sort_by": query.sort_by,
        "descending": query.descending,
        "start": [value if value is not None else 0, getattr(first, listing.key)],
        "filter": [
            [predicate.operation.name, predicate.key, predicate.value] for predicate in query.predicates
        ],
    }
    return base64.b64encode(json.dumps(token, separators=(",", ":")).encode()).decode()


def _read_token(listing: Listing[Any], text: str) -> ListQuery:
    try:
        token = json.loads(base64.b64decode(text, validate=True))
        value, key = token["start"]
        query = ListQuery(
            tuple(
                Predicate(
                    Operation[operation], field_key, tuple(operand) if isinstance(operand, list) else operand
                )
                for operation, field_key, operand in token["filter"]
            ),
            token["sort_by"],
            bool(token["descending"]),
            start=(value, key),
        )
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise PagingError("Invalid page token") from error
    known = query.sort_by in listing.sorts and all(one.key in listing.filters for one in query.predicates)
    if not known or not isinstance(value, str | int | float) or not isinstance(key, str):
        raise PagingError("Invalid page token")
    return query
