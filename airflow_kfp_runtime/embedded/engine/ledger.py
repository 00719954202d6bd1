"""The rows of a run's tasks: those that an earlier execution has left, and new ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_kfp_runtime.embedded.state.rows import TaskRow, now, state_change

if TYPE_CHECKING:
    from airflow_kfp_runtime.embedded.state.store import Store


class Ledger:
    """Finds, makes and saves the rows of one run's tasks.

    :param run_id: the run.
    :param store: where they are kept.
    """

    def __init__(self, run_id: str, store: Store) -> None:
        self._run_id = run_id
        self._store = store
        self._earlier = {row.path: row for row in store.tasks_of(run_id)}

    def row(self, parent: TaskRow | None, name: str, kind: str) -> TaskRow:
        """The row that an earlier execution has left for a task, or a new one, not saved yet.

        :param parent: the row of the dag that holds the task; ``None`` for the root.
        :param kind: ``ROOT``, ``DAG`` or ``CONTAINER``.
        """
        path = f"{parent.path}/{name}".lstrip("/") if parent else ""
        return self._earlier.get(path) or TaskRow(
            task_id=str(uuid4()),
            run_id=self._run_id,
            name=name,
            path=path,
            type=kind,
            created_at=now(),
            parent_task_id=parent.task_id if parent else None,
            state_history=[state_change("PENDING")],
        )

    def save(self, row: TaskRow, state: str | None = None, **changes: Any) -> TaskRow:
        """Save a row with these changes and, where ``state`` is given and new, move it there."""
        if state is not None and state != row.state:
            changes["state"] = state
            changes["state_history"] = [*row.state_history, state_change(state)]
            changes["finished_at"] = None if state == "RUNNING" else now()
        saved = replace(row, **changes)
        self._store.save_task(saved)
        return saved
