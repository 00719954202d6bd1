"""The parts of KFP's IR as plain data (KFP 2.17, ``pipeline_spec.proto``)."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.compiler.connections import Constant, Text
from airflow_kfp_runtime.dsl.references import MISSING
from airflow_kfp_runtime.dsl.types import ArtifactType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow_kfp_runtime.compiler.connections import Connection
    from airflow_kfp_runtime.dsl.references import PipelineArgument, Reference
    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.project.settings.model import Retries
    from airflow_kfp_runtime.runtimes.component import Component, Container, InputDeclaration


def component_spec(component: Component, input_types: Mapping[str, ValueType]) -> dict[str, Any]:
    """Return the interface of a component, without its executor.

    :param input_types: the types of the inputs, also of those whose declaration leaves it open.
    """
    inputs = {name: _input(declaration, input_types[name]) for name, declaration in component.inputs.items()}
    return _without_empty(
        inputDefinitions=by_kind(inputs, input_types),
        outputDefinitions=output_definitions(component.outputs),
    )


def output_definitions(outputs: Mapping[str, ValueType]) -> dict[str, Any]:
    """Return the definitions of a component's or the pipeline's outputs."""
    return by_kind({name: typed(value_type) for name, value_type in outputs.items()}, outputs)


def container_spec(container: Container) -> dict[str, Any]:
    """Return what an executor runs, without the settings of a task."""
    return {
        "image": container.image,
        **_without_empty(
            command=list(container.command),
            args=list(container.args),
            env=environment(container.env),
        ),
    }


def environment(variables: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the environment variables of a container; an empty text is what a variable has without one."""
    return [{"name": name, **_without_empty(value=value)} for name, value in variables.items()]


def retry_policy(retries: Retries) -> dict[str, Any]:
    """Return how often a task starts again, as the kfp SDK 2.17 writes it: with KFP's own defaults.

    Parts of a second are rounded up: the server cuts them off.
    """
    factor = 2.0 if retries.factor is None else retries.factor
    return {
        "maxRetryCount": retries.count,
        "backoffDuration": f"{ceil(retries.backoff or 0)}s",
        "backoffFactor": float(factor),
        "backoffMaxDuration": f"{ceil(retries.longest or 3600)}s",
    }


def task_spec(
    name: str,
    component: str,
    connected: Mapping[str, Connection],
    input_types: Mapping[str, ValueType],
    source: Callable[[Reference], dict[str, Any]],
    *,
    after: Sequence[str],
    caching: bool,
) -> dict[str, Any]:
    """Return a task of the pipeline's graph.

    :param name: the task's key in the graph and its ``taskInfo.name``: servers find producers by the latter.
    :param component: the key of its component.
    :param source: says where an argument or an output comes from, in the graph of the task.
    :param after: the names of the tasks of that graph that have to end before, each once and in order.
    :param caching: whether KFP may take the outputs of an earlier, equal task.
    """
    inputs = by_kind({key: _task_input(value, source) for key, value in connected.items()}, input_types)
    for connection in connected.values():
        if isinstance(connection, Text):
            for key, reference in connection.references.items():
                inputs.setdefault("parameters", {})[key] = source(reference)
    return {
        "taskInfo": {"name": name},
        "componentRef": {"name": component},
        "cachingOptions": {"enableCache": True} if caching else {},
        **_without_empty(inputs=inputs, dependentTasks=list(after)),
    }


def argument_definition(argument: PipelineArgument, value_type: ValueType) -> dict[str, Any]:
    """Return the definition of a pipeline's argument."""
    definition = typed(value_type)
    if argument.default is not MISSING:
        definition["isOptional"] = True
        if argument.default is not None:
            definition["defaultValue"] = argument.default
    return definition


def output_source(task: str, key: str, value_type: ValueType) -> dict[str, Any]:
    """Return where an output of a graph comes from: a task in it, and the output's key there."""
    if isinstance(value_type, ArtifactType):
        return {"artifactSelectors": [{"producerSubtask": task, "outputArtifactKey": key}]}
    return {"valueFromParameter": {"producerSubtask": task, "outputParameterKey": key}}


def one_of_sources(outputs: Iterable[tuple[str, str]], value_type: ValueType) -> dict[str, Any]:
    """Return where an output of a graph comes from of which each task in it that may run has one.

    :param outputs: a task in the graph, and the output's key there.
    """
    if isinstance(value_type, ArtifactType):
        return {
            "artifactSelectors": [
                {"producerSubtask": task, "outputArtifactKey": key} for task, key in outputs
            ]
        }
    selectors = [{"producerSubtask": task, "outputParameterKey": key} for task, key in outputs]
    return {"valueFromOneof": {"parameterSelectors": selectors}}


def typed(value_type: ValueType) -> dict[str, Any]:
    """Return the definition of an input or output of that type."""
    if isinstance(value_type, ArtifactType):
        schema = {"schemaTitle": value_type.schema_title, "schemaVersion": value_type.schema_version}
        return {"artifactType": schema, **_without_empty(isArtifactList=value_type.is_list)}
    return {"parameterType": value_type.value}


def by_kind(values: Mapping[str, Any], types: Mapping[str, ValueType]) -> dict[str, Any]:
    """Return values under ``artifacts`` and ``parameters``, as the IR separates them."""
    artifacts = {name: value for name, value in values.items() if isinstance(types[name], ArtifactType)}
    parameters = {name: value for name, value in values.items() if name not in artifacts}
    return _without_empty(artifacts=artifacts, parameters=parameters)


def _input(declaration: InputDeclaration, value_type: ValueType) -> dict[str, Any]:
    definition = typed(value_type)
    if declaration.optional:
        definition["isOptional"] = True
        if declaration.default is not None:
            definition["defaultValue"] = declaration.default
    return definition


def _task_input(connection: Connection, source: Callable[[Reference], dict[str, Any]]) -> dict[str, Any]:
    match connection:
        case Constant():
            return {"runtimeValue": {"constant": connection.value}}
        case Text():
            return {"runtimeValue": {"constant": connection.template}}
        case _:
            return source(connection)


def _without_empty(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
