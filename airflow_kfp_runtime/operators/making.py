"""From what a task was given to the pipeline that it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.operators.checks import check_is_mapping
from airflow_kfp_runtime.operators.configuration import configured_profiles
from airflow_kfp_runtime.operators.definition import (
    ConnectionIds,
    open_project,
    open_sources,
    open_workflow,
)
from airflow_kfp_runtime.operators.exceptions import asks_of_airflow
from airflow_kfp_runtime.operators.pipeline import (
    CompilerOptions,
    NamedPipeline,
    UnknownPipeline,
    from_pipeline,
    from_steps,
    from_workflow,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Literal

    from airflow_kfp_runtime.compiler import PipelinePackage
    from airflow_kfp_runtime.project import Project, Workflow
    from airflow_kfp_runtime.project.templates import Render


@dataclass(frozen=True)
class Given:
    """What a task was given to run, by the parameters of the operator; one of the first three is set.

    :param default_name: the pipeline's name where nothing says one.
    :param connections: those that the task names itself.
    """

    workflow: Workflow | Callable[..., Any] | str | None
    steps: Sequence[Mapping[str, Any]] | None
    pipeline: str | Path | Mapping[str, Any] | None
    pipeline_version: str | None
    project: Project | str | Path | None
    arguments: Mapping[str, Any] | None
    pipeline_name: str | None
    default_name: str
    settings: Mapping[str, Any] | None
    settings_policy: Literal["error", "warn"]
    enable_caching: bool | None
    collect_outputs: bool | str
    connections: ConnectionIds


@dataclass(frozen=True)
class Made:
    """What a task runs.

    :param connections: those for it, those of its project among them.
    :param warnings: what the compiler wants the user to know.
    """

    pipeline: PipelinePackage | NamedPipeline | UnknownPipeline
    connections: ConnectionIds
    warnings: Sequence[str] = ()


def make(given: Given, folders: Sequence[Path], render: Render, *, is_retry: bool) -> Made:
    """Read and compile what a task runs.

    :param folders: where relative paths are looked for, in this order.
    :param render: fills in one text.
    :param is_retry: whether there may be a run that goes on without it; an error is part of the result then.
    :raises DefinitionError: it is wrong, or cannot be had; likewise whatever a handler raises.
    """
    connections = given.connections
    try:
        check_is_mapping("arguments", given.arguments)
        workflow = open_workflow(given.workflow, render)
        project = open_project(given.project, folders, connections, render)
        if project is None:
            project = getattr(workflow, "project", None)
        connections = connections.completed(project)
        return _compiled(given, workflow, project, connections, folders)
    except Exception as error:
        # Whatever a handler raises: a run that was submitted before does not need it.
        if asks_of_airflow(error) or not is_retry:
            raise
        return Made(UnknownPipeline(error), connections)


def _compiled(
    given: Given,
    workflow: Workflow | Callable[..., Any] | str | None,
    project: Project | None,
    connections: ConnectionIds,
    folders: Sequence[Path],
) -> Made:
    options = CompilerOptions(
        project=project,
        settings=given.settings,
        settings_policy=given.settings_policy,
        enable_caching=given.enable_caching,
        collect_outputs=given.collect_outputs,
    )
    if given.pipeline is not None:
        return Made(from_pipeline(given.pipeline, given.pipeline_version, folders, options), connections)
    options = replace(options, profiles=configured_profiles(), sources=open_sources(folders, connections))
    if workflow is not None:
        package = from_workflow(workflow, given.pipeline_name, given.default_name, options)
    else:
        name = given.pipeline_name or given.default_name
        package = from_steps(given.steps or (), name, given.arguments or {}, options)
    return Made(package, connections, package.warnings)
