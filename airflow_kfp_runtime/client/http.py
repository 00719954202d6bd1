"""The two clients: they perform calls and flows over one pool of kept-alive connections, with timeouts.

Use one client for as long as possible, as a context manager::

    with KfpClient(ClientSettings(host="http://localhost:8888")) as client:
        run = client.send(calls.get_run(run_id))
        outputs = client.run(read_outputs(run))
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from airflow_kfp_runtime.client.answers import LARGE
from airflow_kfp_runtime.client.call import Call, Flow, Wait, next_instruction
from airflow_kfp_runtime.client.transport import (
    Reader,
    build_request,
    client_options,
    failure_of,
    read_token,
    redaction_of,
    renewed_token,
    result_of,
)
from airflow_kfp_runtime.client.yielding import share_with_loop
from airflow_kfp_runtime.errors import AuthenticationError, ServerError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from airflow_kfp_runtime.client.settings import ClientSettings
    from airflow_kfp_runtime.redaction import Redaction

T = TypeVar("T")

#: Seconds for which a connection is kept for the next request: longer than between two polls.
_KEPT_ALIVE = 60.0


def _result_beside_loop(call: Call[T], answer: httpx.Response, reader: Reader, redaction: Redaction) -> T:
    share_with_loop()
    return result_of(call, answer, reader, redaction)


class KfpClient:
    """A synchronous client of a KFP server.

    :param settings: where the server is and how to speak to it.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._http = httpx.Client(**client_options(settings))

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
        """Perform one call; once more where a 401 met a token file that has been renewed meanwhile.

        :raises ServerError: as :func:`airflow_kfp_runtime.client.answers.result` says, and
            ServerUnavailableError where no answer came.
        """
        token = read_token(self._settings, call)
        try:
            return self._send(call, token)
        except AuthenticationError as refused:
            renewed = renewed_token(self._settings, call, token, refused)
            if renewed is None:
                raise
        return self._send(call, renewed)

    def _send(self, call: Call[T], token: str | None) -> T:
        request = build_request(self._settings, self._http, call, token)
        reader = Reader(call, self._settings.call_timeout)
        redaction = redaction_of(self._settings, token)
        failure: ServerError | None = None
        try:
            with redaction.in_logs():
                answer = self._http.send(request, stream=True)
                try:
                    for chunk in answer.iter_bytes():
                        reader.take(chunk)
                finally:
                    answer.close()
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            failure = failure_of(call, error, self._settings)
        if failure:
            # Outside the handler: httpx's exception holds the request and with it the credentials.
            raise failure
        return result_of(call, answer, reader, redaction)

    def run(self, flow: Flow[T]) -> T:
        """Perform a flow to its end and return its result.

        :raises ServerError: what the flow did not handle.
        """
        answer: Any = None
        try:
            while True:
                answer = self._answer(next_instruction(flow, answer))
        except StopIteration as end:
            outcome: T = end.value
            return outcome
        finally:
            flow.close()

    def _answer(self, instruction: Call[Any] | Wait) -> Any:
        """Return what an instruction leads to; a failure is an answer, too."""
        try:
            if isinstance(instruction, Wait):
                return time.sleep(instruction.seconds)
            return self.send(instruction)
        except ServerError as error:
            return error


class AsyncKfpClient:
    """An asynchronous client of a KFP server, for one event loop, which its calls never block.

    Making one reads certificates from the disk: do that in a thread where a loop runs (``await
    asyncio.to_thread(AsyncKfpClient, settings)``).

    :param settings: where the server is and how to speak to it.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(
            **client_options(settings), limits=httpx.Limits(keepalive_expiry=_KEPT_ALIVE)
        )
        self._parsing = asyncio.Lock()

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
        token = self._settings.token
        if self._settings.token_file:
            token = await asyncio.to_thread(read_token, self._settings, call)
        try:
            return await self._send(call, token)
        except AuthenticationError as refused:
            renewed = await asyncio.to_thread(renewed_token, self._settings, call, token, refused)
            if renewed is None:
                raise
        return await self._send(call, renewed)

    async def _send(self, call: Call[T], token: str | None) -> T:
        request = build_request(self._settings, self._http, call, token)
        reader = Reader(call, self._settings.call_timeout)
        redaction = redaction_of(self._settings, token)
        failure: ServerError | None = None
        try:
            with redaction.in_logs():
                answer = await self._http.send(request, stream=True)
                try:
                    async for chunk in answer.aiter_bytes():
                        reader.take(chunk)
                finally:
                    await answer.aclose()
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            failure = failure_of(call, error, self._settings)
        if failure:
            raise failure
        if len(reader.body) <= LARGE:
            return result_of(call, answer, reader, redaction)
        # One at a time: with each thread that is busy, the loop waits longer for its turn.
        async with self._parsing:
            return await asyncio.to_thread(_result_beside_loop, call, answer, reader, redaction)

    async def run(self, flow: Flow[T]) -> T:
        """Perform a flow to its end; as :meth:`KfpClient.run`."""
        answer: Any = None
        try:
            while True:
                answer = await self._answer(next_instruction(flow, answer))
        except StopIteration as end:
            outcome: T = end.value
            return outcome
        finally:
            flow.close()

    async def _answer(self, instruction: Call[Any] | Wait) -> Any:
        try:
            if isinstance(instruction, Wait):
                return await asyncio.sleep(instruction.seconds)
            return await self.send(instruction)
        except ServerError as error:
            return error
