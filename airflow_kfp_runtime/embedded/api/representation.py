"""Rows as the v2beta1 API shows them: snake case, zero values omitted, times in whole seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.api.context import without_zeros
from airflow_kfp_runtime.embedded.api.specs import PipelineDocument
from airflow_kfp_runtime.embedded.state.rows import timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_kfp_runtime.embedded.api.nodes import Node
    from airflow_kfp_runtime.embedded.state.rows import ExperimentRow, PipelineRow, RunRow, VersionRow

#: What the gateway shows for a time that has not come, since it turns zero seconds into a timestamp.
NEVER = "1970-01-01T00:00:00Z"

#: Argo's phases in the words of the API.
_PHASE_STATES = {
    "Pending": "PENDING",
    "Running": "RUNNING",
    "Succeeded": "SUCCEEDED",
    "Skipped": "SKIPPED",
    "Omitted": "SKIPPED",
    "Failed": "FAILED",
    "Error": "FAILED",
}


def time_or_never(moment: datetime | None) -> str:
    """A time, or 1970 for none."""
    return timestamp(moment) if moment else NEVER


def experiment(row: ExperimentRow) -> dict[str, Any]:
    """``v2beta1Experiment``."""
    return without_zeros(
        {
            "experiment_id": row.experiment_id,
            "display_name": row.display_name,
            "description": row.description,
            "created_at": timestamp(row.created_at),
            "namespace": row.namespace,
            "storage_state": row.storage_state,
            "last_run_created_at": time_or_never(row.last_run_created_at),
        }
    )


def pipeline(row: PipelineRow) -> dict[str, Any]:
    """``v2beta1Pipeline``."""
    return without_zeros(
        {
            "pipeline_id": row.pipeline_id,
            "display_name": row.display_name,
            "description": row.description,
            "created_at": timestamp(row.created_at),
            "namespace": row.namespace,
            "name": row.name,
            "tags": row.tags,
        }
    )


def version(row: VersionRow) -> dict[str, Any]:
    """``v2beta1PipelineVersion``, with the spec in full."""
    return without_zeros(
        {
            "pipeline_id": row.pipeline_id,
            "pipeline_version_id": row.version_id,
            "display_name": row.display_name,
            "description": row.description,
            "created_at": timestamp(row.created_at),
            "pipeline_spec": PipelineDocument(row.pipeline_spec, row.platform_spec).as_struct(),
            "code_source_url": row.code_source_url,
            "name": row.name,
            "tags": row.tags,
        }
    )


def run(row: RunRow, details: dict[str, Any]) -> dict[str, Any]:
    """``v2beta1Run``: with the spec if it was submitted inline, else with the reference to its version.

    :param details: the fields that tell about the tasks; they differ between versions of the API.
    """
    message = {
        "experiment_id": row.experiment_id,
        "run_id": row.run_id,
        "display_name": row.display_name,
        "storage_state": row.storage_state,
        "description": row.description,
        "runtime_config": without_zeros(
            {"parameters": _plain_numbers(row.parameters), "pipeline_root": row.pipeline_root}
        ),
        "service_account": row.service_account,
        "created_at": timestamp(row.created_at),
        "scheduled_at": timestamp(row.scheduled_at),
        "finished_at": time_or_never(row.finished_at),
        "state": row.state,
        "state_history": row.state_history,
        **details,
    }
    if row.version_id:
        message["pipeline_version_reference"] = without_zeros(
            {"pipeline_id": row.pipeline_id, "pipeline_version_id": row.version_id}
        )
    else:
        message["pipeline_spec"] = PipelineDocument(row.pipeline_spec, row.platform_spec).as_struct()
    return without_zeros(message)


def task_details(row: RunRow, nodes: list[Node]) -> dict[str, Any]:
    """``run_details`` up to KFP 2.17: a row per node of the Argo workflow, with little in it.

    Its own ``pod_name``, ``error``, ``inputs`` and ``outputs`` are never filled there, so they are not here.
    """
    details = [
        without_zeros(
            {
                "run_id": row.run_id,
                "task_id": node.task_id,
                "display_name": node.display_name,
                "create_time": timestamp(row.created_at),
                "start_time": time_or_never(node.started_at),
                "end_time": time_or_never(node.finished_at),
                "state": _PHASE_STATES[node.phase],
                "state_history": node.state_history,
                "child_tasks": [{"pod_name": child} for child in node.children],
            }
        )
        for node in nodes
    ]
    return {"run_details": {"task_details": details}} if details else {}


def _plain_numbers(value: Any) -> Any:
    """A value whose whole numbers have no fraction: protobuf knows doubles only and writes 1.0 as 1."""
    match value:
        case dict():
            return {name: _plain_numbers(item) for name, item in value.items()}
        case list():
            return [_plain_numbers(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
