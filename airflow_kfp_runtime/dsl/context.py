"""Steps written in Python: ``with pipeline_context() as pc: pc.step(...)``."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.references import StepOutput, is_name
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from airflow_kfp_runtime.project.project import Function
    from airflow_kfp_runtime.project.settings import TaskSettings

#: The parameters of a step besides its Kubernetes settings.
STEP_PARAMETERS = (
    "name",
    "function",
    "function_id",
    "workflow",
    "workflow_id",
    "action",
    "inputs",
    "outputs",
    "step_outputs",
    "parameters",
    "values",
)

_open_contexts: ContextVar[list[PipelineContext] | None] = ContextVar("open_contexts", default=None)


@dataclass(eq=False)
class Step:
    """One step of a pipeline: a function of the project, an action, and what goes in and comes out.

    It is made by :meth:`PipelineContext.step`, which has the parameters' meaning.
    """

    context: PipelineContext = field(repr=False)
    name: str
    function: str | Function | None
    function_id: str | None
    workflow: str | None
    workflow_id: str | None
    action: str | None
    inputs: Mapping[str, Any]
    parameters: Mapping[str, Any]
    output_names: Mapping[str, str]
    values: Sequence[str]
    settings: TaskSettings | None
    predecessors: list[Step] = field(default_factory=list, repr=False)

    @cached_property
    def task_name(self) -> str:
        """The name of the KFP task: lower case, with ``-`` for all that KFP does not allow."""
        return task_name(self.name)

    @property
    def outputs(self) -> StepOutputs:
        """The outputs by their names in the workflow: ``step.outputs["dataset"]``."""
        return StepOutputs(self)

    @property
    def arguments(self) -> dict[str, Any]:
        """Inputs and parameters together: to the function, both are arguments."""
        return {**self.inputs, **self.parameters}

    def field_of(self, argument: str) -> str:
        """Return the place of an argument for an error: ``inputs['url']`` or ``parameters['epochs']``."""
        return f"{'parameters' if argument in self.parameters else 'inputs'}[{argument!r}]"

    def after(self, *steps: Step) -> Self:
        """Start this step only when those have ended well, though no data flows from them.

        :param steps: steps of the same ``pipeline_context()``.
        :return: this step.
        :raises StepError: one is no step, or of another context.
        """
        for step in steps:
            if not isinstance(step, Step):
                raise StepError(f"{step!r} is not a step", step=self.name, field="after")
            if step.context is not self.context:
                raise StepError(
                    f"step {step.name!r} belongs to another pipeline_context()",
                    step=self.name,
                    field="after",
                    allowed=self.context.step_names,
                )
            self.predecessors.append(step)
        return self


class StepOutputs(Mapping[str, StepOutput]):
    """The outputs of a step by name.

    Where the step names its outputs (``outputs``, ``values``) only those are known; where it names none,
    the function's own are, and whether it has the one asked for is checked when the pipeline is compiled.
    """

    def __init__(self, step: Step) -> None:
        self._step = step

    def __getitem__(self, key: str) -> StepOutput:
        names = list(self)
        if (names and key not in names) or not is_name(key):
            raise StepError(
                f"{key!r} is not an output of the step", step=self._step.name, field="outputs", allowed=names
            )
        return StepOutput(self._step, key)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._step.output_names.values(), *self._step.values]))

    def __len__(self) -> int:
        return len(list(iter(self)))


class PipelineContext:
    """Collects the steps of one pipeline; made by :func:`pipeline_context`."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}
        opened = _open_contexts.get()
        if opened is not None:
            opened.append(self)

    def __enter__(self) -> Self:
        """Return the context itself, to call ``step`` on."""
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let an exception of the handler through."""

    @property
    def steps(self) -> list[Step]:
        """The steps so far, in the order in which they were written."""
        return list(self._steps.values())

    @property
    def step_names(self) -> list[str]:
        """The names of the steps so far, in the order in which they were written."""
        return [step.name for step in self._steps.values()]

    def find(self, name: str) -> Step | None:
        """Return the step of that name, or ``None`` where there is none."""
        step = self._steps.get(task_name(name))
        return step if step is not None and step.name == name else None

    def step(
        self,
        name: str,
        *,
        function: str | Function | None = None,
        action: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        values: Sequence[str] | None = None,
        workflow: str | None = None,
        function_id: str | None = None,
        workflow_id: str | None = None,
        step_outputs: Mapping[str, str] | Sequence[str] | None = None,
        **settings: Any,
    ) -> Step:
        """Add a step.

        Steps with no data between them run in parallel, unless ``.after()`` orders them.

        :param name: unique in the pipeline; the KFP task has it in lower case, with ``-`` for all that KFP
            does not allow.
        :param function: the function to run: its name in the project, or what ``project.new_function``
            returned.
        :param action: what the function does, one of its kind's actions; by default the kind's first, as
            ``job``.
        :param inputs: the function's arguments that are data: outputs of other steps, arguments of the
            pipeline, or JSON values.
        :param outputs: the function's output by its own name, to the name it has in the workflow
            (``{"result": "dataset"}`` gives ``step.outputs["dataset"]``). A ``.`` becomes ``_``.
        :param parameters: the function's further arguments; the same values as in ``inputs`` are allowed.
        :param values: names for the plain values that the function returns: one for each, in their order
            (those of a named tuple have names already). Without any, a single value is ``Output``.
        :param workflow: a workflow of the project, in place of a function. If both are given the function is
            run, as on a DigitalHub platform; a workflow alone is refused when the pipeline is compiled,
            which has no other pipelines as steps.
        :param function_id: the function's id on a DigitalHub platform.
        :param workflow_id: the workflow's id on a DigitalHub platform.
        :param step_outputs: another spelling of ``outputs``; also a list, of names that stay as they are.
        :param settings: Kubernetes settings for this step, such as ``resources`` or ``node_selector``, in any
            of the forms of ``docs/settings.md``.
        :return: the step; ``step.outputs["dataset"]`` is an output, ``step.after(other)`` orders.
        :raises StepError: with the step, the field, the value, and what is allowed.
        :raises SettingError: likewise, for a setting.

        Example::

            with pipeline_context() as pc:
                download = pc.step(
                    name="download", function="downloader", inputs={"url": url}, outputs={"data": "data"}
                )
                pc.step(name="train", function="train", inputs={"di": download.outputs["data"]})
        """
        self._check_name(name)
        refuse_unknown(settings, STEP_PARAMETERS, step=name)
        if function is None and workflow is None:
            raise StepError("names neither a function nor a workflow", step=name, field="function")
        if inspect.isfunction(function):
            raise StepError(
                "is a plain Python function: add it with "
                f'project.new_function("{function.__name__}", handler={function.__name__})',
                step=name,
                field="function",
            )
        step = Step(
            context=self,
            name=name,
            function=function,
            function_id=function_id,
            workflow=None if function is not None else workflow,
            workflow_id=workflow_id,
            action=action,
            inputs=_checked_mapping(inputs, step=name, field="inputs"),
            parameters=_checked_mapping(parameters, step=name, field="parameters"),
            output_names=_output_names(name, outputs, step_outputs),
            values=_value_names(name, values),
            settings=_settings(settings, step=name),
        )
        twice = sorted(set(step.inputs) & set(step.parameters))
        if twice:
            raise StepError(f"{twice[0]!r} is an input already", step=name, field=f"parameters[{twice[0]!r}]")
        self._steps[step.task_name] = step
        return step

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not task_name(name):
            raise StepError(f"{name!r} is not a name: it needs a letter or digit", field="name")
        other = self._steps.get(task_name(name))
        if other is None:
            return
        if other.name == name:
            raise StepError("another step has this name already", step=name, field="name")
        raise StepError(
            f"becomes the KFP task {task_name(name)!r}, as step {other.name!r} does: rename one",
            step=name,
            field="name",
        )


def pipeline_context() -> PipelineContext:
    """Open the context in which a handler writes its steps, as DigitalHub's ``pipeline_context()`` does.

    :return: a context manager whose ``step`` adds a step.
    """
    return PipelineContext()


def task_name(name: str) -> str:
    """Return the name of the KFP task for a step's name (``download_data`` gives ``download-data``)."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def refuse_unknown(given: Mapping[str, Any], known: Sequence[str], *, step: str) -> None:
    """Raise for a parameter that is neither known nor a setting, naming the ones that were probably meant."""
    for name in given:
        if name not in known and not _is_setting(name):
            from airflow_kfp_runtime.project.settings.forms import NAMES

            meant = difflib.get_close_matches(str(name), (*known, *NAMES), n=3)
            raise StepError(
                f"{name!r} is not a parameter of a step",
                step=step,
                field=str(name),
                allowed=meant or (*known, *NAMES),
            )


def _is_setting(name: object) -> bool:
    # Steps without settings need no model of them, which takes a while to build.
    from airflow_kfp_runtime.project.settings.forms import is_setting

    return is_setting(name)


def _settings(given: Mapping[str, Any], *, step: str) -> TaskSettings | None:
    if not given:
        return None
    from airflow_kfp_runtime.project.settings import TaskSettings

    return TaskSettings.read(given, step=step)


def _checked_mapping(given: object, *, step: str, field: str) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise StepError(f"{given!r} is not a mapping of names to values", step=step, field=field)
    for name in given:
        if not is_name(name):
            raise StepError(
                f"{name!r} is not a name: letters, digits, '_' and '-' are allowed, a letter or '_' first",
                step=step,
                field=field,
            )
    return dict(given)


def _output_names(
    step: str, outputs: Mapping[str, str] | None, step_outputs: Mapping[str, str] | Sequence[str] | None
) -> dict[str, str]:
    if outputs is not None and step_outputs is not None:
        raise StepError("is another spelling of 'outputs': give one of them", step=step, field="step_outputs")
    field = "outputs" if step_outputs is None else "step_outputs"
    given = outputs if step_outputs is None else step_outputs
    if given is None:
        return {}
    if isinstance(given, Sequence) and not isinstance(given, str):
        given = {name: name for name in given}
    if not isinstance(given, Mapping):
        raise StepError(f"{given!r} is not a mapping of names to names", step=step, field=field)
    names: dict[str, str] = {}
    for own_name, workflow_name in given.items():
        exposed = workflow_name.replace(".", "_") if isinstance(workflow_name, str) else workflow_name
        if not is_name(exposed):
            raise StepError(
                f"{workflow_name!r} is not a name: letters, digits, '_', '-' and '.' are allowed",
                step=step,
                field=f"{field}[{own_name!r}]",
            )
        if exposed in names.values():
            raise StepError(f"two outputs are named {exposed!r}", step=step, field=field)
        names[own_name] = exposed
    return names


def _value_names(step: str, values: Sequence[str] | None) -> list[str]:
    if values is None:
        return []
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise StepError(f"{values!r} is not a list of names", step=step, field="values")
    for position, name in enumerate(values):
        if not is_name(name):
            raise StepError(
                f"{name!r} is not a name: letters, digits, '_' and '-' are allowed",
                step=step,
                field=f"values[{position}]",
            )
        if name in values[:position]:
            raise StepError(f"{name!r} is there already", step=step, field=f"values[{position}]")
    return list(values)
