"""What a step is given that is known when the pipeline is written."""

from __future__ import annotations

from typing import Any

from airflow_kfp_runtime.dsl.json_values import plain
from airflow_kfp_runtime.dsl.references import REFERENCE_IN_TEXT, PipelineArgument, StepOutput
from airflow_kfp_runtime.dsl.step import Step
from airflow_kfp_runtime.errors import StepError


def constant(value: Any, *, step: str, field: str) -> Any:
    """Return a value in JSON's own types.

    :param value: a text may have references in it.
    :param step: the step that is given the value, for an error.
    :param field: the place in that step.
    :raises StepError: it is a step itself, or not JSON, or holds a reference where KFP cannot put one.
    """
    if isinstance(value, (list, tuple, dict)) and _holds_reference(value):
        raise StepError(
            "holds an output or argument inside a list or dict, where KFP cannot put it: "
            "give it as an input of its own",
            step=step,
            field=field,
        )
    if isinstance(value, Step):
        raise StepError(
            f"is step {value.name!r} itself: pass one of its outputs",
            step=step,
            field=field,
            allowed=[f"its outputs[{name!r}]" for name in value.outputs or ["name"]],
        )
    try:
        return plain(value)
    except ValueError as error:
        raise StepError(
            f"{value!r:.200} cannot be passed: {error}",
            step=step,
            field=field,
            allowed=["an output of a step", "an argument of the pipeline", "a JSON value"],
        ) from None


def _holds_reference(value: Any) -> bool:
    match value:
        case StepOutput() | PipelineArgument():
            return True
        case str():
            return REFERENCE_IN_TEXT.search(value) is not None
        case list() | tuple():
            return any(_holds_reference(item) for item in value)
        case dict():
            return any(_holds_reference(item) for pair in value.items() for item in pair)
        case _:
            return False
