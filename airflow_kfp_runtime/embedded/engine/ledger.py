"""The rows of a run's tasks: those that an earlier execution has left, and new ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_kfp_runtime.embedded.state.rows import TaskRow, now, state_change

if TYPE_CHECKING:
    from airflow_kfp_runtime.embedded.state.rows import State, TaskType
    from airflow_kfp_runtime.embedded.state.store import Store


class Ledger:
    """Finds, makes and saves the rows of one run's tasks.

    :param run_id: the run.
    :param store: where they are kept.
    """

    def __init__(self, run_id: str, store: Store) -> None:
        self._run_id = run_id
        self._store = store
        self._rows = {row.path: row for row in store.tasks_of(run_id)}

    def row(self, parent: TaskRow | None, name: str, kind: TaskType, index: str = "") -> TaskRow:
        """The row that a task has, also from an earlier execution, or a new one, not saved yet.

        :param parent: the row of the dag or loop that holds the task; ``None`` for the root.
        :param kind: the row's ``type``.
        :param index: which iteration of ``parent`` it is; empty for any other task.
        """
        path = f"{parent.path}/{index or name}".lstrip("/") if parent else ""
        return self._rows.get(path) or TaskRow(
            task_id=str(uuid4()),
            run_id=self._run_id,
            name=name,
            path=path,
            type=kind,
            created_at=now(),
            parent_task_id=parent.task_id if parent else None,
            state_history=[state_change("PENDING")],
        )

    def save(self, row: TaskRow, state: State | None = None, **changes: Any) -> TaskRow:
        """Save a row with these changes and, where ``state`` is given and new, move it there."""
        if state is not None and state != row.state:
            changes["state"] = state
            changes["state_history"] = [*row.state_history, state_change(state)]
            changes["finished_at"] = None if state == "RUNNING" else now()
        saved = replace(row, **changes)
        self._store.save_task(saved)
        self._rows[saved.path] = saved
        return saved

    def drop_iterations(self, loop: TaskRow, count: int) -> None:
        """Remove the iterations beyond ``count`` that an earlier execution, over more items, has left."""
        inside = f"{loop.path}/"
        for path, row in list(self._rows.items()):
            if path.startswith(inside) and int(path[len(inside) :].partition("/")[0]) >= count:
                del self._rows[path]
                self._store.delete(TaskRow, row.task_id)
