"""The last task that ``collect_outputs`` adds: it consumes every output and does nothing.

KFP's driver writes the values that a task consumes into the workflow's manifest, which the REST API returns
(KFP 2.17, ``runs`` API v1beta1). So where neither the tasks API nor MLMD can be reached, the node of this
task's driver shows the outputs of all steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.dsl.references import StepOutput
from airflow_kfp_runtime.runtimes.component import Component, Container, InputDeclaration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.dsl.context import Step
    from airflow_kfp_runtime.dsl.types import ValueType

TASK_NAME = "collect-outputs"
_IMAGE = "python:3.12-slim"


def collect_inputs(components: Mapping[Step, Component]) -> dict[str, StepOutput]:
    """Return every output of every step, by the name of the input that consumes it: ``<task>--<output>``."""
    return {
        f"{step.task_name}--{key}": StepOutput(step, key)
        for step, component in components.items()
        for key in component.outputs
    }


def collect_component(types: Mapping[str, ValueType], image: str | None) -> tuple[str, Component]:
    """Return the task's name and its component.

    :param types: the types of the inputs.
    :param image: an image that has ``true``; by default that of the python kind, which nodes often hold.
    """
    inputs = {name: InputDeclaration(value_type) for name, value_type in types.items()}
    return TASK_NAME, Component(inputs, {}, Container(image or _IMAGE, command=("true",)))
