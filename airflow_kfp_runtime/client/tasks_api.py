"""Reading a run's tasks from the tasks API, which takes ML Metadata's place after KFP 2.17.

The API is young and its field names have moved while it was made; each name that has been used is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.client import reading
from airflow_kfp_runtime.client.artifact import artifact
from airflow_kfp_runtime.client.call import Call, Form, path_segment
from airflow_kfp_runtime.client.calls import PAGE_SIZE
from airflow_kfp_runtime.client.found_outputs import FoundOutputs, with_iteration
from airflow_kfp_runtime.client.graph import ROOT, join, parent
from airflow_kfp_runtime.client.lagging import is_going_on
from airflow_kfp_runtime.client.models import Page, RunState
from airflow_kfp_runtime.client.paging import list_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.graph import Outputs


@dataclass(frozen=True)
class TaskRecord:
    """A task of a run.

    :param state: as the server says it; ``CACHED`` is one more than a run has.
    :param kind: ``ROOT``, ``RUNTIME``, ``DAG``, ``LOOP_ITERATION`` and others.
    :param iteration: its index, for an iteration of a loop.
    :param iterations: how many it has, for a loop; ``None`` where the server does not tell.
    :param outputs: values and artifacts by output name.
    """

    task_id: str
    name: str
    parent_task_id: str = ""
    kind: str = "ROOT"
    state: str = ""
    message: str = ""
    iteration: int | None = None
    iterations: int | None = None
    pod_names: tuple[str, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_going_on(self) -> bool:
        """Whether it runs a container and has not ended; what is around it may be brought up to date late."""
        return self.kind == "RUNTIME" and is_going_on(RunState.parse(self.state))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TaskRecord:
        """Read a ``PipelineTaskDetail`` of the tasks API."""
        attributes = reading.mapping(data, "type_attributes")
        status = reading.mapping(data, "status_metadata")
        pods = [pod for pod in reading.rows(data, "pods") if reading.text(pod, "type") != "DRIVER"]
        return cls(
            task_id=reading.required(data, "task_id"),
            name=reading.text(data, "name") or reading.text(data, "display_name"),
            parent_task_id=reading.text(data, "parent_task_id"),
            kind=reading.text(data, "type") or "ROOT",
            state=reading.text(data, "state") or reading.text(data, "status"),
            message=reading.text(status, "message") or reading.problem(data, "error") or "",
            iteration=_optional_number(attributes, "iteration_index"),
            iterations=_optional_number(attributes, "iteration_count"),
            pod_names=tuple(reading.text(pod, "name") for pod in pods if reading.text(pod, "name")),
            outputs=_outputs(reading.mapping(data, "outputs")),
        )


def list_tasks(run_id: str) -> Call[Page[TaskRecord]]:
    """List the tasks of a run. 404 or 501 up to KFP 2.17."""
    return Call(
        "GET",
        f"/apis/v2beta1/runs/{path_segment(run_id)}/tasks",
        Page.reader("tasks", TaskRecord.from_json),
        query={"page_size": str(PAGE_SIZE)},
        form=Form.ROWS,
    )


def read_task_outputs(run_id: str) -> Flow[FoundOutputs]:
    """Read the outputs of a run's tasks, those of nested pipelines as far as the server has them."""
    tasks = yield from list_all(list_tasks(run_id))
    paths = task_paths(tasks)
    outputs: Outputs = {}
    iterations: dict[str, int] = {}
    for task in tasks:
        path = paths[task.task_id]
        if task.outputs and path != ROOT:
            outputs.setdefault(path, {}).update(task.outputs)
        if task.iterations is not None:
            iterations[path] = max(iterations.get(path, 0), task.iterations)
        if task.iteration is not None:
            with_iteration(iterations, parent(path), task.iteration)
    going_on = (paths[task.task_id] for task in tasks if task.is_going_on)
    return FoundOutputs(outputs, iterations, going_on=tuple(going_on))


def task_paths(tasks: list[TaskRecord]) -> dict[str, str]:
    """Return the path of each task by its id."""
    by_id = {task.task_id: task for task in tasks}

    def path(task: TaskRecord, seen: frozenset[str]) -> str:
        if task.kind == "ROOT" and not task.parent_task_id:
            return ROOT
        around = by_id.get(task.parent_task_id)
        before = path(around, seen | {task.task_id}) if around and around.task_id not in seen else ROOT
        return join(before, task.name if task.iteration is None else str(task.iteration))

    return {task.task_id: path(task, frozenset()) for task in tasks}


def _outputs(data: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in reading.rows(data, "parameters"):
        key = _key(row, "parameter_key")
        if key:
            found[key] = reading.value(row, "value")
    for row in reading.rows(data, "artifacts"):
        key = _key(row, "artifact_key")
        items = reading.rows(row, "artifacts") or [reading.mapping(row, "value")]
        if key and any(items):
            found[key] = _artifacts(key, [item for item in items if item])
    return found


def _optional_number(data: Mapping[str, Any], name: str) -> int | None:
    return None if reading.value(data, name) is None else reading.number(data, name)


def _key(row: Mapping[str, Any], name: str) -> str:
    producer = reading.mapping(row, "producer")
    candidates = (reading.text(row, known) for known in (name, "parameter_name", "name", "key"))
    return next((key for key in candidates if key), reading.text(producer, "key"))


def _artifacts(key: str, items: list[dict[str, Any]]) -> Any:
    if all(reading.text(item, "type") == "Metric" for item in items):
        return _metrics(key, items)
    read = [_artifact(key, item) for item in items]
    return read[0] if len(read) == 1 else read


def _artifact(key: str, item: Mapping[str, Any]) -> dict[str, Any]:
    kind = reading.text(item, "type")
    return artifact(
        uri=reading.text(item, "uri"),
        name=reading.text(item, "name") or key,
        kind=kind if "." in kind or not kind else f"system.{_SCHEMAS.get(kind, kind)}",
        metadata=reading.mapping(item, "metadata") or reading.mapping(item, "custom_properties"),
        wrapped=False,
    )


def _metrics(key: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one artifact of the metrics, each of which the API keeps as an artifact with a number."""
    metadata: dict[str, Any] = {}
    for item in items:
        metadata |= reading.mapping(item, "metadata")
        measured = reading.value(item, "number_value")
        if measured is not None:
            metadata[reading.text(item, "name") or key] = measured
    uri = next((reading.text(item, "uri") for item in items if reading.text(item, "uri")), "")
    return artifact(uri=uri, name=key, kind="system.Metrics", metadata=metadata, wrapped=False)


#: The API's names of artifact types that differ from the SDK's.
_SCHEMAS = {
    "ClassificationMetric": "ClassificationMetrics",
    "Metric": "Metrics",
    "SlicedClassificationMetric": "SlicedClassificationMetrics",
}
