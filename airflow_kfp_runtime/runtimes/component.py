"""What a function kind makes from a step: a component, in the terms of KFP's ``ComponentSpec``.

A kind is a :class:`FunctionKind`; see :mod:`airflow_kfp_runtime.plugins` for how one is added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pydantic import BaseModel

    from airflow_kfp_runtime.compiler.package import PipelinePackage
    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.project.settings.model import TaskSettings
    from airflow_kfp_runtime.project.workflow import Workflow
    from airflow_kfp_runtime.sources.sources import Sources


@dataclass(frozen=True)
class InputDeclaration:
    """One input of a component.

    :param type: its type, or ``None`` to take the type of whatever parameter is connected.
    :param optional: whether a step may leave it out.
    :param default: the value then, as JSON; only where ``optional``, and ``None`` means there is none.
    """

    type: ValueType | None = None
    optional: bool = False
    default: Any = None


@dataclass(frozen=True)
class Container:
    """The container that runs a component (``PipelineContainerSpec``).

    ``command`` and ``args`` may hold KFP's placeholders (``{{$.inputs.parameters['url']}}``).
    """

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NestedPipeline:
    """A pipeline that is already compiled and runs as one task, with tasks of its own inside.

    :param pipeline_spec: its IR.
    :param platform_spec: its Kubernetes part, or ``None``.
    :param step_names: the user's names of the steps inside by the paths of their tasks, where they are known.
    """

    pipeline_spec: Mapping[str, Any]
    platform_spec: Mapping[str, Any] | None = None
    step_names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Component:
    """A component: its interface, and what implements it.

    :param inputs: by name.
    :param outputs: type by name; the names are those that ``step.outputs[...]`` knows.
    :param implementation: a container, or a pipeline.
    :param settings: Kubernetes settings that the kind itself brings, without run-time values; those of the
        step win over them, unless the kind ``takes_settings``.
    :param warnings: what a run will not have as it was written, a sentence for each.
    """

    inputs: Mapping[str, InputDeclaration]
    outputs: Mapping[str, ValueType]
    implementation: Container | NestedPipeline
    settings: TaskSettings | None = None
    warnings: tuple[str, ...] = ()


class WorkflowCompiler(Protocol):
    """Compiles another workflow of the project, with the options of the pipeline around it."""

    def __call__(
        self,
        named: str | Workflow,
        *,
        step: str,
        settings: TaskSettings | None,
        argument_types: Mapping[str, ValueType | None],
    ) -> PipelinePackage:
        """Return the workflow's package.

        :param named: the workflow, or its name.
        :param step: the step that it is, for errors.
        :param settings: for all of its steps.
        :param argument_types: the types of what the step gives.
        """


@dataclass(frozen=True)
class ComponentRequest:
    """What a kind is asked to make a component for: one step and its function.

    :param step: the step's name, for errors.
    :param function_name: the function's name in the project, for errors.
    :param function: the function's specification, an instance of the kind's ``specification`` model.
    :param action: the step's action, one of the kind's ``actions`` where it has some.
    :param inputs: type of what is connected, by input name; the step's ``parameters`` are among them.
        ``None`` stands for a pipeline argument whose type is not declared.
    :param outputs: the step's ``outputs``: the function's output name to the name in the workflow.
    :param values: the step's ``values``: outputs that are plain values.
    :param given: what the step gives for each input, for errors: a value, a pipeline argument or an output.
    :param parameters: the names of the inputs that stand in the step's ``parameters``.
    :param sources: where files come from that the function names; ``None`` stands for
        :class:`~airflow_kfp_runtime.sources.Sources` as it is without arguments.
    :param project: the name of the project that the pipeline is of, or ``None``.
    :param function_id: the step's ``function_id``: the function's version on a DigitalHub platform.
    :param settings: where the kind ``takes_settings``: what was said for the step on all levels together.
    :param compile_workflow: compiles another workflow; ``None`` where there is no pipeline around.
    """

    step: str
    function_name: str
    function: BaseModel
    action: str
    inputs: Mapping[str, ValueType | None]
    outputs: Mapping[str, str]
    values: Sequence[str]
    given: Mapping[str, Any] = field(default_factory=dict)
    parameters: Collection[str] = ()
    sources: Sources | None = None
    project: str | None = None
    function_id: str | None = None
    settings: TaskSettings | None = None
    compile_workflow: WorkflowCompiler | None = None

    def field_of(self, name: str) -> str:
        """Return where an input stands in the step, for errors: ``inputs['n']``."""
        return f"{'parameters' if name in self.parameters else 'inputs'}[{name!r}]"


@dataclass(frozen=True)
class FunctionKind:
    """A kind of function that a step may name.

    :param name: as in ``project.new_function(kind=name)``.
    :param specification: a pydantic model (``extra="forbid"``) of the fields that such a function has.
    :param actions: the actions that a step may name, the default first; empty where they depend on the
        function: then ``build`` checks what the step names, which may be nothing (``""``).
    :param build: makes the component, the same one for the same request, of which ``step`` and ``given`` are
        for errors only; raises :class:`airflow_kfp_runtime.errors.FunctionError` or
        :class:`~airflow_kfp_runtime.errors.StepError` where step and function do not fit.
    :param takes_settings: whether the component does itself what the settings of its step ask, such as
        passing them to a platform that starts a pod of its own. It gets them in the request, with a
        ``profile`` and secrets as the user wrote them; its task gets only the component's ``settings``.
    """

    name: str
    specification: type[BaseModel]
    actions: tuple[str, ...]
    build: Callable[[ComponentRequest], Component]
    takes_settings: bool = False
