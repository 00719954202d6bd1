"""The kind ``shell``: a function that is a script of the shell."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import StepError
from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.runtimes.component import (
    Component,
    ComponentRequest,
    Container,
    FunctionKind,
    InputDeclaration,
)


class ShellFunction(BaseModel):
    """A script that finds each input in a variable of its name, and for each output the file to write.

    :param script: what ``sh`` runs; it fails at the first command that fails.
    :param image: an image with ``sh`` and ``env``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    script: str
    image: str = "alpine:3"


def build(request: ComponentRequest) -> Component:
    """Make the component of a step: its interface, and the container that runs it."""
    function = request.function
    variables: dict[str, str] = {}
    for name, given in request.inputs.items():
        if isinstance(given, ArtifactType):
            raise StepError(
                "is an artifact, and a script takes plain values",
                step=request.step,
                field=request.field_of(name),
            )
        variables[name] = f"{{{{$.inputs.parameters['{name}']}}}}"
    for name in request.values:
        variables[name] = f"{{{{$.outputs.parameters['{name}'].output_file}}}}"
    return Component(
        inputs={name: InputDeclaration(given) for name, given in request.inputs.items()},
        outputs=dict.fromkeys(request.values, ParameterType.STRING),
        implementation=Container(
            image=function.image,
            # As variables, the values reach the script as they are; in its text the shell would read them.
            command=("env", *(f"{name}={value}" for name, value in variables.items()), "sh", "-ec"),
            args=(function.script,),
        ),
    )


@hookimpl
def function_kinds() -> list[FunctionKind]:
    """Add the kind; ``run`` is its only action."""
    return [FunctionKind("shell", ShellFunction, ("run",), build)]
