"""A web server on this machine that serves files, and misbehaves in the ways that servers do."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import Message

    from tests.git_server import Authority


@dataclass
class HttpServer:
    """Answers each path as it was told to; everything else is 404.

    :param authority: serves HTTPS with its certificate; ``None`` serves plain HTTP.
    """

    authority: Authority | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, Message]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stopped = threading.Event()
        owner = self

        class OwnHandler(Handler):
            server_of_tests = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), OwnHandler)
        if self.authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.authority.server_certificate, self.authority.server_key)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def url(self, path: str, *, archive: bool = False) -> str:
        scheme = "http" if self.authority is None else "https"
        return f"{'zip+' * archive}{scheme}://{self.address}{path}"

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Handler(BaseHTTPRequestHandler):
    server_of_tests: HttpServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server_of_tests
        server.requests.append((self.path, self.headers))
        # The client may go away while it is answered; that is what some tests are about.
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            server.answers.get(self.path.partition("?")[0], status(404))(self)

    def log_message(self, *_: object) -> None:
        """The tests look at ``requests`` instead."""

    def send(self, code: int, headers: dict[str, str], content: bytes = b"") -> None:
        """Send an answer as it is: no header is added, and none is checked."""
        self.server_of_tests.sent.append(code)
        lines = [f"HTTP/1.1 {code} X", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.wfile.write("\r\n".join(lines).encode() + content)
        self.wfile.flush()


Answer = Callable[[Handler], None]


def file(content: bytes, **headers: str) -> Answer:
    """Serve a file, with an ETag of its content unless other headers are given."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'

    def answer(handler: Handler) -> None:
        if not headers and handler.headers.get("If-None-Match") == tag:
            handler.send(304, {"ETag": tag})
        else:
            known = {name.replace("_", "-"): value for name, value in headers.items()} or {"ETag": tag}
            handler.send(200, {"Content-Length": str(len(content)), **known}, content)

    return answer


def dated(content: bytes, date: str) -> Answer:
    """Serve a file by a server that knows dates only."""

    def answer(handler: Handler) -> None:
        if handler.headers.get("If-Modified-Since") == date:
            handler.send(304, {})
        else:
            handler.send(200, {"Content-Length": str(len(content)), "Last-Modified": date}, content)

    return answer


def status(code: int, **headers: str) -> Answer:
    return lambda handler: handler.send(
        code, {"Content-Length": "0", **{name.replace("_", "-"): value for name, value in headers.items()}}
    )


def redirect(target: str, code: int = 302) -> Answer:
    return status(code, Location=target)


def page(text: bytes = b"<!DOCTYPE html><html><title>Log in</title></html>") -> Answer:
    return file(text, Content_Type="text/html")


def zipped(content: bytes, encoding: str = "gzip") -> Answer:
    """Send a body compressed, though nobody asks for that."""
    return file(gzip.compress(content), Content_Encoding=encoding)


def stall(handler: Handler) -> None:
    """Answer nothing until the server is stopped."""
    handler.server_of_tests.stopped.wait()


def drip(beginning: bytes) -> Answer:
    """Begin an answer, and go on by one byte at a time without an end."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(beginning)
        while not handler.server_of_tests.stopped.wait(0.02):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    return answer


def endless(handler: Handler) -> None:
    """Send chunks until the client goes away."""
    handler.send(200, {"Transfer-Encoding": "chunked"})
    while not handler.server_of_tests.stopped.is_set():
        handler.wfile.write(b"1000\r\n" + b"#" * 0x1000 + b"\r\n")


def short_of(declared: int, content: bytes) -> Answer:
    """Promise more than comes, and close."""

    def answer(handler: Handler) -> None:
        handler.send(200, {"Content-Length": str(declared)}, content)
        handler.close_connection = True

    return answer


def drop(handler: Handler) -> None:
    """Close without an answer."""
    handler.close_connection = True


def raw(content: bytes) -> Answer:
    """Send bytes that need not be HTTP, and close."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(content)
        handler.close_connection = True

    return answer
