"""A proxy between a client and a KFP server that fails as networks, proxies and servers do.

A fault is a function of the request: it has the request sent to the server once, twice or not at all, and
returns what the client gets, ``None`` for a connection that closes without an answer. ``acted`` says whether
the server has acted on the request before the fault::

    with FaultProxy(server.url) as proxy:
        proxy.fail("POST", "/runs$", drop(acted=True))
        client = KfpClient(ClientSettings(proxy.url))
        ...
        assert proxy.reached("POST", "/runs$") == 1
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

#: What concerns one connection and not the message in it (RFC 9110, section 7.6.1).
_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
_LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head></html>"


@dataclass(frozen=True)
class Reply:
    """What the client gets.

    :param length: the length that is announced; default: the body's.
    :param pause: seconds before each byte of the body.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None
    pause: float = 0.0


class Reached(NamedTuple):
    """A request that the server has seen, and the status of its answer."""

    method: str
    path: str
    body: bytes
    status: int


@dataclass(frozen=True)
class Request:
    """A request of the client.

    :param path: without the query.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    proxy: FaultProxy

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def forward(self) -> Reply:
        """Have the server act on it, and return its answer."""
        return self.proxy.forward(self)


Fault: TypeAlias = Callable[[Request], Reply | None]


@dataclass
class _Rule:
    method: str
    path: re.Pattern[str]
    fault: Fault
    after: int
    times: float

    def takes(self, request: Request) -> bool:
        if self.method not in ("", request.method) or not self.path.search(request.path):
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return self.times >= 0


class FaultProxy:
    """The proxy, on a free port of this machine, served by threads of this process.

    :param upstream: the server's URL.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream).netloc
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        #: What the client has sent, as method and path.
        self.requests: list[tuple[str, str]] = []
        #: What the server has seen.
        self.ledger: list[Reached] = []
        self.stopped = threading.Event()

        class OwnHandler(_Handler):
            proxy = self

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), OwnHandler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, method: str, path: str, fault: Fault, *, after: int = 0, times: float = 1) -> None:
        """Let requests fail; of several rules the first that takes a request counts.

        :param method: empty for any.
        :param path: a regular expression, searched for in the path.
        :param after: how many such requests pass first.
        :param times: how many fail then (``math.inf``: all).
        """
        with self._lock:
            self._rules.append(_Rule(method, re.compile(path), fault, after, times))

    def heal(self) -> None:
        """Let everything pass from now on."""
        with self._lock:
            self._rules.clear()

    def reached(self, method: str, path: str) -> int:
        """Return how many such requests the server has seen."""
        return sum(row.method == method and bool(re.search(path, row.path)) for row in self.ledger)

    def sent(self, method: str, path: str) -> int:
        """Return how many such requests the client has sent."""
        return sum(sent == method and bool(re.search(path, target)) for sent, target in self.requests)

    def answer(self, request: Request) -> Reply | None:
        with self._lock:
            self.requests.append((request.method, request.path))
            fault = next((rule.fault for rule in self._rules if rule.takes(request)), None)
        return fault(request) if fault else request.forward()

    def forward(self, request: Request) -> Reply:
        connection = http.client.HTTPConnection(self._upstream, timeout=30)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in (*_OF_THE_CONNECTION, "host", "accept-encoding")
        }
        with contextlib.closing(connection):
            connection.request(request.method, request.target, request.body, headers)
            answer = connection.getresponse()
            body = answer.read()
        self.ledger.append(Reached(request.method, request.path, request.body, answer.status))
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in _OF_THE_CONNECTION}
        return Reply(answer.status, kept, body)


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"
    # Head and body are two packets; with Nagle's algorithm the second waits 40 ms for the first's receipt.
    disable_nagle_algorithm = True

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, dict(self.headers.items()), body, self.proxy)
        try:
            reply = self.proxy.answer(request)
        except ConnectionRefusedError:
            reply = Reply(502, {"Content-Type": "text/html"}, b"<html><title>Bad Gateway</title></html>")
        if reply is None:
            self.close_connection = True
            return
        # The client may have gone away meanwhile, which some faults are about.
        with contextlib.suppress(ConnectionError):
            self._send(reply)

    do_GET = do_POST = do_DELETE = _take  # noqa: N815

    def _send(self, reply: Reply) -> None:
        length = len(reply.body) if reply.length is None else reply.length
        headers = {**reply.headers, "Content-Length": str(length)}
        lines = [f"HTTP/1.1 {reply.status} X", *(f"{name}: {value}" for name, value in headers.items())]
        self.wfile.write("\r\n".join([*lines, "", ""]).encode())
        if reply.pause:
            for byte in reply.body:
                self.proxy.stopped.wait(reply.pause)
                self.wfile.write(bytes([byte]))
        else:
            self.wfile.write(reply.body)
        if length != len(reply.body):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """The tests look at the ledger instead."""


def drop(*, acted: bool = False) -> Fault:
    """Close the connection without an answer."""

    def fault(request: Request) -> Reply | None:
        if acted:
            request.forward()
        return None

    return fault


def answers(status: int, body: bytes = b"", *, acted: bool = False, **headers: str) -> Fault:
    """Answer this instead of what the server does; ``Retry_After="3"`` is a header."""
    reply = Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)

    def fault(request: Request) -> Reply:
        if acted:
            request.forward()
        return reply

    return fault


def refuses(status: int, code: int, message: str, *, acted: bool = False) -> Fault:
    """Answer with an error in KFP's form."""
    body = json.dumps({"code": code, "message": message, "details": []}).encode()
    return answers(status, body, acted=acted, Content_Type="application/json")


def page(status: int = 200, *, acted: bool = False) -> Fault:
    """Answer with an HTML page, as proxies do."""
    return answers(status, _LOGIN_PAGE, acted=acted, Content_Type="text/html")


def malformed(*, acted: bool = False) -> Fault:
    """Answer 200 with JSON that has no end."""
    return answers(200, b'{"run_id": "', acted=acted, Content_Type="application/json")


def truncated(request: Request) -> Reply:
    """Send the half of the server's answer, and close."""
    reply = request.forward()
    return replace(reply, body=reply.body[: len(reply.body) // 2], length=len(reply.body) + 1)


def duplicated(request: Request) -> Reply:
    """Send the request to the server twice, as a proxy that tries again does, and give the second answer."""
    request.forward()
    return request.forward()


def delayed(seconds: float, *, acted: bool = False) -> Fault:
    """Wait before the server sees the request, or once it has acted."""

    def fault(request: Request) -> Reply:
        if acted:
            reply = request.forward()
            request.proxy.stopped.wait(seconds)
            return reply
        request.proxy.stopped.wait(seconds)
        return request.forward()

    return fault


def slow(pause: float) -> Fault:
    """Send the server's answer byte by byte, with this pause in seconds before each."""
    return lambda request: replace(request.forward(), pause=pause)


def rewritten(change: Callable[[Any], Any]) -> Fault:
    """Send the server's answer with another JSON document in it."""

    def fault(request: Request) -> Reply:
        reply = request.forward()
        return replace(reply, body=json.dumps(change(json.loads(reply.body))).encode())

    return fault
