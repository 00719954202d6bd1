"""By what rows are filtered and sorted: the names that the API has for fields, and the columns behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from airflow_kfp_runtime.embedded.state.rows import (
    ArtifactRow,
    ExperimentRow,
    PipelineRow,
    RunRow,
    TaskRow,
    VersionRow,
)
from airflow_kfp_runtime.embedded.state.store import Row

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """How rows of one kind are listed.

    :param kind: the row class.
    :param key: the column that makes an order total.
    :param filters: by the API's name of a field, the SQL expression that a filter compares; times in seconds,
        as the real tables keep them.
    :param sorts: by the API's name of a field, the column, which is also the row's attribute.
    """

    kind: type[Row]
    key: str
    filters: Mapping[str, str]
    sorts: Mapping[str, str]


def _seconds(column: str) -> str:
    return f"(COALESCE({column}, 0) / 1000000)"


#: The words of the v1 API for a state, which the filter key ``status`` compares (KFP 2.17,
#: ``RuntimeState.ToV1``).
STATUS_WORDS = {
    "PENDING": "Pending",
    "RUNNING": "Running",
    "SUCCEEDED": "Succeeded",
    "SKIPPED": "Skipped",
    "FAILED": "Failed",
    "CANCELING": "Terminating",
    "CANCELED": "Failed",
    "PAUSED": "Pending",
}
_STATUS = " ".join(f"WHEN '{state}' THEN '{word}'" for state, word in STATUS_WORDS.items())

RUNS = Listing(
    RunRow,
    "run_id",
    filters={
        "run_id": "run_id",
        "id": "run_id",
        "display_name": "display_name",
        "name": "display_name",
        "created_at": _seconds("created_at"),
        "finished_at": _seconds("finished_at"),
        "scheduled_at": _seconds("scheduled_at"),
        "description": "description",
        "storage_state": "storage_state",
        "status": f"(CASE state {_STATUS} ELSE 'Unknown' END)",
        "namespace": "namespace",
        "experiment_id": "experiment_id",
        "state": "state",
        "state_history": "state_history",
        # The manifest is made when it is asked for, and there are no recurring runs: nothing to compare with.
        "runtime_details": "''",
        "recurring_run_id": "''",
    },
    sorts={
        "run_id": "run_id",
        "id": "run_id",
        "display_name": "display_name",
        "name": "display_name",
        "created_at": "created_at",
        "finished_at": "finished_at",
        "scheduled_at": "scheduled_at",
        "description": "description",
        "storage_state": "storage_state",
        "namespace": "namespace",
        "experiment_id": "experiment_id",
        "state": "state",
    },
)


def _plain(*columns: str, **renamed: str) -> dict[str, str]:
    return {column: column for column in columns} | renamed


_EXPERIMENT_FIELDS = _plain(
    "experiment_id", "display_name", "description", "namespace", "storage_state",
    id="experiment_id", name="display_name",
)  # fmt: skip
EXPERIMENTS = Listing(
    ExperimentRow,
    "experiment_id",
    filters=_EXPERIMENT_FIELDS
    | {
        "created_at": _seconds("created_at"),
        "last_run_created_at": _seconds("last_run_created_at"),
    },
    sorts=_EXPERIMENT_FIELDS | _plain("created_at", "last_run_created_at"),
)

_PIPELINE_FIELDS = _plain("pipeline_id", "name", "display_name", "description", "namespace", id="pipeline_id")
PIPELINES = Listing(
    PipelineRow,
    "pipeline_id",
    filters=_PIPELINE_FIELDS | {"created_at": _seconds("created_at")},
    sorts=_PIPELINE_FIELDS | _plain("created_at"),
)

_VERSION_FIELDS = _plain(
    "name", "display_name", "description", id="version_id", pipeline_version_id="version_id"
)
VERSIONS = Listing(
    VersionRow,
    "version_id",
    # A version is ready as soon as there is one.
    filters=_VERSION_FIELDS | {"created_at": _seconds("created_at"), "status": "'READY'"},
    sorts=_VERSION_FIELDS | _plain("created_at"),
)

_TASK_FIELDS = _plain(
    "task_id", "run_id", "name", "state", "parent_task_id", id="task_id", display_name="name"
)
TASKS = Listing(
    TaskRow,
    "task_id",
    filters=_TASK_FIELDS | {"created_at": _seconds("created_at"), "finished_at": _seconds("finished_at")},
    sorts=_TASK_FIELDS | _plain("created_at", "finished_at"),
)

_ARTIFACT_FIELDS = _plain("artifact_id", "name", "type", "uri", id="artifact_id")
ARTIFACTS = Listing(
    ArtifactRow,
    "artifact_id",
    filters=_ARTIFACT_FIELDS | {"created_at": _seconds("created_at")},
    sorts=_ARTIFACT_FIELDS | _plain("created_at"),
)
