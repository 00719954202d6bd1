"""Compiles a pipeline: steps in, a :class:`PipelinePackage` out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime import __version__
from airflow_kfp_runtime.compiler import specifications
from airflow_kfp_runtime.compiler.collect import collect_component, collect_inputs
from airflow_kfp_runtime.compiler.connections import Constant, Text, connections, ordered, producers
from airflow_kfp_runtime.compiler.package import PipelinePackage
from airflow_kfp_runtime.dsl.pipeline import type_of
from airflow_kfp_runtime.dsl.references import PipelineArgument, StepOutput
from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import ArgumentError, DefinitionError, SettingError, StepError
from airflow_kfp_runtime.project.project import Function
from airflow_kfp_runtime.runtimes.component import Component, ComponentRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.compiler.connections import Connection
    from airflow_kfp_runtime.dsl.context import Step
    from airflow_kfp_runtime.dsl.pipeline import Pipeline
    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.project.project import Project

#: The schema of the IR that this package writes, as the kfp SDK 2.17 does.
SCHEMA_VERSION = "2.1.0"


@dataclass
class _Compilation:
    """What is known while the steps are gone through, producers first."""

    components: dict[Step, Component] = field(default_factory=dict)
    built: dict[tuple[object, ...], Component] = field(default_factory=dict)
    argument_types: dict[PipelineArgument, ParameterType] = field(default_factory=dict)
    argument_users: dict[PipelineArgument, str] = field(default_factory=dict)

    def type_of(self, connection: Connection) -> ValueType | None:
        """Return a connection's type, or ``None`` for an argument whose type is still open."""
        match connection:
            case Constant(value):
                return type_of(value)
            case Text():
                return ParameterType.STRING
            case PipelineArgument():
                return self.argument_types.get(connection, connection.type)
            case StepOutput():
                return self.components[connection.step].outputs[connection.key]

    def build(self, function: Function, request: ComponentRequest) -> Component:
        """Return the component that a step's function kind makes, once for all steps that ask the same."""
        asked = (
            id(function),
            request.action,
            tuple(request.inputs.items()),
            tuple(request.outputs.items()),
            tuple(request.values),
        )
        if asked not in self.built:
            self.built[asked] = function.kind.build(request)
        return self.built[asked]

    def settle(self, argument: PipelineArgument, declared: ValueType | None, step: str, field: str) -> None:
        """Give an argument without a type the one that a step declares for it."""
        if argument.type is not None or declared is None:
            return
        if isinstance(declared, ArtifactType):
            raise StepError(
                f"is an artifact ({declared.schema_title}), and an argument of a pipeline is a plain value",
                step=step,
                field=field,
                allowed=["an output of a step"],
            )
        settled = self.argument_types.setdefault(argument, declared)
        user = self.argument_users.setdefault(argument, step)
        if settled is not declared:
            raise ArgumentError(
                f"is {settled.value} for step {user!r} and {declared.value} for step {step!r}: "
                "annotate it in the handler's signature",
                field=f"argument {argument.name!r}",
            )


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
    _refuse_settings(None, settings)
    connected = {step: connections(step, pipeline) for step in pipeline.steps}
    compilation = _Compilation()
    for step in ordered(pipeline, connected):
        compilation.components[step] = _component(step, connected[step], project, compilation)
    _settle_open_arguments(pipeline, compilation, argument_types or {})

    graph = _Graph()
    # By name, so that the order in which independent steps are written does not show.
    for step in sorted(pipeline.steps, key=lambda step: step.task_name):
        component = compilation.components[step]
        input_types = _input_types(component, connected[step], compilation)
        graph.add(
            step.task_name,
            specifications.component_spec(component, input_types),
            specifications.executor_spec(component.container),
            connected[step],
            input_types,
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


def _component(
    step: Step, connected: Mapping[str, Connection], project: Project | None, compilation: _Compilation
) -> Component:
    _refuse_settings(step.name, step.settings)
    for name, output in producers(connected):
        _check_output(output, compilation, step.name, step.field_of(name))
    function = _function(step, project)
    action = step.action or function.kind.actions[0]
    if action not in function.kind.actions:
        raise StepError(
            f"{action!r} is not an action of kind {function.kind.name!r}",
            step=step.name,
            field="action",
            allowed=function.kind.actions,
        )
    request = ComponentRequest(
        step=step.name,
        function_name=function.name,
        function=function.specification,
        action=action,
        inputs={name: compilation.type_of(connection) for name, connection in connected.items()},
        outputs=step.output_names,
        values=step.values,
    )
    component = compilation.build(function, request)
    for name, connection in connected.items():
        if isinstance(connection, PipelineArgument):
            compilation.settle(connection, component.inputs[name].type, step.name, step.field_of(name))
        if isinstance(connection, Text):
            _check_text(connection, compilation, step.name, step.field_of(name))
    return component


def _function(step: Step, project: Project | None) -> Function:
    if step.workflow is not None:
        raise StepError(
            f"names workflow {step.workflow!r}, and a pipeline can run only functions as its steps",
            step=step.name,
            field="workflow",
            allowed=["function"],
        )
    if isinstance(step.function, Function):
        return step.function
    if not isinstance(step.function, str):
        raise StepError(
            f"{step.function!r} is not a function",
            step=step.name,
            field="function",
            allowed=["a function's name in the project", "what new_function() returned"],
        )
    if project is None:
        raise StepError(
            f"names function {step.function!r}, and there is no project to find it in: give project=, "
            "or the function that new_function() returned",
            step=step.name,
            field="function",
        )
    try:
        return project.function(step.function)
    except DefinitionError as error:
        raise StepError(error.problem, step=step.name, field="function", allowed=error.allowed) from None


def _check_output(output: StepOutput, compilation: _Compilation, step: str | None, field: str) -> None:
    declared = compilation.components[output.step].outputs
    if output.key not in declared:
        raise StepError(
            f"{output.key!r} is not an output of step {output.step.name!r}",
            step=step,
            field=field,
            allowed=sorted(declared) or ["none: that step has no outputs"],
        )


def _check_text(text: Text, compilation: _Compilation, step: str, field: str) -> None:
    for reference in text.references.values():
        if isinstance(compilation.type_of(reference), ArtifactType):
            raise StepError(
                f"puts {reference!r}, which is an artifact, into a text: connect it as an input of its own",
                step=step,
                field=field,
            )


def _settle_open_arguments(
    pipeline: Pipeline, compilation: _Compilation, argument_types: Mapping[str, ParameterType]
) -> None:
    for argument in pipeline.arguments:
        fallback = argument.type or argument_types.get(argument.name, ParameterType.STRING)
        compilation.argument_types.setdefault(argument, fallback)


def _input_types(
    component: Component, connected: Mapping[str, Connection], compilation: _Compilation
) -> dict[str, ValueType]:
    types: dict[str, ValueType] = {}
    for name, declaration in component.inputs.items():
        connection = connected.get(name)
        source = compilation.type_of(connection) if connection is not None else None
        types[name] = declaration.type or source or ParameterType.STRING
    return types


def _task_names_before(step: Step, connected: Mapping[str, Connection]) -> list[str]:
    before = [output.step for _, output in producers(connected)] + step.predecessors
    return [other.task_name for other in before]


def _add_collecting_task(graph: _Graph, compilation: _Compilation, image: bool | str) -> None:
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


def _pipeline_spec(pipeline: Pipeline, graph: _Graph, compilation: _Compilation) -> dict[str, Any]:
    for name, output in pipeline.outputs.items():
        _check_output(output, compilation, None, f"pipeline output {name!r}")
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


def _refuse_settings(step: str | None, settings: Mapping[str, Any] | None) -> None:
    if settings:
        raise SettingError(
            "Kubernetes settings are kept on the step but not compiled by this version: remove it, "
            "or set it on the compiled pipeline with kfp-kubernetes",
            step=step,
            field=next(iter(settings)),
        )
