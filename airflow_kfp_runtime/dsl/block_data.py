"""Blocks of steps, and the values that cross their borders, as JSON and back; part of the serialization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.blocks import Branch, Choice, ForEach, OnExit
from airflow_kfp_runtime.dsl.conditions import (
    OPERATORS,
    Comparison,
    Condition,
    Junction,
    Negation,
    is_constant,
)
from airflow_kfp_runtime.dsl.open_blocks import checked_items, checked_parallelism
from airflow_kfp_runtime.dsl.references import (
    Collected,
    LoopItem,
    OneOf,
    PipelineArgument,
    Reference,
    StepOutput,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_kfp_runtime.dsl.blocks import Block
    from airflow_kfp_runtime.dsl.context import PipelineContext
    from airflow_kfp_runtime.dsl.step import Step


def reference_as_data(reference: Reference) -> dict[str, Any]:
    """Return what a run-time value is; loops and values of branches by their number in the context."""
    match reference:
        case PipelineArgument(name=name):
            return {"argument": name}
        case StepOutput(step=step, key=key):
            return {"output": {"step": step.name, "key": key}}
        case LoopItem(loop=loop, key=key):
            return {"item": {"loop": loop.number, "key": key}}
        case Collected(output=output):
            return {"collected": reference_as_data(output)}
        case OneOf(number=number):
            return {"one_of": number}


def blocks_as_data(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """Return blocks, each after the one around it."""
    return [_block(block, blocks) for block in blocks]


def _block(block: Block, blocks: Sequence[Block]) -> dict[str, Any]:
    around = None if block.around is None else blocks.index(block.around)
    match block:
        case Branch(choice=choice, condition=condition):
            written = None if condition is None else _condition(condition)
            return {"branch_of": blocks.index(choice.branches[0]), "around": around, "condition": written}
        case ForEach(items=items, parallelism=parallelism):
            goes_through = reference_as_data(items) if isinstance(items, Reference) else {"constant": items}
            return {"for_each": goes_through, "around": around, "parallelism": parallelism}
        case OnExit(step=step):
            return {"on_exit": step.name, "around": around}


def _condition(condition: Condition) -> dict[str, Any]:
    match condition:
        case Comparison(left=left, operator=operator, right=right):
            return {"left": _operand(left), "operator": operator, "right": _operand(right)}
        case Negation(condition=negated):
            return {"not": _condition(negated)}
        case Junction(operator=operator, conditions=parts):
            return {"joined": operator, "conditions": [_condition(part) for part in parts]}
        case _:
            raise TypeError(condition)


def _operand(operand: Any) -> dict[str, Any]:
    return {"constant": operand} if is_constant(operand) else reference_as_data(operand)


class References:
    """Reads blocks and run-time values into a context, whose steps are there already."""

    def __init__(self, context: PipelineContext, arguments: Mapping[str, PipelineArgument]) -> None:
        self._context = context
        self._arguments = arguments

    def step(self, name: str) -> Step:
        """Return the step of that name.

        :raises KeyError: there is none.
        """
        step = self._context.find(name)
        if step is None:
            raise KeyError(name)
        return step

    def reference(self, written: Mapping[str, Any]) -> Reference:
        """Return the run-time value that :func:`reference_as_data` wrote.

        :raises ValueError: it has not written that.
        :raises LookupError: what it refers to is not there.
        """
        match written:
            case {"argument": name}:
                return self._arguments[name]
            case {"output": {"step": step, "key": key}}:
                return self.step(step).outputs[key]
            case {"item": {"loop": number, "key": key}}:
                loop = self._context.blocks.loops[int(number) - 1]
                return LoopItem(loop, None if key is None else loop.checked_key(key))
            case {"collected": output}:
                return self._context.collected(self._output(output))
            case {"one_of": number}:
                return self._context.blocks.one_ofs[int(number) - 1]
        raise ValueError(f"{written!r} is not a reference")

    def read_blocks(
        self,
        written: Sequence[Mapping[str, Any]],
        one_ofs: Sequence[Sequence[Mapping[str, Any]]],
        blocks_of_steps: Mapping[str, int | None],
    ) -> None:
        """Read all blocks.

        :param one_ofs: the values that :meth:`PipelineContext.one_of` made.
        :param blocks_of_steps: the number of the block that each step is in.
        """
        blocks: list[Block] = []
        for data in written:
            blocks.append(self._skeleton(data, blocks))
        for name, number in blocks_of_steps.items():
            self.step(name).block = None if number is None else blocks[number]
        for outputs in one_ofs:
            self._context.one_of(*(self._output(output) for output in outputs))
        for block, data in zip(blocks, written, strict=True):
            match block:
                case ForEach():
                    goes_through = data["for_each"]
                    if "constant" not in goes_through:
                        block.items = checked_items(self.reference(goes_through))
                case Branch() if data["condition"] is not None:
                    block.condition = self._condition(data["condition"])

    def _skeleton(self, written: Mapping[str, Any], before: Sequence[Block]) -> Block:
        """Return a block that does not know yet what it refers to."""
        around = None if written["around"] is None else before[written["around"]]
        if "on_exit" in written:
            step = self.step(written["on_exit"])
            step.ends = OnExit(around, step)
            return step.ends
        if "for_each" in written:
            items = checked_items(written["for_each"].get("constant", [0]))
            loops = self._context.blocks.loops
            loops.append(ForEach(around, items, checked_parallelism(written["parallelism"]), len(loops) + 1))
            return loops[-1]
        first = written["branch_of"]
        choice = Choice(around) if first == len(before) else before[first].choice
        choice.branches.append(Branch(choice, None if written["condition"] is None else Condition()))
        return choice.branches[-1]

    def _output(self, written: Mapping[str, Any]) -> StepOutput:
        output = self.reference(written)
        if not isinstance(output, StepOutput):
            raise TypeError(f"{output!r} is not an output")
        return output

    def _condition(self, written: Mapping[str, Any]) -> Condition:
        match written:
            case {"left": left, "operator": operator, "right": right} if operator in OPERATORS:
                return Comparison(self._operand(left), operator, self._operand(right))
            case {"not": condition}:
                return Negation(self._condition(condition))
            case {"joined": ("&" | "|") as operator, "conditions": parts}:
                return Junction(operator, tuple(self._condition(part) for part in parts))
        raise ValueError(f"{written!r} is not a condition")

    def _operand(self, written: Mapping[str, Any]) -> Any:
        return written["constant"] if "constant" in written else self.reference(written)
