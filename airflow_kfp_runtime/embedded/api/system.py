"""What is not a resource: health, step logs, the v1 view of a run, recurring runs (refused)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse

from airflow_kfp_runtime.embedded.api.context import Context, answer, without_zeros
from airflow_kfp_runtime.embedded.api.errors import ApiError, Code
from airflow_kfp_runtime.embedded.api.listing.listings import STATUS_WORDS
from airflow_kfp_runtime.embedded.api.lookup import existing
from airflow_kfp_runtime.embedded.api.manifest import workflow_manifest
from airflow_kfp_runtime.embedded.api.nodes import node_id
from airflow_kfp_runtime.embedded.api.representation import time_or_never
from airflow_kfp_runtime.embedded.engine.artifacts import Places
from airflow_kfp_runtime.embedded.state.rows import RunRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_kfp_runtime.embedded.api.context import ApiContext
    from airflow_kfp_runtime.embedded.state.rows import TaskRow

router = APIRouter(prefix="/apis")

_CHUNK_BYTES = 1 << 16
_LOG_HEADERS = {"Cache-Control": "no-cache, private"}


@router.get("/v2beta1/healthz")
@router.get("/v1beta1/healthz")
def healthz(context: Context) -> JSONResponse:
    """``GetHealthz``: the KFP version that is spoken, and that it is the embedded server which speaks."""
    # multi_user is false and shown all the same: the gateway's health answer has always carried it.
    return JSONResponse(
        {
            "commit_sha": "airflow-kfp-runtime embedded server",
            "tag_name": context.options.tag_name,
            "multi_user": False,
            "pipeline_store": "database",
        }
    )


@router.get("/v1alpha1/runs/{run_id}/nodes/{pod}/log")
@router.get("/v1beta1/runs/{run_id}/nodes/{pod}/log")
def read_log(context: Context, run_id: str, pod: str) -> Response:
    """``ReadRunLog``: the log of a step by its pod's or its node's name; an error comes as JSON under 200.

    ``follow`` has no effect: what is there so far is sent.
    """
    path = _find_log(context, run_id, pod)
    if path is None:
        error = f"pods {json.dumps(pod)} not found: run {run_id} has no log of that name"
        return JSONResponse({"error_message": error, "error_details": error}, headers=_LOG_HEADERS)
    # Without a length: the step may write on while this is sent.
    return StreamingResponse(_chunks(path), media_type="text/plain; charset=utf-8", headers=_LOG_HEADERS)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _find_log(context: ApiContext, run_id: str, pod: str) -> Path | None:
    for task in context.store.tasks_of(run_id):
        if task.pod_name and pod in (task.pod_name, node_id(task.pod_name)):
            return log_file(context.data, task)
    return None


def log_file(data: Path, task: TaskRow) -> Path | None:
    """The log of a step, or ``None`` where it has written none.

    :param data: the data directory.
    """
    path = Places(data).log(task.run_id, task.pod_name)
    return path if task.pod_name and path.is_file() else None


@router.get("/v1beta1/runs/{run_id}")
def get_run_v1(context: Context, run_id: str) -> JSONResponse:
    """``GetRunV1``, which v2 runs answer as well: with the Argo workflow as it stands."""
    run = existing(context.store, RunRow, run_id, "Failed to get a v1beta1 run")
    tasks = context.store.tasks_of(run_id)
    manifest = workflow_manifest(run, tasks, context.store.task_numbers(run_id))
    shown: dict[str, Any] = {
        "id": run.run_id,
        "name": run.display_name,
        "storage_state": f"STORAGESTATE_{run.storage_state}",
        "description": run.description,
        "pipeline_spec": without_zeros({"pipeline_id": run.pipeline_id}),
        "resource_references": [
            {"key": {"type": "EXPERIMENT", "id": run.experiment_id}, "relationship": "OWNER"}
        ],
        "service_account": run.service_account,
        "created_at": time_or_never(run.created_at),
        "scheduled_at": time_or_never(run.scheduled_at),
        "finished_at": time_or_never(run.finished_at),
        "status": STATUS_WORDS.get(run.state, ""),
    }
    runtime = {"workflow_manifest": json.dumps(manifest)}
    return answer({"run": without_zeros(shown), "pipeline_runtime": runtime})


@router.api_route("/v2beta1/recurringruns", methods=["GET", "POST"])
@router.api_route("/v2beta1/recurringruns/{rest:path}", methods=["GET", "POST", "DELETE"])
def recurring_runs() -> JSONResponse:
    """Every call on recurring runs: refused, since this server has no scheduler."""
    raise ApiError(
        Code.UNIMPLEMENTED,
        "the embedded server runs no recurring runs: schedule an Airflow DAG, or use KFP on Kubernetes",
    )
