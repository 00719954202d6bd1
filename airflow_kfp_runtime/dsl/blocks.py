"""Blocks of steps: those that run on a condition, once for each item, or with a step at the end.

A step knows the innermost block that it is in, a block the one around it. What a message calls a block is
what the user wrote: ``when(argument 'mode' == 'daily')``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_kfp_runtime.dsl.conditions import Junction, Negation
from airflow_kfp_runtime.dsl.references import Reference, is_name
from airflow_kfp_runtime.dsl.types import common_type
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_kfp_runtime.dsl.conditions import Condition
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.dsl.types import ParameterType


@dataclass(eq=False, repr=False)
class Choice:
    """A ``when`` and the ``otherwise`` that belong to it: at most one of its branches runs.

    :param around: the block that it is in.
    :param branches: in the order in which they are tried.
    """

    around: Block | None
    branches: list[Branch] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether one of the branches runs in any case."""
        return self.branches[-1].condition is None

    def __repr__(self) -> str:
        return f"{self.branches[0]!r} and what belongs to it"


@dataclass(eq=False, repr=False)
class Branch:
    """The steps of one ``when`` or ``otherwise``.

    :param choice: all the branches that belong together.
    :param condition: when it runs, if none of those before it does; ``None`` is in any case then.
    """

    choice: Choice
    condition: Condition | None

    @property
    def full_condition(self) -> Condition:
        """When it runs: its own condition, and none of those before it."""
        before = self.choice.branches[: self.choice.branches.index(self)]
        parts = [Negation(branch.condition) for branch in before if branch.condition is not None]
        if self.condition is None:
            return parts[0] if len(parts) == 1 else Junction("&", tuple(parts))
        return Junction("&", (*parts, self.condition)) if parts else self.condition

    @property
    def around(self) -> Block | None:
        """The block that this one is in."""
        return self.choice.around

    def __repr__(self) -> str:
        name = "when" if self is self.choice.branches[0] else "otherwise"
        return f"{name}({'' if self.condition is None else f'{self.condition!r:.200}'})"


@dataclass(eq=False, repr=False)
class ForEach:
    """The steps that run once for each item.

    :param around: the block that this one is in.
    :param items: a list of JSON values, or a run-time value that is a list.
    :param parallelism: how many iterations run at the same time; ``None`` is all.
    :param number: which loop of its context it is, from 1.
    :param keys: the keys of the items that were asked for.
    """

    around: Block | None
    items: list[Any] | Reference
    parallelism: int | None
    number: int
    keys: set[str] = field(default_factory=set)

    def known_type(self, key: str | None = None) -> ParameterType | None:
        """Return the type of the items, or of what they have for a key; ``None`` where the run knows it.

        :raises StepError: the items are no mappings, lack the key, or are of different types.
        """
        if not isinstance(self.items, list):
            return None
        values = self.items
        if key is not None:
            if not all(isinstance(item, dict) for item in values):
                raise StepError(f"has no {key!r}: the items are not mappings", field=f"item of {self!r}")
            if any(key not in item for item in values):
                shared = sorted(set(values[0]).intersection(*values))
                raise StepError(f"{key!r} is not in every item", field=f"item of {self!r}", allowed=shared)
            values = [item[key] for item in values]
        found = common_type(values)
        if found is None:
            place = "" if key is None else f"[{key!r}]"
            raise StepError(
                f"are {', '.join(sorted({type(value).__name__ for value in values}))}: "
                "all have to be of one type, and none may be None",
                field=f"items{place} of {self!r}",
            )
        return found

    def checked_key(self, key: object) -> str:
        """Return a key of the loop's items.

        :raises StepError: it is not a name, or the items do not have it.
        """
        if not is_name(key):
            raise StepError(
                f"{key!r} is not a key that KFP can look up: letters, digits, '_' and '-' are allowed",
                field=f"item of {self!r}",
            )
        self.known_type(key)
        self.keys.add(key)
        return key

    def __repr__(self) -> str:
        return f"for_each({self.items!r:.60})"


@dataclass(eq=False, repr=False)
class OnExit:
    """The steps after which another one runs, however they have ended.

    :param around: the block that this one is in.
    :param step: what runs at the end.
    """

    around: Block | None
    step: Step

    def __repr__(self) -> str:
        return f"on_exit(step {self.step.name!r})"


#: What a step can be in.
Block: TypeAlias = Branch | ForEach | OnExit

#: What is a graph of its own: the branches that belong together are in one.
Group: TypeAlias = Block | Choice


def path_of(block: Block | None) -> tuple[Block, ...]:
    """Return the blocks down to this one, the outermost first."""
    return () if block is None else (*path_of(block.around), block)


def left_behind(block: Block | None, by: Block | None) -> tuple[Block, ...]:
    """Return the blocks that a value of ``block`` leaves on its way to ``by``, the outermost first."""
    inside = path_of(by)
    return tuple(one for one in path_of(block) if not any(one is other for other in inside))


def groups_of(block: Block | None) -> tuple[Group, ...]:
    """Return the blocks down to this one, with the choice around the branches of each that has several."""
    groups: list[Group] = []
    for one in path_of(block):
        if isinstance(one, Branch) and len(one.choice.branches) > 1:
            groups.append(one.choice)
        groups.append(one)
    return tuple(groups)


def values_of(block: Block) -> tuple[Reference, ...]:
    """Return the values that have to be there before a block starts: what it decides by, or goes through."""
    match block:
        case Branch():
            return tuple(block.full_condition.references())
        case ForEach(items=items) if isinstance(items, Reference):
            return (items,)
        case _:
            return ()


def blocks_of(steps: Iterable[Step]) -> list[Block]:
    """Return the blocks that steps are in, each once, in the order in which they were written."""
    return list(dict.fromkeys(block for step in steps for block in path_of(step.block)))
