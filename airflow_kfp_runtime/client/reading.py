"""Reading KFP's JSON: zero values are omitted, and some servers answer in camel case instead of snake
case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))?", re.ASCII
)


def value(data: Mapping[str, Any], name: str) -> Any:
    """Return the field ``name`` (snake case) in either spelling, ``None`` where it is missing."""
    return data[name] if name in data else data.get(camel_case(name))


@cache
def camel_case(name: str) -> str:
    """Return the other spelling of a field's name."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def text(data: Mapping[str, Any], name: str) -> str:
    """Return a text field, ``""`` where it is missing."""
    found = value(data, name)
    return "" if found is None else str(found)


def required(data: Mapping[str, Any], name: str) -> str:
    """Return a text field that every such row has.

    :raises ValueError: if it is missing: the answer is not KFP's.
    """
    found = text(data, name)
    if not found:
        raise ValueError(f"the field {name!r} is missing")
    return found


def number(data: Mapping[str, Any], name: str) -> int:
    """Return a whole number, which protobuf's JSON writes as a string where it has 64 bits; 0 if missing."""
    found = value(data, name)
    try:
        return int(found)
    except (OverflowError, TypeError, ValueError):
        return 0


def mapping(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object field, empty where it is missing."""
    found = value(data, name)
    return dict(found) if isinstance(found, Mapping) else {}


def rows(data: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a field that lists objects, empty where it is missing."""
    found = value(data, name)
    return [dict(row) for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []


def moment(data: Mapping[str, Any], name: str) -> datetime | None:
    """Return a time in UTC; ``None`` where it is missing or the zero time 1970, which KFP writes for "not
    yet".
    """
    matched = _TIME.fullmatch(text(data, name))
    if not matched:
        return None
    day, clock, fraction, sign, hours, minutes = matched.groups()
    try:
        parsed = datetime.fromisoformat(f"{day}T{clock}").replace(
            microsecond=int(((fraction or "") + "000000")[:6]), tzinfo=timezone.utc
        )
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            parsed = parsed - offset if sign == "+" else parsed + offset
    except (ValueError, OverflowError):
        return None
    return None if parsed.timestamp() <= 0 else parsed


def problem(data: Mapping[str, Any], name: str) -> str | None:
    """Return the message of a ``google.rpc.Status`` field; ``None`` where there is none."""
    status = mapping(data, name)
    if not status:
        return None
    return text(status, "message") or f"code {number(status, 'code')}"
