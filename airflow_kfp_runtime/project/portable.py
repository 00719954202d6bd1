"""Functions and settings as JSON: how they pass from one process to another.

A handler that is named in a source runs in a process of its own
(:mod:`airflow_kfp_runtime.sources.handlers`), and so do the functions that it gives to its steps. What comes
out here can be read in again, and compiles to the same component.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from airflow_kfp_runtime.dsl.references import Reference
from airflow_kfp_runtime.errors import FunctionError, SettingError
from airflow_kfp_runtime.project.project import Function, new_function

if TYPE_CHECKING:
    from pydantic import BaseModel

    from airflow_kfp_runtime.project.settings import TaskSettings

#: Makes JSON of a value that is known only while the pipeline runs.
Encode: TypeAlias = Callable[["Reference"], Any]
#: Makes that value again.
Decode: TypeAlias = Callable[[Any], "Reference"]

#: The only key of a run-time value among settings: no label, variable or field can have that name.
_REFERENCE = "$reference"


def function_as_data(function: Function, *, encode: Encode | None = None) -> dict[str, Any]:
    """Return a function as JSON.

    A Python function that is given as a callable travels as its source text; files stay where they are.

    :param encode: makes JSON of a run-time value in the function's settings; without it there may be none.
    :return: ``name``, ``kind``, ``specification``, ``settings`` and what describes it, for
        :func:`function_from_data`.
    :raises FunctionError: a field holds what JSON cannot, or a callable has no text.
    :raises SettingError: a setting is a run-time value and nothing encodes it.

    Example::

        function_from_data(json.loads(json.dumps(function_as_data(function))))
    """
    try:
        specification = _specification(function.specification)
    except FunctionError as error:
        raise FunctionError(
            error.problem, field=f"function {function.name!r}, {error.field}", allowed=error.allowed
        ) from error.__cause__
    return {
        "name": function.name,
        "kind": function.kind.name,
        "specification": specification,
        "settings": settings_as_data(function.settings, encode=encode),
        "description": function.description,
        "labels": list(function.labels),
        "uuid": function.uuid,
        "embedded": function.embedded,
    }


def function_from_data(data: Mapping[str, Any], *, decode: Decode | None = None) -> Function:
    """Return the function that :func:`function_as_data` wrote.

    :param decode: makes the run-time values again that ``encode`` made JSON of.
    :raises FunctionError: this process has no such kind, or a field is wrong.
    :raises SettingError: a setting is wrong.
    """
    function = new_function(data["name"], kind=data["kind"], **data["specification"])
    return replace(
        function,
        settings=settings_from_data(data["settings"], decode=decode),
        description=data["description"],
        labels=tuple(data["labels"]),
        uuid=data["uuid"],
        embedded=data["embedded"],
    )


def settings_as_data(settings: TaskSettings | None, *, encode: Encode | None = None) -> dict[str, Any] | None:
    """Return settings as JSON, with all that they say: also what KFP cannot express.

    :param encode: makes JSON of a run-time value; without it there may be none.
    :return: ``None`` where there are no settings.
    :raises SettingError: a setting is a run-time value and nothing encodes it.
    """
    return None if settings is None else _written(settings, encode or _refuse)


def settings_from_data(
    data: Mapping[str, Any] | None, *, decode: Decode | None = None
) -> TaskSettings | None:
    """Return the settings that :func:`settings_as_data` wrote.

    :param decode: makes the run-time values again that ``encode`` made JSON of.
    :raises SettingError: a setting is wrong.
    """
    if data is None:
        return None
    from pydantic import ValidationError

    from airflow_kfp_runtime.project.settings import TaskSettings
    from airflow_kfp_runtime.project.settings.problems import problem_of

    try:
        return TaskSettings.model_validate(_read(data, decode or _refuse))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem, allowed = problem_of(first)
        raise SettingError(problem, field=".".join(map(str, first["loc"])), allowed=allowed) from None


def _refuse(value: object) -> NoReturn:
    raise SettingError(f"{value!r} is known only while one pipeline runs, so it cannot be a function's own")


def _written(part: Any, encode: Encode) -> Any:
    match part:
        case _ if isinstance(part, Reference):
            return {_REFERENCE: encode(part)}
        case tuple() | list():
            return [_written(one, encode) for one in part]
        case Mapping():
            return {name: _written(value, encode) for name, value in part.items()}
    fields = getattr(type(part), "model_fields", None)
    if fields is None:
        return part
    values = {name: getattr(part, name) for name in fields}
    return {
        name: _written(value, encode)
        for name, value in values.items()
        if value is not None or fields[name].is_required()
    }


def _read(part: Any, decode: Decode) -> Any:
    match part:
        case {"$reference": encoded}:
            return decode(encoded)
        case list():
            return tuple(_read(one, decode) for one in part)
        case dict():
            return {name: _read(value, decode) for name, value in part.items()}
        case _:
            return part


def _specification(specification: BaseModel) -> dict[str, Any]:
    from airflow_kfp_runtime.runtimes.python.source import read_source
    from airflow_kfp_runtime.runtimes.python.specification import PythonFunction

    given = {name: getattr(specification, name) for name in sorted(specification.model_fields_set)}
    texts: dict[str, Any] = {}
    if isinstance(specification, PythonFunction) and not isinstance(specification.handler, str):
        source = read_source(specification)
        texts = {"handler": source.function, "code": source.text}
    return {**{name: _field(specification, name) for name in given if name not in texts}, **texts}


def _field(specification: BaseModel, name: str) -> Any:
    """Return a field as JSON.

    :raises FunctionError: JSON cannot have it.
    """
    from pydantic_core import PydanticSerializationError

    value = getattr(specification, name)
    try:
        # Pydantic would make null of a number that JSON does not have.
        json.dumps(specification.model_dump(include={name}), allow_nan=False, default=str)
        return specification.model_dump(mode="json", include={name})[name]
    except (PydanticSerializationError, ValueError, TypeError):
        raise FunctionError(
            f"a {type(value).__name__} cannot leave the process of the handler that made it", field=name
        ) from None
