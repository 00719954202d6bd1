"""The last task that ``collect_outputs`` adds: it consumes every output and does nothing.

KFP's driver writes the values that a task consumes into the workflow's manifest, which the REST API returns
(KFP 2.17, ``runs`` API v1beta1). So where neither the tasks API nor MLMD can be reached, the node of this
task's driver shows the outputs of all steps. Those of steps that may not run, or run several times, are left
out: a task that consumed them would not run either, or could not tell them apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.compiler.tasks import Task
from airflow_kfp_runtime.dsl.blocks import OnExit, path_of
from airflow_kfp_runtime.dsl.references import StepOutput
from airflow_kfp_runtime.errors import StepError
from airflow_kfp_runtime.runtimes.component import Component, Container, InputDeclaration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_kfp_runtime.dsl.step import Step

TASK_NAME = "collect-outputs"
_IMAGE = "python:3.12-slim"


def collecting_task(components: Mapping[Step, Component], image: str | None) -> Task:
    """Return the task, whose input ``<task>--<output>`` is the output of that step.

    :param components: what each step runs.
    :param image: an image that has ``true``; by default that of the python kind, which nodes often hold.
    :raises StepError: a step has its name.
    """
    for step in components:
        if step.task_name == TASK_NAME:
            raise StepError(
                "is the name of the task that collect_outputs=True adds: rename the step", step=step.name
            )
    declared = {
        f"{step.task_name}--{key}": (StepOutput(step, key), value_type)
        for step, component in components.items()
        for key, value_type in component.outputs.items()
        if _runs_once(step)
    }
    inputs = {name: InputDeclaration(value_type) for name, (_, value_type) in declared.items()}
    return Task(
        name=TASK_NAME,
        component=Component(inputs, {}, Container(image or _IMAGE, command=("true",))),
        connected={name: output for name, (output, _) in declared.items()},
        after=sorted(step.task_name for step in components if _runs_once(step)),
    )


def left_out(steps: Iterable[Step], components: Mapping[Step, Component]) -> Iterator[str]:
    """Yield a sentence on the steps whose outputs the task does not consume."""
    names = [repr(step.name) for step in steps if not _runs_once(step) and components[step].outputs]
    if names:
        yield (
            f"collect_outputs leaves out the outputs of {', '.join(sorted(names))}, which may not run or run "
            "several times: read them through the tasks API or the metadata store"
        )


def _runs_once(step: Step) -> bool:
    return step.ends is None and all(isinstance(block, OnExit) for block in path_of(step.block))
