"""Keeps secrets out of texts that others have written: a server's words, and what libraries log.

A server or a proxy may repeat what it was sent, as it came or encoded, and some do in the text of an error.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MASK = "***"
#: Shorter ones would be found in words that have nothing to do with them.
_SHORTEST_BASE64 = 6
#: Loggers that show at DEBUG what a server answers or what is signed.
_LOGGERS = (
    *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy")),
    "botocore.auth",
    "kubernetes.client.rest",
    "urllib3.connectionpool",
)


class Redaction:
    """Replaces secrets by ``***``, in any case of letters, also as URLs, JSON, HTML and base64 have them.

    A part of a secret is not found, nor what a server has encoded in another way.

    :param secrets: empty ones are left out.
    :param shortest: characters below which a value is left alone, since it may be a part of other words.
    """

    def __init__(self, secrets: Iterable[str | None], *, shortest: int = 1) -> None:
        self._secrets = {
            secret for secret in secrets if secret and secret.strip() and len(secret) >= shortest
        }

    def __repr__(self) -> str:
        """Show no secret."""
        return f"{type(self).__name__}()"

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        # Most texts hold none, which is found out sooner without the pattern.
        folded = text.casefold()
        holds = any(form in folded for form in self._folded)
        return self._pattern.sub(_MASK, text) if holds else text

    def beginning(self, text: str, length: int) -> str:
        """Return the beginning of a text without the secrets, and without a part of one at its end.

        :param length: characters, at most.
        """
        longest = max(map(len, self._forms), default=0)
        # Of a text of any size only so much is looked through.
        looked_at = text[: 4 * length + longest]
        shown = self.text(looked_at)
        if len(looked_at) < len(text):
            shown = shown[: max(0, len(shown) - longest)]
        return shown[:length]

    @contextmanager
    def in_logs(self) -> Iterator[None]:
        """Apply to what the libraries that speak to servers log meanwhile, in this task or thread alone."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_redacted)
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    @cached_property
    def _forms(self) -> set[str]:
        return {form for secret in self._secrets for form in _forms(secret)}

    @cached_property
    def _folded(self) -> set[str]:
        return {form.casefold() for form in self._forms}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # The longest first: a secret may be a part of another.
        forms = sorted(self._forms, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, forms)), re.IGNORECASE)


_active: ContextVar[Redaction | None] = ContextVar("redaction", default=None)


def _redacted(record: logging.LogRecord) -> bool:
    redaction = _active.get()
    if redaction is not None:
        record.msg, record.args = redaction.text(record.getMessage()), None
    return True


def _forms(secret: str) -> Iterator[str]:
    yield secret
    # What cannot be encoded cannot have been sent either.
    sent = secret.encode(errors="replace").decode()
    for plain in {sent, unquote(sent)}:
        yield plain
        yield from (quote(plain, safe=""), quote(plain), quote_plus(plain))
        yield html.escape(plain)
        yield from (repr(plain)[1:-1], repr(plain.encode())[2:-1])
        for escaped in (_escaped(plain), repr(plain.encode() + b"\"'")[2:-4]):
            yield escaped
            # In the representation of an exception whose message holds one.
            yield _escaped(escaped)
        for escaped in (json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]):
            yield escaped
            yield escaped.replace("/", "\\/")
            # As Go's encoding/json writes them.
            yield re.sub("[<>&]", lambda sign: f"\\u{ord(sign[0]):04x}", escaped)
        yield from _base64(plain.encode())


def _escaped(text: str) -> str:
    """Return a text as Python represents it beside both kinds of quotes."""
    return repr(f"{text}\"'")[1:-4]


def _base64(content: bytes) -> Iterator[str]:
    """Return what is the same in the base64 of any text that holds this, such as ``user:password``."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content).decode()
        # A character stands for six bits: those that its neighbours take part in are left out.
        own = encoded[-(-before * 8 // 6) : (before + len(content)) * 8 // 6]
        if len(own) >= _SHORTEST_BASE64:
            yield own
            yield own.replace("+", "-").replace("/", "_")
