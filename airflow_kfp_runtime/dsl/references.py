"""Values known only while a pipeline runs: a pipeline's arguments and the outputs of its steps.

Both can be an input of a step, alone (``inputs={"url": url}``) or inside a text
(``inputs={"path": f"s3://{bucket}/data"}``). What they hold is not known when the pipeline is built, so they
cannot be tested, counted or computed with.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeGuard

from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    from airflow_kfp_runtime.dsl.context import Step
    from airflow_kfp_runtime.dsl.types import ParameterType


class Missing(Enum):
    """Tells "no default" from a default of ``None``."""

    MISSING = "missing"


MISSING = Missing.MISSING


class _RunTimeValue:
    """What arguments and outputs have in common: nothing to decide by, and a place in a text."""

    def _refuse_decision(self, *_: object) -> NoReturn:
        raise StepError(
            f"{self!r} is known only while the pipeline runs, so a handler cannot decide by it. "
            "Decide inside a step, or pass the value to the DAG and decide there"
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

    # Comparing for equality is refused with the rest: it would be false whatever the run's value is.
    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __iter__ = __len__ = _refuse_decision
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
    """

    name: str
    type: ParameterType | None = None
    default: Any = MISSING

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


#: What an input of a step may be connected to.
Reference: TypeAlias = PipelineArgument | StepOutput

#: A reference inside a text, as ``__str__`` writes it.
REFERENCE_IN_TEXT = re.compile(
    r"\{\{(?:argument:(?P<argument>[^{}:]+)|output:(?P<task>[^{}:]+):(?P<key>[^{}:]+))\}\}"
)


def is_name(name: object) -> TypeGuard[str]:
    """Whether an input or output can have that name: letters, digits, ``_``, ``-``; not first a digit."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII) is not None
