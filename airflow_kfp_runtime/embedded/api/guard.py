"""Keeps web pages away from a server that runs commands for whoever reaches it.

The API knows no passwords, so a page in a browser on this machine must not be able to use it: not by a form
that it sends to ``127.0.0.1`` (such a request has an ``Origin``), nor by a name of its own that it lets
resolve to ``127.0.0.1`` (such a request has that name as its ``Host``). Programs send neither.
"""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_PERMISSION_DENIED = 7
_READING = ("GET", "HEAD", "OPTIONS")


class BrowserGuard:
    """ASGI middleware that refuses with 403 what only a foreign web page would send.

    :param app: the application.
    :param local_names_only: whether the server listens on this machine alone, where only ``localhost`` and
        addresses are its names.
    """

    def __init__(self, app: ASGIApp, *, local_names_only: bool) -> None:
        self._app = app
        self._local_names_only = local_names_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        problem = self._problem(scope) if scope["type"] == "http" else ""
        if not problem:
            await self._app(scope, receive, send)
            return
        body = json.dumps({"code": _PERMISSION_DENIED, "message": problem, "details": []})
        await Response(body, 403, media_type="application/json")(scope, receive, send)

    def _problem(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._local_names_only and not _is_local_name(host):
            return f"the server answers to localhost and addresses only, not to {host!r}: see --host"
        if scope["method"] not in _READING and origin is not None and urlsplit(origin).netloc != host:
            return f"a web page of {origin!r} may not change anything here"
        return ""


def _is_local_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
