"""What is checked while a DAG is parsed: values that can only be mistakes, whatever templates give later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import ArgumentError, DefinitionError

if TYPE_CHECKING:
    from collections.abc import Collection


def check_one_given(place: str, **values: object) -> None:
    """Refuse anything but exactly one of some parameters.

    :param place: the task, for errors.
    """
    given = [name for name, value in values.items() if value is not None]
    if len(given) != 1:
        *others, last = values
        raise DefinitionError(
            f"give exactly one of {', '.join(others)} and {last}, not {' and '.join(given) or 'none'}",
            field=place,
        )


def check_policy(place: str, name: str, value: str, allowed: Collection[str]) -> None:
    """Refuse a policy that is not among those allowed."""
    if value not in allowed:
        raise DefinitionError(f"{value!r} is no policy", field=f"{place}, {name}", allowed=allowed)


def check_types(
    place: str, *, workflow: object, project: object, arguments: object, steps: object, deferrable: object
) -> None:
    """Refuse values of the wrong type; a template's text and an XCom are known later."""
    wrong = {
        "workflow": (
            workflow is None
            or isinstance(workflow, str)
            or callable(workflow)
            or hasattr(workflow, "written"),
            workflow,
            "a function, a Workflow or the name of one",
        ),
        "project": (
            project is None or isinstance(project, (str, Path)) or hasattr(project, "function"),
            project,
            "a Project or where its file is",
        ),
        "arguments": (not isinstance(arguments, (list, tuple, int, float)), arguments, "a mapping"),
        "steps": (not isinstance(steps, (Mapping, int, float)), steps, "a list of steps"),
        "deferrable": (deferrable is None or isinstance(deferrable, bool), deferrable, "True or False"),
    }
    for name, (right, value, expected) in wrong.items():
        if not right:
            raise DefinitionError(f"{value!r} is not {expected}", field=f"{place}, {name}")


def check_is_mapping(name: str, value: object) -> None:
    """Refuse what a template has given in the place of a mapping.

    :raises ArgumentError: it is another thing.
    """
    if value is not None and not isinstance(value, Mapping):
        raise ArgumentError(
            f"type {type(value).__name__} is not a mapping; a template that gives one needs a DAG with "
            "render_template_as_native_obj=True",
            field=name,
        )


def seconds_above_0(place: str, name: str, value: float | timedelta) -> float:
    """Return a span of time in seconds.

    :raises DefinitionError: it is none, or not above 0.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise DefinitionError(f"{value!r} is not a number of seconds above 0", field=f"{place}, {name}")
    return float(seconds)
