"""Reading a long list out of a JSON text one row at a time.

``json.loads`` holds the interpreter until it has read all of a text, and what it returns takes many times the
text's memory. Here each row is read, made into what is kept of it, and forgotten before the next one.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode


def read_object(text: str, long: Collection[str], take: Callable[[Any], None]) -> dict[str, Any]:
    """Return the members of a JSON object but the long list, whose elements are handed on one by one.

    :param long: the names under which the list may stand; what is no list is returned like the others.
    :param take: takes each of the list's elements.
    :raises ValueError: the text is not a JSON object.
    """
    members: dict[str, Any] = {}

    def member(start: int) -> int:
        name, end = _decode(text, start)
        if not isinstance(name, str):
            raise json.JSONDecodeError("a member's name is expected", text, start)
        start = _skip(text, _after(text, ":", _skip(text, end)))
        if name in long and text.startswith("[", start):
            return _each(text, start, ("[", "]"), element)
        members[name], end = _decode(text, start)
        return end

    def element(start: int) -> int:
        row, end = _decode(text, start)
        take(row)
        return end

    end = _skip(text, _each(text, _skip(text, 0), ("{", "}"), member))
    if end != len(text):
        raise json.JSONDecodeError("nothing more is expected", text, end)
    return members


def _each(text: str, start: int, brackets: tuple[str, str], read: Callable[[int], int]) -> int:
    """Read what stands between brackets, separated by commas; return the place behind it.

    :param read: reads one from its place on and returns the place behind it.
    """
    opening, closing = brackets
    position = _skip(text, _after(text, opening, start))
    if text.startswith(closing, position):
        return position + 1
    while True:
        position = _skip(text, read(position))
        if text.startswith(closing, position):
            return position + 1
        position = _skip(text, _after(text, ",", position))


def _skip(text: str, start: int) -> int:
    """Return the place of what follows the white space."""
    return _SPACE.match(text, start).end()  # type: ignore[union-attr]  # it matches nothing as well


def _after(text: str, expected: str, start: int) -> int:
    if not text.startswith(expected, start):
        raise json.JSONDecodeError(f"{expected!r} is expected", text, start)
    return start + len(expected)
