"""Checks the arguments of a run against the parameters that a pipeline declares."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.json_values import plain
from airflow_kfp_runtime.dsl.types import ParameterType
from airflow_kfp_runtime.errors import ArgumentError, nearest
from airflow_kfp_runtime.runtimes.interface import PYTHON_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

_BOOLEANS = {"true": True, "false": False}


def checked_arguments(declared: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with the declared types, those that are ``None`` left out.

    A text is read as the declared type (``"5"`` as 5, ``"true"`` as true, JSON as a list or dict), since
    rendered templates and forms give texts. An int is a float where one is declared. Nothing else is changed.

    :param declared: the parameters of the pipeline, as the IR's ``inputDefinitions.parameters`` has them.
    :param arguments: by name.
    :return: what to send as ``runtime_config.parameters``.
    :raises ArgumentError: an argument is unknown, missing or of another type; nothing was sent.
    """
    for name in arguments:
        if name not in declared:
            raise ArgumentError(
                "is not an argument of the pipeline",
                field=f"arguments[{name!r}]",
                allowed=nearest(name, sorted(declared)) or ["none: the pipeline has no arguments"],
            )
    checked = {}
    for name, declaration in declared.items():
        value = arguments.get(name)
        if value is not None:
            checked[name] = _converted(name, value, _declared_type(declaration))
        elif not declaration.get("isOptional") and "defaultValue" not in declaration:
            raise ArgumentError(
                "the pipeline needs it, and it has no default",
                field=f"arguments[{name!r}]",
                allowed=_type_names(_declared_type(declaration)),
            )
    return checked


def _declared_type(declaration: Mapping[str, Any]) -> ParameterType | None:
    """Return a parameter's type, or ``None`` for one of another compiler that is not known here."""
    try:
        return ParameterType(declaration.get("parameterType"))
    except ValueError:
        return None


def _type_names(declared: ParameterType | None) -> list[str]:
    return [PYTHON_NAMES[declared]] if declared else []


def _converted(name: str, value: Any, declared: ParameterType | None) -> Any:
    try:
        candidate = plain(_read(value, declared) if isinstance(value, str) else value)
    except ValueError as error:
        raise ArgumentError(
            f"{value!r:.200} cannot be passed: {error}",
            field=f"arguments[{name!r}]",
            allowed=_type_names(declared),
        ) from None
    match declared, candidate:
        case None, _:
            return candidate
        case ParameterType.STRING, str():
            return candidate
        case ParameterType.BOOLEAN, bool():
            return candidate
        case ((ParameterType.INTEGER | ParameterType.DOUBLE), bool()):
            pass
        case ParameterType.INTEGER, int():
            return candidate
        case ParameterType.DOUBLE, int() | float():
            return float(candidate)
        case (ParameterType.LIST, list()) | (ParameterType.STRUCT, dict()):
            return candidate
    raise ArgumentError(
        f"{value!r:.200} is of type {type(value).__name__}",
        field=f"arguments[{name!r}]",
        allowed=_type_names(declared),
    )


def _read(text: str, declared: ParameterType | None) -> Any:
    """Return what a text stands for where the declared type is not text, or the text itself."""
    match declared:
        case None | ParameterType.STRING:
            return text
        case ParameterType.BOOLEAN:
            return _BOOLEANS.get(text.strip().lower(), text)
        case _:
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                return text
