"""The two clients: they perform calls and flows over one pool of kept-alive connections, with timeouts, each.

Use one client for as long as possible, as a context manager::

    with KfpClient(ClientSettings(host="http://localhost:8888")) as client:
        run = client.send(calls.get_run(run_id))
        outputs = client.run(read_outputs(run))
"""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx

from airflow_kfp_runtime.client import grpc_web
from airflow_kfp_runtime.client.answers import Answer, result
from airflow_kfp_runtime.client.call import Call, Flow, Form, Service, Wait
from airflow_kfp_runtime.errors import (
    AuthenticationError,
    ServerError,
    ServerUnavailableError,
    UnexpectedResponseError,
)

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from airflow_kfp_runtime.client.settings import ClientSettings

T = TypeVar("T")


class KfpClient:
    """A synchronous client of a KFP server.

    :param settings: where the server is and how to speak to it.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._http = httpx.Client(**_options(settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def settings(self) -> ClientSettings:
        """The settings that the client was made with."""
        return self._settings

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """Perform one call.

        :raises ServerError: as :func:`airflow_kfp_runtime.client.answers.result` says, and
            ServerUnavailableError where no answer came.
        """
        request = _request(self._settings, self._http, call)
        reader = _Reader(call, self._settings.call_timeout)
        failure: ServerError | None = None
        try:
            answer = self._http.send(request, stream=True)
            try:
                for chunk in answer.iter_bytes():
                    reader.take(chunk)
            finally:
                answer.close()
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            failure = _failure(call, error, self._settings)
        if failure:
            # Outside the handler: httpx's exception holds the request and with it the credentials.
            raise failure
        return _result(self._settings, call, answer, reader)

    def run(self, flow: Flow[T]) -> T:
        """Perform a flow to its end and return its result.

        :raises ServerError: what the flow did not handle.
        """
        try:
            instruction = next(flow)
            while True:
                try:
                    answered: Any = self._perform(instruction)
                except ServerError as error:  # noqa: PERF203  each instruction may fail
                    instruction = flow.throw(error)
                else:
                    instruction = flow.send(answered)
        except StopIteration as end:
            outcome: T = end.value
            return outcome
        finally:
            flow.close()

    def _perform(self, instruction: Call[Any] | Wait) -> Any:
        if isinstance(instruction, Wait):
            return time.sleep(instruction.seconds)
        return self.send(instruction)


class AsyncKfpClient:
    """An asynchronous client of a KFP server, for one event loop; it never blocks the loop.

    :param settings: where the server is and how to speak to it.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(**_options(settings))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def settings(self) -> ClientSettings:
        """The settings that the client was made with."""
        return self._settings

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Perform one call; as :meth:`KfpClient.send`."""
        request = _request(self._settings, self._http, call)
        reader = _Reader(call, self._settings.call_timeout)
        failure: ServerError | None = None
        try:
            answer = await self._http.send(request, stream=True)
            try:
                async for chunk in answer.aiter_bytes():
                    reader.take(chunk)
            finally:
                await answer.aclose()
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            failure = _failure(call, error, self._settings)
        if failure:
            raise failure
        return _result(self._settings, call, answer, reader)

    async def run(self, flow: Flow[T]) -> T:
        """Perform a flow to its end; as :meth:`KfpClient.run`."""
        try:
            instruction = next(flow)
            while True:
                try:
                    answered: Any = await self._perform(instruction)
                except ServerError as error:  # noqa: PERF203  each instruction may fail
                    instruction = flow.throw(error)
                else:
                    instruction = flow.send(answered)
        except StopIteration as end:
            outcome: T = end.value
            return outcome
        finally:
            flow.close()

    async def _perform(self, instruction: Call[Any] | Wait) -> Any:
        if isinstance(instruction, Wait):
            return await asyncio.sleep(instruction.seconds)
        return await self.send(instruction)


class _Reader:
    """Collects a body up to the call's limit and within the call's time."""

    def __init__(self, call: Call[Any], seconds: float) -> None:
        self._call = call
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self.body = bytearray()

    def take(self, chunk: bytes) -> None:
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


def _options(settings: ClientSettings) -> dict[str, Any]:
    return {
        "verify": _trust(settings),
        "cookies": dict(settings.cookies),
        "follow_redirects": False,
        "timeout": httpx.Timeout(settings.read_timeout, connect=settings.connect_timeout),
    }


def _trust(settings: ClientSettings) -> bool | ssl.SSLContext:
    if isinstance(settings.verify, bool):
        return settings.verify
    try:
        return ssl.create_default_context(cafile=settings.verify)
    except OSError as error:
        raise ServerError(
            f"the CA file {settings.verify!r} cannot be used ({error.strerror or error}); "
            "give a PEM file that exists where the task runs"
        ) from None


def _request(
    settings: ClientSettings, http: httpx.Client | httpx.AsyncClient, call: Call[Any]
) -> httpx.Request:
    base = settings.metadata_url or settings.host if call.service is Service.METADATA else settings.host
    # Encoded here, since httpx would leave the percent signs of a filter that is escaped already as they are.
    query = f"?{urlencode(call.query, quote_via=quote)}" if call.query else ""
    headers = {**_headers(call), **settings.headers, **_authorization(settings, call)}
    failure: ServerError | None = None
    try:
        return http.build_request(
            call.method,
            base + call.path + query,
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


def _authorization(settings: ClientSettings, call: Call[Any]) -> dict[str, str]:
    token = settings.token
    if settings.token_file:
        try:
            token = Path(settings.token_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise AuthenticationError(
                f"the token file {settings.token_file!r} cannot be read: {reason}", call=call.label
            ) from None
    return {"authorization": f"Bearer {token.strip()}"} if token and token.strip() else {}


def _failure(
    call: Call[Any], error: httpx.HTTPError | httpx.StreamError | httpx.InvalidURL, settings: ClientSettings
) -> ServerError:
    where = settings.metadata_url or settings.host if call.service is Service.METADATA else settings.host
    address = urlsplit(where).netloc
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


def _result(settings: ClientSettings, call: Call[T], answer: httpx.Response, reader: _Reader) -> T:
    sent = answer.request.headers.get("authorization", "").removeprefix("Bearer ")
    return result(
        call,
        Answer(answer.status_code, dict(answer.headers), bytes(reader.body)),
        secrets=(*settings.secrets, sent),
    )
