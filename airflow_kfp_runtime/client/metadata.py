"""Reading a run's outputs from ML Metadata over gRPC-web, as the KFP UI does (KFP 2.0 to 2.17).

This module imports protobuf, so it loads :mod:`~airflow_kfp_runtime.client.metadata_messages` only when it
is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.client import grpc_web
from airflow_kfp_runtime.client.artifact import artifact
from airflow_kfp_runtime.client.call import Call, Form, Service
from airflow_kfp_runtime.client.found_outputs import FoundOutputs, with_iteration
from airflow_kfp_runtime.client.graph import ROOT, join, parent
from airflow_kfp_runtime.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.graph import Outputs

#: The most rows that ML Metadata puts into one page.
_PAGE_SIZE = 100


def call(method: str, request: Any) -> Call[Any]:
    """Return the call of a method of ML Metadata's service.

    :param method: ``GetContextByTypeAndName``, ``GetExecutionsByContext``, ``GetArtifactsByContext`` or
        ``GetEventsByExecutionIDs``.
    :param request: its request message; the result is its response message.
    """
    messages = _messages()
    response = getattr(messages, f"{method}Response")
    return Call(
        "POST",
        f"/{messages.SERVICE}/{method}",
        lambda content: messages.read(response, content),
        content=grpc_web.frame(request.SerializeToString()),
        service=Service.METADATA,
        form=Form.GRPC_WEB,
    )


def read_metadata_outputs(run_id: str) -> Flow[FoundOutputs]:
    """Read the outputs of a run's tasks.

    :raises NotFoundError: if ML Metadata does not know the run, or is not at this address.
    """
    messages = _messages()
    answer = yield call(
        "GetContextByTypeAndName",
        messages.GetContextByTypeAndNameRequest(type_name=messages.RUN_CONTEXT_TYPE, context_name=run_id),
    )
    # An unknown name is no error to ML Metadata: the answer is merely empty.
    if not answer.HasField("context"):
        raise NotFoundError(f"ML Metadata has no context for run {run_id!r}")
    executions = yield from _all("GetExecutionsByContext", "executions", answer.context.id)
    by_id = {execution.id: execution for execution in executions}
    paths = {number: _path(by_id, number) for number in by_id}
    outputs: Outputs = {}
    iterations: dict[str, int] = {}
    for execution in executions:
        path = paths[execution.id]
        properties = execution.custom_properties
        if "iteration_count" in properties:
            iterations[path] = max(iterations.get(path, 0), properties["iteration_count"].int_value)
        if "iteration_index" in properties:
            with_iteration(iterations, parent(path), properties["iteration_index"].int_value)
        held = properties.get("outputs")
        parameters = messages.content(held) if held is not None else None
        if isinstance(parameters, dict) and parameters:
            outputs.setdefault(path, {}).update(parameters)
    artifacts = yield from _all("GetArtifactsByContext", "artifacts", answer.context.id)
    known = {item.id: item for item in artifacts}
    for event in (yield from _output_events(by_id)):
        item = known.get(event.artifact_id)
        producer = paths.get(event.execution_id)
        if item is not None and producer is not None and event.path.steps:
            _put(
                outputs.setdefault(producer, {}),
                event.path.steps[0].key,
                _artifact(event.path.steps[0].key, item),
            )
    outputs.pop(ROOT, None)
    return FoundOutputs(outputs, iterations)


def _all(method: str, field: str, context_id: int) -> Flow[list[Any]]:
    messages = _messages()
    found: list[Any] = []
    token = ""
    while True:
        options = messages.ListOperationOptions(max_result_size=_PAGE_SIZE)
        if token:
            options.next_page_token = token
        request = getattr(messages, f"{method}Request")(context_id=context_id, options=options)
        page = yield call(method, request)
        found += getattr(page, field)
        token = page.next_page_token
        if not token:
            return found


def _output_events(execution_ids: Iterable[int]) -> Flow[list[Any]]:
    messages = _messages()
    ids = list(execution_ids)
    found: list[Any] = []
    for start in range(0, len(ids), _PAGE_SIZE):
        request = messages.GetEventsByExecutionIDsRequest(execution_ids=ids[start : start + _PAGE_SIZE])
        page = yield call("GetEventsByExecutionIDs", request)
        found += [event for event in page.events if event.type == messages.EventType.OUTPUT]
    return found


def _path(executions: Mapping[int, Any], number: int) -> str:
    """Return the task path of an execution: the names up to the root, an iteration of a loop by its index."""
    names: list[str] = []
    seen: set[int] = set()
    while number in executions and number not in seen:
        seen.add(number)
        properties = executions[number].custom_properties
        if "parent_dag_id" not in properties:
            break
        if "iteration_index" in properties:
            names.append(str(properties["iteration_index"].int_value))
        else:
            names.append(properties["task_name"].string_value if "task_name" in properties else "")
        number = properties["parent_dag_id"].int_value
    path = ROOT
    for name in reversed(names):
        path = join(path, name)
    return path


def _artifact(output: str, item: Any) -> dict[str, Any]:
    messages = _messages()
    held = {name: messages.content(value) for name, value in item.properties.items()}
    held |= {name: messages.content(value) for name, value in item.custom_properties.items()}
    name = item.name or held.get("display_name") or output
    return artifact(uri=item.uri, name=str(name), kind=item.type, metadata=held)


def _put(named: dict[str, Any], output: str, item: dict[str, Any]) -> None:
    """Add an artifact; several under one output become a list."""
    match named.get(output):
        case None:
            named[output] = item
        case list() as items:
            items.append(item)
        case first:
            named[output] = [first, item]


def _messages() -> Any:
    return import_module("airflow_kfp_runtime.client.metadata_messages")
