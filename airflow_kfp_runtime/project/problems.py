"""What is wrong with a project, each problem with its place, and all of them in one error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from airflow_kfp_runtime.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The way to a value: keys of mappings and indexes of lists.
Location: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a file; both numbers count from 1, as editors do."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return the place as editors and terminals know to open it."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    :param error: the class of exception that says it.
    :param problem: what is wrong, as a clause.
    :param field: what it is wrong with (``function 'train', image``).
    :param allowed: what would be right.
    :param location: the value among the fields of its function or workflow.
    :param mark: the place in a file, where it came from one.
    """

    error: type[DefinitionError]
    problem: str
    field: str | None = None
    allowed: tuple[str, ...] = ()
    location: Location = ()
    mark: Mark | None = None

    @classmethod
    def of(cls, error: DefinitionError, *, location: Location = (), field: str | None = None) -> Problem:
        """Return the problem that an exception says.

        :param location: where it is.
        :param field: what it is wrong with, where the exception does not know it in full.
        """
        return cls(type(error), error.problem, field or error.field, error.allowed, location)

    def at(self, mark: Mark | None) -> Problem:
        """Return the problem with its place in a file."""
        return replace(self, mark=mark)

    def exception(self) -> DefinitionError:
        """Return the exception that says this problem alone."""
        place = ": ".join(str(part) for part in (self.mark, self.field) if part is not None)
        return self.error(self.problem, field=place or None, allowed=self.allowed)


def combined(problems: Sequence[Problem], what: str) -> DefinitionError:
    """Return the exception that says all problems, each on its line, in the order of the file.

    :param problems: at least one.
    :param what: what they are the problems of, for a message with several.
    :return: of the class that all problems have, else a plain :class:`DefinitionError`.
    """
    unique = dict.fromkeys(problems)
    ordered = sorted(unique, key=lambda problem: (problem.mark is None, problem.mark or Mark("", 0, 0)))
    if len(ordered) == 1:
        return ordered[0].exception()
    kinds = {problem.error for problem in ordered}
    kind = kinds.pop() if len(kinds) == 1 else DefinitionError
    lines = "".join(f"\n  {problem.exception()}" for problem in ordered)
    return kind(f"{what} has {len(ordered)} problems:{lines}")


def path(location: Location) -> str:
    """Return a location as it is written in Python and in the paths of settings: ``envs[0].name``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text
