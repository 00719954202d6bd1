"""The SQLite schema of the embedded server, and how row dataclasses become columns and come back.

Times are integers: microseconds since 1970. Dictionaries and lists are JSON text.
"""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from airflow_kfp_runtime.embedded.state.rows import (
    ArtifactRow,
    ExperimentRow,
    PipelineRow,
    RunRow,
    TaskRow,
    VersionRow,
    from_microseconds,
    microseconds,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

#: The version of :data:`SCHEMA`, which a file keeps as its ``user_version``. 0 is a file without tables, or
#: one with those of version 1 from before they were numbered. A change of the schema comes with the
#: statements that bring a file of the version before to it.
SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE IF NOT EXISTS experiments (
    experiment_id TEXT PRIMARY KEY, display_name TEXT NOT NULL, created_at INTEGER NOT NULL,
    description TEXT NOT NULL, namespace TEXT NOT NULL, storage_state TEXT NOT NULL,
    last_run_created_at INTEGER, UNIQUE (display_name, namespace)
);
CREATE TABLE IF NOT EXISTS pipelines (
    pipeline_id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL, display_name TEXT NOT NULL,
    description TEXT NOT NULL, namespace TEXT NOT NULL, tags TEXT NOT NULL, UNIQUE (name, namespace)
);
CREATE TABLE IF NOT EXISTS versions (
    version_id TEXT PRIMARY KEY, pipeline_id TEXT NOT NULL REFERENCES pipelines ON DELETE CASCADE,
    name TEXT NOT NULL, created_at INTEGER NOT NULL, pipeline_spec TEXT NOT NULL, platform_spec TEXT,
    display_name TEXT NOT NULL, description TEXT NOT NULL, code_source_url TEXT NOT NULL, tags TEXT NOT NULL,
    UNIQUE (pipeline_id, name)
);
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, display_name TEXT NOT NULL, experiment_id TEXT NOT NULL,
    pipeline_spec TEXT NOT NULL, created_at INTEGER NOT NULL, scheduled_at INTEGER NOT NULL,
    platform_spec TEXT, description TEXT NOT NULL, namespace TEXT NOT NULL,
    service_account TEXT NOT NULL, pipeline_id TEXT, version_id TEXT,
    parameters TEXT NOT NULL, pipeline_root TEXT NOT NULL, state TEXT NOT NULL, state_history TEXT NOT NULL,
    storage_state TEXT NOT NULL, finished_at INTEGER, error TEXT, retries INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_by_creation ON runs (created_at, run_id);
CREATE INDEX IF NOT EXISTS runs_by_experiment ON runs (experiment_id, created_at);
CREATE INDEX IF NOT EXISTS runs_by_state ON runs (state, finished_at);
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL UNIQUE,
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, name TEXT NOT NULL, path TEXT NOT NULL,
    type TEXT NOT NULL, created_at INTEGER NOT NULL, parent_task_id TEXT, state TEXT NOT NULL,
    state_history TEXT NOT NULL, started_at INTEGER, finished_at INTEGER, pod_name TEXT NOT NULL,
    exit_code INTEGER, error TEXT, attempts INTEGER NOT NULL, inputs TEXT NOT NULL, outputs TEXT NOT NULL,
    executor_input TEXT
);
CREATE INDEX IF NOT EXISTS tasks_by_run ON tasks (run_id, number);
CREATE TABLE IF NOT EXISTS artifacts (
    number INTEGER PRIMARY KEY AUTOINCREMENT, artifact_id TEXT NOT NULL UNIQUE,
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    task_id TEXT NOT NULL REFERENCES tasks (task_id) ON DELETE CASCADE,
    name TEXT NOT NULL, type TEXT NOT NULL, uri TEXT NOT NULL, created_at INTEGER NOT NULL,
    metadata TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS artifacts_by_run ON artifacts (run_id, number);
CREATE INDEX IF NOT EXISTS artifacts_by_task ON artifacts (task_id);
"""

#: A column that SQLite fills: a row has read it, and never writes it.
_NUMBER = "number"

Row = TypeVar("Row")


class Table:
    """How the rows of one class become columns.

    :param name: the table.
    :param kind: the dataclass of its rows; its fields are the columns.
    :param key: the column with the id.
    """

    def __init__(self, name: str, kind: type[Any], key: str) -> None:
        self.name = name
        self.key = key
        hints = get_type_hints(kind)
        self._codecs = {field.name: _codec(hints[field.name]) for field in fields(kind)}
        self._written = [column for column in self._codecs if column != _NUMBER]
        self.columns = ", ".join(self._codecs)
        written = ", ".join(self._written)
        marks = ", ".join("?" * len(self._written))
        changes = ", ".join(f"{column} = excluded.{column}" for column in self._written if column != key)
        insert = f"INSERT INTO {name} ({written}) VALUES ({marks})"  # noqa: S608
        self.insert = insert
        self.upsert = f"{insert} ON CONFLICT ({key}) DO UPDATE SET {changes}"

    def encode(self, row: object) -> tuple[object, ...]:
        """The values of a row, in the order that ``insert`` and ``upsert`` want."""
        return tuple(_encode(self._codecs[column], getattr(row, column)) for column in self._written)

    def decode(self, kind: Callable[..., Row], row: sqlite3.Row) -> Row:
        """The row that was read with ``columns``."""
        return kind(**{column: _decode(codec, row[column]) for column, codec in self._codecs.items()})


def _codec(hint: object) -> str:
    alternatives = [alternative for alternative in get_args(hint) if alternative is not type(None)]
    if type(None) in get_args(hint):
        (hint,) = alternatives
    if get_origin(hint) in (dict, list):
        return "json"
    return "time" if hint is datetime else "plain"


def _encode(codec: str, value: object) -> object:
    match codec, value:
        case "time", datetime():
            return microseconds(value)
        case "json", dict() | list():
            return json.dumps(value, separators=(",", ":"))
        case _:
            return value


def _decode(codec: str, value: object) -> object:
    match codec, value:
        case "time", int():
            return from_microseconds(value)
        case "json", str():
            return json.loads(value)
        case _:
            return value


#: The table of each row class.
TABLES: dict[type[Any], Table] = {
    ExperimentRow: Table("experiments", ExperimentRow, "experiment_id"),
    PipelineRow: Table("pipelines", PipelineRow, "pipeline_id"),
    VersionRow: Table("versions", VersionRow, "version_id"),
    RunRow: Table("runs", RunRow, "run_id"),
    TaskRow: Table("tasks", TaskRow, "task_id"),
    ArtifactRow: Table("artifacts", ArtifactRow, "artifact_id"),
}
