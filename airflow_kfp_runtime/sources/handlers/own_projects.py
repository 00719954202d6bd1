"""The projects in a handler's module: what a pipeline names of them leaves the handler's process with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.pipeline import trace
from airflow_kfp_runtime.dsl.serialization import pipeline_as_data, pipeline_from_data
from airflow_kfp_runtime.project.portable import (
    function_as_data,
    function_from_data,
    settings_as_data,
    settings_from_data,
)
from airflow_kfp_runtime.project.project import Function, Project
from airflow_kfp_runtime.project.references import EntityReference
from airflow_kfp_runtime.project.workflow import Workflow
from airflow_kfp_runtime.project.written import find

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from airflow_kfp_runtime.dsl.pipeline import Pipeline

#: The fields of a workflow that a run needs, besides its handler.
_WORKFLOW_FIELDS = ("name", "description", "code", "code_src", "git_source", "uuid")


def projects_as_data(
    values: Iterable[object], pipeline: Pipeline, folders: Sequence[Path]
) -> list[dict[str, Any]]:
    """Return the projects among values as JSON, each with the functions and workflows that a pipeline names.

    A workflow whose handler is a function goes as the pipeline that it writes.

    :param pipeline: after :func:`settle`.
    :param folders: where the relative paths in them begin.
    :raises DefinitionError: a function cannot leave the process, or a workflow is wrong.
    """
    projects = {id(value): value for value in values if isinstance(value, Project)}
    written: list[dict[str, Any]] = []
    for project in projects.values():
        needed = _Needed(project, folders)
        needed.add(pipeline)
        written.append(
            {
                "name": project.name,
                "settings": settings_as_data(project.settings),
                "names": {"function": sorted(project.functions), "workflow": sorted(project.workflows)},
                "functions": list(needed.functions.values()),
                "workflows": list(needed.workflows.values()),
            }
        )
    return written


def project_from_data(data: Mapping[str, Any]) -> Project:
    """Return a project that :func:`projects_as_data` wrote."""
    project = Project(data["name"], settings=settings_from_data(data["settings"]))
    for written in data["functions"]:
        project.functions[written["name"]] = function_from_data(written)
    for written in data["workflows"]:
        fields = {name: written[name] for name in _WORKFLOW_FIELDS}
        handler = written["handler"] or pipeline_from_data(written["pipeline"])
        project.workflows[written["name"]] = Workflow(handler=handler, project=project, **fields)
    return project


def settle(pipeline: Pipeline, folders: Sequence[Path]) -> list[Project]:
    """Make what is given to steps itself independent of the process.

    The paths of functions become absolute, and workflows references to their projects.

    :return: those projects.
    """
    settled: dict[int, Function] = {}
    projects = []
    for step in pipeline.steps:
        if isinstance(step.function, Function):
            step.function = settled.setdefault(id(step.function), _settled(step.function, folders))
        elif isinstance(step.workflow, Workflow) and step.workflow.project is not None:
            workflow, project = step.workflow, step.workflow.project
            reference = str(EntityReference(project.name, "workflow", "kfp", workflow.name))
            # Not every name can stand in a reference; and a later workflow may have taken this one's.
            if find(project.workflow, reference) is workflow:
                step.workflow = reference
                projects.append(project)
    return projects


@dataclass
class _Needed:
    """What pipelines name of one project, as JSON by name."""

    project: Project
    folders: Sequence[Path]
    functions: dict[str, dict[str, Any]] = field(default_factory=dict)
    workflows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, pipeline: Pipeline) -> None:
        for step in pipeline.steps:
            if isinstance(step.function, str):
                function = find(self.project.function, step.function)
                if function is not None and function.name not in self.functions:
                    self.functions[function.name] = function_as_data(_settled(function, self.folders))
            elif isinstance(step.workflow, str):
                workflow = find(self.project.workflow, step.workflow)
                if workflow is not None and workflow.name not in self.workflows:
                    self._add_workflow(workflow)

    def _add_workflow(self, workflow: Workflow) -> None:
        data: dict[str, Any] = {name: getattr(workflow, name) for name in _WORKFLOW_FIELDS}
        # Before what it names in turn: that may be itself.
        self.workflows[workflow.name] = data
        data["handler"] = workflow.handler if isinstance(workflow.handler, str) else None
        if workflow.code_src is not None:
            data["code_src"] = _absolute(workflow.code_src, self.folders)
        if callable(workflow.handler):
            pipeline = trace(workflow.handler, name=workflow.name, description=workflow.description)
            settle(pipeline, self.folders)
            self.add(pipeline)
            data["pipeline"] = pipeline_as_data(pipeline)


def _settled(function: Function, folders: Sequence[Path]) -> Function:
    """Return a function whose source, where it is a file or folder beside the handler, has its whole path."""
    source = getattr(function.specification, "source", None)
    if not isinstance(source, str):
        return function
    changed = {"source": _absolute(source, folders)}
    return replace(function, specification=function.specification.model_copy(update=changed))


def _absolute(location: str, folders: Sequence[Path]) -> str:
    if "://" in location:
        return location
    return next((str(folder / location) for folder in folders if (folder / location).exists()), location)
