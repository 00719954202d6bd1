"""What the server answers, typed: tolerant of omitted zero values, camel case and states nobody has heard
of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow_kfp_runtime.client import reading
from airflow_kfp_runtime.client.json_rows import read_object
from airflow_kfp_runtime.client.yielding import give_way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

T = TypeVar("T")


class RunState(str, Enum):
    """The state of a run or task (KFP 2.17, ``RuntimeState``); ``UNKNOWN`` is what is missing or new."""

    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    PAUSED = "PAUSED"

    @classmethod
    def parse(cls, value: object) -> RunState:
        """Return the state of that name; anything else is ``UNKNOWN``, never an error and never success."""
        return cls(value) if isinstance(value, str) and value in cls.__members__ else cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class StateChange:
    """An entry of a state history."""

    state: RunState
    update_time: datetime | None = None
    error: str | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StateChange:
        """Read a ``RuntimeStatus``."""
        return cls(
            state=RunState.parse(reading.value(data, "state")),
            update_time=reading.moment(data, "update_time"),
            error=reading.problem(data, "error"),
        )


@dataclass(frozen=True, slots=True)
class TaskDetail:
    """A row of a run's ``task_details``: one Argo node. Absent after KFP 2.17, and late behind the run's
    state.
    """

    task_id: str
    display_name: str
    state: RunState
    state_history: tuple[StateChange, ...] = ()
    parent_task_id: str | None = None
    pod_names: tuple[str, ...] = ()
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TaskDetail:
        """Read a ``PipelineTaskDetail`` of KFP 2.0 to 2.17; the pods are its own and its children's."""
        pods = [reading.text(data, "pod_name")]
        pods += [reading.text(child, "pod_name") for child in reading.rows(data, "child_tasks")]
        return cls(
            task_id=reading.text(data, "task_id"),
            display_name=reading.text(data, "display_name"),
            state=RunState.parse(reading.value(data, "state")),
            state_history=_history(data),
            parent_task_id=reading.text(data, "parent_task_id") or None,
            pod_names=tuple(pod for pod in pods if pod),
            created_at=reading.moment(data, "create_time"),
            started_at=reading.moment(data, "start_time"),
            finished_at=reading.moment(data, "end_time"),
            error=reading.problem(data, "error"),
        )

    @classmethod
    def brief(cls, data: Mapping[str, Any]) -> TaskDetail:
        """Read which task it is and its state."""
        return cls(
            task_id=reading.text(data, "task_id"),
            display_name=reading.text(data, "display_name"),
            state=RunState.parse(reading.value(data, "state")),
        )


@dataclass(frozen=True)
class VersionReference:
    """Which pipeline version a run is of; the version is ``""`` where only the pipeline is known."""

    pipeline_id: str
    pipeline_version_id: str = ""


@dataclass(frozen=True)
class RuntimeConfig:
    """The arguments that a run was given and the root under which its artifacts are written."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    pipeline_root: str | None = None


@dataclass(frozen=True)
class Run:
    """A run.

    :param finished_at: ``None`` until it has ended (the server says 1970).
    :param pipeline_spec: the IR, only where the run was submitted with it inline.
    :param error: what the server could not tell of the run; empty for a run that merely failed.
    :param requested_run_id: the id that :func:`~airflow_kfp_runtime.client.flows.submit_run` asked for;
        ``None`` for a run that was looked up.
    """

    run_id: str
    display_name: str = ""
    description: str = ""
    state: RunState = RunState.UNKNOWN
    state_history: tuple[StateChange, ...] = ()
    storage_state: str = ""
    experiment_id: str = ""
    service_account: str = ""
    pipeline_version_reference: VersionReference | None = None
    pipeline_spec: Mapping[str, Any] | None = None
    runtime_config: RuntimeConfig = field(default_factory=RuntimeConfig)
    created_at: datetime | None = None
    scheduled_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None
    task_details: tuple[TaskDetail, ...] = ()
    requested_run_id: str | None = None

    @property
    def id_was_replaced(self) -> bool:
        """Whether the server chose an id of its own: from now on only ``run_id`` finds the run."""
        return self.requested_run_id is not None and self.requested_run_id != self.run_id

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Run:
        """Read a ``Run``.

        :raises ValueError: if it has no id, and so is no run.
        """
        config = reading.mapping(data, "runtime_config")
        return cls(
            run_id=reading.required(data, "run_id"),
            display_name=reading.text(data, "display_name"),
            description=reading.text(data, "description"),
            state=RunState.parse(reading.value(data, "state")),
            state_history=_history(data),
            storage_state=reading.text(data, "storage_state"),
            experiment_id=reading.text(data, "experiment_id"),
            service_account=reading.text(data, "service_account"),
            pipeline_version_reference=_reference(data),
            pipeline_spec=reading.mapping(data, "pipeline_spec") or None,
            runtime_config=RuntimeConfig(
                parameters=reading.mapping(config, "parameters"),
                pipeline_root=reading.text(config, "pipeline_root") or None,
            ),
            created_at=reading.moment(data, "created_at"),
            scheduled_at=reading.moment(data, "scheduled_at"),
            finished_at=reading.moment(data, "finished_at"),
            error=reading.problem(data, "error"),
            task_details=tuple(
                TaskDetail.from_json(row)
                for row in reading.rows(reading.mapping(data, "run_details"), "task_details")
            ),
        )

    @classmethod
    def brief(cls, data: Mapping[str, Any]) -> Run:
        """Read only how far a run is: states, its own and its tasks', and when it finished.

        That takes a tenth of the time of :meth:`from_json`, which counts where many runs are waited for.

        :raises ValueError: if it has no id, and so is no run.
        """
        return cls(
            run_id=reading.required(data, "run_id"),
            state=RunState.parse(reading.value(data, "state")),
            state_history=tuple(
                StateChange(RunState.parse(reading.value(row, "state")))
                for row in reading.rows(data, "state_history")
            ),
            finished_at=reading.moment(data, "finished_at"),
            task_details=tuple(
                TaskDetail.brief(row)
                for row in reading.rows(reading.mapping(data, "run_details"), "task_details")
            ),
        )


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: a name with versions. Before KFP 2.14 there is only one name, called ``display_name``."""

    pipeline_id: str
    name: str
    display_name: str = ""
    description: str = ""
    namespace: str = ""
    created_at: datetime | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Pipeline:
        """Read a ``Pipeline``.

        :raises ValueError: if it has no id.
        """
        display_name = reading.text(data, "display_name")
        return cls(
            pipeline_id=reading.required(data, "pipeline_id"),
            name=reading.text(data, "name") or display_name,
            display_name=display_name,
            description=reading.text(data, "description"),
            namespace=reading.text(data, "namespace"),
            created_at=reading.moment(data, "created_at"),
        )


@dataclass(frozen=True)
class PipelineVersion:
    """A version of a pipeline, with its IR where the server sends it."""

    pipeline_id: str
    pipeline_version_id: str
    name: str
    display_name: str = ""
    description: str = ""
    pipeline_spec: Mapping[str, Any] | None = None
    created_at: datetime | None = None

    @property
    def reference(self) -> VersionReference:
        """How a run names this version."""
        return VersionReference(self.pipeline_id, self.pipeline_version_id)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PipelineVersion:
        """Read a ``PipelineVersion``.

        :raises ValueError: if it has no id.
        """
        display_name = reading.text(data, "display_name")
        return cls(
            pipeline_id=reading.text(data, "pipeline_id"),
            pipeline_version_id=reading.required(data, "pipeline_version_id"),
            name=reading.text(data, "name") or display_name,
            display_name=display_name,
            description=reading.text(data, "description"),
            pipeline_spec=reading.mapping(data, "pipeline_spec") or None,
            created_at=reading.moment(data, "created_at"),
        )


@dataclass(frozen=True)
class Experiment:
    """An experiment: a group of runs, on a multi-user server in a namespace."""

    experiment_id: str
    display_name: str = ""
    description: str = ""
    namespace: str = ""
    storage_state: str = ""
    created_at: datetime | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Experiment:
        """Read an ``Experiment``.

        :raises ValueError: if it has no id.
        """
        return cls(
            experiment_id=reading.required(data, "experiment_id"),
            display_name=reading.text(data, "display_name"),
            description=reading.text(data, "description"),
            namespace=reading.text(data, "namespace"),
            storage_state=reading.text(data, "storage_state"),
            created_at=reading.moment(data, "created_at"),
        )


@dataclass(frozen=True)
class Health:
    """What the server says of itself; ``tag_name`` is its version, ``""`` where a build has none."""

    tag_name: str = ""
    commit_sha: str = ""
    multi_user: bool = False
    pipeline_store: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Health:
        """Read the answer of ``healthz``, from the API server or through the UI (which renames the
        fields).
        """
        return cls(
            tag_name=reading.text(data, "tag_name") or reading.text(data, "api_server_tag_name"),
            commit_sha=reading.text(data, "commit_sha") or reading.text(data, "api_server_commit_hash"),
            multi_user=reading.value(data, "multi_user") is True
            or reading.value(data, "api_server_multi_user") is True,
            pipeline_store=reading.text(data, "pipeline_store"),
        )


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list; ``next_page_token`` is ``""`` on the last."""

    items: tuple[T, ...] = ()
    next_page_token: str = ""
    total_size: int = 0

    @classmethod
    def reader(cls, name: str, read: Callable[[Mapping[str, Any]], T]) -> Callable[[str], Page[T]]:
        """Return what reads the JSON of a page whose rows are in the field ``name``."""

        def read_page(text: str) -> Page[T]:
            items = []

            def take(row: object) -> None:
                if isinstance(row, dict):
                    items.append(read(row))
                give_way()

            data = read_object(text, (name, reading.camel_case(name)), take)
            return cls(
                items=tuple(items),
                next_page_token=reading.text(data, "next_page_token"),
                total_size=reading.number(data, "total_size"),
            )

        return read_page


def _history(data: Mapping[str, Any]) -> tuple[StateChange, ...]:
    return tuple(StateChange.from_json(row) for row in reading.rows(data, "state_history"))


def _reference(data: Mapping[str, Any]) -> VersionReference | None:
    for name in ("pipeline_version_reference", "pipeline_reference"):
        found = reading.mapping(data, name)
        if found:
            return VersionReference(
                reading.text(found, "pipeline_id"), reading.text(found, "pipeline_version_id")
            )
    return None
