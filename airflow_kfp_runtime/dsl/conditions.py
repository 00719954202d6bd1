"""Conditions on values that are known only while a pipeline runs: ``step.outputs["accuracy"] > 0.9``.

Comparing such a value makes a condition instead of deciding. It is for ``pc.when`` and ``pc.otherwise``;
``&``, ``|`` and ``~`` put conditions together, since Python's ``and``, ``or`` and ``not`` would decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

from airflow_kfp_runtime.dsl.json_values import plain
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_kfp_runtime.dsl.references import Reference

#: How two values can be compared.
Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]
OPERATORS: tuple[Operator, ...] = ("==", "!=", "<", "<=", ">", ">=")


class Condition:
    """What a block of steps depends on; it holds or not while the pipeline runs.

    An instance of this class itself stands for a condition that a block does not have yet.
    """

    def references(self) -> Iterator[Reference]:
        """Yield the values that the condition is about."""
        yield from ()

    def __bool__(self) -> NoReturn:
        raise StepError(
            f"{self!r} is known only while the pipeline runs, so a handler cannot decide by it. "
            "Decide inside a step, or in the pipeline: with pc.when(condition), where & | ~ stand for and, "
            "or, not"
        )

    def __and__(self, other: object) -> Condition:
        return Junction("&", (self, condition(other)))

    def __rand__(self, other: object) -> Condition:
        return Junction("&", (condition(other), self))

    def __or__(self, other: object) -> Condition:
        return Junction("|", (self, condition(other)))

    def __ror__(self, other: object) -> Condition:
        return Junction("|", (condition(other), self))

    def __invert__(self) -> Condition:
        return Negation(self)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Condition):
    """Two values that are compared.

    :param left: a run-time value, a text, a number or a truth value.
    :param operator: how they are compared.
    :param right: as ``left``; one of both is a run-time value.
    """

    left: Any
    operator: Operator
    right: Any

    def references(self) -> Iterator[Reference]:
        """Yield the operands that are run-time values."""
        yield from (operand for operand in (self.left, self.right) if not is_constant(operand))

    def __repr__(self) -> str:
        return f"{self.left!r} {self.operator} {self.right!r}"


@dataclass(frozen=True, eq=False, repr=False)
class Negation(Condition):
    """A condition that must not hold."""

    condition: Condition

    def references(self) -> Iterator[Reference]:
        """Yield the values of what is negated."""
        yield from self.condition.references()

    def __repr__(self) -> str:
        return f"~({self.condition!r})"


@dataclass(frozen=True, eq=False, repr=False)
class Junction(Condition):
    """Conditions of which all must hold (``&``), or one (``|``)."""

    operator: Literal["&", "|"]
    conditions: tuple[Condition, ...]

    def references(self) -> Iterator[Reference]:
        """Yield the values of all its parts."""
        for part in self.conditions:
            yield from part.references()

    def __repr__(self) -> str:
        return f" {self.operator} ".join(f"({part!r})" for part in self.conditions)


def compare(left: Reference, operator: Operator, right: object) -> Comparison:
    """Return the condition that a comparison of a run-time value is.

    :raises StepError: the other side is neither a run-time value nor a text, number or truth value.
    """
    from airflow_kfp_runtime.dsl.references import Reference

    if not isinstance(right, Reference):
        right = _constant(left, right)
    return Comparison(left, operator, right)


def condition(given: object) -> Condition:
    """Return what is given, if it is a condition.

    :raises StepError: it is not one: a run-time value by itself, or what Python has decided already.
    """
    if isinstance(given, Condition):
        return given
    raise StepError(
        f"{given!r:.200} is not a condition",
        field="condition",
        allowed=['step.outputs["accuracy"] > 0.9', "argument == 'daily'", "conditions joined by & | ~"],
    )


def is_constant(operand: object) -> bool:
    """Whether an operand of a comparison is known when the pipeline is written."""
    return isinstance(operand, (str, int, float))


def _constant(left: Reference, right: object) -> str | int | float | bool:
    problem = "KFP compares texts, numbers and truth values"
    if isinstance(right, (str, int, float)):
        try:
            value: str | int | float | bool = plain(right)
        except ValueError as error:
            problem = str(error)
        else:
            return value
    raise StepError(
        f"{left!r} cannot be compared with {right!r:.200}: {problem}",
        field="condition",
        allowed=["a text", "a number", "True", "False", "an argument, an output or an item"],
    )
