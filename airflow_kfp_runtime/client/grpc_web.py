"""The framing of gRPC-web: a unary call's message in a POST, its answer and its status in the body.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_kfp_runtime.errors import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    ServerUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What a request says that it is and wants.
CONTENT_TYPE = "application/grpc-web+proto"

_HEADER = 5
_TRAILERS = 0x80
_COMPRESSED = 0x01
_ERRORS: dict[int, type[ServerError]] = {
    3: InvalidRequestError,
    4: ServerUnavailableError,
    5: NotFoundError,
    6: ConflictError,
    7: PermissionDeniedError,
    8: ServerUnavailableError,
    12: NotFoundError,
    14: ServerUnavailableError,
    16: AuthenticationError,
}


def frame(content: bytes, *, trailers: bool = False) -> bytes:
    r"""Return one frame: a flag, the length as four bytes, the content.

    :param trailers: whether the content is the trailers (``grpc-status:0\r\n``) rather than a message.
    """
    return bytes([_TRAILERS if trailers else 0]) + len(content).to_bytes(4, "big") + content


def message(label: str, http_status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the message of a unary answer.

    :param label: the call, for errors.
    :param headers: names in lower case; an answer of trailers only has its status here.
    :raises ServerError: of the kind that the gRPC status means; NotFoundError also where the method is
        unknown.
    :raises ValueError: if the body is no gRPC-web answer.
    """
    content_type = headers.get("content-type", "")
    if not content_type.startswith("application/grpc-web"):
        raise ValueError(f"content type {content_type!r} is not gRPC-web's")
    if content_type.startswith("application/grpc-web-text"):
        body = base64.b64decode(body)
    found: bytes | None = None
    status = headers
    for flag, content in _frames(body):
        if flag & _COMPRESSED:
            raise ValueError("a compressed gRPC-web frame, which was not asked for")
        if flag & _TRAILERS:
            status = _trailers(content)
        elif found is None:
            found = content
    code = status.get("grpc-status", "")
    if not code.isdecimal():
        raise ValueError("the gRPC-web answer ends without a status")
    if int(code) != 0:
        kind = _ERRORS.get(int(code), ServerError)
        words = unquote(status.get("grpc-message", "")) or f"gRPC status {code}"
        raise kind(words, call=label, status=http_status, code=int(code))
    if found is None:
        raise ValueError("the gRPC-web answer holds no message")
    return found


def _frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(body):
        length = int.from_bytes(body[at + 1 : at + _HEADER], "big")
        content = body[at + _HEADER : at + _HEADER + length]
        if len(body) < at + _HEADER or len(content) < length:
            raise ValueError("the gRPC-web answer is cut off")
        yield body[at], content
        at += _HEADER + length


def _trailers(content: bytes) -> dict[str, str]:
    lines = content.decode(errors="replace").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
