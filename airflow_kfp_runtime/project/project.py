"""A project: functions and workflows by name, as a DigitalHub project holds them."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import FunctionError
from airflow_kfp_runtime.plugins import function_kind
from airflow_kfp_runtime.project.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from airflow_kfp_runtime.project.settings import TaskSettings
    from airflow_kfp_runtime.runtimes.component import FunctionKind

#: Pydantic's type of error for a field that the model does not have.
_UNKNOWN = "extra_forbidden"


@dataclass(frozen=True)
class Function:
    """A function that steps may name.

    :param name: unique in its project.
    :param kind: what it is and how a step with it becomes a component.
    :param specification: the kind's own fields, checked.
    :param settings: Kubernetes settings of all steps with it; a step's own win.
    """

    name: str
    kind: FunctionKind
    specification: BaseModel
    settings: TaskSettings | None = None


class Project:
    """Holds functions and workflows by name, for the steps of one or many DAGs.

    :param name: the project's name.

    Example::

        project = Project("parking")
        project.new_function("downloader", kind="python", handler=download, image="python:3.12-slim")
        project.new_function("convert", kind="container", image="alpine:3", command=["wc", "$(inputs.table)"])
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.functions: dict[str, Function] = {}
        self.workflows: dict[str, Workflow] = {}

    def new_function(
        self,
        name: str,
        *,
        kind: str = "python",
        settings: Mapping[str, Any] | None = None,
        **specification: Any,
    ) -> Function:
        """Add a function, in place of one of that name.

        :param name: what steps call it by.
        :param kind: ``python``, ``container``, or a kind that a plugin adds.
        :param settings: Kubernetes settings of all steps with it (``docs/settings.md``); a step's own win.
        :param specification: the kind's fields:

            - ``python``: ``handler``, the function itself or its name in the source; for a name one of
              ``code``, ``base64`` and ``source``; ``image`` or ``python_version``; ``requirements``, a list.
              See :class:`~airflow_kfp_runtime.runtimes.python.specification.PythonFunction`.
            - ``container``: ``image``, ``command``, ``args``, ``env``, and the types of ``inputs`` and
              ``outputs``. See :class:`~airflow_kfp_runtime.runtimes.container.ContainerFunction`.
        :return: the function, which a step may name or be given itself.
        :raises FunctionError: the kind is unknown, or a field is missing, unknown or wrong.
        :raises SettingError: a setting is wrong.
        """
        function = new_function(name, kind=kind, settings=settings, **specification)
        self.functions[name] = function
        return function

    def new_workflow(
        self, name: str, *, handler: str | Callable[..., Any] | None = None, **fields: Any
    ) -> Workflow:
        """Add a workflow, in place of one of that name.

        :param name: what it is called; the pipeline has this name on the server.
        :param handler: the function that writes the steps, or its name in the source; DigitalHub's older
            form has it in ``source``.
        :param fields: the source and DigitalHub's descriptive fields; see :meth:`Workflow.new`.
        :return: the workflow, for the operator's ``workflow``.
        :raises SourceError: there is no handler or no source, or a field is unknown.
        """
        workflow = Workflow.new(name, project=self, handler=handler, **fields)
        self.workflows[name] = workflow
        return workflow

    def function(self, name: str) -> Function:
        """Return the function of that name.

        :raises FunctionError: there is none; the message lists those there are.
        """
        if name not in self.functions:
            raise FunctionError(
                f"project {self.name!r} has no function {name!r}",
                field="function",
                allowed=sorted(self.functions) or ["none: add it with project.new_function()"],
            )
        return self.functions[name]


def new_function(
    name: str, *, kind: str = "python", settings: Mapping[str, Any] | None = None, **specification: Any
) -> Function:
    """Make a function outside of a project, for a step that is given it as its ``function``.

    The parameters and errors are those of :meth:`Project.new_function`.
    """
    from pydantic import ValidationError

    chosen = function_kind(kind)
    try:
        checked = chosen.specification(**specification)
    except ValidationError as error:
        # A field that is unknown comes first: it tells why another is missing.
        first = min(error.errors(include_url=False), key=lambda found: found["type"] != _UNKNOWN)
        place = ".".join(str(part) for part in first["loc"]) or "fields"
        fields = sorted(chosen.specification.model_fields)
        raise FunctionError(
            _problem(first),
            field=f"function {name!r}, {place}",
            allowed=(difflib.get_close_matches(place, fields) or fields) if first["type"] == _UNKNOWN else (),
        ) from None
    return Function(name, chosen, checked, _settings(name, settings))


def _settings(function: str, given: Mapping[str, Any] | None) -> TaskSettings | None:
    if given is None:
        return None
    from airflow_kfp_runtime.project.settings import TaskSettings

    return TaskSettings.read(given, place=f"function {function!r}, settings.")


def _problem(error: ErrorDetails) -> str:
    """Return pydantic's problem as the clause that follows a field's name."""
    from airflow_kfp_runtime.project.settings.problems import problem_of

    given = error["input"]
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a field of this kind"
        case "tuple_type" if isinstance(given, str):
            return f"{given!r} is a text, not a list: write [{json.dumps(given, ensure_ascii=False)}]"
        case _:
            return problem_of(error)[0]
