"""Testing the client without KFP: a flow answered from a script, and a real server that misbehaves."""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.client.answers import Answer, result
from airflow_kfp_runtime.client.call import Call, Wait
from airflow_kfp_runtime.errors import ServerError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator, Iterator

NOT_FOUND = Answer(404, body=b'{"code":5,"message":"Not Found","details":[]}')


def answer(data: Any, status: int = 200) -> Answer:
    """The answer of KFP's gateway."""
    return Answer(status, {"content-type": "application/json"}, json.dumps(data).encode())


@dataclass
class Script:
    """Answers the calls of a flow by ``"METHOD /path"``: each from its list, the last one again and again."""

    answers: dict[str, list[Answer | ServerError]]
    calls: list[Call[Any]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        return [call.label for call in self.calls]

    def run(self, flow: Generator[Any, Any, Any]) -> Any:
        step: Callable[[], Any] = lambda: next(flow)  # noqa: E731
        while True:
            try:
                instruction = step()
            except StopIteration as end:
                return end.value
            if isinstance(instruction, Wait):
                self.waits.append(instruction.seconds)
                step = lambda: flow.send(None)  # noqa: E731
                continue
            try:
                value = self._answer(instruction)
            except ServerError as error:

                def step(error=error):
                    return flow.throw(error)
            else:

                def step(value=value):
                    return flow.send(value)

    def _answer(self, call: Call[Any]) -> Any:
        self.calls.append(call)
        known = self.answers.get(call.label, [NOT_FOUND])
        given = known.pop(0) if len(known) > 1 else known[0]
        if isinstance(given, ServerError):
            raise given
        return result(call, given)


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Reply:
    """What the server does with one request."""

    def __init__(
        self,
        body: bytes | dict[str, Any] = b"",
        status: int = 200,
        headers: dict[str, str] | None = None,
        *,
        stall: bool = False,
        reset: bool = False,
        cut: int = 0,
    ) -> None:
        self.body = json.dumps(body).encode() if isinstance(body, dict) else body
        self.status = status
        self.headers = {"content-type": "application/json", **(headers or {})}
        self.stall = stall
        self.reset = reset
        self.cut = cut


class Server:
    """A real HTTP server on a free port that gives one reply after the other, the last again and again."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.replies: list[Reply] = []
        self.requests: list[Request] = []
        self.connections: set[tuple[str, int]] = set()
        self.released = threading.Event()
        self.arrival = threading.Condition()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                owner.connections.add(self.client_address)
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with owner.arrival:
                    owner.requests.append(Request(self.command, self.path, headers, body))
                    owner.arrival.notify_all()
                reply = owner.replies.pop(0) if len(owner.replies) > 1 else owner.replies[0]
                if reply.stall:
                    owner.released.wait(20)
                if reply.reset:
                    # Linger 0 makes the kernel send a reset instead of a tidy end.
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.close_connection = True
                    self.rfile.close()
                    self.wfile.close()
                    self.connection.close()
                    return
                self.send_response(reply.status)
                for name, value in {**reply.headers, "content-length": str(len(reply.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body[: len(reply.body) - reply.cut])
                if reply.cut:
                    self.close_connection = True

            do_GET = do_POST = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """The client went away, as some tests mean it to."""

            def shutdown_request(self, request: Any) -> None:
                with suppress(OSError):
                    super().shutdown_request(request)

        self._http = Quiet(("127.0.0.1", 0), Handler)
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def wait_for_requests(self, number: int) -> None:
        """Wait until so many requests have come."""
        with self.arrival:
            assert self.arrival.wait_for(lambda: len(self.requests) >= number, timeout=20)

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def serving(*replies: Reply, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(tls)
    server.replies = list(replies)
    try:
        yield server
    finally:
        server.close()
