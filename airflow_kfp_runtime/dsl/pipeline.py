"""A pipeline before it is compiled: its arguments, steps and outputs; and how a handler becomes one."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from airflow_kfp_runtime.dsl.context import PipelineContext, _open_contexts
from airflow_kfp_runtime.dsl.json_values import plain
from airflow_kfp_runtime.dsl.references import (
    MISSING,
    Collected,
    OneOf,
    OutputReference,
    PipelineArgument,
    StepOutput,
    is_name,
    producers_of,
)
from airflow_kfp_runtime.dsl.types import PARAMETER_TYPES, ParameterType, type_of
from airflow_kfp_runtime.errors import ArgumentError, StepError

if TYPE_CHECKING:
    from airflow_kfp_runtime.dsl.step import Step

#: The pipeline output of a handler that returns a single step output; the name is kfp's.
SINGLE_OUTPUT = "Output"


@dataclass(frozen=True)
class Pipeline:
    """What a handler or a list of steps describes.

    :param name: the pipeline's name, as the user wrote it.
    :param description: what it is for; KFP's UI shows it.
    :param arguments: what a run is given, in the order of the handler's signature.
    :param steps: in the order in which they were written.
    :param outputs: the pipeline's own outputs, by name.
    :param written_as_data: whether it has no signature, so that an argument is there by being used.
    """

    name: str
    description: str | None
    arguments: tuple[PipelineArgument, ...]
    steps: tuple[Step, ...]
    outputs: Mapping[str, OutputReference]
    written_as_data: bool = False


def trace(
    handler: Callable[..., Any], *, name: str | None = None, description: str | None = None
) -> Pipeline:
    """Call a handler with placeholders for its arguments and return the pipeline that it writes.

    :param handler: a function that opens one ``pipeline_context()``. Its parameters are the pipeline's
        arguments: annotations (``str``, ``int``, ``float``, ``bool``, ``list``, ``dict``) give their types,
        defaults make them optional. What it returns (a step's output, or a mapping or named tuple of them)
        are the pipeline's outputs.
    :param name: the pipeline's name; by default the handler's.
    :param description: what it is for; by default the handler's docstring.
    :raises ArgumentError: a parameter of the handler cannot be an argument of a pipeline.
    :raises StepError: the handler writes no step, opens several contexts, or a step is wrong.
    """
    arguments = _arguments(handler)
    contexts: list[PipelineContext] = []
    token = _open_contexts.set(contexts)
    try:
        returned = handler(**{argument.name: argument for argument in arguments})
    finally:
        _open_contexts.reset(token)
    written = [context for context in contexts if context.steps]
    title = name or str(getattr(handler, "__name__", "pipeline"))
    if not written:
        raise StepError(f"handler {title!r} writes no step: call pc.step() in a pipeline_context()")
    if len(written) > 1:
        raise StepError(
            f"handler {title!r} writes steps in {len(written)} contexts: use one pipeline_context()"
        )
    return Pipeline(
        name=title,
        description=description or inspect.getdoc(handler),
        arguments=arguments,
        steps=tuple(written[0].steps),
        outputs=_outputs(returned, written[0]),
    )


def _arguments(handler: Callable[..., Any]) -> tuple[PipelineArgument, ...]:
    arguments = []
    for parameter in inspect.signature(handler).parameters.values():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
            raise ArgumentError(
                "a handler's parameters are the pipeline's arguments: each needs a name of its own",
                field=str(parameter),
            )
        default = MISSING if parameter.default is parameter.empty else parameter.default
        annotation = _annotation(handler, parameter)
        argument = _argument(parameter.name, _annotated_type(parameter.name, annotation), default)
        arguments.append(replace(argument, item_type=_item_type(annotation)))
    return tuple(arguments)


def _argument(name: str, annotated: ParameterType | None, default: Any) -> PipelineArgument:
    """Return the pipeline argument of that name, its type and default checked against each other.

    :raises ArgumentError: the default is not of the type, or not a value that KFP has.
    """
    if default is MISSING or default is None:
        return PipelineArgument(name, annotated, default)
    try:
        default = plain(default)
    except ValueError as error:
        raise ArgumentError(
            f"the default {default!r:.200} cannot be passed: {error}",
            field=f"argument {name!r}",
            allowed=[kind.__name__ for kind in PARAMETER_TYPES],
        ) from None
    given = type_of(default)
    if annotated is ParameterType.DOUBLE and given is ParameterType.INTEGER:
        return PipelineArgument(name, annotated, float(default))
    if annotated not in {None, given}:
        raise ArgumentError(
            f"the default {default!r:.200} is not of the annotated type",
            field=f"argument {name!r}",
            allowed=[kind.__name__ for kind, parameter in PARAMETER_TYPES.items() if parameter is annotated],
        )
    return PipelineArgument(name, given, default)


def _annotation(handler: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """Return what a parameter is annotated with, out of ``Optional``."""
    annotation = _resolved(handler, parameter.annotation)
    if get_origin(annotation) in {Union, types.UnionType}:
        chosen = [member for member in get_args(annotation) if member is not type(None)]
        annotation = chosen[0] if len(chosen) == 1 else annotation
    return annotation


def _item_type(annotation: Any) -> ParameterType | None:
    """Return the type of the items of ``list[int]``."""
    if get_origin(annotation) is not list:
        return None
    (item,) = get_args(annotation)
    return PARAMETER_TYPES.get(get_origin(item) or item)


def _annotated_type(name: str, annotation: Any) -> ParameterType | None:
    if annotation is Any or annotation is inspect.Parameter.empty:
        return None
    origin = get_origin(annotation) or annotation
    for kind, parameter_type in PARAMETER_TYPES.items():
        if origin is kind:
            return parameter_type
    raise ArgumentError(
        f"{annotation!r} cannot be the type of a pipeline's argument",
        field=f"argument {name!r}",
        allowed=[kind.__name__ for kind in PARAMETER_TYPES],
    )


def _resolved(handler: Callable[..., Any], annotation: Any) -> Any:
    """Return an annotation that may be written as a text, on its own.

    The handler's other annotations, as that of its result, may exist for type checkers alone.
    """
    if annotation is inspect.Parameter.empty:
        return annotation
    names = getattr(inspect.unwrap(handler), "__globals__", {})
    try:
        return get_type_hints(types.SimpleNamespace(__annotations__={"it": annotation}), names)["it"]
    except (NameError, TypeError, SyntaxError):
        return annotation


def _outputs(returned: object, context: PipelineContext) -> dict[str, OutputReference]:
    match returned:
        case None | PipelineContext():
            named: dict[str, Any] = {}
        case StepOutput() | Collected() | OneOf():
            named = {SINGLE_OUTPUT: returned}
        case Mapping():
            named = dict(returned)
        case tuple() if hasattr(returned, "_asdict"):
            named = returned._asdict()
        case _:
            raise StepError(
                f"the handler returns {returned!r}",
                field="return",
                allowed=["a step's output", "a mapping of names to steps' outputs"],
            )
    for name, output in named.items():
        if not is_name(name):
            raise StepError(f"{name!r} cannot be the name of a pipeline's output", field="return")
        if not isinstance(output, OutputReference) or any(
            producer.step.context is not context for producer in producers_of(output)
        ):
            raise StepError(
                f"{output!r} is not an output of a step of this pipeline", field=f"return[{name!r}]"
            )
    return named
