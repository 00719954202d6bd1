"""Compiles a pipeline: steps in, a :class:`PipelinePackage` out."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime import __version__
from airflow_kfp_runtime.compiler import specifications
from airflow_kfp_runtime.compiler.collect import collect_component, collect_inputs
from airflow_kfp_runtime.compiler.components import Compilation, build_component, refuse_settings
from airflow_kfp_runtime.compiler.connections import connections, ordered, producers
from airflow_kfp_runtime.compiler.package import PipelinePackage
from airflow_kfp_runtime.errors import DefinitionError, StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.compiler.connections import Connection
    from airflow_kfp_runtime.dsl.context import Step
    from airflow_kfp_runtime.dsl.pipeline import Pipeline
    from airflow_kfp_runtime.dsl.types import ParameterType, ValueType
    from airflow_kfp_runtime.project.project import Project

#: The schema of the IR that this package writes, as the kfp SDK 2.17 does.
SCHEMA_VERSION = "2.1.0"


def compile_pipeline(
    pipeline: Pipeline,
    *,
    project: Project | None = None,
    settings: Mapping[str, Any] | None = None,
    enable_caching: bool | None = None,
    collect_outputs: bool | str = False,
    argument_types: Mapping[str, ParameterType] | None = None,
) -> PipelinePackage:
    """Compile a pipeline to KFP's IR; the same pipeline gives the same bytes.

    :param pipeline: from :func:`~airflow_kfp_runtime.dsl.trace` or
        :func:`~airflow_kfp_runtime.dsl.pipeline_from_steps`.
    :param project: where the functions are that steps name.
    :param settings: Kubernetes settings for all steps.
    :param enable_caching: whether KFP may take the outputs of an earlier, equal task; ``None`` is KFP's
        default, which is yes.
    :param collect_outputs: add a last task that consumes every output and does nothing, so that all outputs
        can be read through the REST API alone. It runs ``true`` in ``python:3.12-slim``, or in the image that
        is given here. Its pod downloads the artifacts.
    :param argument_types: types for arguments that neither the handler nor a step declares; without, they
        are texts.
    :raises DefinitionError: with the step, the field, the value, and what is allowed.
    """
    refuse_settings(None, settings)
    connected = {step: connections(step, pipeline) for step in pipeline.steps}
    compilation = Compilation()
    for step in ordered(pipeline, connected):
        compilation.components[step] = build_component(step, connected[step], project, compilation)
    compilation.settle_open(pipeline.arguments, argument_types or {})

    graph = _Graph()
    # By name, so that the order in which independent steps are written does not show.
    for step in sorted(pipeline.steps, key=lambda step: step.task_name):
        component = compilation.components[step]
        types = compilation.input_types(component, connected[step])
        graph.add(
            step.task_name,
            specifications.component_spec(component, types),
            specifications.executor_spec(component.container),
            connected[step],
            types,
            after=_task_names_before(step, connected[step]),
            caching=enable_caching is not False,
        )
    if collect_outputs:
        _add_collecting_task(graph, compilation, collect_outputs)
    return PipelinePackage(
        name=pipeline_name(pipeline.name),
        pipeline_spec=_pipeline_spec(pipeline, graph, compilation),
        step_names={step.task_name: step.name for step in pipeline.steps if step.task_name != step.name},
    )


def pipeline_name(name: str) -> str:
    """Return a name as KFP allows it: lower case, digits and ``-``, at most 128 characters."""
    allowed = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:128].rstrip("-")
    if not allowed:
        raise DefinitionError(f"{name!r} has no letter or digit", field="pipeline name")
    return allowed


class _Graph:
    """Collects tasks, and the components and executors that they share where those are equal."""

    def __init__(self) -> None:
        self.tasks: dict[str, Any] = {}
        self.components: dict[str, Any] = {}
        self.executors: dict[str, Any] = {}
        self._names: dict[str, str] = {}

    def add(
        self,
        name: str,
        component: Mapping[str, Any],
        executor: Mapping[str, Any],
        connected: Mapping[str, Connection],
        input_types: Mapping[str, ValueType],
        *,
        after: list[str],
        caching: bool,
    ) -> None:
        shared = self._names.setdefault(json.dumps([component, executor], sort_keys=True), name)
        self.components[f"comp-{shared}"] = {**component, "executorLabel": f"exec-{shared}"}
        self.executors[f"exec-{shared}"] = executor
        self.tasks[name] = specifications.task_spec(
            name, f"comp-{shared}", connected, input_types, after=after, caching=caching
        )


def _task_names_before(step: Step, connected: Mapping[str, Connection]) -> list[str]:
    before = [output.step for _, output in producers(connected)] + step.predecessors
    return [other.task_name for other in before]


def _add_collecting_task(graph: _Graph, compilation: Compilation, image: bool | str) -> None:
    inputs = collect_inputs(compilation.components)
    types = {name: compilation.components[output.step].outputs[output.key] for name, output in inputs.items()}
    name, component = collect_component(types, image if isinstance(image, str) else None)
    if name in graph.tasks:
        raise StepError("is the name of the task that collect_outputs=True adds: rename the step", step=name)
    graph.add(
        name,
        specifications.component_spec(component, types),
        specifications.executor_spec(component.container),
        inputs,
        types,
        after=list(graph.tasks),
        caching=False,
    )


def _pipeline_spec(pipeline: Pipeline, graph: _Graph, compilation: Compilation) -> dict[str, Any]:
    for name, output in pipeline.outputs.items():
        compilation.check_output(output, None, f"pipeline output {name!r}")
    output_types = {
        name: compilation.components[output.step].outputs[output.key]
        for name, output in pipeline.outputs.items()
    }
    root: dict[str, Any] = {"dag": {"tasks": graph.tasks}}
    if pipeline.outputs:
        root["dag"]["outputs"] = specifications.pipeline_outputs(pipeline.outputs, output_types)
        root["outputDefinitions"] = specifications.output_definitions(output_types)
    if pipeline.arguments:
        root["inputDefinitions"] = {
            "parameters": {
                argument.name: specifications.argument_definition(
                    argument, compilation.argument_types[argument]
                )
                for argument in pipeline.arguments
            }
        }
    information = {"name": pipeline_name(pipeline.name)}
    if pipeline.description:
        information["description"] = pipeline.description
    return {
        "schemaVersion": SCHEMA_VERSION,
        "sdkVersion": f"airflow-kfp-runtime-{__version__}",
        "pipelineInfo": information,
        "components": graph.components,
        "deploymentSpec": {"executors": graph.executors},
        "root": root,
    }
