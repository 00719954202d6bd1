"""Which tasks of a run that has ended run again when it is retried."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.engine.graph import Graph
from airflow_kfp_runtime.embedded.engine.iterations import is_loop
from airflow_kfp_runtime.embedded.state.rows import TaskRow, no_values, state_change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Json = dict[str, Any]


def reset_for_retry(pipeline_spec: Mapping[str, Any], rows: Iterable[TaskRow]) -> list[TaskRow]:
    """The rows that change when a failed run is retried, as they are to be saved.

    Tasks that succeeded are kept, but for those that depend on one that runs again (an exit handler).
    """
    by_path = {row.path: row for row in rows}
    kept = set(_kept(pipeline_spec["root"], "", pipeline_spec, by_path))
    return [_reset(row) for path, row in by_path.items() if path not in kept]


def _kept(
    component: Json, prefix: str, spec: Mapping[str, Any], rows: Mapping[str, TaskRow]
) -> Iterator[str]:
    tasks = component["dag"]["tasks"]
    graph = Graph.of(tasks)
    kept: set[str] = set()
    for name in graph.order():
        path = prefix + name
        if not graph.dependencies[name] <= kept or path not in rows:
            continue
        inner = spec["components"][tasks[name]["componentRef"]["name"]]
        if rows[path].state == "SUCCEEDED":
            kept.add(name)
            yield from _whole(path, rows)
        elif is_loop(tasks[name]):
            yield from _kept_iterations(inner, path, spec, rows)
        elif "dag" in inner:
            yield from _kept(inner, f"{path}/", spec, rows)


def _kept_iterations(
    component: Json, path: str, spec: Mapping[str, Any], rows: Mapping[str, TaskRow]
) -> Iterator[str]:
    index = 0
    while (iteration := rows.get(f"{path}/{index}")) is not None:
        if iteration.state == "SUCCEEDED":
            yield from _whole(iteration.path, rows)
        else:
            yield from _kept(component, f"{iteration.path}/", spec, rows)
        index += 1


def _whole(path: str, rows: Mapping[str, TaskRow]) -> Iterator[str]:
    return (other for other in rows if other == path or other.startswith(f"{path}/"))


def _reset(row: TaskRow) -> TaskRow:
    return replace(
        row,
        state="PENDING",
        state_history=[*row.state_history, state_change("PENDING")],
        started_at=None,
        finished_at=None,
        # A row with a pod is one that is due.
        pod_name="",
        exit_code=None,
        error=None,
        attempts=0,
        outputs=no_values(),
    )
