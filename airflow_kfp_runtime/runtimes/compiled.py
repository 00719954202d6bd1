"""What is compiled already, a component or a pipeline, as the component of a step.

The kinds ``component``, ``kfp`` and ``workflow`` have this in common: the interface is given, and a step has
to fit it.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import FunctionError, SourceError, StepError, nearest
from airflow_kfp_runtime.runtimes.component import Component, Container, InputDeclaration, NestedPipeline
from airflow_kfp_runtime.runtimes.interface import check_distinct, check_given, workflow_output_names
from airflow_kfp_runtime.runtimes.kfp_outputs import with_output_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.runtimes.component import ComponentRequest

#: The name of what a handler or a function returns as a single value; it is kfp's.
_SINGLE = "Output"

#: A task gets all of its outputs' names and paths through this, and finds its own by name.
_EVERYTHING = re.compile(r"\{\{\$(?:\.json_escape\[\d+\])?\}\}")


@dataclass(frozen=True)
class Compiled:
    """A component or a pipeline.

    :param title: what it is, for errors: ``workflow 'etl'``.
    :param inputs: by name.
    :param outputs: type by its own name of each.
    :param implementation: what runs it, with the outputs' own names.
    """

    title: str
    inputs: Mapping[str, InputDeclaration]
    outputs: Mapping[str, ValueType]
    implementation: Container | NestedPipeline


def compiled_pipeline(title: str, nested: NestedPipeline) -> Compiled:
    """Return a pipeline with the interface that its IR declares.

    :raises FunctionError: it has an input that nothing can be connected to.
    """
    root = nested.pipeline_spec["root"]
    return Compiled(title, declared_inputs(root, title), declared_outputs(root, title), nested)


def declared_inputs(component: Mapping[str, Any], title: str) -> dict[str, InputDeclaration]:
    """Return the inputs that a component of an IR declares (``inputDefinitions``).

    :raises FunctionError: one is of a type that the server fills in for the SDK's own tasks alone, such as
        ``TASK_FINAL_STATUS``.
    """
    definitions = component.get("inputDefinitions", {})
    inputs = {}
    for name, definition in _both(definitions):
        declared = _type_of(definition)
        if declared is None:
            raise FunctionError(
                f"its input {name!r} is of type {definition.get('parameterType')}, which a step cannot give",
                field=title,
                allowed=[parameter.value for parameter in ParameterType],
            )
        # The SDK before 2.0 did not write isOptional beside a default.
        optional = definition.get("isOptional", "defaultValue" in definition)
        inputs[name] = InputDeclaration(declared, optional, definition.get("defaultValue"))
    return inputs


def declared_outputs(component: Mapping[str, Any], title: str) -> dict[str, ValueType]:
    """Return the outputs that a component of an IR declares (``outputDefinitions``).

    :raises FunctionError: one is of a type that is not known.
    """
    outputs: dict[str, ValueType] = {}
    for name, definition in _both(component.get("outputDefinitions", {})):
        declared = _type_of(definition)
        if declared is None:
            raise FunctionError(
                f"its output {name!r} is of the unknown type {definition.get('parameterType')}",
                field=title,
                allowed=[parameter.value for parameter in ParameterType],
            )
        outputs[name] = declared
    return outputs


def component_of(compiled: Compiled, request: ComponentRequest) -> Component:
    """Return the component of a step, with the outputs' names in the workflow.

    :raises StepError: the step and the interface do not fit.
    """
    _check_inputs(compiled, request)
    names = _output_names(compiled, request)
    changed = {own: named for own, named in names.items() if own != named}
    implementation = compiled.implementation
    if changed and isinstance(implementation, NestedPipeline):
        implementation = replace(
            implementation, pipeline_spec=_with_names(implementation.pipeline_spec, names)
        )
    elif changed and isinstance(implementation, Container):
        implementation = _writing(implementation, changed, compiled, request)
    return Component(
        inputs=compiled.inputs,
        outputs={names[own]: output for own, output in compiled.outputs.items()},
        implementation=implementation,
    )


def _both(definitions: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [*definitions.get("parameters", {}).items(), *definitions.get("artifacts", {}).items()]


def _type_of(definition: Mapping[str, Any]) -> ValueType | None:
    artifact = definition.get("artifactType")
    if artifact is not None:
        known = {
            "schema_title": artifact.get("schemaTitle"),
            "schema_version": artifact.get("schemaVersion"),
            "is_list": definition.get("isArtifactList"),
        }
        return ArtifactType(**{field: value for field, value in known.items() if value})
    try:
        return ParameterType(definition.get("parameterType"))
    except ValueError:
        return None


def _check_inputs(compiled: Compiled, request: ComponentRequest) -> None:
    for name in request.inputs:
        if name not in compiled.inputs:
            raise StepError(
                f"{name!r} is not an input of {compiled.title}",
                step=request.step,
                field=request.field_of(name),
                allowed=nearest(name, sorted(compiled.inputs)) or ["none: it has no inputs"],
            )
        check_given(request, name, compiled.inputs[name].type, compiled.title)
    for name, declaration in compiled.inputs.items():
        if name not in request.inputs and not declaration.optional:
            raise StepError(
                f"{compiled.title} needs this input", step=request.step, field=f"inputs[{name!r}]"
            )


def _output_names(compiled: Compiled, request: ComponentRequest) -> dict[str, str]:
    """Return the name in the workflow of each output, by its own."""
    names = workflow_output_names(request)
    single = [name for name in request.values if name not in compiled.outputs]
    if len(request.values) == len(single) == 1 and _SINGLE in compiled.outputs and _SINGLE not in names:
        names[_SINGLE] = names.pop(single[0])
    for own, named in names.items():
        field = f"outputs[{own!r}]" if own in request.outputs else "values"
        if own not in compiled.outputs:
            raise StepError(
                f"{own!r} is not an output of {compiled.title}",
                step=request.step,
                field=field,
                allowed=nearest(own, sorted(compiled.outputs)) or ["none: it has no outputs"],
            )
        if field == "values" and isinstance(compiled.outputs[own], ArtifactType):
            raise StepError(
                f"output {own!r} of {compiled.title} is an artifact, not a plain value: "
                f"write outputs={{{own!r}: {named!r}}}",
                step=request.step,
                field=field,
            )
    # Those that the step names come last, so that one of them is blamed for a name that is taken.
    names = {**{own: own for own in compiled.outputs if own not in names}, **names}
    check_distinct(request.step, names)
    return names


def _with_names(spec: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a pipeline whose own outputs have other names."""
    root = dict(spec["root"])
    root["outputDefinitions"] = _renamed(root.get("outputDefinitions", {}), names)
    root["dag"] = {**root["dag"], "outputs": _renamed(root["dag"].get("outputs", {}), names)}
    return {**spec, "root": root}


def _renamed(by_kind: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        kind: {names.get(name, name): value for name, value in values.items()}
        for kind, values in by_kind.items()
    }


def _writing(
    container: Container, names: Mapping[str, str], compiled: Compiled, request: ComponentRequest
) -> Container:
    """Return a container whose placeholders for outputs have other names."""
    lines = (*container.command, *container.args)
    if any(_EVERYTHING.search(line) for line in lines):
        command = with_output_names(container.command, names)
        if command is not None:
            return replace(container, command=command)
        own, named = next(iter(names.items()))
        raise StepError(
            f"the program of {compiled.title} writes its output under the name {own!r}, which cannot be "
            f"{named!r}: use step.outputs[{own!r}]",
            step=request.step,
            field=f"outputs[{own!r}]" if own in request.outputs else "values",
            allowed=[f"{{{own!r}: {own!r}}}"],
        )
    placeholder = re.compile(r"(\$\.outputs\.(?:parameters|artifacts)\[\\?(['\"]))([^'\"\\]+)(?=\\?\2\])")

    def renamed(line: str) -> str:
        return placeholder.sub(lambda match: f"{match[1]}{names.get(match[3], match[3])}", line)

    return replace(
        container,
        command=tuple(renamed(line) for line in container.command),
        args=tuple(renamed(line) for line in container.args),
    )


@contextmanager
def placed(title: str, request: ComponentRequest) -> Iterator[None]:
    """Say in errors about a definition whose it is.

    :param title: the function's: ``function 'train'``.
    :param request: has the step.
    """
    try:
        yield
    except (FunctionError, SourceError) as error:
        place = title if error.field in {None, title} else f"{title}, {error.field}"
        raise type(error)(
            error.problem, step=request.step, field=place, allowed=error.allowed
        ) from error.__cause__
