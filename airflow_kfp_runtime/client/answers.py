"""From an answer to a result or an error: one pure function for both clients (kfp-server.md, sections 4 and
5).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from airflow_kfp_runtime.client import grpc_web, reading
from airflow_kfp_runtime.client.call import Form
from airflow_kfp_runtime.errors import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    ServerUnavailableError,
    UnexpectedResponseError,
)
from airflow_kfp_runtime.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.client.call import Call

T = TypeVar("T")

_NO_SECRETS = Redaction(())

#: Bytes of an answer beyond which a client with an event loop reads it in a thread.
LARGE = 64 * 1024

_MESSAGE_LIMIT = 2000
_UNAVAILABLE = (429, 502, 503, 504)
_ERRORS: dict[int, type[ServerError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
}
_LOG_ERROR_FIELDS = {"error_message", "error_details"}
_HTML = re.compile(rb"\s*(?:<!doctype\s+html|<html|<\?xml[^>]*>\s*<!doctype\s+html)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """What came back.

    :param headers: names in lower case.
    :param body: the body, or its end where a text was longer than the call's limit.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | bytearray = field(default=b"", repr=False)


def result(call: Call[T], answer: Answer, redaction: Redaction = _NO_SECRETS) -> T:
    """Return what the call is for.

    :param redaction: takes what an error or a log may not hold out of the server's words.
    :raises AuthenticationError: 401, a redirect, or an HTML page under 200: a login page stands in front.
    :raises PermissionDeniedError: 403.
    :raises NotFoundError: 404 from KFP.
    :raises InvalidRequestError: 400.
    :raises ConflictError: 409.
    :raises ServerUnavailableError: 429, 502, 503, 504, also as a proxy's page; ``retry_after`` and
        ``details`` keep ``Retry-After``.
    :raises UnexpectedResponseError: a success that cannot be read, or a 404 that is not KFP's.
    :raises ServerError: anything else, a 500 among it.
    """
    error = _refusal(call, answer)
    if error is None:
        try:
            return call.parse(_body(call, answer, redaction))
        except ServerError as refused:
            error = refused
        except (ValueError, RecursionError) as unreadable:
            error = UnexpectedResponseError(
                f"the answer is not KFP's: {unreadable}", call=call.label, status=answer.status
            )
    raise _presentable(error, redaction)


def _refusal(call: Call[T], answer: Answer) -> ServerError | None:
    status = answer.status
    if 300 <= status < 400:
        return AuthenticationError(_redirect(answer), call=call.label, status=status)
    page = bool(_HTML.match(answer.body)) or "text/html" in answer.headers.get("content-type", "")
    if 200 <= status < 300:
        if page and call.form is not Form.TEXT:
            message = (
                f"{_page(answer)} where KFP's answer should be: credentials are missing or expired, or the "
                "host in the connection is not that of KFP's API"
            )
            return AuthenticationError(message, call=call.label, status=status)
        return None
    message, code, details = (_page(answer), None, ()) if page else _words(answer)
    if status in _UNAVAILABLE:
        retry_after = answer.headers.get("retry-after")
        details = (*details, f"Retry-After: {retry_after}") if retry_after else details
        kind: type[ServerError] = ServerUnavailableError
    elif page and status == 404:
        kind = UnexpectedResponseError
        message = f"{message}; this is not KFP's API: check host, port and path"
    else:
        kind = _ERRORS.get(status, ServerError)
    return kind(
        message,
        call=call.label,
        status=status,
        code=code,
        details=details,
        retry_after=_retry_after(answer.headers),
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of ``Retry-After``, which is a number or a time by the server's clock (RFC 9110)."""
    given = headers.get("retry-after", "")
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = (
                parsedate_to_datetime(given) - parsedate_to_datetime(headers.get("date", ""))
            ).total_seconds()
        except (TypeError, ValueError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _body(call: Call[T], answer: Answer, redaction: Redaction) -> Any:
    match call.form:
        case Form.GRPC_WEB:
            return grpc_web.message(call.label, answer.status, answer.headers, bytes(answer.body))
        case Form.TEXT:
            _refuse_error_in_log(call, answer)
            # A step's log: steps may be handed the credentials that the connection has, and print them.
            return redaction.text(answer.body.decode(errors="replace"))
        case Form.ROWS:
            return "{}" if _is_empty(answer.body) else answer.body.decode()
    if _is_empty(answer.body):
        return {}
    data = json.loads(answer.body)
    if not isinstance(data, dict):
        raise ValueError(f"a JSON object is expected, not {type(data).__name__}")  # noqa: TRY004
    return data


def _is_empty(body: bytes | bytearray) -> bool:
    return not body or body.isspace()


def _refuse_error_in_log(call: Call[T], answer: Answer) -> None:
    """Find the error that the log endpoint sends as JSON under 200 (KFP 2.17, ``ReadRunLogV1``)."""
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        return
    if isinstance(data, dict) and "error_message" in data and set(data) <= _LOG_ERROR_FIELDS:
        raise ServerError(reading.text(data, "error_message"), call=call.label, status=answer.status)


def _words(answer: Answer) -> tuple[str, int | None, tuple[str, ...]]:
    """Return message, code and details of an error's body: gRPC gateway, upload endpoint or plain text."""
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        return answer.body.decode(errors="replace").strip() or "no message", None, ()
    message = next(
        (reading.text(data, name) for name in ("message", "error", "error_message") if name in data), ""
    )
    code = reading.number(data, "code") or None
    details = reading.rows(data, "details")
    lines = [reading.text(row, "message") or reading.text(row, "error_details") for row in details]
    lines.append(reading.text(data, "error_details"))
    kept = tuple(line for line in lines if line and line != message)
    return message or "no message", code, kept


def _page(answer: Answer) -> str:
    titled = _TITLE.search(answer.body[:100_000].decode(errors="replace"))
    title = " ".join(titled.group(1).split()) if titled else ""
    return f"an HTML page ({title!r})" if title else "an HTML page"


def _redirect(answer: Answer) -> str:
    target = urlsplit(answer.headers.get("location", ""))
    where = f" to {target.scheme}://{target.hostname}" if target.scheme and target.hostname else ""
    return (
        f"the server redirects{where}, which is not followed: credentials are missing or expired, or the "
        "host in the connection has the wrong scheme or path"
    )


def _presentable(error: ServerError, redaction: Redaction) -> ServerError:
    """Return the same error with texts that are short and hold no secret."""

    def shown(text: str) -> str:
        beginning = redaction.beginning(text, _MESSAGE_LIMIT)
        return beginning if len(text) <= _MESSAGE_LIMIT else f"{beginning} [...]"

    return type(error)(
        shown(error.message),
        call=error.call,
        status=error.status,
        code=error.code,
        details=[shown(line) for line in error.details],
        retry_after=error.retry_after,
    )
