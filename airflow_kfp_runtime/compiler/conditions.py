"""Conditions as the kfp SDK 2.17 writes them: expressions in CEL over the inputs of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.conditions import Comparison, Junction, Negation, is_constant
from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType, type_of
from airflow_kfp_runtime.errors import StepError
from airflow_kfp_runtime.runtimes.interface import type_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_kfp_runtime.compiler.dags import TypeOf
    from airflow_kfp_runtime.dsl.conditions import Condition
    from airflow_kfp_runtime.dsl.references import Reference
    from airflow_kfp_runtime.dsl.types import ValueType

_JOINED = {"&": " && ", "|": " || "}
_NUMBERS = {ParameterType.INTEGER, ParameterType.DOUBLE}

#: A server's CEL parser takes these in a text for its end, an escape, or an error.
_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"})


def expression(condition: Condition, name: Callable[[Reference], str], typed: TypeOf) -> str:
    """Return a condition as CEL.

    :param name: the name of the graph's input that has a run-time value.
    :param typed: the type of each.
    """
    match condition:
        case Comparison():
            return _comparison(condition, name, typed)
        case Negation():
            return f"!({expression(condition.condition, name, typed)})"
        case Junction():
            parts = [
                f"({expression(part, name, typed)})"
                if isinstance(part, Junction) and part.operator != condition.operator
                else expression(part, name, typed)
                for part in condition.conditions
            ]
            return _JOINED[condition.operator].join(parts)
        case _:
            raise TypeError(condition)


def comparisons(condition: Condition) -> list[Comparison]:
    """Return the comparisons that a condition is made of."""
    match condition:
        case Comparison():
            return [condition]
        case Negation():
            return comparisons(condition.condition)
        case Junction():
            return [comparison for part in condition.conditions for comparison in comparisons(part)]
        case _:
            raise TypeError(condition)


def check_comparison(comparison: Comparison, typed: TypeOf, field: str) -> None:
    """Raise a :class:`StepError` where KFP cannot compare two values.

    :param field: the block that the comparison is of.
    """
    types = [_type(operand, typed) for operand in (comparison.left, comparison.right)]
    for operand, kind in zip((comparison.left, comparison.right), types, strict=True):
        if isinstance(kind, ArtifactType) or kind in {ParameterType.LIST, ParameterType.STRUCT}:
            raise StepError(
                f"{operand!r} is a {type_name(kind)}, and KFP compares texts, numbers and truth values",
                field=field,
            )
    if types[0] != types[1] and not _NUMBERS.issuperset(types):
        left, right = (type_name(kind) for kind in types)
        raise StepError(
            f"{comparison!r} compares {left} with {right}: both have to be texts, numbers or truth values",
            field=field,
        )


def _comparison(comparison: Comparison, name: Callable[[Reference], str], typed: TypeOf) -> str:
    operands = (comparison.left, comparison.right)
    types = [_type(operand, typed) for operand in operands]
    texts = []
    for operand, kind in zip(operands, types, strict=True):
        text = _constant(operand) if is_constant(operand) else f"inputs.parameter_values['{name(operand)}']"
        if kind is ParameterType.INTEGER:
            # Every number is a double on the server.
            text = text if is_constant(operand) else f"int({text})"
            text = f"double({text})" if ParameterType.DOUBLE in types else text
        texts.append(text)
    return f"{texts[0]} {comparison.operator} {texts[1]}"


def _constant(value: str | float | bool) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f"'{value.translate(_ESCAPES)}'"
        case _:
            return str(value)


def _type(operand: Any, typed: TypeOf) -> ValueType:
    if is_constant(operand):
        return type_of(operand) or ParameterType.STRING
    return typed(operand)
