"""What flows into each step and block of a pipeline, checked against where it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_kfp_runtime.compiler.connections import (
    check_reference,
    connections,
    producers,
    references,
)
from airflow_kfp_runtime.compiler.run_time_values import run_time_values
from airflow_kfp_runtime.compiler.scopes import check_end, check_order, check_scope
from airflow_kfp_runtime.dsl.blocks import blocks_of, values_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_kfp_runtime.compiler.connections import Connection
    from airflow_kfp_runtime.compiler.run_time_values import RunTimeValue
    from airflow_kfp_runtime.dsl.pipeline import Pipeline
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.project.settings.model import TaskSettings


@dataclass(frozen=True)
class Flow:
    """What flows into a step.

    :param inputs: into its function.
    :param values: into its settings.
    :param needed: the steps that end before it starts.
    """

    inputs: Mapping[str, Connection]
    values: Sequence[RunTimeValue]
    needed: Sequence[Step]

    @property
    def before(self) -> list[str]:
        """The names of the tasks of the steps that end before it starts."""
        return [step.task_name for step in self.needed]


def flow_of(step: Step, settings: TaskSettings | None, pipeline: Pipeline) -> Flow:
    """Return what flows into a step.

    :raises StepError: a value is not JSON, of another pipeline, or not there for this step.
    """
    inputs = connections(step, pipeline)
    values = run_time_values(step, settings, pipeline)
    taken = [(step.field_of(name), reference) for name, reference in references(inputs)]
    taken += [(value.place, value.reference) for value in values]
    for field, reference in taken:
        check_scope(reference, step.block, step=step.name, field=field)
    check_order(step)
    check_end(step, dict(taken))
    connected = {**inputs, **{f"settings.{value.place}": value.reference for value in values}}
    needed = [output.step for _, output in producers(connected)] + step.predecessors
    return Flow(inputs, values, needed)


def check_flows(pipeline: Pipeline) -> None:
    """Check what blocks decide by and go through, and what comes out of the pipeline.

    :raises StepError: a value is of another pipeline, or not there.
    """
    for block in blocks_of(pipeline.steps):
        place = repr(block)
        for reference in values_of(block):
            check_reference(reference, pipeline, field=place)
            check_scope(reference, block.around, step=None, field=place)
    for name, output in pipeline.outputs.items():
        check_scope(output, None, step=None, field=f"pipeline output {name!r}")
