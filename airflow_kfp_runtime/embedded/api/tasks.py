"""The tasks API after KFP 2.17: tasks with their parameters and artifacts over REST, instead of ML
Metadata.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from airflow_kfp_runtime.embedded.api.context import Context, Query, answer, without_zeros
from airflow_kfp_runtime.embedded.api.errors import invalid, not_found
from airflow_kfp_runtime.embedded.listings import ARTIFACTS, TASKS
from airflow_kfp_runtime.embedded.manifest import component_of
from airflow_kfp_runtime.embedded.rows import ArtifactRow, TaskRow, timestamp
from airflow_kfp_runtime.embedded.store import Selection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_kfp_runtime.embedded.api.context import ApiContext
    from airflow_kfp_runtime.embedded.rows import RunRow

router = APIRouter(prefix="/apis/v2beta1", default_response_class=JSONResponse)

_TYPES = {"ROOT": "ROOT", "DAG": "DAG", "CONTAINER": "RUNTIME"}
#: A task that has been cancelled has failed, and one that waits shows no state: there are no other words for
#: them.
_STATES = {
    "RUNNING": "RUNNING",
    "SUCCEEDED": "SUCCEEDED",
    "SKIPPED": "SKIPPED",
    "FAILED": "FAILED",
    "CANCELED": "FAILED",
    "CANCELING": "RUNNING",
}
_ARTIFACT_TYPES = {
    "system.Artifact": "Artifact",
    "system.Model": "Model",
    "system.Dataset": "Dataset",
    "system.HTML": "HTML",
    "system.Markdown": "Markdown",
    "system.Metrics": "Metric",
    "system.ClassificationMetrics": "ClassificationMetric",
    "system.SlicedClassificationMetrics": "SlicedClassificationMetric",
}
#: The members of a task's input in the IR, and what the API calls an input that has them.
_SOURCES = {
    "taskOutputParameter": "TASK_OUTPUT_INPUT",
    "taskOutputArtifact": "TASK_OUTPUT_INPUT",
    "componentInputParameter": "COMPONENT_INPUT",
    "componentInputArtifact": "COMPONENT_INPUT",
    "runtimeValue": "RUNTIME_VALUE_INPUT",
    "taskFinalStatus": "TASK_FINAL_STATUS_OUTPUT",
}


def shown_tasks(run: RunRow, tasks: Sequence[TaskRow]) -> list[dict[str, Any]]:
    """``v2beta1PipelineTask`` for each of some tasks of a run."""
    children: dict[str, list[dict[str, str]]] = {}
    for task in tasks:
        if task.parent_task_id:
            children.setdefault(task.parent_task_id, []).append({"task_id": task.task_id, "name": task.name})
    return [_task(run, task, children.get(task.task_id, [])) for task in tasks]


def _task(run: RunRow, task: TaskRow, children: list[dict[str, str]]) -> dict[str, Any]:
    return without_zeros(
        {
            "name": _name(task),
            "display_name": run.display_name if task.type == "ROOT" else task.name,
            "task_id": task.task_id,
            "run_id": task.run_id,
            "pods": [{"name": task.pod_name, "type": "EXECUTOR"}] if task.pod_name else [],
            "create_time": timestamp(task.created_at),
            "end_time": timestamp(task.finished_at) if task.finished_at else "",
            "state": _STATES.get(task.state, ""),
            "status_metadata": {"message": task.error} if task.error else {},
            "state_history": [
                {"update_time": change["update_time"], "state": _STATES[change["state"]]}
                for change in task.state_history
                if change["state"] in _STATES
            ],
            "type": _TYPES[task.type],
            "parent_task_id": task.parent_task_id,
            "child_tasks": children,
            "inputs": _values(task, task.inputs, _input_types(run, task)),
            "outputs": _values(task, task.outputs, {}),
            "scope_path": ".".join(["root", *task.path.split("/")]) if task.path else "root",
        }
    )


def _name(task: TaskRow) -> str:
    return "ROOT" if task.type == "ROOT" else task.name


def _input_types(run: RunRow, task: TaskRow) -> dict[str, str]:
    """Where each input of a task comes from, in the words of ``IOType``, as its place in the IR tells."""
    if task.type == "ROOT":
        return dict.fromkeys(run.parameters, "RUNTIME_VALUE_INPUT")
    dag = component_of(run.pipeline_spec, task.path.rpartition("/")[0])["dag"]
    inputs = dag["tasks"][task.name].get("inputs", {})
    return {
        name: _SOURCES[next(source for source in _SOURCES if source in definition)]
        for group in ("parameters", "artifacts")
        for name, definition in inputs.get(group, {}).items()
        if any(source in definition for source in _SOURCES)
    }


def _values(task: TaskRow, values: dict[str, Any], input_types: Mapping[str, str]) -> dict[str, Any]:
    is_output = values is task.outputs

    def described(name: str) -> dict[str, Any]:
        if is_output:
            return {"type": "OUTPUT", "producer": {"task_name": _name(task)}}
        return {"type": input_types.get(name, "COMPONENT_DEFAULT_INPUT")}

    return without_zeros(
        {
            "parameters": [
                {"value": value, "parameter_key": name, **described(name)}
                for name, value in values["parameters"].items()
            ],
            "artifacts": [
                {
                    "artifacts": [value for one in artifacts for value in _artifact_values(one)],
                    "artifact_key": name,
                    **described(name),
                }
                for name, artifacts in values["artifacts"].items()
            ],
        }
    )


def _artifact_values(artifact: dict[str, Any]) -> list[dict[str, Any]]:
    """An artifact, or for metrics one of type ``Metric`` for each number: they have no file there."""
    value = _artifact_value(artifact)
    numbers = {
        name: number for name, number in value.get("metadata", {}).items() if isinstance(number, int | float)
    }
    if value["type"] != "Metric" or not numbers:
        return [value]
    return [
        {**value, "name": name, "number_value": number, "metadata": {}} for name, number in numbers.items()
    ]


def _artifact_value(artifact: dict[str, Any]) -> dict[str, Any]:
    return without_zeros(
        {
            "artifact_id": artifact["id"],
            "name": artifact["name"],
            "type": _ARTIFACT_TYPES.get(artifact["type"], "Artifact"),
            "uri": artifact["uri"],
            "metadata": artifact.get("metadata") or {},
        }
    )


def artifact(row: ArtifactRow) -> dict[str, Any]:
    """``v2beta1Artifact``."""
    value = {
        "id": row.artifact_id,
        "name": row.name,
        "type": row.type,
        "uri": row.uri,
        "metadata": row.metadata,
    }
    return {**_artifact_value(value), "created_at": timestamp(row.created_at)}


@router.get("/runs/{run_id}/tasks")
def list_tasks(context: Context, run_id: str, query: Query) -> JSONResponse:
    """``ListTasks``; ``parent_id`` picks the tasks of one nested pipeline. Ordered by ``order_by``."""
    run = context.store.get_run(run_id)
    if run is None:
        raise not_found("Run", run_id, "Failed to list tasks")
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
    row = context.store.get(ArtifactRow, artifact_id)
    if row is None:
        raise not_found("Artifact", artifact_id, "Failed to get artifact")
    return answer(artifact(row))


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
        types = _input_types(run, task)
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
                        "producer": {"task_name": _name(task)},
                        "key": key,
                    }
