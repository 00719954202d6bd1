"""ML Metadata over gRPC-web: what a run's tasks have put out, as KFP 2.0 to 2.17 keeps it.

Four methods are served, those that read a run. As in KFP, parameters are a struct in an execution's custom
property ``outputs``, artifacts are tied to executions by events, and the root and nested pipelines have no
outputs of their own: the IR tells which task's they are.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from airflow_kfp_runtime.client import metadata_messages as ml
from airflow_kfp_runtime.embedded.api.context import Body, Context  # noqa: TC001 -- FastAPI reads annotations
from airflow_kfp_runtime.embedded.state.rows import RunRow, TaskRow, microseconds
from airflow_kfp_runtime.embedded.state.store import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_kfp_runtime.embedded.state.rows import ArtifactRow
    from airflow_kfp_runtime.embedded.state.store import Store

router = APIRouter()

_INVALID_ARGUMENT, _UNIMPLEMENTED = 3, 12
_MAX_PAGE = 100
_DATA, _TRAILERS = 0, 0x80

_STATES = {
    "RUNNING": ml.ExecutionState.RUNNING,
    "SUCCEEDED": ml.ExecutionState.COMPLETE,
    "FAILED": ml.ExecutionState.FAILED,
    "SKIPPED": ml.ExecutionState.CANCELED,
    "CANCELED": ml.ExecutionState.CANCELED,
}
_EXECUTION_TYPES = {"CONTAINER": "system.ContainerExecution", "IMPORTER": "system.ImporterExecution"}


class _Method(NamedTuple):
    """A method: the class of its request, and what answers it."""

    request: Any
    respond: Callable[[Store, Any], Any]


@router.post(f"/{ml.SERVICE}/{{method}}")
def call(context: Context, method: str, request: Request, body: Body) -> Response:
    """Answer a call; like any gRPC-web server with 200, and the error in the trailers."""
    is_text = "grpc-web-text" in request.headers.get("content-type", "")
    known = _METHODS.get(method)
    if known is None:
        return _response(b"", _UNIMPLEMENTED, f"the embedded server does not serve {method}", is_text)
    try:
        message = ml.read(known.request, _unframed(base64.b64decode(body) if is_text else body))
    except (ValueError, binascii.Error, struct.error) as error:
        return _response(b"", _INVALID_ARGUMENT, f"not a gRPC-web request: {error}", is_text)
    return _response(known.respond(context.store, message).SerializeToString(), 0, "", is_text)


def _unframed(body: bytes) -> bytes:
    kind, length = struct.unpack(">BI", body[:5])
    if kind != _DATA or len(body) < 5 + length:
        raise ValueError("the first frame is not a whole message")
    return body[5 : 5 + length]


def _frame(kind: int, content: bytes) -> bytes:
    return struct.pack(">BI", kind, len(content)) + content


def _response(message: bytes, status: int, error: str, is_text: bool) -> Response:
    trailers = f"grpc-status:{status}\r\n" + (f"grpc-message:{quote(error)}\r\n" if error else "")
    body = (_frame(_DATA, message) if status == 0 else b"") + _frame(_TRAILERS, trailers.encode())
    if is_text:
        return Response(base64.b64encode(body), media_type="application/grpc-web-text+proto")
    return Response(body, media_type="application/grpc-web+proto")


def _context(store: Store, request: Any) -> Any:
    response = ml.GetContextByTypeAndNameResponse()
    number = store.run_number(request.context_name) if request.type_name == ml.RUN_CONTEXT_TYPE else None
    if number is not None:
        response.context.id = number
        response.context.name = request.context_name
        response.context.type = ml.RUN_CONTEXT_TYPE
    return response


def _executions(store: Store, request: Any) -> Any:
    response = ml.GetExecutionsByContextResponse()
    run = _run(store, request.context_id)
    if run is not None:
        numbers = store.task_numbers(run.run_id)
        rows = store.tasks_of(run.run_id)
        counts = Counter(row.parent_task_id for row in rows if row.type == "ITERATION")
        started = [task for task in rows if task.started_at is not None]
        tasks, response.next_page_token = _page(started, request.options)
        response.executions.extend(_execution(run, task, numbers, counts[task.task_id]) for task in tasks)
    return response


def _artifacts(store: Store, request: Any) -> Any:
    response = ml.GetArtifactsByContextResponse()
    run = _run(store, request.context_id)
    if run is not None:
        rows, response.next_page_token = _page(store.artifacts_of(run.run_id), request.options)
        response.artifacts.extend(map(_artifact, rows))
    return response


def _events(store: Store, request: Any) -> Any:
    wanted = list(request.execution_ids)
    marks = ", ".join("?" * len(wanted))
    tasks = store.select(TaskRow, Selection(f"number IN ({marks})", tuple(wanted), "number"))
    response = ml.GetEventsByExecutionIDsResponse()
    for run_id in sorted({task.run_id for task in tasks}):
        executions = store.task_numbers(run_id)
        artifacts = {row.artifact_id: row.number for row in store.artifacts_of(run_id)}
        for task in tasks:
            if task.run_id == run_id and not task.is_group:
                response.events.extend(_task_events(task, executions[task.task_id], artifacts))
    return response


_METHODS = {
    "GetContextByTypeAndName": _Method(ml.GetContextByTypeAndNameRequest, _context),
    "GetExecutionsByContext": _Method(ml.GetExecutionsByContextRequest, _executions),
    "GetArtifactsByContext": _Method(ml.GetArtifactsByContextRequest, _artifacts),
    "GetEventsByExecutionIDs": _Method(ml.GetEventsByExecutionIDsRequest, _events),
}


def _run(store: Store, number: int) -> RunRow | None:
    return next(iter(store.select(RunRow, Selection("rowid = ?", (number,)))), None)


def _page(rows: Sequence[Any], options: Any) -> tuple[Sequence[Any], str]:
    """A page of rows and the token of the next: the position, since a finished run's rows do not move."""
    start = int(options.next_page_token) if options.next_page_token.isdecimal() else 0
    end = start + min(options.max_result_size or _MAX_PAGE, _MAX_PAGE)
    return rows[start:end], str(end) if end < len(rows) else ""


def _execution(run: RunRow, task: TaskRow, numbers: Mapping[str, int], iterations: int) -> Any:
    properties: dict[str, Any] = {
        "display_name": task.name,
        "task_name": "" if task.type == "ROOT" else task.name,
        "inputs": task.inputs["parameters"],
    }
    if task.parent_task_id:
        properties["parent_dag_id"] = numbers[task.parent_task_id]
    if task.type == "CONTAINER":
        properties |= {"pod_name": task.pod_name, "namespace": run.namespace or "kubeflow"}
        properties["outputs"] = task.outputs["parameters"]
    if task.type == "LOOP":
        properties["iteration_count"] = iterations
    if task.iteration is not None:
        properties["iteration_index"] = task.iteration
    execution = ml.Execution(
        id=numbers[task.task_id],
        type=_EXECUTION_TYPES.get(task.type, "system.DAGExecution"),
        name=f"run/{run.run_id}" if task.type == "ROOT" else "",
        last_known_state=_STATES.get(task.state, ml.ExecutionState.NEW),
        create_time_since_epoch=microseconds(task.created_at) // 1000,
        last_update_time_since_epoch=microseconds(task.finished_at or task.created_at) // 1000,
    )
    for name, content in properties.items():
        execution.custom_properties[name].CopyFrom(ml.value(content))
    return execution


def _artifact(row: ArtifactRow) -> Any:
    moment = microseconds(row.created_at) // 1000
    artifact = ml.Artifact(
        id=row.number,
        type=row.type,
        uri=row.uri,
        state=ml.ArtifactState.LIVE,
        create_time_since_epoch=moment,
        last_update_time_since_epoch=moment,
    )
    for name, content in {"display_name": row.name, **row.metadata}.items():
        if content is not None:
            artifact.custom_properties[name].CopyFrom(ml.value(_property(content)))
    return artifact


def _task_events(task: TaskRow, execution: int, artifacts: Mapping[str, int]) -> Iterator[Any]:
    for values, kind in ((task.inputs, ml.EventType.INPUT), (task.outputs, ml.EventType.OUTPUT)):
        for key, found in values["artifacts"].items():
            for artifact in found:
                if artifact["id"] in artifacts:
                    event = ml.Event(artifact_id=artifacts[artifact["id"]], execution_id=execution, type=kind)
                    event.path.steps.add(key=key)
                    yield event


def _property(content: Any) -> Any:
    """A metadata value in the form that KFP gives it (2.17, ``StructValueToMLMDValue``)."""
    match content:
        case bool():
            return int(content)
        case int():
            return float(content)
        case list():
            return {"list": content}
        case dict():
            return {"struct": content}
        case _:
            return content
