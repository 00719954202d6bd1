"""The values that KFP can carry: JSON, with numbers that a double holds exactly."""

from __future__ import annotations

import math
from typing import Any

#: KFP keeps every number as a double (``google.protobuf.Value``), which rounds integers beyond this one.
LARGEST_INTEGER = 2**53


def plain(value: object) -> Any:
    """Return a copy of a value in JSON's own types: a tuple becomes a list, an ``Enum`` of ``str`` its text.

    :raises ValueError: KFP cannot carry it; the message says which part, and why.
    """
    try:
        return _plain(value, "")
    except RecursionError:
        raise ValueError("it holds itself, or is nested too deeply") from None


def _plain(value: object, place: str) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise ValueError(f"{_at(place)} is not valid Unicode text")
            return str.__str__(value)
        case int():
            if abs(value) > LARGEST_INTEGER:
                raise ValueError(f"{_at(place)} is beyond 2**53, which KFP would round: pass it as a text")
            return int(value)
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{_at(place)} is {value}, which JSON does not have")
            return float(value)
        case list() | tuple():
            return [_plain(part, f"{place}[{index}]") for index, part in enumerate(value)]
        case dict():
            return {_key(key, place): _plain(part, f"{place}[{key!r}]") for key, part in value.items()}
        case _:
            raise ValueError(f"{_at(place)} is of type {type(value).__name__}")


def _key(key: object, place: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{_at(place)} has the key {key!r}, and the keys of a JSON object are texts")  # noqa: TRY004
    return str(_plain(key, place))


def _at(place: str) -> str:
    return place or "it"
