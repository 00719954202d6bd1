"""What a task runs: from what the user gave to the pipeline, with its project, connections and sources."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.operators.checks import check_is_mapping
from airflow_kfp_runtime.operators.configuration import configured_profiles, configured_sources
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
    from typing import Literal

    from airflow.sdk import Context

    from airflow_kfp_runtime.compiler import PipelinePackage
    from airflow_kfp_runtime.project import Project, Workflow
    from airflow_kfp_runtime.project.templates import Render
    from airflow_kfp_runtime.sources import Sources


@dataclass(frozen=True)
class ConnectionIds:
    """The Airflow connections of a task.

    :param kfp: where the pipeline runs; ``None``: the default connection.
    :param git: for sources in git repositories; ``None``: the environment says the credentials.
    :param aws: for sources in S3; ``None``: the environment says the credentials.
    :param digitalhub: the platform whose functions the steps run; ``None``: their secret is there already.
    """

    kfp: str | None = None
    git: str | None = None
    aws: str | None = None
    digitalhub: str | None = None

    def completed(self, project: Project | None) -> ConnectionIds:
        """Return these, and where there is none that of the project."""
        others: Mapping[str, str] = project.connections if project is not None else {}
        return ConnectionIds(**{name: given or others.get(name) for name, given in vars(self).items()})


@dataclass(frozen=True)
class Definition:
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


def folders_of(context: Context) -> list[Path]:
    """Return where a task's relative paths are looked for: beside the DAG's file, then in its bundle."""
    folders = [Path(context["dag"].fileloc).parent]
    bundle = getattr(context["ti"], "bundle_instance", None)
    return [*folders, Path(bundle.path)] if bundle is not None else folders


def make(definition: Definition, folders: Sequence[Path], render: Render, *, is_retry: bool) -> Made:
    """Read and compile what a task runs.

    :param folders: where relative paths are looked for, in this order.
    :param render: fills in one text.
    :param is_retry: whether there may be a run that goes on without it; an error is part of the result then.
    :raises DefinitionError: it is wrong, or cannot be had; likewise whatever a handler raises.
    """
    connections = definition.connections
    try:
        check_is_mapping("arguments", definition.arguments)
        workflow = _open_workflow(definition.workflow, render)
        project = _open_project(definition.project, folders, connections, render)
        if project is None:
            project = getattr(workflow, "project", None)
        connections = connections.completed(project)
        return _compiled(definition, workflow, project, connections, folders)
    except Exception as error:
        # Whatever a handler raises: a run that was submitted before does not need it.
        if asks_of_airflow(error) or not is_retry:
            raise
        return Made(UnknownPipeline(error), connections)


def _compiled(
    definition: Definition,
    workflow: Workflow | Callable[..., Any] | str | None,
    project: Project | None,
    connections: ConnectionIds,
    folders: Sequence[Path],
) -> Made:
    options = CompilerOptions(
        project=project,
        settings=definition.settings,
        settings_policy=definition.settings_policy,
        enable_caching=definition.enable_caching,
        collect_outputs=definition.collect_outputs,
    )
    if definition.pipeline is not None:
        pipeline = from_pipeline(definition.pipeline, definition.pipeline_version, folders, options)
        return Made(pipeline, connections)
    options = replace(options, profiles=configured_profiles(), sources=_open_sources(folders, connections))
    if workflow is not None:
        package = from_workflow(workflow, definition.pipeline_name, definition.default_name, options)
    else:
        name = definition.pipeline_name or definition.default_name
        package = from_steps(definition.steps or (), name, definition.arguments or {}, options)
    return Made(package, connections, package.warnings)


def _open_sources(folders: Sequence[Path], connections: ConnectionIds) -> Sources:
    """Return where sources come from; a connection is read when a source needs it.

    :param folders: where relative paths are looked for, in this order.
    :raises DefinitionError: the configuration is wrong.
    """
    from airflow_kfp_runtime.hooks.sources import ConnectionCredentials

    return configured_sources(tuple(folders), ConnectionCredentials(connections.git, connections.aws))


def _open_project(
    project: Project | str | Path | None, folders: Sequence[Path], connections: ConnectionIds, render: Render
) -> Project | None:
    """Return a task's project, with its templates filled in.

    :param project: the project itself, or where its file is: a path or the address of a source.
    :param folders: where a relative path is looked for, in this order.
    :param connections: those of the task; the project's own are not known before it is there.
    :param render: fills in one text.
    :raises DefinitionError: it cannot be had, or is wrong.
    """
    from airflow_kfp_runtime.project import Project

    if project is None:
        return None
    if not isinstance(project, Project):
        location = render(str(project))
        project = Project.load(location, sources=_open_sources(folders, connections))
    return project.rendered(render)


def _open_workflow(
    workflow: Workflow | Callable[..., Any] | str | None, render: Render
) -> Workflow | Callable[..., Any] | str | None:
    """Return what a task runs; of a workflow the one of its project after templates are filled in.

    :param workflow: a handler, a workflow, or the name of one, which may be a template itself.
    :param render: fills in one text.
    :raises DefinitionError: a template in the workflow's project cannot be filled in, or gives what is wrong.
    """
    from airflow_kfp_runtime.project import Workflow

    if isinstance(workflow, str):
        return str(render(workflow))
    if not isinstance(workflow, Workflow) or workflow.project is None:
        return workflow
    project = workflow.project.rendered(render)
    if workflow.project.workflows.get(workflow.name) is workflow:
        return project.workflow(workflow.name)
    # It was replaced in the project by another of its name, or is none of it.
    return replace(workflow, project=project)
