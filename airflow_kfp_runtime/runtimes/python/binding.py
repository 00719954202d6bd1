"""A function's signature bound to one step: the component's interface, and what the executor must know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import StepError
from airflow_kfp_runtime.runtimes.component import InputDeclaration
from airflow_kfp_runtime.runtimes.interface import (
    PYTHON_NAMES,
    check_distinct,
    check_known,
    connection,
    fits,
    type_name,
    workflow_output_names,
)
from airflow_kfp_runtime.runtimes.python.annotations import Direction
from airflow_kfp_runtime.runtimes.python.signature import ReturnForm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.runtimes.component import ComponentRequest
    from airflow_kfp_runtime.runtimes.python.signature import Argument, Returns, Signature

#: The output's name of a single return value that nobody names, as kfp calls it.
SINGLE_OUTPUT = "Output"


@dataclass(frozen=True)
class Binding:
    """What a step and its function make together.

    :param inputs: the component's inputs.
    :param outputs: the component's outputs, by the workflow's names.
    :param interface: what the executor gets, as JSON; see ``executor.Step``.
    """

    inputs: Mapping[str, InputDeclaration]
    outputs: Mapping[str, ValueType]
    interface: Mapping[str, Any]


def bind(signature: Signature, request: ComponentRequest) -> Binding:
    """Check a step against its function's signature and join the two.

    :raises StepError: an input is unknown, missing or of another type; an output is unknown, or the type
        of a returned value cannot be told.
    """
    function = f"function {signature.function!r}"
    taken = {name: a for name, a in signature.arguments.items() if a.direction is Direction.INPUT}
    written = {name: a for name, a in signature.arguments.items() if a.direction is Direction.OUTPUT}

    for field in ("inputs", "parameters"):
        given = [name for name in request.inputs if request.field_of(name).startswith(field)]
        check_known(request.step, field, given, taken, f"an input of {function}")
    inputs = {
        name: _input(request, name, argument)
        for name, argument in taken.items()
        if argument.type is not None or name in request.inputs or argument.required
    }

    workflow_names = workflow_output_names(request)
    _check_values(request, written)
    returned = _returned_names(signature, request, written)
    names = {name: workflow_names.get(name, name) for name in (*written, *returned)}
    check_distinct(request.step, names)
    outputs: dict[str, ValueType] = {
        names[name]: argument.type for name, argument in written.items() if argument.type is not None
    }
    outputs.update(
        (names[name], type_) for name, type_ in zip(returned, signature.returns.types, strict=True)
    )
    interface = _interface(
        signature, inputs, {name: names[name] for name in written}, [names[name] for name in returned]
    )
    return Binding(inputs, outputs, interface)


def _interface(
    signature: Signature,
    inputs: Mapping[str, InputDeclaration],
    written: Mapping[str, str],
    returned: list[str],
) -> dict[str, Any]:
    """Return what the executor gets.

    :param written: the workflow's name of each output that the function writes, by the function's.
    :param returned: the workflow's names of what it returns, in order.
    """
    interface = {
        "function": signature.function,
        "inputs": {
            name: PYTHON_NAMES[declared.type] if declared.type is not None else None
            for name, declared in inputs.items()
            if not isinstance(declared.type, ArtifactType)
        },
        "outputs": written,
        "paths": [name for name, argument in signature.arguments.items() if argument.as_path],
        "returns": _returns(signature.returns, returned),
        "form": signature.returns.form.value,
    }
    lists = [
        name
        for name, declared in inputs.items()
        if isinstance(declared.type, ArtifactType) and declared.type.is_list
    ]
    # Only where there are some, so that what other functions run stays the same, and their caches count.
    return {**interface, "lists": lists} if lists else interface


def _input(request: ComponentRequest, name: str, argument: Argument) -> InputDeclaration:
    if name not in request.inputs:
        if argument.required:
            raise StepError(
                f"function {request.function_name!r} needs this input and has no default for it",
                step=request.step,
                field=f"inputs[{name!r}]",
            )
        return InputDeclaration(argument.type, optional=True, default=argument.default)
    given = request.inputs[name]
    if argument.type is None:
        return InputDeclaration(given, optional=not argument.required)
    _check_connection(request, name, argument.type)
    return InputDeclaration(argument.type, optional=not argument.required, default=argument.default)


def _check_connection(request: ComponentRequest, name: str, declared: ValueType) -> None:
    allowed: list[str] = []
    match request.inputs[name], declared:
        case ArtifactType() as given, ParameterType():
            problem = (
                f"{connection(request, name)}, but the function declares {type_name(declared)}; "
                f"annotate the argument as `{name}: Input[{type_name(given)}]`"
            )
        case ((ParameterType() | None), ArtifactType()):
            problem = (
                f"{connection(request, name)}, but the function declares Input[{type_name(declared)}]; "
                "connect an artifact, or annotate the argument with the value's type"
            )
        case given, _ if given is not None and not fits(given, declared):
            problem = connection(request, name)
            allowed = [type_name(declared)]
        case _:
            return
    raise StepError(problem, step=request.step, field=request.field_of(name), allowed=allowed)


def _check_values(request: ComponentRequest, written: Mapping[str, Argument]) -> None:
    for name in request.values:
        if name in written and isinstance(written[name].type, ArtifactType):
            raise StepError(
                f"{name!r} is an artifact; name it in outputs instead", step=request.step, field="values"
            )


def _returned_names(
    signature: Signature, request: ComponentRequest, written: Mapping[str, Argument]
) -> tuple[str, ...]:
    """Return the function's name of each returned value, in order."""
    returns = signature.returns
    asked = [name for name in dict.fromkeys([*request.outputs, *request.values]) if name not in written]
    if returns.fields:
        known = {*written, *returns.fields}
        what = f"an output of function {signature.function!r}"
        check_known(request.step, "outputs", request.outputs, known, what)
        check_known(request.step, "values", request.values, known, what)
        return returns.fields
    if returns.form is ReturnForm.SINGLE and not asked:
        return (SINGLE_OUTPUT,)
    if len(asked) == len(returns.types):
        return tuple(asked)
    raise _wrong_count(signature, request, asked, written)


def _wrong_count(
    signature: Signature, request: ComponentRequest, asked: list[str], written: Mapping[str, Argument]
) -> StepError:
    function = f"function {signature.function!r}"
    count = len(signature.returns.types)
    arguments = ", ".join(written) or "none"
    if not asked:
        return StepError(
            f"{function} returns {count} values without names: name them in outputs or values, in that order",
            step=request.step,
            field="outputs",
        )
    field = f"outputs[{asked[0]!r}]" if asked[0] in request.outputs else f"values[{asked[0]!r}]"
    if not signature.returns.annotated:
        return StepError(
            f"{asked[0]!r} is not an Output argument of {function} (those are: {arguments}), and what the "
            "function returns has no annotation, without which KFP cannot know its type; add one",
            step=request.step,
            field=field,
            allowed=["-> str", "-> int", "-> float", "-> bool", "-> list", "-> dict", "-> tuple[int, str]"],
        )
    advice = f"; give {count} names, one for each value" if count > 1 else ""
    return StepError(
        f"{', '.join(map(repr, asked))} must come from what {function} returns, which is {count or 'no'} "
        f"value{'' if count == 1 else 's'} without names{advice}; its Output arguments are: {arguments}",
        step=request.step,
        field=field,
    )


def _returns(returns: Returns, names: list[str]) -> list[tuple[str, str | None, str]]:
    fields = returns.fields or (None,) * len(names)
    return [
        (name, field, PYTHON_NAMES[type_])
        for name, field, type_ in zip(names, fields, returns.types, strict=True)
    ]
