"""What the routes share: the store, the engine, the folder with the logs, and the version that is spoken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import Depends, Request
from fastapi.responses import JSONResponse

from airflow_kfp_runtime.embedded.api.errors import invalid
from airflow_kfp_runtime.embedded.api.listing.paging import parse_query, read_page
from airflow_kfp_runtime.embedded.api.specs import MAX_FILE_BYTES
from airflow_kfp_runtime.embedded.state.store import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airflow_kfp_runtime.embedded.api.listing.listings import Listing
    from airflow_kfp_runtime.embedded.state.store import Row, Store


class RunEngine(Protocol):
    """What the API needs of the engine."""

    def check(self, pipeline_spec: dict[str, Any], platform_spec: dict[str, Any] | None) -> None:
        """Refuse a pipeline that cannot run here, by ``UnsupportedPipelineError``."""

    def submit(self, run_id: str) -> None:
        """Start a run that is in the store."""

    def terminate(self, run_id: str) -> bool:
        """End a run and its processes; whether it was in a state for that."""

    def retry(self, run_id: str) -> bool:
        """Start the failed steps of a failed run again; whether it has failed."""

    def discard(self, run_id: str) -> None:
        """End a run's processes at once and remove its files."""


@dataclass(frozen=True)
class ApiOptions:
    """How the server presents itself.

    :param next_api: speak the API after KFP 2.17: tasks and artifacts over REST, no ``task_details``.
    :param local_names_only: refuse requests for another name than ``localhost`` or an address, for a server
        that listens on this machine alone.
    """

    next_api: bool = False
    local_names_only: bool = True

    @property
    def tag_name(self) -> str:
        """The ``tag_name`` of healthz: the KFP version that is spoken, and that it is this server."""
        return f"{'2.18.0-next' if self.next_api else '2.17.0'}+embedded"


@dataclass(frozen=True)
class ApiContext:
    """What a route works with."""

    store: Store
    engine: RunEngine
    data: Path
    options: ApiOptions

    def page(
        self,
        listing: Listing[Row],
        parameters: Mapping[str, str],
        field: str,
        shown: Callable[[Row], dict[str, Any]],
        scope: Selection | None = None,
    ) -> JSONResponse:
        """Answer a list call: the rows under ``field``, ``total_size`` and ``next_page_token``."""
        query = parse_query(listing, parameters)
        page = read_page(self.store, listing, query, scope or Selection())
        return answer(
            {
                field: [shown(row) for row in page.rows],
                "total_size": page.total,
                "next_page_token": page.next_token,
            }
        )


def answer(message: Mapping[str, Any]) -> JSONResponse:
    """A JSON answer without zero values at its top, so that an empty list is ``{}``."""
    shown = without_zeros(message)
    try:
        return JSONResponse(shown)
    except ValueError:
        # A step may put out NaN or an infinity, which JSON lacks; protobuf writes them as strings.
        return JSONResponse(_with_finite_numbers(shown))


def _with_finite_numbers(value: Any) -> Any:
    match value:
        case dict():
            return {name: _with_finite_numbers(item) for name, item in value.items()}
        case list():
            return [_with_finite_numbers(item) for item in value]
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
        case _:
            return value


def without_zeros(message: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a message that are not empty, zero or ``None``, as protobuf's JSON omits them."""
    return {name: value for name, value in message.items() if value not in (None, "", 0, False, [], {})}


def _context(request: Request) -> ApiContext:
    context: ApiContext = request.app.state.context
    return context


async def _body(request: Request) -> bytes:
    """The body, read no further than a pipeline file may be long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FILE_BYTES:
            raise invalid(f"the request body is larger than {MAX_FILE_BYTES} bytes")
    return bytes(body)


#: Route parameters: the shared context, the raw body, the query parameters.
Context = Annotated[ApiContext, Depends(_context)]
Body = Annotated[bytes, Depends(_body)]


def _query(request: Request) -> dict[str, str]:
    return dict(request.query_params)


Query = Annotated[dict[str, str], Depends(_query)]
