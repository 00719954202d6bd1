"""Between a call and httpx: the request, the bounded body, and what a failed connection means.

Both clients share this; nothing here sends anything.
"""

from __future__ import annotations

import ssl
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx

from airflow_kfp_runtime.client import grpc_web
from airflow_kfp_runtime.client.answers import Answer, result
from airflow_kfp_runtime.client.call import Call, Form, Service
from airflow_kfp_runtime.errors import (
    AuthenticationError,
    ServerError,
    ServerUnavailableError,
    UnexpectedResponseError,
)
from airflow_kfp_runtime.redaction import Redaction

if TYPE_CHECKING:
    from airflow_kfp_runtime.client.settings import ClientSettings

T = TypeVar("T")

#: Characters; shorter values of headers and cookies are found in words that have nothing to do with them.
_SHORTEST_SECRET = 6


class Reader:
    """Collects a body up to the call's limit and within the call's time.

    :param call: its ``limit`` and ``form`` say what to do with too long a body.
    :param seconds: how long reading may take altogether.
    """

    def __init__(self, call: Call[Any], seconds: float) -> None:
        self._call = call
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self.body = bytearray()

    def take(self, chunk: bytes) -> None:
        """Add what came.

        :raises ServerUnavailableError: if the time is over.
        :raises UnexpectedResponseError: if the body is too long and no text, whose end would do.
        """
        if time.monotonic() > self._end:
            raise ServerUnavailableError(
                f"the answer took longer than {self._seconds:g} s", call=self._call.label
            )
        self.body += chunk
        excess = len(self.body) - self._call.limit
        if excess <= 0:
            return
        if self._call.form is not Form.TEXT:
            raise UnexpectedResponseError(
                f"the answer is larger than {self._call.limit} bytes", call=self._call.label
            )
        del self.body[:excess]


def client_options(settings: ClientSettings) -> dict[str, Any]:
    """Return the arguments of httpx's client: redirects are not followed, since they lead to login pages.

    :raises ServerError: if the CA file cannot be used.
    """
    return {
        "verify": _trust(settings),
        "cookies": dict(settings.cookies),
        "follow_redirects": False,
        "timeout": httpx.Timeout(settings.read_timeout, connect=settings.connect_timeout),
    }


def _trust(settings: ClientSettings) -> bool | ssl.SSLContext:
    if isinstance(settings.verify, bool):
        return settings.verify and _public_trust()
    try:
        return ssl.create_default_context(cafile=settings.verify)
    except OSError as error:
        raise ServerError(
            f"the CA file {settings.verify!r} cannot be used ({error.strerror or error}); "
            "give a PEM file that exists where the task runs"
        ) from None


@cache
def _public_trust() -> ssl.SSLContext:
    """Return the trust in public authorities, once: reading them takes 40 ms, which an event loop feels."""
    return httpx.create_ssl_context()


def read_token(settings: ClientSettings, call: Call[Any]) -> str | None:
    """Return the token as it is now; with a token file this reads the disk.

    :param call: what it is for, as errors name it.
    :raises AuthenticationError: if the token file cannot be read.
    """
    if not settings.token_file:
        return settings.token
    try:
        return Path(settings.token_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise AuthenticationError(
            f"the token file {settings.token_file!r} cannot be read: {reason}", call=call.label
        ) from None


def renewed_token(
    settings: ClientSettings, call: Call[Any], used: str | None, refused: AuthenticationError
) -> str | None:
    """Return the token that has taken the refused one's place in the token file, ``None`` if none has.

    :param used: the token that was refused.
    :raises AuthenticationError: if the token file cannot be read.
    """
    if refused.status != 401 or not settings.token_file:
        return None
    token = read_token(settings, call)
    return None if token == used else token


def build_request(
    settings: ClientSettings, http: httpx.Client | httpx.AsyncClient, call: Call[Any], token: str | None
) -> httpx.Request:
    """Return the request of a call.

    :param token: the bearer token, see :func:`read_token`; space around it is left out.
    :raises ServerError: if something in it cannot be sent; the message does not say what it is.
    """
    # Encoded here, since httpx would leave the percent signs of a filter that is escaped already as they are.
    query = f"?{urlencode(call.query, quote_via=quote)}" if call.query else ""
    headers = {**_headers(call), **settings.headers, **_authorization(token)}
    failure: ServerError | None = None
    try:
        return http.build_request(
            call.method,
            _base_url(settings, call) + call.path + query,
            headers=headers,
            json=call.json,
            content=call.content,
            files={"uploadfile": (call.upload.filename, call.upload.content)} if call.upload else None,
        )
    except (httpx.InvalidURL, UnicodeEncodeError):
        failure = ServerError(
            "the URL, a header or the token holds characters that HTTP does not allow", call=call.label
        )
    raise failure


def _headers(call: Call[Any]) -> dict[str, str]:
    if call.form is Form.GRPC_WEB:
        return {"accept": grpc_web.CONTENT_TYPE, "content-type": grpc_web.CONTENT_TYPE, "x-grpc-web": "1"}
    return {"accept": "text/plain" if call.form is Form.TEXT else "application/json"}


def _base_url(settings: ClientSettings, call: Call[Any]) -> str:
    is_metadata = call.service is Service.METADATA
    return (settings.metadata_url if is_metadata else None) or settings.host


def _authorization(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token.strip()}"} if token and token.strip() else {}


def failure_of(
    call: Call[Any], error: httpx.HTTPError | httpx.StreamError | httpx.InvalidURL, settings: ClientSettings
) -> ServerError:
    """Return the error that a failed connection is; its message holds nothing of the request."""
    address = urlsplit(_base_url(settings, call)).netloc
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            message = f"no connection to {address} within {settings.connect_timeout:g} s"
        case httpx.TimeoutException():
            message = f"no answer from {address} within {settings.read_timeout:g} s"
        case httpx.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return ServerError(
                f"the certificate of {address} is not trusted; set the CA file of the connection",
                call=call.label,
            )
        case httpx.ConnectError() if "WRONG_VERSION_NUMBER" in str(error):
            return ServerError(f"{address} speaks http, not https", call=call.label)
        case httpx.ConnectError():
            message = f"cannot connect to {address}: {error}"
        case httpx.DecodingError():
            return UnexpectedResponseError("the body cannot be decompressed", call=call.label)
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol() | httpx.InvalidURL():
            # Its text may repeat a header's value.
            return ServerError(
                "the URL, a header or the token holds characters that HTTP does not allow", call=call.label
            )
        case _:
            message = f"the connection to {address} broke ({type(error).__name__})"
    return ServerUnavailableError(message, call=call.label)


def redaction_of(settings: ClientSettings, token: str | None) -> Redaction:
    """Return what takes the secrets of a request out of messages and logs.

    :param token: the bearer token that is sent.
    """
    return Redaction((*settings.secrets, (token or "").strip()), shortest=_SHORTEST_SECRET)


def result_of(call: Call[T], answer: httpx.Response, reader: Reader, redaction: Redaction) -> T:
    """Return the call's result from the answer and its body, or raise what the answer means."""
    return result(call, Answer(answer.status_code, dict(answer.headers), reader.body), redaction)
