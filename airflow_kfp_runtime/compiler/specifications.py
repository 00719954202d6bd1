"""The parts of KFP's IR as plain data (KFP 2.17, ``pipeline_spec.proto``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.compiler.connections import Constant, Text
from airflow_kfp_runtime.dsl.references import MISSING, PipelineArgument, StepOutput
from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_kfp_runtime.compiler.connections import Connection
    from airflow_kfp_runtime.dsl.references import Reference
    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.runtimes.component import Component, Container, InputDeclaration


def component_spec(component: Component, input_types: Mapping[str, ValueType]) -> dict[str, Any]:
    """Return the interface of a component, without its executor.

    :param input_types: the types of the inputs, also of those whose declaration leaves it open.
    """
    inputs = {name: _input(declaration, input_types[name]) for name, declaration in component.inputs.items()}
    return _without_empty(
        inputDefinitions=_by_kind(inputs, input_types),
        outputDefinitions=output_definitions(component.outputs),
    )


def output_definitions(outputs: Mapping[str, ValueType]) -> dict[str, Any]:
    """Return the definitions of a component's or the pipeline's outputs."""
    return _by_kind({name: _typed(value_type) for name, value_type in outputs.items()}, outputs)


def executor_spec(container: Container) -> dict[str, Any]:
    """Return the executor that runs a container."""
    return {
        "container": {
            "image": container.image,
            **_without_empty(
                command=list(container.command),
                args=list(container.args),
                env=[{"name": name, "value": value} for name, value in container.env.items()],
            ),
        }
    }


def task_spec(
    name: str,
    component: str,
    connected: Mapping[str, Connection],
    input_types: Mapping[str, ValueType],
    *,
    after: Iterable[str],
    caching: bool,
) -> dict[str, Any]:
    """Return a task of the pipeline's graph.

    :param name: the task's key in the graph and its ``taskInfo.name``: servers find producers by the latter.
    :param component: the key of its component.
    :param after: the names of the tasks that have to end before.
    :param caching: whether KFP may take the outputs of an earlier, equal task.
    """
    inputs = _by_kind(
        {key: _task_input(value, input_types[key]) for key, value in connected.items()}, input_types
    )
    for connection in connected.values():
        if isinstance(connection, Text):
            for key, reference in connection.references.items():
                inputs.setdefault("parameters", {})[key] = _parameter_source(reference)
    return {
        "taskInfo": {"name": name},
        "componentRef": {"name": component},
        "cachingOptions": {"enableCache": True} if caching else {},
        **_without_empty(inputs=inputs, dependentTasks=sorted(set(after))),
    }


def argument_definition(argument: PipelineArgument, parameter_type: ParameterType) -> dict[str, Any]:
    """Return the definition of a pipeline's parameter."""
    definition: dict[str, Any] = {"parameterType": parameter_type.value}
    if argument.default is not MISSING:
        definition["isOptional"] = True
        if argument.default is not None:
            definition["defaultValue"] = argument.default
    return definition


def pipeline_outputs(outputs: Mapping[str, StepOutput], types: Mapping[str, ValueType]) -> dict[str, Any]:
    """Return where the pipeline's outputs come from (``dag.outputs``)."""
    return _by_kind({name: _output_source(output, types[name]) for name, output in outputs.items()}, types)


def _input(declaration: InputDeclaration, value_type: ValueType) -> dict[str, Any]:
    definition = _typed(value_type)
    if declaration.optional:
        definition["isOptional"] = True
        if declaration.default is not None:
            definition["defaultValue"] = declaration.default
    return definition


def _typed(value_type: ValueType) -> dict[str, Any]:
    if isinstance(value_type, ArtifactType):
        schema = {"schemaTitle": value_type.schema_title, "schemaVersion": value_type.schema_version}
        return {"artifactType": schema}
    return {"parameterType": value_type.value}


def _task_input(connection: Connection, value_type: ValueType) -> dict[str, Any]:
    match connection:
        case Constant():
            return {"runtimeValue": {"constant": connection.value}}
        case Text():
            return {"runtimeValue": {"constant": connection.template}}
        case StepOutput() if isinstance(value_type, ArtifactType):
            artifact = {"producerTask": connection.step.task_name, "outputArtifactKey": connection.key}
            return {"taskOutputArtifact": artifact}
        case _:
            return _parameter_source(connection)


def _parameter_source(reference: Reference) -> dict[str, Any]:
    if isinstance(reference, PipelineArgument):
        return {"componentInputParameter": reference.name}
    return {
        "taskOutputParameter": {
            "producerTask": reference.step.task_name,
            "outputParameterKey": reference.key,
        }
    }


def _output_source(output: StepOutput, value_type: ValueType) -> dict[str, Any]:
    if isinstance(value_type, ArtifactType):
        selector = {"producerSubtask": output.step.task_name, "outputArtifactKey": output.key}
        return {"artifactSelectors": [selector]}
    return {
        "valueFromParameter": {"producerSubtask": output.step.task_name, "outputParameterKey": output.key}
    }


def _by_kind(values: Mapping[str, Any], types: Mapping[str, ValueType]) -> dict[str, Any]:
    """Return values under ``artifacts`` and ``parameters``, as the IR separates them."""
    artifacts = {name: value for name, value in values.items() if isinstance(types[name], ArtifactType)}
    parameters = {name: value for name, value in values.items() if name not in artifacts}
    return _without_empty(artifacts=artifacts, parameters=parameters)


def _without_empty(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
