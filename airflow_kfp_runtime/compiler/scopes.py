"""Which values are there where: what crosses the border of a block, and what has to happen for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.dsl.blocks import Branch, ForEach, OnExit, left_behind, path_of
from airflow_kfp_runtime.dsl.references import Collected, LoopItem, OneOf, StepOutput, producers_of
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    from airflow_kfp_runtime.dsl.blocks import Block
    from airflow_kfp_runtime.dsl.references import Reference
    from airflow_kfp_runtime.dsl.step import Step


def check_scope(reference: Reference, block: Block | None, *, step: str | None, field: str) -> None:
    """Raise a :class:`StepError` where a value is not there for what is in a block.

    :param block: where the value is used; ``None`` is the pipeline itself.
    :param step: the step that uses it, for the message.
    :param field: the place in the step, or the block that uses it.
    """
    problem = _problem(reference, block)
    if problem is not None:
        raise StepError(f"{reference!r} {problem}", step=step, field=field)


def check_order(step: Step) -> None:
    """Raise a :class:`StepError` where a step is to wait for what may never run, or is a step at the end."""
    for other in step.predecessors:
        problem = None
        left = left_behind(other.block, step.block)
        if other.ends is not None:
            problem = f"runs at the end of {other.ends!r}, and nothing can wait for it"
        elif left and isinstance(left[0], Branch) and not left[0].choice.is_complete:
            problem = (
                f"is in {left[0]!r}, which may not run, and KFP would leave out what waits for it. Write "
                "this step into the block, or add an otherwise() without a condition"
            )
        if problem is not None:
            raise StepError(f"step {other.name!r} {problem}", step=step.name, field="after")


def check_end(step: Step, values: dict[str, Reference]) -> None:
    """Raise a :class:`StepError` where a step that runs at the end of a block needs another.

    :param values: what it takes, by the place in the step.
    """
    if step.ends is None:
        return
    for field, value in values.items():
        if not isinstance(value, LoopItem) and producers_of(value):
            raise StepError(
                f"{value!r} may not be there: the step runs at the end of {step.ends!r}, however that has "
                "ended",
                step=step.name,
                field=field,
                allowed=["an argument of the pipeline", "a JSON value"],
            )
    if step.predecessors:
        raise StepError(
            f"cannot wait for step {step.predecessors[0].name!r}: it runs at the end of {step.ends!r}",
            step=step.name,
            field="after",
        )


def _problem(reference: Reference, block: Block | None) -> str | None:
    match reference:
        case LoopItem():
            if not any(one is reference.loop for one in path_of(block)):
                return "is there only inside that block"
        case StepOutput():
            return _end_problem(reference) or _crossing_problem(left_behind(reference.step.block, block))
        case Collected():
            return _collected_problem(left_behind(reference.output.step.block, block))
        case OneOf():
            return _crossing_problem(left_behind(reference.choice.around, block))
    return None


def _end_problem(output: StepOutput) -> str | None:
    if output.step.ends is None:
        return None
    return f"is of the step that runs at the end of {output.step.ends!r}, and nothing can wait for it"


def _crossing_problem(left: tuple[Block, ...]) -> str | None:
    """Say why a value cannot be used as it is outside of these blocks."""
    for block in left:
        match block:
            case Branch():
                return (
                    f"is in {block!r}, which may not run: use it inside that block, or outside "
                    "pc.one_of(...) with an output of each branch"
                )
            case ForEach():
                return f"is in {block!r}, and so there is one for each item: use pc.collected(...) outside"
    return None


def _collected_problem(left: tuple[Block, ...]) -> str | None:
    crossed = [block for block in left if not isinstance(block, OnExit)]
    if not any(isinstance(block, ForEach) for block in crossed):
        return "is used inside the loop that it collects: use the output as it is"
    for block in crossed:
        if isinstance(block, Branch):
            return f"is in {block!r}, which may not run, and so it cannot be collected outside of that block"
    return None
