"""The embedded server's state in one SQLite file: experiments, pipelines, versions, runs, tasks, artifacts.

One connection serves all threads under a lock: the writes are small, and SQLite has one writer anyway. The
file is in WAL mode, so that another process (a backup, ``sqlite3`` on the command line) can read it.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from airflow_kfp_runtime.embedded.state.rows import (
    END_STATES,
    ArtifactRow,
    ExperimentRow,
    PipelineRow,
    RunRow,
    TaskRow,
    VersionRow,
    now,
    state_change,
)
from airflow_kfp_runtime.embedded.state.tables import SCHEMA, SCHEMA_VERSION, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from airflow_kfp_runtime.embedded.state.rows import State

#: One of the row classes.
Row = TypeVar("Row", ExperimentRow, PipelineRow, VersionRow, RunRow, TaskRow, ArtifactRow)

AnyRow: TypeAlias = "ExperimentRow | PipelineRow | VersionRow | RunRow | TaskRow | ArtifactRow"


class NewerDataError(Exception):
    """The file was written by a later version of the server."""


class AlreadyExistsError(Exception):
    """A row with this key or this unique name is there already."""


@dataclass(frozen=True)
class Selection:
    """Which rows of a table, in which order: SQL made by the server itself, never from what a client sent.

    :param where: a condition with ``?`` for each of ``values``; empty for all rows.
    :param order_by: columns with ``ASC`` or ``DESC``; empty for the order of insertion.
    :param limit: the most rows to return; -1 for all.
    """

    where: str = ""
    values: tuple[Any, ...] = ()
    order_by: str = ""
    limit: int = -1

    def sql(self, columns: str, table: str) -> str:
        """The statement."""
        where = f" WHERE {self.where}" if self.where else ""
        return f"SELECT {columns} FROM {table}{where} ORDER BY {self.order_by or 'rowid'} LIMIT {self.limit}"  # noqa: S608


class Store:
    """The tables. Every method is safe to call from any thread and has been committed when it returns.

    :param path: the SQLite file; made, with its tables, where there is none.
    :raises NewerDataError: a later version of the server, with other tables, has written it.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            self._connection.close()
            raise NewerDataError(
                f"{path} was written by a later version of the embedded server (schema {version}, and this "
                f"one knows up to {SCHEMA_VERSION}). Update airflow-kfp-runtime, or give another directory "
                "with --data."
            )
        self._connection.execute("PRAGMA journal_mode = WAL")
        # In WAL mode NORMAL cannot corrupt the file; a power cut may lose the last commits, a crash none.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(SCHEMA)
        self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file; nothing else may be called afterwards."""
        with self._lock:
            self._connection.close()

    # Any table

    def get(self, kind: type[Row], key: str) -> Row | None:
        """The row with this id, or ``None``."""
        table = TABLES[kind]
        return next(iter(self.select(kind, Selection(f"{table.key} = ?", (key,)))), None)

    def select(self, kind: type[Row], selection: Selection | None = None) -> list[Row]:
        """The rows of one kind that ``selection`` picks; all of them without one."""
        table = TABLES[kind]
        chosen = selection or Selection()
        with self._lock:
            found = self._connection.execute(chosen.sql(table.columns, table.name), chosen.values).fetchall()
        return [table.decode(kind, row) for row in found]

    def count(self, kind: type[Row], selection: Selection | None = None) -> int:
        """How many rows ``selection`` picks, whatever its limit."""
        where = replace(selection, order_by="", limit=-1) if selection else Selection()
        with self._lock:
            found = self._connection.execute(
                where.sql("COUNT(*)", TABLES[kind].name), where.values
            ).fetchone()
        return int(found[0])

    def insert(self, *rows: AnyRow) -> None:
        """Add rows, all or none.

        :raises AlreadyExistsError: an id or a unique name is taken.
        """
        try:
            with self._transaction():
                for row in rows:
                    table = TABLES[type(row)]
                    self._write(table.insert, table.encode(row))
        except sqlite3.IntegrityError as error:
            if "UNIQUE" not in str(error):
                raise
            raise AlreadyExistsError(str(error)) from error

    def save(self, row: Row) -> None:
        """Add a row, or overwrite the one that has its id."""
        table = TABLES[type(row)]
        self._write(table.upsert, table.encode(row))

    def change(self, kind: type[Row], key: str, edit: Callable[[Row], Row]) -> bool:
        """Replace a row by an edited copy in one transaction, so that nobody's change in between is lost.

        :return: whether there is such a row.
        """
        with self._transaction():
            row = self.get(kind, key)
            if row is None:
                return False
            self.save(edit(row))
            return True

    def delete(self, kind: type[Row], key: str) -> bool:
        """Remove a row and what hangs on it (a run's tasks and artifacts, a pipeline's versions).

        :return: whether there was one.
        """
        table = TABLES[kind]
        return self._write(f"DELETE FROM {table.name} WHERE {table.key} = ?", (key,)) > 0  # noqa: S608

    # Runs

    def get_run(self, run_id: str) -> RunRow | None:
        """The run, or ``None``."""
        return self.get(RunRow, run_id)

    def runs_in_states(self, states: Iterable[State]) -> list[RunRow]:
        """The runs that are in one of these states, oldest first."""
        wanted = tuple(states)
        marks = ", ".join("?" * len(wanted))
        return self.select(RunRow, Selection(f"state IN ({marks})", wanted, "created_at, run_id"))

    def set_run_state(
        self, run_id: str, state: State, error: str | None = None, *, only_from: Iterable[State] | None = None
    ) -> bool:
        """Move a run to a state: its history grows; an end state sets ``finished_at``, any other clears it.

        :param state: the state to go to; where the run is in it already, nothing changes.
        :param error: why, for a run that fails; ``None`` clears what was there.
        :param only_from: do it only if the run is in one of these, decided and done in one transaction.
        :return: whether the run is in ``state`` through this call (``False``: there is no such run, or it was
            there already, or it was in a state that ``only_from`` lacks).
        """
        with self._transaction():
            run = self.get_run(run_id)
            if (
                run is None
                or run.state == state
                or (only_from is not None and run.state not in set(only_from))
            ):
                return False
            moment = now()
            self.save(
                replace(
                    run,
                    state=state,
                    error=error,
                    state_history=[*run.state_history, state_change(state, moment)],
                    finished_at=moment if state in END_STATES else None,
                )
            )
            return True

    def run_number(self, run_id: str) -> int | None:
        """The integer that ML Metadata knows a run by: its ``rowid``, which a selection can ask for."""
        with self._lock:
            found = self._connection.execute("SELECT rowid FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return int(found[0]) if found else None

    # Tasks

    def save_task(self, task: TaskRow) -> None:
        """Add or overwrite a task, and add or overwrite the artifacts that are among its outputs."""
        with self._transaction():
            self.save(task)
            moment = now()
            for name, artifacts in task.outputs.get("artifacts", {}).items():
                for artifact in () if task.is_group else artifacts:
                    self.save(
                        ArtifactRow(
                            artifact_id=artifact["id"],
                            run_id=task.run_id,
                            task_id=task.task_id,
                            name=artifact.get("name") or name,
                            type=artifact["type"],
                            uri=artifact["uri"],
                            created_at=task.finished_at or moment,
                            metadata=artifact.get("metadata") or {},
                        )
                    )

    def get_task(self, task_id: str) -> TaskRow | None:
        """The task, or ``None``."""
        return self.get(TaskRow, task_id)

    def tasks_of(self, run_id: str) -> list[TaskRow]:
        """A run's tasks in the order in which they were first saved."""
        return self.select(TaskRow, Selection("run_id = ?", (run_id,), "number"))

    def artifacts_of(self, run_id: str) -> list[ArtifactRow]:
        """The artifacts that a run's tasks have written, in that order."""
        return self.select(ArtifactRow, Selection("run_id = ?", (run_id,), "number"))

    def task_numbers(self, run_id: str) -> dict[str, int]:
        """The integer that ML Metadata knows each task of a run by, by task id."""
        with self._lock:
            found = self._connection.execute("SELECT task_id, number FROM tasks WHERE run_id = ?", (run_id,))
            return {row["task_id"]: row["number"] for row in found}

    def _write(self, statement: str, values: Sequence[Any]) -> int:
        with self._lock:
            return self._connection.execute(statement, values).rowcount

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
