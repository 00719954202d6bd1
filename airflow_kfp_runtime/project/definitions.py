"""What a user wrote of a function, a workflow or settings: kept to be checked again once it is rendered."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow_kfp_runtime.errors import DefinitionError, SettingError, SourceError
from airflow_kfp_runtime.project.problems import Location, Mark, Problem
from airflow_kfp_runtime.project.templates import CODE_FIELDS, has_template, rendered

if TYPE_CHECKING:
    from airflow_kfp_runtime.project.project import Project
    from airflow_kfp_runtime.project.settings import TaskSettings
    from airflow_kfp_runtime.project.templates import Render
    from airflow_kfp_runtime.project.workflow import Workflow

#: What a project may name a connection for: the KFP server, git, S3, and the platform of DigitalHub.
CONNECTIONS = ("kfp", "git", "aws", "digitalhub")

#: A part of a path as errors have it: ``volumes[1].spec['a b']``.
_PATH_PART = re.compile(r"\[(\d+)\]|\['([^']*)'\]|([^.\[\]]+)")


#: What a project is made of: functions and workflows, which have names, and what holds for all of them.
Part: TypeAlias = Literal["function", "workflow", "settings", "connections"]


def _unchanged(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return fields


@dataclass(frozen=True)
class Definition:
    """A function, a workflow or settings, as they were written.

    :param title: what errors call it: ``function 'train'``, ``workflow 'etl'``, ``project 'parking'``.
    :param name: its name.
    :param fields: what was written, by the names of :meth:`Project.new_function` and
        :meth:`Project.new_workflow`; for settings by those of the settings.
    :param marks: the places of all values in the file, by location; none where there is no file.
    :param resolve: makes paths that are relative to the file independent of it.
    :param fetched: whether the file is from an address: a handler in it is foreign, wherever its text stands.
    """

    title: str
    name: str
    fields: Mapping[str, Any]
    marks: Mapping[Location, Mark] = field(default_factory=dict)
    resolve: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _unchanged
    fetched: bool = False

    @property
    def is_templated(self) -> bool:
        """Whether :meth:`rendered` changes anything."""
        return any(has_template(part) for part in self._texts().values())

    def rendered(self, render: Render) -> Definition:
        """Return the definition with its templates filled in, but for those in code.

        :raises DefinitionError: a template cannot be filled in; with its location as the field.
        """
        texts = {name: rendered(value, render, (name,)) for name, value in self._texts().items()}
        fields = {**self.fields, **texts}
        if isinstance(self.fields.get("source"), Mapping):
            fields["source"] = {**self.fields["source"], **texts["source"]}
        return replace(self, fields=fields)

    def mark(self, location: Location) -> Mark | None:
        """Return the place of a value, or of the nearest one around it that has a place."""
        for end in range(len(location), -1, -1):
            if location[:end] in self.marks:
                return self.marks[location[:end]]
        return None

    def problem(self, error: DefinitionError) -> Problem:
        """Return what an exception says of this definition, with its place."""
        field = error.field or self.title
        own = field if field.startswith(self.title) else f"{self.title}, {field}"
        return self.placed(Problem.of(error, field=own, location=self._location(own)))

    def placed(self, problem: Problem) -> Problem:
        """Return a problem with its place in the file."""
        return problem.at(self.mark(problem.location))

    def waits_for_template(self, problem: Problem) -> bool:
        """Whether the problem is with a value whose template is not filled in yet.

        Where a kind checks several fields together, pydantic tells no location, and any template counts.
        """
        value: Any = self._texts()
        for part in problem.location:
            match value, part:
                case Mapping(), str() if part in value:
                    value = value[part]
                case ((list() | tuple()), int()) if part < len(value):
                    value = value[part]
                case _:
                    break
        return has_template(value)

    def _location(self, field: str) -> Location:
        """Return the location that an error's field says: ``function 'f', settings.volumes[1]``."""
        parts = _PATH_PART.findall(field.removeprefix(self.title).lstrip(", "))
        return tuple(int(index) if index else key or name for index, key, name in parts)

    def _texts(self) -> dict[str, Any]:
        """Return the fields that may hold templates."""
        texts = {name: value for name, value in self.fields.items() if name not in CODE_FIELDS}
        source = texts.get("source")
        if isinstance(source, Mapping):
            texts["source"] = {name: value for name, value in source.items() if name not in CODE_FIELDS}
        return texts


def check_workflow(definition: Definition, project: Project) -> tuple[Workflow | None, list[Problem]]:
    """Return the workflow of a definition, or what is wrong with it."""
    from airflow_kfp_runtime.project.workflow import Workflow

    try:
        fields = _workflow_fields(definition, project)
        workflow = Workflow.new(definition.name, project=project, **fields)
    except SourceError as error:
        return None, [definition.problem(error)]
    return replace(workflow, confined=definition.fetched), []


def _workflow_fields(definition: Definition, project: Project) -> dict[str, Any]:
    fields = dict(definition.resolve(definition.fields))
    if fields.pop("project", project) not in (project, project.name):
        raise SourceError(f"is another project than {project.name!r}", field="project")
    # What Workflow.new() has parameters for, and a workflow no fields.
    for name in {"name", "cls"} & fields.keys():
        raise SourceError("is not a field of a workflow", field=name)
    return fields


def check_settings(
    definition: Definition, written: object, *, within: Location = (), whole_pipeline: bool = False
) -> tuple[TaskSettings | None, list[Problem]]:
    """Return settings, or what is wrong with them.

    :param definition: whose they are.
    :param written: the settings.
    :param within: where they are in the definition.
    :param whole_pipeline: whether they are for all steps, so that they may have a workspace.
    """
    from airflow_kfp_runtime.project.settings import TaskSettings

    try:
        settings = TaskSettings.read(
            written,  # type: ignore[arg-type]  # It says itself what is no mapping.
            place=f"{definition.title}, settings.",
            whole_pipeline=whole_pipeline,
        )
    except SettingError as error:
        found = definition.problem(error)
        # Settings that are all there is have no `settings` around them.
        location = (*within, *found.location[1:])
        return None, [definition.placed(replace(found, location=location))]
    return settings, []


def check_connections(definition: Definition) -> list[Problem]:
    """Return what is wrong with connection ids by what they are for."""
    problems = []
    for name, given in definition.fields.items():
        title = f"{definition.title}, connections.{name}"
        if name not in CONNECTIONS:
            close = difflib.get_close_matches(name, CONNECTIONS)
            problems.append(
                Problem(DefinitionError, "is unknown", title, tuple(close) or CONNECTIONS, (name,))
            )
        elif not isinstance(given, str) or not given:
            wrong = f"{given!r:.100} is not the id of a connection"
            problems.append(Problem(DefinitionError, wrong, title, location=(name,)))
    return [definition.placed(problem) for problem in problems]
