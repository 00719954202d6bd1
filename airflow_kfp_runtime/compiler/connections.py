"""What the arguments of a step are connected to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_kfp_runtime.dsl.constants import constant
from airflow_kfp_runtime.dsl.references import (
    REFERENCE_IN_TEXT,
    Collected,
    LoopItem,
    OneOf,
    PipelineArgument,
    Reference,
    StepOutput,
    producers_of,
)
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Mapping

    from airflow_kfp_runtime.dsl.pipeline import Pipeline
    from airflow_kfp_runtime.dsl.step import Step


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
Connection: TypeAlias = Constant | Text | Reference


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
    """Return the name of the input that carries a reference into a text or a graph, as kfp compiles it."""
    return f"pipelinechannel--{_name(reference)}"


def placeholder(reference: Reference) -> str:
    """Return what stands for a reference in a text until the task runs."""
    return _placeholder(channel_name(reference))


def _placeholder(name: str) -> str:
    return f"{{{{$.inputs.parameters['{name}']}}}}"


def references(connected: Mapping[str, Connection]) -> Iterator[tuple[str, Reference]]:
    """Yield the run-time values that flow into a step, each with the name of the argument that takes it."""
    for name, connection in connected.items():
        match connection:
            case Text():
                yield from ((name, reference) for reference in connection.references.values())
            case Constant():
                pass
            case reference:
                yield name, reference


def producers(connected: Mapping[str, Connection]) -> Iterator[tuple[str, StepOutput]]:
    """Yield the outputs of steps that flow into a step, each with the name of the argument that takes it."""
    for name, reference in references(connected):
        yield from ((name, output) for output in producers_of(reference))


def check_reference(reference: Reference, pipeline: Pipeline, *, step: str | None = None, field: str) -> None:
    """Raise a :class:`StepError` for an argument or output of another pipeline than that which uses it."""
    if isinstance(reference, PipelineArgument):
        if not any(reference is argument for argument in pipeline.arguments):
            raise StepError(
                f"refers to argument {reference.name!r} of another pipeline",
                step=step,
                field=field,
                allowed=[argument.name for argument in pipeline.arguments],
            )
        return
    context = pipeline.steps[0].context
    for output in producers_of(reference):
        if output.step.context is not context:
            raise StepError(
                f"refers to {output!r}, of another pipeline_context()",
                step=step,
                field=field,
                allowed=context.step_names,
            )


def _connection(
    value: Any, step: Step, field: str, pipeline: Pipeline, channels: dict[str, Reference]
) -> Connection:
    match value:
        case _ if isinstance(value, Reference):
            check_reference(value, pipeline, step=step.name, field=field)
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
        if isinstance(reference, LoopItem) and str(channels.get(name, reference)) != str(reference):
            # Loops in each other may go through the same list.
            name = f"{name}-{reference.loop.number}"
        if str(channels.setdefault(name, reference)) != str(reference):
            raise StepError(
                f"{reference!r} and {channels[name]!r} are both {name!r} to KFP: rename one",
                step=step.name,
                field=field,
            )
        references[name] = reference
        return _placeholder(name)

    return Text(REFERENCE_IN_TEXT.sub(replaced, value), references)


def _referred(match: re.Match[str], step: Step, field: str, pipeline: Pipeline) -> Reference:
    found = _found(match, pipeline)
    if found is None:
        raise StepError(f"{match[0]} refers to another pipeline", step=step.name, field=field)
    return found


def _found(match: re.Match[str], pipeline: Pipeline) -> Reference | None:
    blocks = pipeline.steps[0].context.blocks
    if match["argument"]:
        return next((one for one in pipeline.arguments if one.name == match["argument"]), None)
    if match["loop"]:
        loop = next(iter(blocks.loops[int(match["loop"]) - 1 :]), None)
        key = match["item_key"]
        return None if loop is None else LoopItem(loop, None if key is None else loop.checked_key(key))
    if match["one_of"]:
        return next(iter(blocks.one_ofs[int(match["one_of"]) - 1 :]), None)
    step = next((one for one in pipeline.steps if one.task_name == match["task"]), None)
    output = None if step is None else StepOutput(step, match["key"])
    return Collected(output) if output is not None and match["form"] == "collected" else output


def _name(reference: Reference) -> str:
    match reference:
        case PipelineArgument(name=name):
            return name
        case StepOutput(step=step, key=key):
            return f"{step.task_name}-{key}"
        case LoopItem(loop=loop, key=str() as key):
            return f"{_name(LoopItem(loop))}-subvar-{key}"
        case LoopItem(loop=loop):
            if isinstance(loop.items, Reference):
                return f"{_name(loop.items)}-loop-item"
            return f"loop-item-param-{loop.number}"
        case Collected(output=output):
            return f"collected-{_name(output)}"
        case OneOf(number=number):
            return f"oneof-{number}"
