"""Values known only while a pipeline runs: its arguments, the outputs of its steps, the items of its loops.

All can be an input of a step, alone (``inputs={"url": url}``) or inside a text
(``inputs={"path": f"s3://{bucket}/data"}``). What they hold is not known when the pipeline is built, so they
cannot be tested, counted or computed with; comparing them makes a condition for ``pc.when``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeGuard, cast

from airflow_kfp_runtime.dsl.conditions import Condition, compare
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    from airflow_kfp_runtime.dsl.blocks import Choice, ForEach
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.dsl.types import ParameterType


class Missing(Enum):
    """Tells "no default" from a default of ``None``."""

    MISSING = "missing"


MISSING = Missing.MISSING


class _RunTimeValue:
    """What all of them have in common: nothing to decide by, and a place in a text."""

    def _refuse_decision(self) -> NoReturn:
        raise StepError(
            f"{self!r} is known only while the pipeline runs, so a handler cannot decide by it. "
            "Decide inside a step, or compare it in the pipeline: with pc.when(value == ...)"
        )

    def _refuse_iteration(self) -> NoReturn:
        raise StepError(
            f"{self!r} is known only while the pipeline runs, so a handler cannot go through it. "
            "Do so inside a step, or in the pipeline: with pc.for_each(value) as item"
        )

    def _refuse_computation(self, *_: object) -> NoReturn:
        raise StepError(
            f"{self!r} is known only while the pipeline runs, so a handler cannot compute with it. "
            "Give it to a step as it is, and compute inside the step"
        )

    __int__ = __float__ = __index__ = _refuse_computation
    __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse_computation
    __floordiv__ = __rfloordiv__ = __mod__ = __neg__ = __abs__ = __round__ = _refuse_computation

    def __add__(self, other: object) -> NoReturn:
        self._refuse_sum(self, other)

    def __radd__(self, other: object) -> NoReturn:
        self._refuse_sum(other, self)

    def _refuse_sum(self, *operands: object) -> NoReturn:
        if not all(isinstance(operand, str | _RunTimeValue) for operand in operands):
            self._refuse_computation()
        raise StepError(
            f"{self!r} is known only while the pipeline runs, so a handler cannot add to it: "
            f'use f"{"".join(map(_in_text, operands))}"'
        )

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return compare(cast("Reference", self), "==", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return compare(cast("Reference", self), "!=", other)

    def __lt__(self, other: object) -> Condition:
        return compare(cast("Reference", self), "<", other)

    def __le__(self, other: object) -> Condition:
        return compare(cast("Reference", self), "<=", other)

    def __gt__(self, other: object) -> Condition:
        return compare(cast("Reference", self), ">", other)

    def __ge__(self, other: object) -> Condition:
        return compare(cast("Reference", self), ">=", other)

    __bool__ = _refuse_decision
    __iter__ = __len__ = _refuse_iteration
    __hash__ = object.__hash__

    def __format__(self, specification: str) -> str:
        if specification:
            raise StepError(f"{self!r} is known only while the pipeline runs: it cannot be formatted")
        return str(self)


def _in_text(operand: object) -> str:
    """Return what stands in an f-string for a text or a run-time value."""
    if isinstance(operand, _RunTimeValue):
        return f"{{{getattr(operand, 'name', 'output')}}}"
    return json.dumps(operand, ensure_ascii=False)[1:-1].replace("{", "{{").replace("}", "}}")


@dataclass(frozen=True, eq=False)
class PipelineArgument(_RunTimeValue):
    """An argument of the pipeline, as its handler sees it.

    :param name: as in the handler's signature and in the arguments of a run.
    :param type: as annotated or by its default; ``None`` lets the steps that use it decide.
    :param default: a JSON value, or :data:`MISSING` where a run must give one. ``None`` makes it optional.
    :param item_type: the type of its items, where it is a list and the annotation says so.
    """

    name: str
    type: ParameterType | None = None
    default: Any = MISSING
    item_type: ParameterType | None = None

    def __str__(self) -> str:
        return f"{{{{argument:{self.name}}}}}"

    def __repr__(self) -> str:
        return f"argument {self.name!r}"


@dataclass(frozen=True, eq=False)
class StepOutput(_RunTimeValue):
    """An output of a step, as ``step.outputs["key"]`` gives it.

    :param step: the step that produces it.
    :param key: its name in the workflow.
    """

    step: Step = field(repr=False)
    key: str

    def __str__(self) -> str:
        return f"{{{{output:{self.step.task_name}:{self.key}}}}}"

    def __repr__(self) -> str:
        return f"step {self.step.name!r}, output {self.key!r}"


@dataclass(frozen=True, eq=False)
class LoopItem(_RunTimeValue):
    """The item that one iteration of a loop is about, as ``with pc.for_each(items) as item`` gives it.

    :param loop: the loop.
    :param key: which part of the item, where the items are mappings; ``None`` is the whole.
    """

    loop: ForEach = field(repr=False)
    key: str | None = None

    def __getitem__(self, key: object) -> LoopItem:
        if self.key is not None:
            raise StepError(
                f"{self!r} cannot be looked into: KFP takes one key of an item. Give the step the item, and "
                "look into it there",
                field=f"item[{key!r}]",
            )
        return LoopItem(self.loop, self.loop.checked_key(key))

    def __str__(self) -> str:
        key = "" if self.key is None else f":{self.key}"
        return f"{{{{item:{self.loop.number}{key}}}}}"

    def __repr__(self) -> str:
        return f"item{'' if self.key is None else f'[{self.key!r}]'} of {self.loop!r}"


@dataclass(frozen=True, eq=False)
class Collected(_RunTimeValue):
    """The list of what all iterations of a loop have given, as ``pc.collected(output)`` gives it.

    :param output: the output of a step in the loop. Where it is in several loops that the list is used
        outside of, the list has the outputs of all of their iterations, one after the other.
    """

    output: StepOutput

    def __str__(self) -> str:
        return f"{{{{collected:{self.output.step.task_name}:{self.output.key}}}}}"

    def __repr__(self) -> str:
        return f"collected({self.output!r})"


@dataclass(frozen=True, eq=False)
class OneOf(_RunTimeValue):
    """The output of the branch that ran, as ``pc.one_of(...)`` gives it.

    :param choice: the branches.
    :param outputs: one of each branch.
    :param number: which of its context's such values it is, from 1.
    :param position: which of those of the same branches, from 1.
    """

    choice: Choice = field(repr=False)
    outputs: tuple[StepOutput, ...]
    number: int
    position: int

    def __str__(self) -> str:
        return f"{{{{one_of:{self.number}}}}}"

    def __repr__(self) -> str:
        return f"one_of({', '.join(map(repr, self.outputs))})"


#: What an input of a step may be connected to; ``isinstance`` takes it as well.
Reference: TypeAlias = PipelineArgument | StepOutput | LoopItem | Collected | OneOf

#: What an output of a pipeline may be.
OutputReference: TypeAlias = StepOutput | Collected | OneOf

#: A reference inside a text, as ``__str__`` writes it.
REFERENCE_IN_TEXT = re.compile(
    r"\{\{(?:argument:(?P<argument>[^{}:]+)|(?P<form>output|collected):(?P<task>[^{}:]+):(?P<key>[^{}:]+)"
    r"|item:(?P<loop>\d+)(?::(?P<item_key>[^{}:]+))?|one_of:(?P<one_of>\d+))\}\}"
)


def producers_of(reference: Reference) -> tuple[StepOutput, ...]:
    """Return the outputs of steps that must be there before a value is known."""
    match reference:
        case StepOutput():
            return (reference,)
        case Collected(output):
            return (output,)
        case OneOf():
            return reference.outputs
        case LoopItem(loop) if isinstance(loop.items, Reference):
            return producers_of(loop.items)
        case _:
            return ()


def is_name(name: object) -> TypeGuard[str]:
    """Whether an input or output can have that name: letters, digits, ``_``, ``-``; not first a digit."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII) is not None
