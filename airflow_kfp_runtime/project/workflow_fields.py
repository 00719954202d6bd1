"""The fields of a workflow as a user writes them: which there are, their spellings, what they may hold."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_kfp_runtime.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The only kind of a workflow.
KIND = "kfp"
_LANGUAGE = "python"
_SOURCE_FIELDS = ("source", "handler", "code", "base64", "lang")

#: The fields that say where the handler's text is; of several the first counts.
_SOURCES = ("code", "base64", "code_src", "git_source")

_FIELDS = (
    *("handler", *_SOURCES, "source", "kind", "project", "uuid", "description", "labels"),
    *("embedded", "lang", "image", "tag"),
)

#: How an address begins that git understands; before the last three stands ``git+`` in a source.
_GIT_ADDRESS = re.compile(r"(?P<own>git\+\w+|git)://|(?P<other>https?|ssh)://", re.IGNORECASE)


def refuse_unknown(unknown: Mapping[str, object], place: str) -> None:
    """Raise a :class:`SourceError` for a field that a workflow does not have, naming what was meant."""
    for wrong in unknown:
        raise SourceError(
            "is not a field of a workflow",
            field=f"{place}, {wrong}",
            allowed=difflib.get_close_matches(wrong, _FIELDS) or _FIELDS,
        )


def with_source(
    written: Mapping[str, Any], source: str | Path | Mapping[str, str] | None, place: str
) -> dict[str, Any]:
    """Return the fields of a handler and its text, with what ``source`` says of them.

    :param source: the older form, a mapping that may hold any of those fields; or what is ``code_src``.
    :raises SourceError: ``source`` has an unknown field, or says something else than the others do.
    """
    given = dict(written)
    if isinstance(source, Mapping):
        for key, value in source.items():
            if key not in _SOURCE_FIELDS:
                raise SourceError("is unknown", field=f"{place}, source[{key!r}]", allowed=_SOURCE_FIELDS)
            _take(given, "code_src" if key == "source" else key, value, place, f"source[{key!r}]")
    else:
        _take(given, "code_src", str(source) if isinstance(source, Path) else source, place, "source")
    return given


def check(texts: Mapping[str, Any], kind: str, embedded: object, place: str) -> None:
    """Raise a :class:`SourceError` for a field of a wrong type or with a value that it cannot have.

    :param texts: the fields that hold texts; the handler may be a function.
    """
    if kind != KIND:
        raise SourceError(f"{kind!r} is not the kind of a workflow", field=f"{place}, kind", allowed=[KIND])
    for key, value in texts.items():
        if not (value is None or isinstance(value, str) or (key == "handler" and callable(value))):
            raise SourceError(f"{value!r} is not a text", field=f"{place}, {key}")
    _check_handler(texts["handler"], [key for key in _SOURCES if texts[key]], place)
    language = texts["lang"]
    if language is not None and language.lower() != _LANGUAGE:
        raise SourceError(f"{language!r} is not possible", field=f"{place}, lang", allowed=[_LANGUAGE])
    if not isinstance(embedded, bool):
        raise SourceError(f"{embedded!r} is neither true nor false", field=f"{place}, embedded")


def decoded_code(given: Mapping[str, Any], place: str) -> str | None:
    """Return the source's text where the workflow holds it: ``code``, or ``base64`` decoded.

    :raises SourceError: it cannot be decoded.
    """
    if given["code"] or not given["base64"]:
        return given["code"] or None
    from airflow_kfp_runtime.sources.inline import decoded

    return decoded(given["base64"], field=f"{place}, base64")


def _take(given: dict[str, Any], name: str, value: Any, place: str, written: str) -> None:
    """Put a field that is spelt otherwise beside the others, unless it says something else than they do."""
    if value is None:
        return
    if given[name] not in (None, value):
        raise SourceError(f"is another {name} than the workflow's own; give one", field=f"{place}, {written}")
    given[name] = value


def _check_handler(handler: object, sources: Sequence[str], place: str) -> None:
    if not handler:
        raise SourceError(
            "names no handler: give the name of the function that writes the steps", field=f"{place}, handler"
        )
    if callable(handler) and sources:
        raise SourceError(
            f"is a function already, so {sources[0]} has no meaning; give one of them",
            field=f"{place}, handler",
        )
    if not callable(handler) and not sources:
        raise SourceError(f"has no source for its handler {handler!r}", field=place, allowed=_SOURCES)


def checked_labels(labels: object, place: str) -> tuple[str, ...]:
    """Return labels as a tuple.

    :raises SourceError: they are no list of texts.
    """
    if labels is None:
        return ()
    if not isinstance(labels, (list, tuple)) or not all(isinstance(label, str) for label in labels):
        raise SourceError(f"{labels!r} is not a list of texts", field=f"{place}, labels")
    return tuple(labels)


def checked_uuid(uuid: str | UUID | None, place: str) -> str | None:
    """Return an id as it is written: references end in that spelling.

    :raises SourceError: it is no UUID.
    """
    if uuid is None:
        return None
    try:
        UUID(str(uuid))
    except ValueError:
        raise SourceError(
            f"{uuid!r} is not a UUID",
            field=f"{place}, uuid",
            allowed=["32 hexadecimal digits, with or without hyphens"],
        ) from None
    return str(uuid)


def source_address(address: str, place: str) -> str:
    """Return the address of a git repository as a source has it.

    :raises SourceError: it is none.
    """
    begin = _GIT_ADDRESS.match(address)
    if begin is None:
        from airflow_kfp_runtime.sources.location import Location

        # Without what may be a password in it.
        shown = Location.parse(address, field=f"{place}, git_source").shown
        raise SourceError(
            f"{shown!r} is not the address of a git repository",
            field=f"{place}, git_source",
            allowed=["git+https://...", "git+ssh://...", "git://...", "https://...", "ssh://..."],
        )
    return f"git+{address}" if begin["other"] else address
