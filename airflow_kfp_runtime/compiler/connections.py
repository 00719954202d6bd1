"""What the arguments of a step are connected to, and the order of steps that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_kfp_runtime.dsl.constants import constant
from airflow_kfp_runtime.dsl.references import REFERENCE_IN_TEXT, PipelineArgument, StepOutput
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Mapping

    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.dsl.pipeline import Pipeline
    from airflow_kfp_runtime.dsl.references import Reference


@dataclass(frozen=True)
class Constant:
    """A value that is known when the pipeline is compiled."""

    value: Any


@dataclass(frozen=True)
class Text:
    """A text with references in it.

    :param template: with ``{{$.inputs.parameters['...']}}`` where a reference was, as kfp compiles it.
    :param references: by the name that the template has for each.
    """

    template: str
    references: Mapping[str, Reference]


#: What an argument of a step is connected to.
Connection: TypeAlias = Constant | Text | PipelineArgument | StepOutput


def connections(step: Step, pipeline: Pipeline) -> dict[str, Connection]:
    """Return what each argument of a step is connected to, by name; arguments that are ``None`` are left out.

    :raises StepError: a value is not JSON, or refers to another pipeline.
    """
    connected = {}
    channels: dict[str, Reference] = {}
    for name, value in step.arguments.items():
        if value is not None:
            connected[name] = _connection(value, step, step.field_of(name), pipeline, channels)
    return connected


def channel_name(reference: Reference) -> str:
    """Return the name of the input that carries a reference into a text, as kfp compiles it."""
    if isinstance(reference, StepOutput):
        return f"pipelinechannel--{reference.step.task_name}-{reference.key}"
    return f"pipelinechannel--{reference.name}"


def placeholder(reference: Reference) -> str:
    """Return what stands for a reference in a text until the task runs."""
    return f"{{{{$.inputs.parameters['{channel_name(reference)}']}}}}"


def producers(connected: Mapping[str, Connection]) -> Iterator[tuple[str, StepOutput]]:
    """Yield the outputs of steps that flow into a step, each with the name of the argument that takes it."""
    for name, connection in connected.items():
        references = connection.references.values() if isinstance(connection, Text) else [connection]
        for reference in references:
            if isinstance(reference, StepOutput):
                yield name, reference


def ordered(pipeline: Pipeline, connected: Mapping[Step, Mapping[str, Connection]]) -> list[Step]:
    """Return the steps so that each comes after those that it needs.

    :raises StepError: there is a cycle; the message names its steps.
    """
    sorter: TopologicalSorter[Step] = TopologicalSorter()
    for step in pipeline.steps:
        needed = [output.step for _, output in producers(connected[step])]
        sorter.add(step, *needed, *step.predecessors)
    try:
        return list(sorter.static_order())
    except CycleError as error:
        names = " -> ".join(repr(step.name) for step in reversed(error.args[1]))
        raise StepError(
            f"the steps wait for each other: {names}", step=error.args[1][0].name, field="inputs or after"
        ) from None


def check_reference(reference: Reference, step: Step, field: str, pipeline: Pipeline) -> None:
    """Raise a :class:`StepError` for an argument or output of another pipeline than the step's."""
    if isinstance(reference, PipelineArgument):
        if not any(reference is argument for argument in pipeline.arguments):
            raise StepError(
                f"refers to argument {reference.name!r} of another pipeline",
                step=step.name,
                field=field,
                allowed=[argument.name for argument in pipeline.arguments],
            )
    elif reference.step.context is not step.context:
        raise StepError(
            f"refers to {reference!r}, of another pipeline_context()",
            step=step.name,
            field=field,
            allowed=step.context.step_names,
        )


def _connection(
    value: Any, step: Step, field: str, pipeline: Pipeline, channels: dict[str, Reference]
) -> Connection:
    match value:
        case StepOutput() | PipelineArgument():
            check_reference(value, step, field, pipeline)
            return value
        case str() if REFERENCE_IN_TEXT.search(value):
            return _text(value, step, field, pipeline, channels)
    return Constant(constant(value, step=step.name, field=field))


def _text(value: str, step: Step, field: str, pipeline: Pipeline, channels: dict[str, Reference]) -> Text:
    """Return a text with placeholders for its references.

    :param channels: the references of the step's other texts, by the name that a template has for each.
    """
    references: dict[str, Reference] = {}

    def replaced(match: re.Match[str]) -> str:
        reference = _referred(match, step, field, pipeline)
        name = channel_name(reference)
        if str(channels.setdefault(name, reference)) != str(reference):
            raise StepError(
                f"{reference!r} and {channels[name]!r} are both {name!r} to KFP: rename one",
                step=step.name,
                field=field,
            )
        references[name] = reference
        return placeholder(reference)

    return Text(REFERENCE_IN_TEXT.sub(replaced, value), references)


def _referred(match: re.Match[str], step: Step, field: str, pipeline: Pipeline) -> Reference:
    if match["argument"]:
        for argument in pipeline.arguments:
            if argument.name == match["argument"]:
                return argument
    else:
        for other in pipeline.steps:
            if other.task_name == match["task"]:
                return StepOutput(other, match["key"])
    raise StepError(f"{match[0]} refers to another pipeline", step=step.name, field=field)
