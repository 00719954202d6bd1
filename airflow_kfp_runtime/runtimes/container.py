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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import StepError
from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.runtimes.component import Component, Container, FunctionKind, InputDeclaration
from airflow_kfp_runtime.runtimes.interface import (
    TYPE_NAMES,
    check_distinct,
    connection,
    fits,
    type_name,
    value_type,
    workflow_output_names,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.runtimes.component import ComponentRequest

_REFERENCE = re.compile(r"\$\((inputs|parameters|outputs)\.([^()\s]+)\)")

#: What is a reference or is meant as one: ``$(input.x)``, ``$(inputs.)``, ``${inputs.x}``, ``{{inputs.x}}``.
#: Group 1 is the escape. Other ``$(...)`` are the shell's and stay as they are.
_MENTION = re.compile(
    r"(\$?)\$\(SIDES?\.[^(){}\n]*\)?|\$\{SIDES?\.[^(){}\n]*\}?|\{\{\s*SIDES?\.[^(){}\n]*\}{0,2}".replace(
        "SIDE", "(?:input|output|parameter|param)"
    ),
    re.IGNORECASE,
)

#: An input that a command line with KFP's placeholders uses; ``{{$}}`` holds them all.
_USED_INPUT = re.compile(r"\{\{\$[^}]*\.inputs\.(?:parameters|artifacts)\[['\"]([^'\"]+)")

#: What each key of KFP's component notation refers to.
_KFP_NOTATION = {
    "inputValue": ("inputs", "value"),
    "inputPath": ("inputs", "path"),
    "inputUri": ("inputs", "uri"),
    "outputPath": ("outputs", "path"),
    "outputUri": ("outputs", "uri"),
}


class ContainerFunction(BaseModel):
    """What a function of kind ``container`` is made of.

    :param image: the image.
    :param command: the program and its first arguments, or the program alone as a text. KFP starts the
        program itself and does not know the image's ``ENTRYPOINT``, so there must be one.
    :param args: further arguments, after those of ``command``. In both, a value takes its reference's place
        as it is: a script of ``sh -c`` should get it as an argument, ``["sh", "-c", 'sort "$1" > "$2"',
        "sh", "$(inputs.table)", "$(outputs.sorted)"]``, since the shell reads what stands in its text.
    :param env: environment variables: a mapping, or DigitalHub's list of ``{"name": ..., "value": ...}``.
    :param inputs: type name by input name (``{"url": "str", "di": "Dataset"}``); an input that is not
        among them takes the type of what is connected.
    :param outputs: type name by output name, in the function's own terms; an output that is not among them
        is an ``Artifact`` where the step has it in ``outputs``, a ``str`` where it has it in ``values``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str = Field(min_length=1)
    command: tuple[str | dict[str, str], ...] = Field(default=(), validate_default=True)
    args: tuple[str | dict[str, str], ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    outputs: dict[str, str] = Field(default_factory=dict)

    @field_validator("command", mode="before")
    @classmethod
    def _program_alone(cls, command: Any) -> Any:
        return (command,) if isinstance(command, str) and command else command

    @field_validator("command")
    @classmethod
    def _begins_with_a_program(cls, command: tuple[object, ...]) -> tuple[object, ...]:
        if not command:
            raise ValueError(
                "is empty: KFP starts the program itself and does not know the image's ENTRYPOINT; "
                "name the program"
            )
        return command

    @field_validator("env", mode="before")
    @classmethod
    def _named_values(cls, env: Any) -> Any:
        if isinstance(env, list) and all(
            isinstance(entry, dict) and entry.keys() == {"name", "value"} for entry in env
        ):
            return {entry["name"]: entry["value"] for entry in env}
        return env

    @field_validator("env")
    @classmethod
    def _no_references(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if _MENTION.search(value):
                raise ValueError(
                    f"{name}={value!r}: KFP fills in inputs and outputs in command and args only; "
                    "pass it there, for instance through `env NAME=$(inputs.x) program`"
                )
        return env

    @field_validator("inputs", "outputs")
    @classmethod
    def _known_types(cls, declared: dict[str, str]) -> dict[str, str]:
        for name, written in declared.items():
            if value_type(written) is None:
                raise ValueError(f"{name!r}: {written!r} is not a type. Allowed: {', '.join(TYPE_NAMES)}")
        return declared


def build(request: ComponentRequest) -> Component:
    """Make the component of a step whose function is a container.

    :raises StepError: the command line refers to what the step does not have, an input has another type
        than is declared or is never used, or an output is never written.
    """
    function = request.function
    if not isinstance(function, ContainerFunction):
        raise TypeError(f"a ContainerFunction is needed, not {type(function).__name__}")
    output_types, output_names = _outputs(request, function)
    line = _CommandLine(request.step, _inputs(request, function), output_types, output_names)
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
        given = request.inputs[name] or (ParameterType.STRING if isinstance(wanted, ArtifactType) else wanted)
        if given is not None and wanted is not None and not fits(given, wanted):
            raise StepError(
                f"{connection(request, name)}, which function {request.function_name!r} does not take",
                step=request.step,
                field=request.field_of(name),
                allowed=[type_name(wanted)],
            )
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


@dataclass
class _CommandLine:
    """Fills in the references of one step's command line, and notes which outputs it writes."""

    step: str
    inputs: Mapping[str, ValueType | None]
    outputs: Mapping[str, ValueType]
    output_names: Mapping[str, str]
    written: set[str] = field(default_factory=set)

    def filled_in(self, place: str, entries: Sequence[str | dict[str, str]]) -> tuple[str, ...]:
        return tuple(self._entry(f"{place}[{index}]", entry) for index, entry in enumerate(entries))

    def _entry(self, place: str, entry: str | dict[str, str]) -> str:
        if isinstance(entry, dict):
            filled = self._notation(place, entry)
        else:
            filled = _MENTION.sub(lambda match: self._reference(place, match), entry)
        if place == "command[0]" and "{{$" in filled:
            raise StepError(
                f"{entry!r} refers to an input or output, but KFP does not fill in the program's own name; "
                "begin the command with `env`",
                step=self.step,
                field=place,
            )
        return filled

    def _notation(self, place: str, entry: dict[str, str]) -> str:
        match list(entry.items()):
            case [(key, name)] if key in _KFP_NOTATION:
                side, facet = _KFP_NOTATION[key]
                return self._placeholder(place, str(entry), side, name, facet)
            case _:
                raise StepError(
                    f"{entry!r} is not a reference",
                    step=self.step,
                    field=place,
                    allowed=[f'{{"{key}": NAME}}' for key in _KFP_NOTATION],
                )

    def _reference(self, place: str, match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        reference = _REFERENCE.fullmatch(match[0])
        if reference is None:
            raise self._misspelt(place, match[0])
        side, name = reference.groups()
        known = self.outputs if side == "outputs" else self.inputs
        facet = ""
        stem, _, end = name.rpartition(".")
        if name not in known and end in ("uri", "path", "value"):
            name, facet = stem, end
        elif side == "parameters":
            facet = "value"
        return self._placeholder(place, match[0], side, name, facet)

    def _placeholder(self, place: str, written: str, side: str, name: str, facet: str) -> str:
        """Return KFP's placeholder for an input or output.

        :param facet: ``value``, ``path``, ``uri``, or empty for the one that is usual for its type.
        """
        if side == "outputs":
            own = {named: own for own, named in self.output_names.items()}
            name = name if name in self.outputs else own.get(name, name)
            return self._output(place, written, name, facet)
        if name not in self.inputs:
            raise self._unknown(place, written, "input", self.inputs)
        if isinstance(self.inputs[name], ArtifactType):
            if facet == "value":
                raise self._wrong(place, written, name, "an artifact, which has no value", "path or uri")
            return f"{{{{$.inputs.artifacts['{name}'].{facet or 'path'}}}}}"
        if facet not in ("", "value"):
            raise self._wrong(place, written, name, f"a parameter, which has no {facet}", "its value")
        return f"{{{{$.inputs.parameters['{name}']}}}}"

    def _output(self, place: str, written: str, name: str, facet: str) -> str:
        if name not in self.outputs:
            raise self._unknown(place, written, "output", self.outputs)
        self.written.add(name)
        named = self.output_names[name]
        if facet == "value":
            raise self._wrong(place, written, name, "an output, which has no value yet", "its path")
        if isinstance(self.outputs[name], ArtifactType):
            return f"{{{{$.outputs.artifacts['{named}'].{facet or 'path'}}}}}"
        if facet not in ("", "path"):
            raise self._wrong(place, written, name, f"a plain value, which has no {facet}", "its path")
        return f"{{{{$.outputs.parameters['{named}'].output_file}}}}"

    def _misspelt(self, place: str, written: str) -> StepError:
        advice = f"; where the shell is to get it, write ${written}" if written.startswith("$(") else ""
        return StepError(
            f"{written} is not a reference to an input or output{advice}",
            step=self.step,
            field=place,
            allowed=["$(inputs.NAME)", "$(parameters.NAME)", "$(outputs.NAME)"],
        )

    def _unknown(self, place: str, written: str, what: str, known: Mapping[str, object]) -> StepError:
        names = sorted(known)
        return StepError(
            f"{written} refers to an {what} that the step does not have",
            step=self.step,
            field=place,
            allowed=names or [f"none: the step has no {what}s"],
        )

    def _wrong(self, place: str, written: str, name: str, what: str, allowed: str) -> StepError:
        return StepError(f"{written}: {name!r} is {what}", step=self.step, field=place, allowed=[allowed])


@hookimpl
def function_kinds() -> Sequence[FunctionKind]:
    """Add the kind ``container``."""
    return [FunctionKind("container", ContainerFunction, ("job",), build)]
