"""What holds tasks while a run is on its way: the root, a nested pipeline, a loop, an iteration of a loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.engine.graph import Graph, Outcome, Progress
from airflow_kfp_runtime.embedded.engine.iterations import Loop, gathered, parallelism
from airflow_kfp_runtime.embedded.engine.resolve import Producer, resolve_outputs
from airflow_kfp_runtime.embedded.engine.values import Values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.embedded.engine.origin import Origin
    from airflow_kfp_runtime.embedded.state.rows import TaskRow

Json = dict[str, Any]


@dataclass
class Group:
    """Tasks that run in one dag, or the iterations of one loop, which are named by their index.

    :param row: the row of the group itself.
    :param key: its name among the tasks of ``parent``.
    :param loop: what it runs over, for a loop.
    :param producers: its tasks that have ended.
    """

    row: TaskRow
    origin: Origin
    inputs: Values
    progress: Progress
    parent: Group | None
    key: str
    loop: Loop | None = None
    producers: dict[str, Producer] = field(default_factory=dict)
    ended: bool = False

    @classmethod
    def of_dag(cls, row: TaskRow, origin: Origin, inputs: Values, parent: Group | None, key: str) -> Group:
        """The tasks of a dag."""
        progress = Progress(Graph.of(origin.component["dag"]["tasks"]))
        return cls(row, origin, inputs, progress, parent, key)

    @classmethod
    def of_loop(
        cls, row: TaskRow, origin: Origin, inputs: Values, parent: Group, key: str, loop: Loop
    ) -> Group:
        """The iterations of a loop, which do not wait for each other, but for a limit."""
        graph = Graph({str(index): frozenset() for index in range(len(loop.items))})
        return cls(row, origin, inputs, Progress(graph, parallelism(origin.task)), parent, key, loop)

    def origin_of(self, key: str, components: Mapping[str, Json]) -> Origin:
        """Where one of its tasks is in the IR; an iteration is where its loop is.

        :param components: all components of the IR.
        """
        if self.loop is not None:
            return self.origin
        return self.origin.inner(key, components)

    def result(self, components: Mapping[str, Json]) -> Producer:
        """What has become of it, once all in it has ended."""
        if self.progress.outcome is Outcome.FAILED:
            what = "Iteration" if self.loop is not None else "Task"
            failures = [
                f"{what} {key if self.loop is not None else repr(key)} failed: {_first_line(producer.error)}"
                for key, producer in self.producers.items()
                if producer.outcome is Outcome.FAILED
            ]
            return Producer(Outcome.FAILED, Values(), "\n".join(failures))
        try:
            return Producer(Outcome.SUCCEEDED, self._outputs(components))
        except ValueError as error:
            return Producer(Outcome.FAILED, Values(), str(error))

    def _outputs(self, components: Mapping[str, Json]) -> Values:
        component = self.origin.component
        if self.loop is not None:
            iterations = [self.producers[str(index)].outputs for index in range(len(self.loop.items))]
            return gathered(component, components, iterations)
        # The types that a loop's component declares are those of its gathered outputs: lists.
        is_iteration = self.parent is not None and self.parent.loop is not None
        definitions = {} if is_iteration else component.get("outputDefinitions", {})
        return resolve_outputs(component["dag"], definitions, self.producers)


def _first_line(error: str | None) -> str:
    return (error or "").partition("\n")[0]
