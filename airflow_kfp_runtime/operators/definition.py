"""What a task was given to run, made ready: its project, its connections, and where its sources come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.operators.configuration import configured_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context

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


def folders_of(context: Context) -> list[Path]:
    """Return where a task's relative paths are looked for: beside the DAG's file, then in its bundle."""
    folders = [Path(context["dag"].fileloc).parent]
    bundle = getattr(context["ti"], "bundle_instance", None)
    return [*folders, Path(bundle.path)] if bundle is not None else folders


def open_sources(folders: Sequence[Path], connections: ConnectionIds) -> Sources:
    """Return where sources come from; a connection is read when a source needs it.

    :param folders: where relative paths are looked for, in this order.
    :raises DefinitionError: the configuration is wrong.
    """
    from airflow_kfp_runtime.hooks.sources import ConnectionCredentials

    return configured_sources(tuple(folders), ConnectionCredentials(connections.git, connections.aws))


def open_project(
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
        project = Project.load(location, sources=open_sources(folders, connections))
    return project.rendered(render)


def open_workflow(
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
