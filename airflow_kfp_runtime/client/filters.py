"""The filter of KFP's list calls: predicates as JSON, escaped the way the server reads them.

The server unescapes the value once more after HTTP's decoding (KFP 2.17, ``parseAPIFilter``), so that a plain
``+``, as in Airflow's run ids, would arrive as a space. :func:`encode` escapes what that changes, and the
transport then all of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any, TypeAlias

#: A predicate's value; a sequence goes with :attr:`Operation.IN`.
Value: TypeAlias = str | int | datetime | Sequence[str] | Sequence[int]

_INT32 = range(-(2**31), 2**31)


class Operation(str, Enum):
    """How a row's field is compared (KFP 2.17, ``filter.proto``)."""

    EQUALS = "EQUALS"
    NOT_EQUALS = "NOT_EQUALS"
    GREATER_THAN = "GREATER_THAN"
    GREATER_THAN_EQUALS = "GREATER_THAN_EQUALS"
    LESS_THAN = "LESS_THAN"
    LESS_THAN_EQUALS = "LESS_THAN_EQUALS"
    IN = "IN"
    IS_SUBSTRING = "IS_SUBSTRING"


@dataclass(frozen=True)
class Predicate:
    """One condition on a row.

    :param operation: how to compare.
    :param key: the field, such as ``run_id``, ``state``, ``created_at`` (kfp-server.md lists them).
    :param value: what to compare with; a time without a zone is taken as UTC.
    """

    operation: Operation
    key: str
    value: Value


def equals(key: str, value: str | int) -> Predicate:
    """``key`` is ``value``."""
    return Predicate(Operation.EQUALS, key, value)


def one_of(key: str, values: Sequence[str]) -> Predicate:
    """``key`` is one of ``values``; about 150 run ids fit a URL of 8 kB."""
    return Predicate(Operation.IN, key, tuple(values))


def not_before(key: str, moment: datetime) -> Predicate:
    """The time ``key`` is ``moment`` or later."""
    return Predicate(Operation.GREATER_THAN_EQUALS, key, moment)


def contains(key: str, text: str) -> Predicate:
    """``key`` has ``text`` somewhere in it."""
    return Predicate(Operation.IS_SUBSTRING, key, text)


def encode(*predicates: Predicate) -> str:
    """Return the value of the query parameter ``filter``, escaped for the server's own unescaping.

    :param predicates: conditions that must all hold.
    """
    rows = [
        {"operation": predicate.operation.value, "key": predicate.key, **_value(predicate.value)}
        for predicate in predicates
    ]
    # No more than needed, so that 150 run ids and all states stay below the 8 kB that proxies take as a URL.
    return json.dumps({"predicates": rows}, separators=(",", ":")).replace("%", "%25").replace("+", "%2B")


def _value(value: Value) -> dict[str, Any]:
    match value:
        case str():
            return {"string_value": value}
        case int():
            return {"int_value": value} if value in _INT32 else {"long_value": str(value)}
        case datetime():
            return {"timestamp_value": _timestamp(value)}
    items = list(value)
    if all(isinstance(item, int) for item in items) and items:
        if all(item in _INT32 for item in items):
            return {"int_values": {"values": items}}
        return {"long_values": {"values": [str(item) for item in items]}}
    return {"string_values": {"values": items}}


def _timestamp(moment: datetime) -> str:
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return zoned.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
