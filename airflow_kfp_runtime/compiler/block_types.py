"""The types of what blocks decide by, go through, and give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.compiler.conditions import check_comparison, comparisons
from airflow_kfp_runtime.dsl.blocks import Branch, ForEach
from airflow_kfp_runtime.dsl.conditions import is_constant
from airflow_kfp_runtime.dsl.references import LoopItem, PipelineArgument, Reference, producers_of
from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType, type_of
from airflow_kfp_runtime.errors import StepError
from airflow_kfp_runtime.runtimes.interface import type_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_kfp_runtime.compiler.components import Compilation
    from airflow_kfp_runtime.dsl.blocks import Block
    from airflow_kfp_runtime.dsl.conditions import Comparison
    from airflow_kfp_runtime.dsl.references import OneOf
    from airflow_kfp_runtime.dsl.types import ValueType


def settle_items(blocks: Iterable[Block], compilation: Compilation) -> None:
    """Give the arguments that loops go through the type of a list, before the steps are gone through.

    :raises DefinitionError: one is of another type.
    """
    for block in blocks:
        if isinstance(block, ForEach) and isinstance(block.items, PipelineArgument):
            if block.items.type not in {None, ParameterType.LIST}:
                raise _no_list(block, block.items.type)
            compilation.settle(block.items, ParameterType.LIST, repr(block), repr(block))


def check_types(blocks: Sequence[Block], one_ofs: Iterable[OneOf], compilation: Compilation) -> None:
    """Check the types of the values of blocks, when all steps have been gone through.

    :raises StepError: a step has no such output, or a type does not fit.
    """
    for block in blocks:
        place = repr(block)
        match block:
            case ForEach(items=items) if isinstance(items, Reference):
                _check_outputs(items, place, compilation)
                found = compilation.settled_type_of(items)
                if found is not ParameterType.LIST:
                    raise _no_list(block, found)
            case Branch(condition=condition) if condition is not None:
                for comparison in comparisons(condition):
                    for operand in comparison.references():
                        _check_outputs(operand, place, compilation)
                    _settle(comparison, place, compilation)
                    check_comparison(comparison, compilation.settled_type_of, place)
    for one_of in one_ofs:
        _check_outputs(one_of, "one_of", compilation)
        types = [compilation.settled_type_of(output) for output in one_of.outputs]
        for output, found in zip(one_of.outputs, types, strict=True):
            if found != types[0]:
                raise StepError(
                    f"{output!r} is a {type_name(found)}, and {one_of.outputs[0]!r} a {type_name(types[0])}: "
                    "all have to be of one type",
                    field="one_of",
                )


def _check_outputs(reference: Reference, field: str, compilation: Compilation) -> None:
    for output in producers_of(reference):
        compilation.check_output(output, None, field)


def _settle(comparison: Comparison, block: str, compilation: Compilation) -> None:
    """Give an operand whose type is open the type of the other."""
    for operand, other in (
        (comparison.left, comparison.right),
        (comparison.right, comparison.left),
    ):
        declared = type_of(other) if is_constant(other) else compilation.type_of(other)
        if is_constant(operand) or compilation.type_of(operand) is not None:
            continue
        if isinstance(operand, PipelineArgument):
            compilation.settle(operand, declared, block, block)
        if isinstance(operand, LoopItem):
            compilation.items.settle(operand, declared, block, block)


def _no_list(loop: ForEach, found: ValueType | None) -> StepError:
    if isinstance(found, ArtifactType) and found.is_list:
        return StepError(
            "goes through a list of artifacts, which KFP's server cannot (KFP 2.17, 'artifact iterator not "
            "implemented'): collect what the step needs of them as plain values, and loop over those",
            field=repr(loop),
        )
    name = "" if found is None else f"of type {type_name(found)} and "
    return StepError(f"goes through {loop.items!r}, which is {name}not a list", field=repr(loop))
