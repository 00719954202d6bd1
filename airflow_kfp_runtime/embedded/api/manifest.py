"""The v1 view of a run: its ``workflow_manifest``, an Argo Workflow as JSON.

Over plain REST this is where a client finds error messages and, in the output ``pod-spec-patch`` of a step's
driver, the parameters that the step consumed and the URIs that it writes (``--executor_input``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.api.nodes import PHASES, Node, workflow_name, workflow_nodes
from airflow_kfp_runtime.embedded.engine.origin import origin_at
from airflow_kfp_runtime.embedded.engine.values import uri_of
from airflow_kfp_runtime.embedded.state.rows import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow_kfp_runtime.embedded.state.rows import RunRow, TaskRow


def workflow_manifest(run: RunRow, tasks: Sequence[TaskRow], numbers: Mapping[str, int]) -> dict[str, Any]:
    """The run's workflow with its status.

    :param numbers: each task's execution id in ML Metadata, by task id.
    """
    name = workflow_name(run)
    nodes = workflow_nodes(run, tasks)
    status: dict[str, Any] = {
        "phase": PHASES.get(run.state, "Pending"),
        **_times(run.created_at, run.finished_at),
        "nodes": {node.node_id: _node(node, run, numbers) for node in nodes},
    }
    if run.error:
        status["message"] = run.error
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "name": name,
            "namespace": run.namespace or "kubeflow",
            "uid": run.run_id,
            "creationTimestamp": timestamp(run.created_at),
            "labels": {"pipeline/runid": run.run_id, "workflows.argoproj.io/phase": status["phase"]},
            "annotations": {"pipelines.kubeflow.org/run_name": run.display_name},
        },
        "spec": {"entrypoint": "entrypoint"},
        "status": status,
    }


def _node(node: Node, run: RunRow, numbers: Mapping[str, int]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": node.node_id,
        "name": node.path,
        "displayName": node.display_name,
        "type": node.kind,
        "phase": node.phase,
        **_times(node.started_at, node.finished_at),
    }
    if node.boundary_id:
        shown["boundaryID"] = node.boundary_id
    if node.template:
        shown["templateName"] = node.template
    if node.message:
        shown["message"] = node.message
    if node.children:
        shown["children"] = list(node.children)
    task = node.task
    if task is None:
        return shown
    if node.is_container_driver and task.executor_input is not None:
        patch = json.dumps(_pod_spec_patch(run, task, numbers[task.task_id]))
        shown["outputs"] = {
            "parameters": [
                {"name": "pod-spec-patch", "value": patch},
                {"name": "cached-decision", "value": "false"},
            ]
        }
    elif node.template == "system-dag-driver":
        shown["outputs"] = {
            "parameters": [
                {"name": "execution-id", "value": str(numbers[task.task_id])},
                {"name": "iteration-count", "value": str(node.iteration_count)},
                {"name": "condition", "value": "false" if task.state == "SKIPPED" else "true"},
            ]
        }
    elif node.template == "system-container-impl" and task.exit_code is not None:
        shown["outputs"] = {"exitCode": str(task.exit_code)}
    return shown


def _pod_spec_patch(run: RunRow, task: TaskRow, execution_id: int) -> dict[str, Any]:
    component = origin_at(run.pipeline_spec, task.path).component
    executors = run.pipeline_spec.get("deploymentSpec", {}).get("executors", {})
    container = executors.get(component.get("executorLabel", ""), {}).get("container", {})
    command = [
        "/kfp-launcher/launch",
        "--pipeline_name", run.pipeline_spec["pipelineInfo"]["name"],
        "--run_id", run.run_id,
        "--execution_id", str(execution_id),
        "--executor_input", json.dumps(_as_recorded(task.executor_input or {})),
        "--component_spec", json.dumps(component),
        "--pod_name", "$(KFP_POD_NAME)",
        "--pod_uid", "$(KFP_POD_UID)",
    ]  # fmt: skip
    return {"containers": [{"name": "main", "image": container.get("image", ""), "command": command}]}


def _as_recorded(executor_input: Mapping[str, Any]) -> dict[str, Any]:
    """The executor input with URIs, as KFP's has them; the step itself was told plain paths."""
    shown = {side: dict(values) for side, values in executor_input.items()}
    for values in shown.values():
        if "artifacts" in values:
            values["artifacts"] = {
                name: {"artifacts": [{**one, "uri": uri_of(one["uri"])} for one in found["artifacts"]]}
                for name, found in values["artifacts"].items()
            }
    return shown


def _times(started_at: datetime | None, finished_at: datetime | None) -> dict[str, str | None]:
    return {
        "startedAt": timestamp(started_at) if started_at else None,
        "finishedAt": timestamp(finished_at) if finished_at else None,
    }
