"""From steps to components: what each step's kind of function makes, and the types that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_kfp_runtime.compiler.connections import Constant, Text, producers
from airflow_kfp_runtime.compiler.item_types import ItemTypes
from airflow_kfp_runtime.compiler.named import find_named
from airflow_kfp_runtime.dsl.references import Collected, LoopItem, OneOf, PipelineArgument, StepOutput
from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType, type_of
from airflow_kfp_runtime.errors import ArgumentError, StepError, nearest
from airflow_kfp_runtime.project.project import Function
from airflow_kfp_runtime.project.references import EntityReference, is_reference
from airflow_kfp_runtime.project.workflow import Workflow
from airflow_kfp_runtime.runtimes.component import Component, ComponentRequest
from airflow_kfp_runtime.runtimes.interface import PYTHON_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_kfp_runtime.compiler.connections import Connection
    from airflow_kfp_runtime.compiler.workflows import Workflows
    from airflow_kfp_runtime.dsl.references import Reference
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.project.project import Project
    from airflow_kfp_runtime.project.settings.model import TaskSettings
    from airflow_kfp_runtime.sources.sources import Sources


@dataclass
class Compilation:
    """What is known while the steps are gone through, producers first.

    :param components: what the steps so far run.
    :param built: the same by what was asked of the function's kind.
    :param argument_types: the types of arguments that the handler leaves open.
    :param argument_users: the step that each of them has from.
    :param sources: where files come from that functions name.
    :param workflows: compiles the workflows among the steps.
    :param items: the types of the items of loops.
    """

    components: dict[Step, Component] = field(default_factory=dict)
    built: dict[tuple[object, ...], tuple[Function, Component]] = field(default_factory=dict)
    argument_types: dict[PipelineArgument, ValueType] = field(default_factory=dict)
    argument_users: dict[PipelineArgument, str] = field(default_factory=dict)
    sources: Sources | None = None
    workflows: Workflows | None = None
    items: ItemTypes = field(default_factory=ItemTypes)

    def type_of(self, connection: Connection) -> ValueType | None:
        """Return a connection's type, or ``None`` for an argument whose type is still open."""
        match connection:
            case Constant(value):
                return type_of(value)
            case Text():
                return ParameterType.STRING
            case PipelineArgument():
                return self.argument_types.get(connection, connection.type)
            case StepOutput():
                return self.components[connection.step].outputs[connection.key]
            case LoopItem():
                return self.items.type_of(connection)
            case Collected(output=output):
                of_one = self.type_of(output)
                return (
                    replace(of_one, is_list=True) if isinstance(of_one, ArtifactType) else ParameterType.LIST
                )
            case OneOf(outputs=outputs):
                return self.type_of(outputs[0])

    def settled_type_of(self, reference: Reference) -> ValueType:
        """Return the type of an argument or output, once all arguments have one."""
        return self.type_of(reference) or ParameterType.STRING

    def build(self, function: Function, request: ComponentRequest) -> Component:
        """Return the component that a step's function kind makes, once for all steps that ask the same."""
        asked = (
            id(function),
            request.action,
            tuple(request.inputs.items()),
            tuple(request.outputs.items()),
            tuple(request.values),
            tuple(request.parameters),
            request.function_id,
            id(request.settings),
        )
        if asked not in self.built:
            # With the function, so that no other can have its id.
            self.built[asked] = (function, function.kind.build(request))
        return self.built[asked][1]

    def settle(self, argument: PipelineArgument, declared: ValueType | None, step: str, field: str) -> None:
        """Give an argument without a type the one that a step declares for it.

        :param step: the step, for errors.
        :param field: where the argument stands in it.
        :raises StepError: the step takes an artifact.
        :raises ArgumentError: another step takes it as another type.
        """
        if argument.type is not None or declared is None:
            return
        given = self.argument_types.get(argument)
        if isinstance(given, ArtifactType):
            # The pipeline around gives it; the function's kind has checked that it fits.
            return
        if isinstance(declared, ArtifactType):
            raise StepError(
                f"is an artifact ({declared.schema_title}), and an argument of a pipeline is a plain value",
                step=step,
                field=field,
                allowed=["an output of a step"],
            )
        settled = given or declared
        self.argument_types[argument] = settled
        user = self.argument_users.setdefault(argument, step)
        if settled is not declared:
            raise ArgumentError(
                f"is {PYTHON_NAMES[settled]} for step {user!r} and {PYTHON_NAMES[declared]} for step "
                f"{step!r}: annotate it in the handler's signature",
                field=f"argument {argument.name!r}",
            )

    def give_artifacts(
        self, arguments: Iterable[PipelineArgument], argument_types: Mapping[str, ValueType]
    ) -> None:
        """Give the arguments that leave their type open that of the artifact that they are given."""
        for argument in arguments:
            given = argument_types.get(argument.name)
            if argument.type is None and isinstance(given, ArtifactType):
                self.argument_types[argument] = given

    def settle_open(
        self, arguments: Iterable[PipelineArgument], argument_types: Mapping[str, ValueType]
    ) -> None:
        """Give the arguments that no step has settled the type that is given for them, or that of a text."""
        for argument in arguments:
            fallback = argument.type or argument_types.get(argument.name, ParameterType.STRING)
            self.argument_types.setdefault(argument, fallback)

    def input_types(self, component: Component, connected: Mapping[str, Connection]) -> dict[str, ValueType]:
        """Return the types of a component's inputs, where it leaves one open that of what is connected."""
        types: dict[str, ValueType] = {}
        for name, declaration in component.inputs.items():
            connection = connected.get(name)
            source = self.type_of(connection) if connection is not None else None
            types[name] = declaration.type or source or ParameterType.STRING
        return types

    def check_output(self, output: StepOutput, step: str | None, field: str) -> None:
        """Raise a :class:`StepError` where the function of the output's step does not have it."""
        declared = self.components[output.step].outputs
        if output.key not in declared:
            raise StepError(
                f"{output.key!r} is not an output of step {output.step.name!r}",
                step=step,
                field=field,
                allowed=sorted(declared) or ["none: that step has no outputs"],
            )


def build_component(
    step: Step,
    connected: Mapping[str, Connection],
    project: Project | None,
    compilation: Compilation,
    settings: TaskSettings | None = None,
) -> Component:
    """Return the component that a step runs; those of the steps before it are in ``compilation``.

    :param settings: the step's, for a kind that takes them.
    :raises DefinitionError: step, function and what is connected do not fit.
    """
    for name, output in producers(connected):
        compilation.check_output(output, step.name, step.field_of(name))
    function = function_of(step, project)
    action = step.action or next(iter(function.kind.actions), "")
    if function.kind.actions and action not in function.kind.actions:
        raise StepError(
            f"{action!r} is not an action of kind {function.kind.name!r}",
            step=step.name,
            field="action",
            allowed=function.kind.actions,
        )
    request = ComponentRequest(
        step=step.name,
        function_name=function.name,
        function=function.specification,
        action=action,
        inputs={name: compilation.type_of(connection) for name, connection in connected.items()},
        outputs=step.output_names,
        values=step.values,
        given=step.arguments,
        parameters=step.parameters,
        sources=compilation.sources,
        project=project.name if project else None,
        function_id=step.function_id,
        settings=settings if function.kind.takes_settings else None,
        compile_workflow=compilation.workflows,
    )
    component = compilation.build(function, request)
    _check_interface(step, component, connected)
    for name, connection in connected.items():
        if isinstance(connection, PipelineArgument):
            compilation.settle(connection, component.inputs[name].type, step.name, step.field_of(name))
        if isinstance(connection, LoopItem):
            compilation.items.settle(connection, component.inputs[name].type, step.name, step.field_of(name))
        if isinstance(connection, Text):
            _check_text(connection, compilation, step.name, step.field_of(name))
    return component


def _check_interface(step: Step, component: Component, connected: Mapping[str, Connection]) -> None:
    """Check what the built-in kinds check more closely, for the kinds that plugins add."""
    for name in connected:
        if name not in component.inputs:
            raise StepError(
                f"{name!r} is not an input of the function",
                step=step.name,
                field=step.field_of(name),
                allowed=nearest(name, sorted(component.inputs)) or ["none: it has no inputs"],
            )
    for name, declaration in component.inputs.items():
        if name not in connected and not declaration.optional:
            raise StepError("the function needs this input", step=step.name, field=f"inputs[{name!r}]")


def function_of(step: Step, project: Project | None) -> Function:
    """Return the function that a step names or was given; for a workflow, one that runs it.

    :raises StepError: it names no function, or one that is not there.
    """
    if step.workflow is not None:
        # Only such steps need the model of the kind, which takes a while to build.
        from airflow_kfp_runtime.runtimes.workflow import function_for

        return function_for(_workflow(step, project))
    if isinstance(step.function, Function):
        return step.function
    if not isinstance(step.function, str):
        meant = ": it is a workflow, write it as workflow=" if isinstance(step.function, Workflow) else ""
        raise StepError(
            f"{step.function!r:.200} is not a function{meant}",
            step=step.name,
            field="function",
            allowed=["a function's name in the project", "what new_function() returned"],
        )
    found: Function = find_named("function", step.function, project, step=step.name)
    return found


def _workflow(step: Step, project: Project | None) -> str | Workflow:
    """Return what a step names as its workflow, in the form that has the id where it gives one."""
    named = step.workflow
    if isinstance(named, Workflow):
        return named
    if not isinstance(named, str):
        raise StepError(
            f"{named!r} is not a workflow",
            step=step.name,
            field="workflow",
            allowed=["a workflow's name in the project", "what new_workflow() returned"],
        )
    if step.workflow_id is None or is_reference(named) or project is None:
        return named
    return str(EntityReference(project.name, "workflow", "kfp", named, step.workflow_id))


def _check_text(text: Text, compilation: Compilation, step: str, field: str) -> None:
    for reference in text.references.values():
        if isinstance(compilation.type_of(reference), ArtifactType):
            raise StepError(
                f"puts {reference!r}, which is an artifact, into a text: connect it as an input of its own",
                step=step,
                field=field,
            )
