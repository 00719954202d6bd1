"""The order in which the tasks of one dag run: which are due, which are skipped, when all is done.

KFP compiles a dag to Argo, where a task starts when all it depends on have succeeded and is omitted when one
of them has not. Tasks that depend on nothing that failed run to their end, also after a failure elsewhere
(Argo 3, ``assessDAGPhase``). A task with the strategy ``ALL_UPSTREAM_TASKS_COMPLETED`` (an exit handler, or
``ignore_upstream_failure``) starts however its upstream tasks have ended.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CycleError", "Graph", "Outcome", "Progress"]

_COMPLETED = "ALL_UPSTREAM_TASKS_COMPLETED"


class Outcome(str, Enum):
    """How a task has ended, in the words of the API's states."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True)
class Graph:
    """The edges of one dag.

    :param dependencies: for each task, the tasks of the same dag that end before it starts.
    :param unconditional: the tasks that start however those have ended.
    """

    dependencies: Mapping[str, frozenset[str]]
    unconditional: frozenset[str] = frozenset()

    @classmethod
    def of(cls, tasks: Mapping[str, Mapping[str, Any]]) -> Graph:
        """Read the edges from ``dag.tasks`` of an IR: ``dependentTasks`` and the producers of inputs."""
        return cls(
            dependencies={name: frozenset(_upstream(task)) for name, task in tasks.items()},
            unconditional=frozenset(
                name
                for name, task in tasks.items()
                if task.get("triggerPolicy", {}).get("strategy") == _COMPLETED
            ),
        )

    def order(self) -> list[str]:
        """The tasks, each after all that it depends on.

        :raises CycleError: there is a cycle; its second argument is the list of tasks in it.
        """
        return list(TopologicalSorter(self.dependencies).static_order())


def _upstream(task: Mapping[str, Any]) -> Iterator[str]:
    inputs = task.get("inputs", {})
    yield from task.get("dependentTasks", ())
    for source in inputs.get("parameters", {}).values():
        for kind in ("taskOutputParameter", "taskFinalStatus"):
            if kind in source:
                yield source[kind]["producerTask"]
    for source in inputs.get("artifacts", {}).values():
        if "taskOutputArtifact" in source:
            yield source["taskOutputArtifact"]["producerTask"]


class Progress:
    """How far one dag has come. Not thread-safe: one thread drives it.

    :param graph: its edges.
    :param limit: how many of its tasks may run at the same time; 0 for any number.
    :raises CycleError: they have a cycle.

    Ask for what is :meth:`due`, start it, tell what became of it with :meth:`finish`, and ask again, until it
    is :attr:`complete`.
    """

    def __init__(self, graph: Graph, limit: int = 0) -> None:
        self._graph = graph
        self._limit = limit
        self._waiting: deque[str] = deque()
        self._running: set[str] = set()
        self._sorter = TopologicalSorter(graph.dependencies)
        self._sorter.prepare()
        self.outcomes: dict[str, Outcome] = {}

    @property
    def complete(self) -> bool:
        """Whether every task has ended or was skipped."""
        return len(self.outcomes) == len(self._graph.dependencies)

    @property
    def outcome(self) -> Outcome:
        """What the dag's own outcome is, once it is complete: failed if any of its tasks has failed."""
        return Outcome.FAILED if Outcome.FAILED in self.outcomes.values() else Outcome.SUCCEEDED

    def due(self, *, accept: bool = True) -> tuple[list[str], list[str]]:
        """The tasks to start now, each named once in the dag's life, and those that were skipped just now.

        :param accept: ``False`` skips all that could start: the run is being cancelled.
        """
        start: list[str] = []
        skipped: list[str] = []
        self._waiting.extend(self._sorter.get_ready())
        while self._waiting and not (accept and self._is_full):
            name = self._waiting.popleft()
            if accept and self._may_start(name):
                start.append(name)
                self._running.add(name)
            else:
                skipped.append(name)
                self.finish(name, Outcome.SKIPPED)
                self._waiting.extend(self._sorter.get_ready())
        return start, skipped

    def finish(self, name: str, outcome: Outcome) -> None:
        """Say how a task that was due has ended; one whose condition is false was skipped."""
        self.outcomes[name] = outcome
        self._running.discard(name)
        self._sorter.done(name)

    @property
    def _is_full(self) -> bool:
        return self._limit > 0 and len(self._running) >= self._limit

    def _may_start(self, name: str) -> bool:
        return name in self._graph.unconditional or all(
            self.outcomes[upstream] is Outcome.SUCCEEDED for upstream in self._graph.dependencies[name]
        )
