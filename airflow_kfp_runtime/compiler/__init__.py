"""The compiler: steps in, KFP v2 IR out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.compiler.compile import compile_pipeline, pipeline_name
from airflow_kfp_runtime.compiler.package import PipelinePackage
from airflow_kfp_runtime.dsl.declarative import pipeline_from_steps
from airflow_kfp_runtime.project.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_kfp_runtime.project.project import Project
    from airflow_kfp_runtime.sources import Sources

__all__ = [
    "PipelinePackage",
    "compile_handler",
    "compile_pipeline",
    "compile_steps",
    "pipeline_name",
]


def compile_handler(
    handler: Workflow | Callable[..., Any],
    *,
    name: str | None = None,
    project: Project | None = None,
    sources: Sources | None = None,
    **options: Any,
) -> PipelinePackage:
    """Compile what a handler or a workflow writes.

    :param handler: the function that writes the steps, or a workflow that knows where it is.
    :param name: the pipeline's name; by default the workflow's or the handler's.
    :param project: where the functions are that steps name; by default the workflow's project, or the only
        one in the module of a handler that is named in a source. What it does not have is taken from the
        projects of that module.
    :param sources: where sources come from, and within which limits; by default
        :class:`~airflow_kfp_runtime.sources.Sources` as it is without arguments.
    :param options: those of :func:`compile_pipeline`.
    :raises DefinitionError: with the step, the field, the value, and what is allowed.
    """
    if not isinstance(handler, Workflow):
        title = name or str(getattr(handler, "__name__", "pipeline"))
        handler = Workflow(name=title, handler=handler)
    with handler.written(sources, name=name) as written:
        project = project or handler.project or written.only_project
        return compile_pipeline(
            written.completed(project), project=project, sources=sources, enclosing=(handler,), **options
        )


def compile_steps(
    steps: Sequence[Mapping[str, Any]],
    *,
    name: str,
    project: Project | None = None,
    outputs: Mapping[str, Mapping[str, str]] | None = None,
    description: str | None = None,
    **options: Any,
) -> PipelinePackage:
    """Compile steps that are written as data.

    :param steps: see :mod:`airflow_kfp_runtime.dsl.declarative`.
    :param name: the pipeline's name.
    :param project: where the functions are that steps name.
    :param outputs: the pipeline's own outputs (``{"accuracy": {"from": "train.accuracy"}}``).
    :param description: what the pipeline is for; KFP's UI shows it.
    :param options: those of :func:`compile_pipeline`.
    :raises DefinitionError: with the step, the field, the value, and what is allowed.
    """
    pipeline = pipeline_from_steps(steps, name=name, description=description, outputs=outputs)
    return compile_pipeline(pipeline, project=project, **options)
