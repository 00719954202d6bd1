"""Values on their way between tasks: parameters with their types, artifacts with their places."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

#: An artifact as the store keeps it: ``id``, ``name``, ``type`` (a schema title), ``uri``, ``metadata``.
StoredArtifact = dict[str, Any]

_TYPES = {"STRING", "NUMBER_INTEGER", "NUMBER_DOUBLE", "BOOLEAN", "LIST", "STRUCT", "TASK_FINAL_STATUS"}


class ValueTypeError(ValueError):
    """A value that does not fit the type of its parameter."""


@dataclass(frozen=True)
class Values:
    """The inputs or the outputs of a task. A parameter without a value is absent."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, list[StoredArtifact]] = field(default_factory=dict)

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Values:
        """Read what :meth:`stored` wrote."""
        return cls(parameters=stored.get("parameters", {}), artifacts=stored.get("artifacts", {}))

    def stored(self) -> dict[str, Any]:
        """The shape that a task's row has."""
        return {"parameters": dict(self.parameters), "artifacts": dict(self.artifacts)}


def convert(value: object, parameter_type: str | None) -> Any:
    """Return ``value`` as KFP passes it to an input parameter of this type.

    A string parameter takes any value, as its JSON text (KFP 2.17, ``backend/src/v2/driver/resolve.go``); for
    the other types see :func:`check_type`.

    :param parameter_type: the IR's ``parameterType``; ``None`` or an unknown one lets every value pass.
    :raises ValueTypeError: it does not fit.
    """
    return as_text(value) if parameter_type == "STRING" else check_type(value, parameter_type)


def check_type(value: object, parameter_type: str | None) -> Any:
    """Return ``value`` if it is of a parameter's type; JSON has one kind of number, so ``3.0`` is an integer.

    :param parameter_type: the IR's ``parameterType``; ``None`` or an unknown one lets every value pass.
    :raises ValueTypeError: it is not.
    """
    match parameter_type:
        case "STRING" if isinstance(value, str):
            return value
        case "NUMBER_INTEGER" if _is_number(value) and float(value).is_integer():
            return int(value)
        case "NUMBER_DOUBLE" if _is_number(value):
            return float(value)
        case "BOOLEAN" if isinstance(value, bool):
            return value
        case "LIST" if isinstance(value, list):
            return value
        case "STRUCT" | "TASK_FINAL_STATUS" if isinstance(value, dict):
            return value
        case _ if parameter_type in _TYPES:
            raise ValueTypeError(f"{_shown(value)} is not of type {parameter_type}")
        case _:
            return value


def parse(text: str, parameter_type: str | None) -> Any:
    """Read the text that a task wrote into an output parameter's file.

    :raises ValueTypeError: it is not a value of this type.
    """
    stripped = text.strip()
    match parameter_type:
        case "STRING" | None:
            return text
        case "BOOLEAN" if stripped in ("1", "t", "T", "TRUE", "true", "True"):
            return True
        case "BOOLEAN" if stripped in ("0", "f", "F", "FALSE", "false", "False"):
            return False
    try:
        value = json.loads(stripped, parse_constant=_refuse_constant)
    except ValueError:
        raise ValueTypeError(f"{_shown(text)} is not of type {parameter_type}") from None
    return check_type(value, parameter_type)


def as_text(value: object) -> str:
    """A value as text: strings as they are, whole numbers without a fraction, the rest as compact JSON."""
    match value:
        case str():
            return value
        case None:
            return ""
        case _:
            return json.dumps(as_json(value), separators=(",", ":"), ensure_ascii=False)


def as_json(value: object) -> Any:
    """A value as it looks after KFP's way through protobuf: ``5.0`` has become ``5``, at every depth."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: as_json(item) for key, item in value.items()}
        case list():
            return [as_json(item) for item in value]
        case _:
            return value


def uri_of(path: str) -> str:
    """The URI of an artifact that a task gave as a path or a URI: ``/data/x`` is ``file:///data/x``."""
    return Path(path).as_uri() if path.startswith("/") else path


def path_of(uri: str) -> str:
    """What a task is given for a stored URI: the plain path of a ``file:`` URI, any other URI unchanged.

    The SDK's artifact classes take a URI of a scheme they do not know for a path (KFP 2.17,
    ``kfp/dsl/types/artifact_types.py``), so ``file:`` would not open.
    """
    return unquote(urlsplit(uri).path) if uri.startswith("file:") else uri


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refuse_constant(name: str) -> None:
    # NaN and Infinity are not JSON, and KFP's numbers travel as JSON.
    raise ValueError(name)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
