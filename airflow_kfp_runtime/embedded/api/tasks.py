"""The tasks API after KFP 2.17: what ran, read and wrote what, over REST instead of ML Metadata."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from airflow_kfp_runtime.embedded.api.context import Context, Query, answer
from airflow_kfp_runtime.embedded.api.errors import invalid, not_found
from airflow_kfp_runtime.embedded.api.listing.listings import ARTIFACTS, TASKS
from airflow_kfp_runtime.embedded.api.lookup import existing
from airflow_kfp_runtime.embedded.api.task_representation import artifact, input_types, shown_tasks, task_name
from airflow_kfp_runtime.embedded.state.rows import ArtifactRow, RunRow
from airflow_kfp_runtime.embedded.state.store import Selection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_kfp_runtime.embedded.api.context import ApiContext

router = APIRouter(prefix="/apis/v2beta1", default_response_class=JSONResponse)


@router.get("/runs/{run_id}/tasks")
def list_tasks(context: Context, run_id: str, query: Query) -> JSONResponse:
    """``ListTasks``; ``parent_id`` picks the tasks of one nested pipeline. Ordered by ``order_by``."""
    run = existing(context.store, RunRow, run_id, "Failed to list tasks")
    scope = Selection("run_id = ?", (run_id,))
    if parent_id := query.get("parent_id"):
        scope = Selection("run_id = ? AND parent_task_id = ?", (run_id, parent_id))
    shown = {task["task_id"]: task for task in shown_tasks(run, context.store.tasks_of(run_id))}
    ordered = {**query, "sort_by": query.get("order_by", "")}
    return context.page(TASKS, ordered, "tasks", lambda task: shown[task.task_id], scope)


@router.get("/runs/{run_id}/tasks/{task_id}")
def get_task(context: Context, run_id: str, task_id: str) -> JSONResponse:
    """``GetTask``."""
    run = context.store.get_run(run_id)
    for task in shown_tasks(run, context.store.tasks_of(run_id)) if run else ():
        if task["task_id"] == task_id:
            return answer(task)
    raise not_found("Task", task_id, "Failed to get task")


@router.get("/artifacts")
def list_artifacts(context: Context, query: Query) -> JSONResponse:
    """``ListArtifacts``; in single-user mode a namespace is ignored."""
    return context.page(ARTIFACTS, query, "artifacts", artifact)


@router.get("/artifacts/{artifact_id}")
def get_artifact(context: Context, artifact_id: str) -> JSONResponse:
    """``GetArtifact``."""
    return answer(artifact(existing(context.store, ArtifactRow, artifact_id, "Failed to get artifact")))


@router.get("/artifact_tasks")
def list_artifact_tasks(context: Context, request: Request) -> JSONResponse:
    """``ListArtifactTasks``: which task has read or written which artifact, by runs, tasks or artifacts.

    The relations are few and in the tasks themselves, so they are put together for each call.
    """
    wanted = {
        name: set(request.query_params.getlist(f"{name}s")) for name in ("task_id", "run_id", "artifact_id")
    }
    if not any(wanted.values()):
        raise invalid("At least one filter (task_ids, run_ids, or artifact_ids) is required")
    if any("" in values for values in wanted.values()):
        raise invalid("an id in task_ids, run_ids or artifact_ids is empty")
    kind = request.query_params.get("type", "")
    relations = [
        relation
        for run_id in _runs(context, wanted)
        for relation in _relations(context, run_id)
        if all(not values or relation[name] in values for name, values in wanted.items())
        and kind in ("", "UNSPECIFIED", relation["type"])
    ]
    return answer({"artifact_tasks": relations, "total_size": len(relations)})


def _runs(context: ApiContext, wanted: Mapping[str, set[str]]) -> list[str]:
    tasks = [context.store.get_task(task_id) for task_id in wanted["task_id"]]
    artifacts = [context.store.get(ArtifactRow, artifact_id) for artifact_id in wanted["artifact_id"]]
    return sorted(wanted["run_id"] | {row.run_id for row in (*tasks, *artifacts) if row})


def _relations(context: ApiContext, run_id: str) -> Iterator[dict[str, Any]]:
    run = context.store.get_run(run_id)
    if run is None:
        return
    for task in context.store.tasks_of(run_id):
        types = input_types(run, task)
        for values in (task.inputs, task.outputs):
            for key, artifacts in values["artifacts"].items():
                kind = "OUTPUT" if values is task.outputs else types.get(key, "COMPONENT_DEFAULT_INPUT")
                for one in artifacts:
                    yield {
                        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{task.task_id}/{kind}/{key}/{one['id']}")),
                        "artifact_id": one["id"],
                        "run_id": run_id,
                        "task_id": task.task_id,
                        "type": kind,
                        "producer": {"task_name": task_name(task)},
                        "key": key,
                    }
