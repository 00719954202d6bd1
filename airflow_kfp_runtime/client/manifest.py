"""The last Argo Workflow of a run, which REST returns for v2 runs too (``GET /apis/v1beta1/runs/{id}``, KFP
2.0 to 2.17).

It is heavy, so it is read once, at the end of a run. It has the only error texts that REST gives.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.client import reading
from airflow_kfp_runtime.client.call import Call, path_segment
from airflow_kfp_runtime.client.graph import ROOT, join

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMIT = 256 * 1024 * 1024
_FAILED = ("Failed", "Error")
_DRIVER = "-driver"
_LOOP_DRIVER = "iteration-driver"
_ITERATION = re.compile(r"iteration-iterations\((\d+):.*\)")


@dataclass(frozen=True)
class Node:
    """A node of the workflow: a pod, or a template that holds others.

    :param path: the path of the task that it belongs to, ``""`` for the pipeline's own nodes.
    :param iteration_count: how many iterations the loop has whose driver it is; ``None`` for other nodes.
    :param is_driver: whether it prepares the task rather than runs it.
    :param executor_input: what a container task's driver resolved: the inputs with their values, and where
        the outputs go; ``None`` for other nodes and cached tasks.
    """

    path: str
    kind: str
    phase: str
    message: str = ""
    pod_name: str = ""
    finished_at: str = ""
    is_driver: bool = False
    iteration_count: int | None = None
    executor_input: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def has_failed(self) -> bool:
        """Whether it is a pod that failed."""
        return self.kind == "Pod" and self.phase in _FAILED


@dataclass(frozen=True)
class Workflow:
    """The workflow of a run.

    :param message: why it failed, as Argo says it.
    """

    phase: str = ""
    message: str = ""
    nodes: tuple[Node, ...] = ()

    @cached_property
    def succeeded(self) -> set[str]:
        """The paths of the tasks that ran to success or were cached."""
        return {node.path for node in self.nodes if node.phase == "Succeeded" and not node.is_driver}


def get_workflow(run_id: str) -> Call[Workflow]:
    """Get the last workflow of a run.

    It is answered as a JSON text inside the JSON, its nodes compressed on large runs.
    """
    return Call("GET", f"/apis/v1beta1/runs/{path_segment(run_id)}", _workflow)


def _workflow(data: Mapping[str, Any]) -> Workflow:
    details = reading.mapping(data, "pipeline_runtime")
    if not details:
        details = reading.mapping(reading.mapping(data, "run"), "pipeline_runtime")
    manifest = reading.text(details, "workflow_manifest")
    if not manifest:
        raise ValueError("it holds no workflow manifest")
    workflow = json.loads(manifest)
    if not isinstance(workflow, dict):
        raise ValueError("the workflow manifest is not an object")  # noqa: TRY004
    status = reading.mapping(workflow, "status")
    return Workflow(
        phase=reading.text(status, "phase"),
        message=reading.text(status, "message"),
        nodes=_nodes(workflow, _raw_nodes(status)),
    )


def _raw_nodes(status: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    packed = reading.text(status, "compressed_nodes")
    nodes: Any = status.get("nodes") or {}
    if packed:
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            plain = unpacking.decompress(base64.b64decode(packed), _LIMIT)
        except zlib.error as error:
            raise ValueError(f"compressedNodes is not gzip: {error}") from None
        if unpacking.unconsumed_tail:
            raise ValueError(f"compressedNodes unpacks to more than {_LIMIT} bytes")
        nodes = json.loads(plain)
    if not isinstance(nodes, dict):
        raise ValueError("the workflow's nodes are not an object")  # noqa: TRY004
    return {str(key): node for key, node in nodes.items() if isinstance(node, dict)}


def _nodes(workflow: Mapping[str, Any], raw: Mapping[str, dict[str, Any]]) -> tuple[Node, ...]:
    found = []
    for key, node in raw.items():
        name = reading.text(node, "displayName")
        found.append(
            Node(
                path=_path(raw, key),
                kind=reading.text(node, "type"),
                phase=reading.text(node, "phase"),
                message=reading.text(node, "message"),
                pod_name=_pod_name(workflow, node),
                finished_at=reading.text(node, "finishedAt"),
                is_driver=name.endswith(_DRIVER),
                iteration_count=_iteration_count(node) if _is_loop_driver(raw, node) else None,
                executor_input=_executor_input(node),
            )
        )
    return tuple(found)


def _path(nodes: Mapping[str, dict[str, Any]], key: str) -> str:
    """Return the task path: the names of the templates around a node, below the one named ``root``.

    A loop ``each`` holds the nodes ``iteration-driver``, ``iteration-iterations`` and, for each iteration,
    ``iteration-iterations(0:0)``; in that is ``iteration-item``, which holds the iteration's tasks (KFP 2.17,
    ``argocompiler``). The path of the first iteration is ``each/0``.
    """
    chain: list[dict[str, Any]] = []
    seen: set[str] = set()
    while key in nodes and key not in seen:
        seen.add(key)
        chain.append(nodes[key])
        key = reading.text(nodes[key], "boundaryID")
    chain.reverse()
    names = [reading.text(node, "displayName") for node in chain]
    first = names.index("root") + 1 if "root" in names else 1
    path = ROOT
    for position in range(first, len(chain)):
        name, around = names[position], chain[position - 1]
        iteration = _ITERATION.fullmatch(name)
        if _is_loop(around):
            path = join(path, iteration[1]) if iteration else path
        # The pod of a container task is a node "executor", each of its retries "executor(0)", inside the
        # task's node.
        elif not (_ITERATION.fullmatch(names[position - 1]) or _is_executor(names, position)):
            path = join(path, name.removesuffix(_DRIVER))
    return path


def _is_loop(node: Mapping[str, Any]) -> bool:
    return reading.text(node, "templateName").endswith("-iterator")


def _is_executor(names: list[str], position: int) -> bool:
    return position == len(names) - 1 and names[position].partition("(")[0] == "executor"


def _is_loop_driver(nodes: Mapping[str, dict[str, Any]], node: Mapping[str, Any]) -> bool:
    around = nodes.get(reading.text(node, "boundaryID"), {})
    return reading.text(node, "displayName") == _LOOP_DRIVER and _is_loop(around)


def _iteration_count(node: Mapping[str, Any]) -> int:
    outputs = reading.rows(reading.mapping(node, "outputs"), "parameters")
    found = next((row for row in outputs if row.get("name") == "iteration-count"), {})
    return reading.number(found, "value")


def _pod_name(workflow: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """Return the pod of a node as Argo names it (``RetrievePodName`` in KFP 2.17)."""
    metadata = reading.mapping(workflow, "metadata")
    name = reading.text(metadata, "name")
    annotations = reading.mapping(metadata, "annotations")
    if annotations.get("workflows.argoproj.io/pod-name-format") == "v1":
        return reading.text(node, "id")
    if reading.text(node, "name") == name:
        return name
    template = "" if ".inline" in reading.text(node, "name") else f"-{reading.text(node, 'templateName')}"
    return f"{name}{template}-{reading.text(node, 'id').rpartition('-')[2]}"


def _executor_input(node: Mapping[str, Any]) -> dict[str, Any] | None:
    for parameter in reading.rows(reading.mapping(node, "outputs"), "parameters"):
        if parameter.get("name") == "pod-spec-patch" and parameter.get("value"):
            try:
                return _in_patch(json.loads(parameter["value"]))
            except (ValueError, TypeError, AttributeError):
                return None
    return None


def _in_patch(patch: Any) -> dict[str, Any] | None:
    for container in patch.get("containers", []):
        words = [*container.get("command", []), *container.get("args", [])]
        if "--executor_input" in words[:-1]:
            found = json.loads(words[words.index("--executor_input") + 1])
            return found if isinstance(found, dict) else None
    return None
