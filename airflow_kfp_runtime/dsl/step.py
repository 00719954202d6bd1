"""One step of a pipeline, its outputs, and the checks of what it is given."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.references import StepOutput, is_name
from airflow_kfp_runtime.errors import StepError, nearest

if TYPE_CHECKING:
    from typing_extensions import Self

    from airflow_kfp_runtime.dsl.blocks import Block, OnExit
    from airflow_kfp_runtime.dsl.context import PipelineContext
    from airflow_kfp_runtime.project.project import Function
    from airflow_kfp_runtime.project.settings import TaskSettings
    from airflow_kfp_runtime.project.workflow import Workflow

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

#: What DigitalHub calls the id of the run that a step has had its platform make.
_RUN_ID = "run_id"


@dataclass(eq=False)
class Step:
    """One step of a pipeline: a function of the project, an action, and what goes in and comes out.

    It is made by :meth:`PipelineContext.step`, which has the parameters' meaning. ``block`` is the innermost
    block that the step is in, ``ends`` the one at whose end it runs.
    """

    context: PipelineContext = field(repr=False)
    name: str
    function: str | Function | None
    function_id: str | None
    workflow: str | Workflow | None
    workflow_id: str | None
    action: str | None
    inputs: Mapping[str, Any]
    parameters: Mapping[str, Any]
    output_names: Mapping[str, str]
    values: Sequence[str]
    settings: TaskSettings | None
    block: Block | None = field(default=None, repr=False)
    predecessors: list[Step] = field(default_factory=list, repr=False)
    ends: OnExit | None = field(default=None, repr=False)

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

        :param steps: steps of the same ``pipeline_context()``. One in a loop that this step is not in stands
            for the whole loop, one in a ``when`` for it and the ``otherwise`` that belong to it.
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
                    allowed=nearest(step.name, self.context.step_names),
                )
            self.predecessors.append(step)
        return self


class StepOutputs(Mapping[str, StepOutput]):
    """The outputs of a step by name.

    Where the step names its outputs (``outputs``, ``values``) only those are known; where it names none,
    the function's own are, and whether it has the one asked for is checked when the pipeline is compiled. So
    is ``run_id``, which every step on a DigitalHub platform has.
    """

    def __init__(self, step: Step) -> None:
        self._step = step

    def __getitem__(self, key: str) -> StepOutput:
        names = list(self)
        if (names and key not in (*names, _RUN_ID)) or not is_name(key):
            raise StepError(
                f"{key!r} is not an output of the step", step=self._step.name, field="outputs", allowed=names
            )
        return StepOutput(self._step, key)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._step.output_names.values(), *self._step.values]))

    def __len__(self) -> int:
        return len(list(iter(self)))


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


def read_settings(given: Mapping[str, Any], *, step: str) -> TaskSettings | None:
    """Return the settings that a step was given; ``None`` where there are none.

    :raises SettingError: one is wrong.
    """
    if not given:
        return None
    from airflow_kfp_runtime.project.settings import TaskSettings

    return TaskSettings.read(given, step=step)


def checked_mapping(given: object, *, step: str, field: str) -> dict[str, Any]:
    """Return a step's inputs or parameters by name; ``None`` is none.

    :raises StepError: it is no mapping, or a key is no name.
    """
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


def output_names(
    step: str, outputs: Mapping[str, str] | None, step_outputs: Mapping[str, str] | Sequence[str] | None
) -> dict[str, str]:
    """Return the workflow's name of each output, by the function's.

    :param outputs: the names; a dot in one becomes an underscore, as DigitalHub's steps have it.
    :param step_outputs: another spelling of them, DigitalHub's; also a list of names that stay the same.
    :raises StepError: both are given, one is no name, or two outputs have the same.
    """
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


def value_names(step: str, values: Sequence[str] | None) -> list[str]:
    """Return the names of a step's plain values.

    :raises StepError: they are no list of names, or one is there twice.
    """
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
