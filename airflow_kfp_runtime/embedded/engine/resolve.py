"""What a task gets as its inputs and what a dag gives as its outputs: pure functions over the IR.

The rules are those of KFP 2.17's driver (``backend/src/v2/driver/resolve.go``): a value that is ``null`` or
missing is left out where the input is optional, defaults fill in, types are checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.engine.cel import CelError, holds, read_condition, read_selector, select
from airflow_kfp_runtime.embedded.engine.graph import Outcome
from airflow_kfp_runtime.embedded.engine.placeholders import PlaceholderError, Scope
from airflow_kfp_runtime.embedded.engine.values import (
    StoredArtifact,
    Values,
    ValueTypeError,
    as_json,
    convert,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]


#: KFP 2.17 passes the state of the ML Metadata execution in a final status.
_METADATA_STATES = {Outcome.SUCCEEDED: "COMPLETE", Outcome.FAILED: "FAILED", Outcome.SKIPPED: "CANCELED"}


class ResolveError(ValueError):
    """An input, an output or a setting that cannot be resolved; the message names it."""


@dataclass(frozen=True)
class Producer:
    """A task of the same dag that has ended.

    :param error: why it failed, if it did.
    """

    outcome: Outcome
    outputs: Values
    error: str | None = None


@dataclass(frozen=True)
class Surroundings:
    """What a task can refer to.

    :param inputs: the inputs of the dag that holds it.
    :param producers: the tasks of this dag that have ended.
    :param names: values of the run and the task, see :class:`~.placeholders.Scope`.
    """

    inputs: Values
    producers: Mapping[str, Producer]
    names: Mapping[str, str]


def with_defaults(given: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in defaults and check types.

    :param given: the values; ``None`` counts as missing.
    :param definitions: ``inputDefinitions`` of the component.
    :raises ResolveError: a value is missing that has no default and is not optional, or one does not fit.
    """
    values = {name: value for name, value in given.items() if value is not None}
    for name, definition in definitions.get("parameters", {}).items():
        if name not in values and definition.get("defaultValue") is not None:
            values[name] = definition["defaultValue"]
        if name in values:
            try:
                values[name] = convert(values[name], definition.get("parameterType"))
            except ValueTypeError as error:
                raise ResolveError(f"Input parameter {name!r}: {error}.") from None
        elif not definition.get("isOptional") and definition.get("parameterType") != "TASK_CONFIG":
            raise ResolveError(f"Input parameter {name!r} has neither a value nor a default.")
    return values


def resolve_inputs(
    task: Json, definitions: Mapping[str, Any], around: Surroundings
) -> tuple[Values, frozenset[str]]:
    """The inputs of a task, and the names of those that it was given (the others are defaults).

    :param task: the task in the IR.
    :param definitions: ``inputDefinitions`` of its component.
    :raises ResolveError: an input cannot be resolved.
    """
    sources = task.get("inputs", {})
    given: dict[str, Any] = {}
    constants: dict[str, Any] = {}
    for name, source in sources.get("parameters", {}).items():
        if "runtimeValue" in source:
            constants[name] = source["runtimeValue"].get("constant")
        else:
            given[name] = _selected(name, source, _parameter(name, source, task, around))
            if given[name] is None and "taskOutputParameter" in source and _is_needed(name, definitions):
                raise ResolveError(f"Input parameter {name!r} was not produced{_by(source, around)}.")
    given |= _filled(constants, given, around.names)
    provided = {name for name, value in given.items() if value is not None}
    artifacts = {
        name: found
        for name, source in sources.get("artifacts", {}).items()
        if (found := _artifacts(name, source, definitions, around)) is not None
    }
    inputs = Values(parameters=with_defaults(given, definitions), artifacts=artifacts)
    return inputs, frozenset(provided | set(artifacts))


def resolve_parameter(where: str, source: Json, around: Surroundings) -> object:
    """The value of a parameter outside of a task's inputs, in a setting; ``None`` for one without a value.

    :param where: the setting, for messages.
    :param source: ``runtimeValue``, ``componentInputParameter`` or ``taskOutputParameter``.
    :raises ResolveError: it refers to what is not there.
    """
    match source:
        case {"runtimeValue": {"constant": str(constant)}}:
            return Scope(around.names).fill(constant)
        case {"runtimeValue": {"constant": constant}}:
            return constant
        case {"taskOutputParameter": {"producerTask": producer}} if producer not in around.producers:
            raise ResolveError(
                f"{where}: the task {producer!r}, whose output it is, is not one that this task waits for."
            )
        case {"componentInputParameter": _} | {"taskOutputParameter": _}:
            return _parameter(where, source, {}, around)
        case _:
            raise ResolveError(f"{where}: it comes from {sorted(source)}, which is not supported.")


def will_run(task: Json, inputs: Values) -> bool:
    """Whether a task runs or is skipped: the value of its ``triggerPolicy.condition``, if it has one.

    :raises ResolveError: the condition cannot be evaluated.
    """
    condition = task.get("triggerPolicy", {}).get("condition")
    if not condition:
        return True
    try:
        return holds(read_condition(condition), inputs.parameters)
    except CelError as error:
        raise ResolveError(f"The condition {condition!r} cannot be evaluated: {error}.") from None


@dataclass(frozen=True)
class Selector:
    """An output of a task that the dag around it may hand on."""

    task: str
    key: str


def selectors(output: Mapping[str, Any]) -> list[Selector]:
    """What an output of a dag may come from, in the order of precedence.

    :param output: a member of ``dag.outputs`` of an IR; one-of has several, the first that ran counts.
    """
    one = output.get("valueFromParameter")
    found = [one] if one else output.get("valueFromOneof", {}).get("parameterSelectors", [])
    return [
        *(Selector(source["producerSubtask"], source["outputParameterKey"]) for source in found),
        *(
            Selector(source["producerSubtask"], source["outputArtifactKey"])
            for source in output.get("artifactSelectors", [])
        ),
    ]


def resolve_outputs(dag: Json, definitions: Mapping[str, Any], producers: Mapping[str, Producer]) -> Values:
    """The outputs of a dag whose tasks have succeeded or were skipped.

    An output of a task that was skipped is left out: whether somebody needs it shows where it is consumed.

    :param definitions: ``outputDefinitions`` of its component.
    :raises ValueTypeError: a value does not fit the type that is declared.
    """
    outputs = dag.get("outputs", {})
    types = definitions.get("parameters", {})
    parameters = {}
    for name, output in outputs.get("parameters", {}).items():
        for selector in selectors(output):
            produced = producers[selector.task].outputs.parameters
            if name not in parameters and selector.key in produced:
                value = produced[selector.key]
                parameters[name] = convert(value, types.get(name, {}).get("parameterType"))
    artifacts: dict[str, list[StoredArtifact]] = {}
    for name, output in outputs.get("artifacts", {}).items():
        for selector in selectors(output):
            found = producers[selector.task].outputs.artifacts.get(selector.key)
            if found is not None:
                artifacts.setdefault(name, found)
    return Values(parameters=parameters, artifacts=artifacts)


def _parameter(name: str, source: Json, task: Json, around: Surroundings) -> object:
    match source:
        case {"componentInputParameter": parent}:
            return around.inputs.parameters.get(parent)
        case {"taskOutputParameter": {"producerTask": producer, "outputParameterKey": key}}:
            return around.producers[producer].outputs.parameters.get(key)
        case {"taskFinalStatus": final_status}:
            producer = final_status.get("producerTask") or task["dependentTasks"][0]
            return _final_status(producer, around)
        case _:
            raise ResolveError(
                f"Input parameter {name!r} comes from {sorted(source)}, which is not supported."
            )


def _selected(name: str, source: Json, value: object) -> object:
    """The part of a value that its ``parameterExpressionSelector`` takes: a member of a loop's item."""
    selector = source.get("parameterExpressionSelector")
    if not selector or value is None:
        return value
    try:
        return as_json(select(read_selector(selector), value))
    except CelError as error:
        raise ResolveError(f"Input parameter {name!r}: {selector!r} selects nothing: {error}.") from None


def _final_status(task: str, around: Surroundings) -> Json:
    producer = around.producers[task]
    return {
        "state": _METADATA_STATES[producer.outcome],
        "pipelineTaskName": task,
        "pipelineJobResourceName": around.names["pipeline_job_resource_name"],
        "error": {"message": producer.error} if producer.error else {},
    }


def _filled(constants: Json, given: Json, names: Mapping[str, str]) -> Json:
    """Constants with the placeholders in them replaced; one may refer to the task's other inputs."""
    values = {name: value for name, value in given.items() if value is not None}
    scope = Scope(names, {"inputs": {"parameterValues": values}}, optional=given)
    try:
        return {
            name: scope.fill(constant) if isinstance(constant, str) else constant
            for name, constant in constants.items()
        }
    except PlaceholderError as error:
        raise ResolveError(f"Input parameter: {error}.") from None


def _artifacts(
    name: str, source: Json, definitions: Mapping[str, Any], around: Surroundings
) -> list[StoredArtifact] | None:
    match source:
        case {"componentInputArtifact": parent}:
            found = around.inputs.artifacts.get(parent)
        case {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": key}}:
            found = around.producers[producer].outputs.artifacts.get(key)
        case _:
            raise ResolveError(
                f"Input artifact {name!r} comes from {sorted(source)}, which is not supported."
            )
    if found is None and not definitions.get("artifacts", {}).get(name, {}).get("isOptional"):
        raise ResolveError(f"Input artifact {name!r} was not produced{_by(source, around)}.")
    return found


def _is_needed(name: str, definitions: Mapping[str, Any]) -> bool:
    definition = definitions.get("parameters", {}).get(name)
    return definition is not None and not definition.get("isOptional") and "defaultValue" not in definition


def _by(source: Json, around: Surroundings) -> str:
    """A clause on the task whose output an input is."""
    output = source.get("taskOutputParameter") or source.get("taskOutputArtifact")
    if output is None:
        return ""
    task = output["producerTask"]
    ended = around.producers[task].outcome.value.lower()
    return f" by task {task!r}, which has {ended}" if ended != "skipped" else f": task {task!r} was skipped"
