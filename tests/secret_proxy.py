"""A proxy that lets nobody through without the secrets of a connection, and repeats them in its errors."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.fault_proxy import FaultProxy, Reply, Request
from tests.secret_marks import Mark

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Where the secrets are by right.
CARRIERS = {"authorization", "cookie", "x-api-key"}


@dataclass
class Secrets:
    """The secrets of one connection: its fields, and the headers in which the server gets them."""

    marks: tuple[Mark, ...]
    fields: dict[str, Any]
    headers: dict[str, str]

    def are_in(self, request: Request) -> bool:
        return all(request.headers.get(name) == value for name, value in self.headers.items())


def of_a_token(folder: Path) -> Secrets:
    token, cookie, key = marks = Mark("token"), Mark("cookie"), Mark("header")
    extra = {
        "cookie": f"session={cookie.value}",
        "headers": {"x-api-key": key.value},
        "user": "ann@example.org",
    }
    headers = {"authorization": f"Bearer {token.value}", "cookie": f"session={cookie.value}"}
    return Secrets(marks, {"password": token.value, "extra": extra}, {**headers, "x-api-key": key.value})


def of_a_token_file(folder: Path) -> Secrets:
    token = Mark("content of the token file")
    file = folder / "token"
    file.write_text(f"{token.value}\n")
    return Secrets((token,), {"extra": {"token_file": str(file)}}, {"authorization": f"Bearer {token.value}"})


def of_a_login(folder: Path) -> Secrets:
    password = Mark("password in the header")
    header = f"Basic {base64.b64encode(f'ann:{password.value}'.encode()).decode()}"
    # In the form for headers that the connection's form sends, a text.
    extra = {"headers": json.dumps({"authorization": header})}
    return Secrets((password,), {"extra": extra}, {"authorization": header})


class CheckingProxy(FaultProxy):
    """Lets nobody through who does not send the secrets, and keeps what it was sent."""

    def __init__(self, upstream: str, secrets: Secrets) -> None:
        self.secrets = secrets
        self.seen: list[Request] = []
        self.without: list[Request] = []
        super().__init__(upstream)

    def answer(self, request: Request) -> Reply | None:
        request = replace(request, headers={name.lower(): value for name, value in request.headers.items()})
        self.seen.append(request)
        if not self.secrets.are_in(request):
            self.without.append(request)
            return Reply(401, {"Content-Type": "application/json"}, b'{"message": "who are you?"}')
        return super().answer(request)


def sent(request: Request) -> str:
    """All that a request holds, as servers that help to find mistakes repeat it."""
    login = request.headers.get("authorization", "").partition(" ")[2]
    decoded = ""
    if request.headers.get("authorization", "").startswith("Basic "):
        decoded = base64.b64decode(login).decode()
    headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    return f"{request.method} {request.target}\n{headers}\n{login}\n{decoded}\nbad token {login}"


#: How a server may write it.
FORMS: dict[str, Callable[[str], tuple[str, str]]] = {
    "json": lambda text: ("application/json", json.dumps({"code": 16, "message": text, "details": []})),
    "json details": lambda text: (
        "application/json",
        json.dumps({"code": 3, "message": "no", "details": [{"message": text}], "error_details": text}),
    ),
    "text": lambda text: ("text/plain", text),
    "a page": lambda text: ("text/html", f"<html><title>{html.escape(text)}</title></html>"),
    "an unescaped page": lambda text: ("text/html", f"<html><title>{text}</title></html>"),
    "escaped json": lambda text: ("application/json", json.dumps({"error": json.dumps({"got": text})})),
    "percent signs": lambda text: ("text/plain", quote(text, safe="")),
    "base64": lambda text: ("text/plain", base64.b64encode(text.encode()).decode()),
    "capitals": lambda text: ("text/plain", text.upper()),
    "a long text": lambda text: ("text/plain", "." * (1990 - len(text) // 2) + text * 30),
    "another json": lambda text: ("application/json", json.dumps([text])),
    "malformed json": lambda text: ("application/json", f'{{"run_id": "{text}'),
    "an error in the log": lambda text: ("application/json", json.dumps({"error_message": text})),
}


def repeats(form: str, status: int = 401):
    """Answer with what was sent, in the body and in the headers."""

    def fault(request: Request) -> Reply:
        content_type, body = FORMS[form](sent(request))
        said = " ".join(sent(request).split())
        headers = {
            "Content-Type": content_type,
            "WWW-Authenticate": f'Bearer error_description="{said}"',
            "Retry-After": said,
            "X-Request": said,
        }
        return Reply(status, headers, body.encode())

    return fault


def redirects(location: str):
    """Redirect to an address that holds what was sent."""

    def fault(request: Request) -> Reply:
        token = request.headers["authorization"].partition(" ")[2]
        return Reply(302, {"Location": location.format(token=token, quoted=quote(token, safe=""))})

    return fault


def with_status_line(request: Request) -> Reply:
    """Answer with something that is no HTTP."""
    return Reply(f"{' '.join(sent(request).split())}")  # type: ignore[arg-type]


def with_wrong_encoding(request: Request) -> Reply:
    return Reply(200, {"Content-Encoding": "gzip"}, sent(request).encode())


def cut_off(request: Request) -> Reply:
    body = sent(request).encode()
    return Reply(500, {}, body, length=len(body) + 10)


def too_slow(request: Request) -> Reply:
    return Reply(500, {}, sent(request).encode() * 10, pause=0.02)


def in_grpc(request: Request) -> Reply:
    headers = {"grpc-status": "16", "grpc-message": quote(sent(request))}
    return Reply(200, {"Content-Type": "application/grpc-web+proto", **headers})
