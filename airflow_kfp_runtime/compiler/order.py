"""The order of steps that follows from what flows between them and from the blocks that they are in."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, TypeAlias

from airflow_kfp_runtime.dsl.blocks import blocks_of, groups_of, values_of
from airflow_kfp_runtime.dsl.references import producers_of
from airflow_kfp_runtime.dsl.step import Step
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_kfp_runtime.dsl.blocks import Block, Group

#: A step, or a group with whether it ends (or else starts).
_Node: TypeAlias = "Step | tuple[Group, bool]"


def ordered(steps: Collection[Step], needed: Mapping[Step, Iterable[Step]]) -> list[Step]:
    """Return the steps so that each comes after those that it needs.

    A group of steps is one task to those outside of it, so that it starts after all that one of its steps
    needs, and what needs one of its steps comes after all of them.

    :param needed: the steps whose outputs flow into each, and those that it waits for.
    :raises StepError: there is a cycle; the message names its steps and blocks.
    """
    sorter: TopologicalSorter[_Node] = TopologicalSorter()
    for step in steps:
        sorter.add(step)
        _enclose(sorter, step, groups_of(step.block))
        for other in needed[step]:
            _connect(sorter, other, step, step.block)
        if step.ends is not None:
            sorter.add(step, (step.ends, True))
    for block in blocks_of(steps):
        for value in values_of(block):
            for output in producers_of(value):
                _connect(sorter, output.step, (block, False), block.around)
    try:
        return [node for node in sorter.static_order() if isinstance(node, Step)]
    except CycleError as error:
        nodes: list[_Node] = list(reversed(error.args[1]))
        # A group starts and ends: one mention of it tells enough.
        names = list(dict.fromkeys(_name(node) for node in nodes[:-1]))
        first = next((node for node in nodes if isinstance(node, Step)), None)
        raise StepError(
            f"the steps wait for each other: {' -> '.join([*names, names[0]])}",
            step=first.name if first else None,
            field="inputs or after",
        ) from None


def _enclose(sorter: TopologicalSorter[_Node], step: Step, groups: tuple[Group, ...]) -> None:
    """Say that a step, and each group that it is in, is between the start and the end of the group around."""
    inner_start: _Node = step
    inner_end: _Node = step
    for group in reversed(groups):
        sorter.add(inner_start, (group, False))
        sorter.add((group, True), inner_end)
        inner_start, inner_end = (group, False), (group, True)


def _connect(sorter: TopologicalSorter[_Node], producer: Step, consumer: _Node, block: Block | None) -> None:
    """Say that a consumer comes after a producer, each with the groups that the other is not in."""
    theirs, ours = groups_of(producer.block), groups_of(block)
    shared = sum(1 for one, other in zip(theirs, ours, strict=False) if one is other)
    source: _Node = (theirs[shared], True) if len(theirs) > shared else producer
    target: _Node = (ours[shared], False) if len(ours) > shared else consumer
    sorter.add(target, source)


def _name(node: _Node) -> str:
    return repr(node.name) if isinstance(node, Step) else repr(node[0])
