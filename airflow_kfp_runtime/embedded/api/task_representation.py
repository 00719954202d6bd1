"""Tasks and artifacts as the API after KFP 2.17 shows them (``PipelineTask``, ``Artifact``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.api.context import without_zeros
from airflow_kfp_runtime.embedded.engine.origin import origin_at
from airflow_kfp_runtime.embedded.state.rows import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_kfp_runtime.embedded.state.rows import ArtifactRow, RunRow, TaskRow

_TYPES = {
    "ROOT": "ROOT",
    "DAG": "DAG",
    "LOOP": "LOOP",
    "ITERATION": "LOOP_ITERATION",
    "CONTAINER": "RUNTIME",
    "IMPORTER": "IMPORTER",
}
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
            "name": task_name(task),
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
            "type_attributes": _type_attributes(task, children),
            "parent_task_id": task.parent_task_id,
            "child_tasks": children,
            "inputs": _values(task, task.inputs, input_types(run, task)),
            "outputs": _values(task, task.outputs, {}),
            "scope_path": ".".join(["root", *task.path.split("/")]) if task.path else "root",
        }
    )


def _type_attributes(task: TaskRow, children: list[dict[str, str]]) -> dict[str, str]:
    """Numbers of 64 bits, which protobuf's JSON writes as strings."""
    match task.type:
        case "LOOP":
            return {"iteration_count": str(len(children))}
        case "ITERATION":
            return {"iteration_index": str(task.iteration)}
        case _:
            return {}


def task_name(task: TaskRow) -> str:
    """A task's name, as others refer to it as a producer."""
    return "ROOT" if task.type == "ROOT" else task.name


def input_types(run: RunRow, task: TaskRow) -> dict[str, str]:
    """Where each input of a task comes from, in the words of ``IOType``, as its place in the IR tells."""
    if task.type == "ROOT":
        return dict.fromkeys(run.parameters, "RUNTIME_VALUE_INPUT")
    spec = origin_at(run.pipeline_spec, task.path).task
    if task.type == "ITERATION":
        iterator = spec.get("parameterIterator") or spec["artifactIterator"]
        item = "ITERATOR_INPUT_RAW" if "raw" in iterator["items"] else "ITERATOR_INPUT"
        given = (*task.inputs["parameters"], *task.inputs["artifacts"])
        return {name: item if name == iterator["itemInput"] else "COMPONENT_INPUT" for name in given}
    inputs = spec.get("inputs", {})
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
            return {"type": "OUTPUT", "producer": {"task_name": task_name(task)}}
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
    """An artifact as it is, or for metrics one of type ``Metric`` for each number, without a URI."""
    value = _artifact_value(artifact)
    numbers = {
        name: number
        for name, number in value.get("metadata", {}).items()
        if isinstance(number, int | float) and not isinstance(number, bool)
    }
    if value["type"] != "Metric" or not numbers:
        return [value]
    return [
        {
            "artifact_id": value["artifact_id"],
            "name": name,
            "type": "Metric",
            "number_value": number,
            "metadata": {name: number},
        }
        for name, number in numbers.items()
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
