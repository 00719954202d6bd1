"""What the embedded server keeps: one frozen row class per table.

A row changes through :func:`dataclasses.replace` and is saved whole. Times are aware and in UTC. Dictionaries
and lists are JSON values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, TypeAlias

#: What a run or a task is doing (KFP 2.17, ``RuntimeState``).
State: TypeAlias = Literal[
    "PENDING", "RUNNING", "SUCCEEDED", "SKIPPED", "FAILED", "CANCELING", "CANCELED", "PAUSED"
]

#: States from which a run or task goes nowhere by itself.
END_STATES: frozenset[State] = frozenset({"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"})

#: Whether a run or an experiment is among those that are listed by default.
StorageState: TypeAlias = Literal["AVAILABLE", "ARCHIVED"]

#: What a task is; a ``CONTAINER`` runs as a process.
TaskType: TypeAlias = Literal["ROOT", "DAG", "LOOP", "ITERATION", "CONTAINER", "IMPORTER"]


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(timezone.utc)


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """A time as the tables keep it: whole microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(count: int) -> datetime:
    """The time that :func:`microseconds` has counted."""
    return _EPOCH + count * _MICROSECOND


def timestamp(moment: datetime) -> str:
    """A time as KFP's gateway writes it: RFC 3339 in UTC, whole seconds, since its tables keep no fractions.

    >>> timestamp(datetime(2026, 8, 1, 12, 30, 15, 999, tzinfo=timezone.utc))
    '2026-08-01T12:30:15Z'
    """
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str) -> datetime:
    """Read a time as :func:`timestamp` writes it, or with another offset; a fraction of a second is dropped.

    :raises ValueError: it is no RFC 3339 time, or has no offset.

    >>> parse_timestamp("2026-08-01T14:30:15.25+02:00")
    datetime.datetime(2026, 8, 1, 12, 30, 15, tzinfo=datetime.timezone.utc)
    """
    whole = re.sub("[zZ]$", "+00:00", re.sub(r"\.\d+", "", text))
    moment = datetime.fromisoformat(whole)
    if moment.tzinfo is None:
        raise ValueError(f"invalid timestamp {text!r}: it has no offset from UTC")
    return moment.astimezone(timezone.utc)


def state_change(state: State, moment: datetime | None = None) -> dict[str, Any]:
    """One entry of a ``state_history``, as the API shows it."""
    return {"update_time": timestamp(moment or now()), "state": state}


def no_values() -> dict[str, Any]:
    """The inputs or outputs of a task that has none: ``{"parameters": {}, "artifacts": {}}``."""
    return {"parameters": {}, "artifacts": {}}


@dataclass(frozen=True)
class ExperimentRow:
    """An experiment: the folder of runs, and the holder of their namespace."""

    experiment_id: str
    display_name: str
    created_at: datetime
    description: str = ""
    namespace: str = ""
    storage_state: StorageState = "AVAILABLE"
    last_run_created_at: datetime | None = None


@dataclass(frozen=True)
class PipelineRow:
    """A pipeline: a name for versions."""

    pipeline_id: str
    name: str
    created_at: datetime
    display_name: str = ""
    description: str = ""
    namespace: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VersionRow:
    """A version of a pipeline: the IR that runs of it execute."""

    version_id: str
    pipeline_id: str
    name: str
    created_at: datetime
    pipeline_spec: dict[str, Any]
    platform_spec: dict[str, Any] | None = None
    display_name: str = ""
    description: str = ""
    code_source_url: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRow:
    """A run.

    ``pipeline_id`` and ``version_id`` are ``None`` for a run whose pipeline was sent inline; the specs are
    filled in any case, so that a run outlives its version. ``parameters`` are the arguments as submitted,
    without defaults. ``finished_at`` is ``None`` until the run has ended.
    """

    run_id: str
    display_name: str
    experiment_id: str
    pipeline_spec: dict[str, Any]
    created_at: datetime
    scheduled_at: datetime
    platform_spec: dict[str, Any] | None = None
    description: str = ""
    namespace: str = ""
    service_account: str = ""
    pipeline_id: str | None = None
    version_id: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    pipeline_root: str = ""
    state: State = "PENDING"
    state_history: list[dict[str, Any]] = field(default_factory=list)
    storage_state: StorageState = "AVAILABLE"
    finished_at: datetime | None = None
    error: str | None = None
    retries: int = 0


@dataclass(frozen=True)
class TaskRow:
    """A task of a run: the root, a nested pipeline, a loop or one of its iterations, or a single step.

    ``name`` is the task's key in its dag, and for an iteration that of its loop. ``path`` is unique in the
    run: ``train``, ``outer/inner``, ``loop/0/train`` in an iteration; empty for the root. ``inputs``
    and ``outputs`` have the shape ``{"parameters": {name: value}, "artifacts": {name: [{"id", "name", "type",
    "uri", "metadata"}]}}``, where ``type`` is a schema title (``system.Dataset``) and ``id`` is unique over
    all runs.
    """

    task_id: str
    run_id: str
    name: str
    path: str
    type: TaskType
    created_at: datetime
    parent_task_id: str | None = None
    state: State = "PENDING"
    state_history: list[dict[str, Any]] = field(default_factory=list)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    pod_name: str = ""
    exit_code: int | None = None
    error: str | None = None
    attempts: int = 0
    inputs: dict[str, Any] = field(default_factory=no_values)
    outputs: dict[str, Any] = field(default_factory=no_values)
    executor_input: dict[str, Any] | None = None

    @property
    def iteration(self) -> int | None:
        """Which iteration of its loop it is; ``None`` for what is no iteration."""
        return int(self.path.rpartition("/")[2]) if self.type == "ITERATION" else None

    @property
    def is_group(self) -> bool:
        """Whether it holds other tasks."""
        return self.type in ("ROOT", "DAG", "LOOP", "ITERATION")


@dataclass(frozen=True)
class ArtifactRow:
    """An artifact that a task has written; kept by ``Store.save_task`` from the task's outputs.

    ``number`` is the integer that ML Metadata knows it by.
    """

    artifact_id: str
    run_id: str
    task_id: str
    name: str
    type: str
    uri: str
    created_at: datetime
    metadata: dict[str, Any] = field(default_factory=dict)
    number: int = 0
