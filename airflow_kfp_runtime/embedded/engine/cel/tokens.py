"""From the text of an expression to its tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<double>(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
      | (?P<int>0[xX][0-9a-fA-F]+|\d+)
      | (?P<string>(?P<raw>[rR]?)(?P<quote>\"\"\"|'''|"|')(?P<text>.*?)(?<!\\)(?:\\\\)*(?P=quote))
      | (?P<name>[A-Za-z_]\w*)
      | (?P<symbol>&&|\|\||==|!=|<=|>=|[<>!()\[\].,+*/%?:{}-])
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(
    r"\\(?:[xX](?P<two>[0-9a-fA-F]{2})|u(?P<four>[0-9a-fA-F]{4})|U(?P<eight>[0-9a-fA-F]{8})"
    r"|(?P<octal>[0-3][0-7]{2})|(?P<letter>.))",
    re.DOTALL,
)
_LETTERS = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "?": "?", '"': '"', "'": "'", "`": "`",
}  # fmt: skip


class CelError(ValueError):
    """An expression that is not CEL, uses more of CEL than is here, or cannot be evaluated."""


@dataclass(frozen=True)
class Token:
    """A token.

    :param kind: ``literal``, ``name``, ``symbol`` or ``end``.
    :param value: what a literal stands for.
    """

    kind: str
    text: str
    value: str | float | int | None = None


def tokens(text: str) -> Iterator[Token]:
    """The tokens of an expression.

    :raises CelError: something in it is no token of CEL.
    """
    place = 0
    end = len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise CelError(f"{text!r} cannot be read at {text[place:].strip()[:20]!r}")
        place = match.end()
        kind = str(match.lastgroup)
        if match["double"]:
            yield Token("literal", match["double"], float(match["double"]))
        elif match["int"]:
            yield Token("literal", match["int"], int(match["int"], 0 if match["int"][1:2] in "xX" else 10))
        elif match["string"]:
            shown = match["string"]
            content = shown[len(match["raw"]) + len(match["quote"]) : -len(match["quote"])]
            yield Token("literal", shown, content if match["raw"] else _unescaped(content, text))
        else:
            yield Token(kind, match[kind])


def _unescaped(content: str, text: str) -> str:
    def replacement(match: re.Match[str]) -> str:
        code = match["two"] or match["four"] or match["eight"]
        try:
            if code or match["octal"]:
                return chr(int(code, 16) if code else int(match["octal"], 8))
            return _LETTERS[match["letter"]]
        except (KeyError, ValueError, OverflowError):
            raise CelError(f"{text!r}: {match.group()!r} stands for no character") from None

    return _ESCAPE.sub(replacement, content)
