"""The kind ``container``: a program in an image, whose command line names the step's inputs and outputs.

A string of ``command`` or ``args`` refers to them anywhere in it::

    project.new_function(
        "download",
        kind="container",
        image="curlimages/curl:8.11.0",
        command=["curl", "--fail", "--output", "$(outputs.dataset)", "$(inputs.url)"],
    )

``$(inputs.x)`` is a parameter's value or an artifact's local path, ``$(parameters.x)`` the same for a
parameter, ``$(outputs.y)`` the file to write; ``$(inputs.x.uri)`` and ``$(outputs.y.uri)`` an artifact's
URI. ``$$(inputs.x)`` stands for the text itself. Each input and output of the step must be referred to.

A value takes the reference's place as it is. In the script of ``sh -c`` the shell would read it as code (a
space splits it, ``;`` and ``$`` act), so give it to the script as an argument::

    command=["sh", "-c", 'sort "$1" > "$2"', "sh", "$(inputs.table)", "$(outputs.sorted)"]

KFP's own component notation is understood as well:
``{"inputValue": "x"}``, ``{"inputPath": "x"}``, ``{"inputUri": "x"}``, ``{"outputPath": "y"}``,
``{"outputUri": "y"}``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import StepError
from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.runtimes.component import Component, Container, FunctionKind, InputDeclaration
from airflow_kfp_runtime.runtimes.container.command_line import CommandLine
from airflow_kfp_runtime.runtimes.container.specification import ContainerFunction
from airflow_kfp_runtime.runtimes.interface import (
    check_distinct,
    check_given,
    value_type,
    workflow_output_names,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.runtimes.component import ComponentRequest

#: An input that a command line with KFP's placeholders uses; ``{{$}}`` holds them all.
_USED_INPUT = re.compile(r"\{\{\$[^}]*\.inputs\.(?:parameters|artifacts)\[['\"]([^'\"]+)")


def build(request: ComponentRequest) -> Component:
    """Make the component of a step whose function is a container.

    :raises StepError: the command line refers to what the step does not have, an input has another type
        than is declared or is never used, or an output is never written.
    """
    function = request.function
    if not isinstance(function, ContainerFunction):
        raise TypeError(f"a ContainerFunction is needed, not {type(function).__name__}")
    output_types, output_names = _outputs(request, function)
    line = CommandLine(request.step, _inputs(request, function), output_types, output_names)
    container = Container(
        image=function.image,
        command=line.filled_in("command", function.command),
        args=line.filled_in("args", function.args),
        env=function.env,
    )
    filled = " ".join((*container.command, *container.args))
    if "{{$}}" not in filled:
        _check_used(request, set(_USED_INPUT.findall(filled)))
    for name in output_types.keys() - line.written:
        raise StepError(
            "nothing in command or args refers to this output, so the program cannot know where to write it; "
            f"pass it as $(outputs.{name})",
            step=request.step,
            field=f"outputs[{name!r}]",
        )
    return Component(
        inputs={name: InputDeclaration(type=given) for name, given in line.inputs.items()},
        outputs={output_names[name]: given for name, given in output_types.items()},
        implementation=container,
    )


def _check_used(request: ComponentRequest, used: set[str]) -> None:
    for name in request.inputs:
        if name not in used:
            raise StepError(
                "nothing in command or args refers to this input, so the program would never get it; "
                f"pass it as $(inputs.{name}), or leave it out",
                step=request.step,
                field=request.field_of(name),
            )


def _inputs(request: ComponentRequest, function: ContainerFunction) -> dict[str, ValueType | None]:
    declared = {name: value_type(written) for name, written in function.inputs.items()}
    for name, wanted in declared.items():
        if name not in request.inputs:
            raise StepError(
                f"function {request.function_name!r} needs this input",
                step=request.step,
                field=f"inputs[{name!r}]",
            )
        check_given(request, name, wanted, f"function {request.function_name!r}")
    return {name: declared.get(name, given) for name, given in request.inputs.items()}


def _outputs(
    request: ComponentRequest, function: ContainerFunction
) -> tuple[dict[str, ValueType], dict[str, str]]:
    """Return type and workflow name of each output, both by the function's name."""
    names = workflow_output_names(request)
    types: dict[str, ValueType] = {}
    for name, named in names.items():
        written = function.outputs.get(name, function.outputs.get(named))
        unwritten = ParameterType.STRING if name in request.values else ArtifactType()
        types[name] = (value_type(written) if written else None) or unwritten
    for name, written in function.outputs.items():
        declared = value_type(written)
        if name not in names and name not in names.values() and declared is not None:
            names[name], types[name] = name, declared
    check_distinct(request.step, names)
    return types, names


@hookimpl
def function_kinds() -> Sequence[FunctionKind]:
    """Add the kind ``container``."""
    return [FunctionKind("container", ContainerFunction, ("job",), build)]
