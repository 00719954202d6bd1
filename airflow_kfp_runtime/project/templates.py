"""Jinja templates in the texts of a project: which there are, and the project after they are filled in.

Who fills them in is given as a function; in Airflow it is the task that runs a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.project.problems import Location, path

#: Fills in one text. A renderer of native objects may return something else than a text.
Render: TypeAlias = Callable[[str], Any]

#: Fields that hold code or name it, in which the marks of a template mean something else.
CODE_FIELDS = frozenset({"code", "base64", "handler"})


def is_template(text: str) -> bool:
    """Whether a text is to be rendered: KFP's placeholders, ``{{$.inputs...}}``, are not Jinja's."""
    return ("{{" in text or "{%" in text) and "{{$" not in text


def has_template(value: object) -> bool:
    """Whether there is a template in a text, or in a text of a list or mapping."""
    match value:
        case str():
            return is_template(value)
        case Mapping():
            return any(has_template(part) for part in value.values())
        case list() | tuple():
            return any(has_template(part) for part in value)
        case _:
            return False


def rendered(value: Any, render: Render, location: Location = ()) -> Any:
    """Return a value with all its templates filled in: the same object where it has none.

    :param location: the value's, for an error.
    :raises DefinitionError: a template cannot be filled in; with its location as the field.
    """
    if not has_template(value):
        return value
    match value:
        case str():
            try:
                return render(value)
            except DefinitionError as error:
                raise type(error)(error.problem, field=path(location), allowed=error.allowed) from error
            except Exception as error:  # A template may call anything.
                problem = f"its template cannot be filled in: {type(error).__name__}: {error}"
                raise DefinitionError(problem, field=path(location)) from error
        case Mapping():
            return {key: rendered(part, render, (*location, key)) for key, part in value.items()}
        case _:
            return [rendered(part, render, (*location, index)) for index, part in enumerate(value)]
