"""A project: functions and workflows by name, and what holds for all of them, as DigitalHub has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import DefinitionError, FunctionError, SettingError, SourceError
from airflow_kfp_runtime.project.definitions import (
    Definition,
    check_connections,
    check_settings,
    check_workflow,
)
from airflow_kfp_runtime.project.function import Function, check_function, function_definition, new_function
from airflow_kfp_runtime.project.problems import Problem, combined
from airflow_kfp_runtime.project.references import find, name_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_kfp_runtime.project.definitions import Part
    from airflow_kfp_runtime.project.references import EntityType
    from airflow_kfp_runtime.project.settings import TaskSettings
    from airflow_kfp_runtime.project.templates import Render
    from airflow_kfp_runtime.project.workflow import Workflow
    from airflow_kfp_runtime.sources import Sources

__all__ = ["Function", "Project", "new_function"]

_NOT_RENDERED = (
    "its template is filled in when an Airflow task runs: to use it elsewhere, write a value in its place, "
    "or call Project.rendered() in Python"
)


class Project:
    """Holds functions and workflows by name, for the steps of one or many DAGs.

    Compiling does not change it, so that all DAGs of a file may share one.

    :param name: the project's name.
    :param description: what it is for; kept, not sent.
    :param settings: Kubernetes settings of all steps of its workflows (``docs/settings.md``), or what was
        read of them already; those of the operator, of functions and of steps win.
    :param connections: ids of Airflow connections that the operator uses where it was given none: by
        ``kfp``, ``git``, ``aws`` and ``digitalhub``.
    :raises SettingError: a setting is wrong.
    :raises DefinitionError: a connection is unknown or its id is not a text.

    Example::

        project = Project("parking", settings={"labels": {"team": "city"}}, connections={"kfp": "kfp_prod"})
        project.new_function("downloader", kind="python", handler=download, image="python:3.12-slim")
        project.new_function("convert", kind="container", image="alpine:3", command=["wc", "$(inputs.table)"])

    :meth:`load` reads one from a file.
    """

    def __init__(
        self,
        name: str,
        *,
        description: str | None = None,
        settings: Mapping[str, Any] | TaskSettings | None = None,
        connections: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.functions: dict[str, Function] = {}
        self.workflows: dict[str, Workflow] = {}
        self._settings: dict[str, TaskSettings] = {}
        self._connections: dict[str, Mapping[str, str]] = {}
        #: What was written, by part and name.
        self._definitions: dict[tuple[Part, str], Definition] = {}
        #: What is wrong with parts whose templates are not rendered, could not be, or gave what is wrong.
        self._unusable: dict[tuple[Part, str], list[Problem]] = {}
        title = f"project {name!r}"
        if connections is not None and not isinstance(connections, Mapping):
            raise DefinitionError(f"{connections!r} is not a mapping", field=f"{title}, connections")
        problems = self.define("connections", Definition(title, "", connections or {}))
        if isinstance(settings, Mapping):
            problems += self.define("settings", Definition(title, "", settings), templates=True)
        elif settings is not None:
            self._settings[""] = _read_already(settings, title)
        if problems:
            raise combined(problems, title)

    def __repr__(self) -> str:
        """Return the same in every process, which Airflow's hash of a DAG asks for."""
        return f"Project({self.name!r})"

    @classmethod
    def load(cls, location: str | Path, *, sources: Sources | None = None) -> Project:
        """Read a project from a YAML or JSON file: one of this package, or what DigitalHub exports.

        Of a local project that one file is read and nothing else (of an export, also the files beside it
        that it refers to), so that a DAG file may load it while it is parsed. An address is fetched: leave
        that to a task. ``docs/projects.md`` says what the file may hold.

        :param location: a file, or a folder with a ``project.yaml``, ``project.yml`` or ``project.json``; or
            the address of a source with such a file at its root
            (``git+https://git.example.org/team/parking.git#v1``). In a DAG file, begin a path with
            ``Path(__file__).parent``: a relative one starts at the folders of ``sources``, or at the working
            directory.
        :param sources: folders for relative paths, and credentials and limits for addresses.
        :raises DefinitionError: the file cannot be had or read, or something in it is wrong; the message
            lists all problems with file, line and column.

        Example::

            project = Project.load(Path(__file__).parent / "project.yaml")
        """
        from airflow_kfp_runtime.project.loading import load_project

        return load_project(location, sources)

    @property
    def connections(self) -> Mapping[str, str]:
        """Ids of connections by what they are for.

        :raises DefinitionError: a template in one could not be rendered, or gave what is wrong.
        """
        self._refuse_unusable("connections", "")
        return self._connections.get("", {})

    @property
    def settings(self) -> TaskSettings | None:
        """Kubernetes settings of all steps, where every other level says nothing else.

        :raises DefinitionError: a template in one is not rendered, could not be, or gave what is wrong.
        """
        self._refuse_unusable("settings", "")
        return self._settings.get("")

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
        :param kind: ``python``, ``container``, ``component``, ``kfp``, ``workflow``, ``digitalhub``, or one
            that a plugin adds (``docs/functions.md``).
        :param settings: Kubernetes settings of all steps with it (``docs/settings.md``); a step's own win.
        :param specification: DigitalHub's ``description``, ``labels``, ``uuid`` and ``embedded``, which are
            kept, and the kind's fields:

            - ``python``: ``handler``, the function itself or its name in the source; for a name one of
              ``code``, ``base64`` and ``source``; ``image`` or ``python_version``; ``requirements``, a list.
              See :class:`~airflow_kfp_runtime.runtimes.python.specification.PythonFunction`.
            - ``container``: ``image``, ``command``, ``args``, ``env``, and the types of ``inputs`` and
              ``outputs``. See
              :class:`~airflow_kfp_runtime.runtimes.container.specification.ContainerFunction`.
            - ``component``: one of ``source``, ``text`` and ``spec``, a YAML file of KFP. See
              :class:`~airflow_kfp_runtime.runtimes.kfp_component.definition.ComponentFunction`.
            - ``kfp``: ``handler``, what the kfp SDK's decorators make, or its name in a source, with
              ``kfp_python`` or ``kfp_requirements``. See
              :class:`~airflow_kfp_runtime.runtimes.kfp.specification.KfpFunction`.
            - ``workflow``: ``workflow``, another workflow; a step's own ``workflow`` needs no function. See
              :class:`~airflow_kfp_runtime.runtimes.workflow.WorkflowFunction`.
        :return: the function, which a step may name or be given itself.
        :raises FunctionError: the kind is unknown, or a field is missing, unknown or wrong.
        :raises SettingError: a setting is wrong.

        A template has to be right as it stands, as any text is for an image: the function is returned now,
        and :meth:`rendered` comes later. A file has no such limit.
        """
        definition = function_definition(name, kind, settings, specification)
        problems = self.define("function", definition)
        if problems:
            raise problems[0].exception()
        return self.functions[name]

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
        problems = self.define(
            "workflow", Definition(f"workflow {name!r}", name, {"handler": handler, **fields})
        )
        if problems:
            raise problems[0].exception()
        return self.workflows[name]

    def function(self, name: str) -> Function:
        """Return the function of that name.

        :param name: a plain name, or ``store://project/function/kind/name:id`` with or without ``:id``.
        :raises FunctionError: there is none; the message lists those there are.
        :raises DefinitionError: its templates are not rendered, could not be, or gave what is wrong.
        """
        self._refuse_unusable("function", name_of(name, "function", self.name, FunctionError))
        return find(
            name, "function", self.name, self.functions, lambda found: found.reference_kinds, FunctionError
        )

    def workflow(self, name: str) -> Workflow:
        """Return the workflow of that name.

        :param name: a plain name, or ``store://project/workflow/kfp/name:id`` with or without ``:id``.
        :raises SourceError: there is none; the message lists those there are.
        :raises DefinitionError: its templates are not rendered, could not be, or gave what is wrong.
        """
        self._refuse_unusable("workflow", name_of(name, "workflow", self.name, SourceError))
        return find(name, "workflow", self.name, self.workflows, lambda _: ["kfp"], SourceError)

    def rendered(self, render: Render) -> Project:
        """Return the project with the templates filled in that its texts hold, all of it checked again.

        Rendered are the connections, the settings and all fields of functions and workflows but ``code``,
        ``base64`` and ``handler``. A text with ``{{$`` stays: that is a placeholder of KFP. A template that
        cannot be filled in, or gives what is wrong, is an error where its part is used: by
        :meth:`function`, :meth:`workflow`, :attr:`settings` or :attr:`connections`. So it hinders no other.

        :param render: fills in one text, as ``lambda text: task.render_template(text, context)`` does; it may
            raise whatever it likes.
        :return: another project, or this one where it has no templates.
        """
        templated = [key for key, written in self._definitions.items() if written.is_templated]
        if not templated:
            return self
        project = Project(self.name, description=self.description)
        project._settings.update(self._settings)
        project._connections.update(self._connections)
        project.functions.update(self.functions)
        project.workflows.update(
            {name: replace(workflow, project=project) for name, workflow in self.workflows.items()}
        )
        project._definitions.update(self._definitions)
        for part, name in templated:
            definition = self._definitions[part, name]
            try:
                problems = project.define(part, definition.rendered(render))
            except DefinitionError as error:
                # Settings and connections are written below a key of their own.
                within = f"{part}." if part in {"settings", "connections"} else ""
                place = f"{definition.title}, {within}{error.field}"
                problems = [replace(definition.problem(error), field=place)]
            if problems:
                project._kept(part).pop(name, None)
                project._unusable[part, name] = problems
        return project

    def define(self, part: Part, definition: Definition, *, templates: bool = False) -> list[Problem]:
        """Add what was written of a function or workflow, or of the settings or connections.

        :param part: what it is of.
        :param definition: what was written.
        :param templates: whether what is wrong with a template is not wrong until it is rendered.
        :return: what is wrong with it, in which case nothing changes.
        """
        found, problems = self._checked(part, definition)
        waiting = [problem for problem in problems if templates and definition.waits_for_template(problem)]
        if len(waiting) < len(problems):
            return [problem for problem in problems if problem not in waiting]
        key = part, definition.name
        self._definitions[key] = definition
        self._unusable.pop(key, None)
        kept = self._kept(part)
        kept.pop(definition.name, None)
        if waiting:
            self._unusable[key] = [replace(waiting[0], problem=f"{waiting[0].problem}; {_NOT_RENDERED}")]
        else:
            kept[definition.name] = found
        return []

    def defines(self, entity: EntityType, written: str) -> bool:
        """Whether there is a function or workflow of that name, with whatever is wrong with it.

        :param entity: ``function`` or ``workflow``.
        :param written: a plain name or a reference.
        """
        try:
            name = name_of(written, entity, self.name, DefinitionError)
        except DefinitionError:
            return False
        return name in self._kept(entity) or (entity, name) in self._unusable

    def _checked(self, part: Part, definition: Definition) -> tuple[object, list[Problem]]:
        match part:
            case "function":
                return check_function(definition)
            case "workflow":
                return check_workflow(definition, self)
            case "connections":
                return definition.fields, check_connections(definition)
            case _:
                return check_settings(definition, definition.fields, whole_pipeline=True)

    def _kept(self, part: Part) -> dict[str, Any]:
        kept: dict[str, dict[str, Any]] = {
            "function": self.functions,
            "workflow": self.workflows,
            "settings": self._settings,
            "connections": self._connections,
        }
        return kept[part]

    def _refuse_unusable(self, part: Part, name: str) -> None:
        if (part, name) in self._unusable:
            raise combined(self._unusable[part, name], f"project {self.name!r}")


def _read_already(settings: object, title: str) -> TaskSettings:
    from airflow_kfp_runtime.project.settings import TaskSettings

    if not isinstance(settings, TaskSettings):
        raise SettingError(f"{settings!r} is not a mapping", field=f"{title}, settings")
    return settings
