"""The fields of a function's source, in each of DigitalHub's spellings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The members of DigitalHub's ``source={...}``.
_MEMBERS = ("source", "handler", "code", "base64")


def source_fields(given: Mapping[str, Any], *, aliases: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a function with its source unfolded.

    :param given: the fields as they were written: ``source`` may be ``{"source": "file.py", "handler":
        "f"}``, also with ``code`` or ``base64``.
    :param aliases: other names of fields, such as ``{"code_src": "source"}``.
    :raises ValueError: a member of ``source`` is unknown, or two spellings of a field differ.
    """
    fields = dict(given)
    if isinstance(fields.get("source"), dict):
        nested = {name: value for name, value in fields.pop("source").items() if name != "lang"}
        for name, value in nested.items():
            if name not in _MEMBERS:
                raise ValueError(f"source[{name!r}] is unknown. Allowed: {', '.join(_MEMBERS)}, lang")
            _set(fields, name, value, f"source[{name!r}]")
    for alias, name in aliases.items():
        if alias in fields:
            _set(fields, name, fields.pop(alias), alias)
    return fields


def _set(fields: dict[str, Any], name: str, value: Any, written: str) -> None:
    if fields.get(name, value) != value:
        raise ValueError(f"{written} and {name} differ; give one of them")
    fields[name] = value
