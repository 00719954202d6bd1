"""A run as the Argo workflow that KFP would have made of it: the nodes of its status.

For a task ``train`` KFP compiles two nodes, ``train-driver`` (resolves the inputs) and ``train``, whose child
``executor`` is the pod that runs the step; a nested pipeline has a driver and a DAG node, and so has the root
(KFP 2.17, ``argocompiler``). A loop is a DAG node that holds a driver ``iteration-driver`` and a group of DAG
nodes ``iteration-iterations(0:0)``, each with a driver and a DAG node ``iteration-item`` in it. An importer
is one pod. A task that is not due has no nodes yet; one whose condition is false has its driver.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow_kfp_runtime.embedded.engine import artifacts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from airflow_kfp_runtime.embedded.state.rows import RunRow, State, TaskRow

#: Between the workflow's name and the digits, in the name of the pod that runs a step.
POD_INFIX = "-system-container-impl-"

#: The types of nodes that KFP's workflows have, of those that Argo knows.
NodeType: TypeAlias = Literal["DAG", "Pod", "TaskGroup", "Skipped"]

PHASES: dict[State, str] = {
    "PENDING": "Pending",
    "RUNNING": "Running",
    "CANCELING": "Running",
    "PAUSED": "Running",
    "SUCCEEDED": "Succeeded",
    "SKIPPED": "Omitted",
    "FAILED": "Failed",
    "CANCELED": "Failed",
}


@dataclass(frozen=True)
class Node:
    """One node of the workflow's status.

    :param node_id: unique in the workflow; the log can be asked for by it.
    :param task_id: unique over all runs.
    :param path: the names from the workflow down, as Argo writes them.
    :param boundary_id: the node of the template that this one is in.
    :param kind: Argo's type of the node.
    :param iteration_count: how many iterations it has started, for the driver of a loop.
    :param task: the task that the node belongs to; ``None`` for the workflow itself.
    """

    node_id: str
    task_id: str
    path: str
    display_name: str
    kind: NodeType
    template: str
    phase: str
    started_at: datetime | None
    finished_at: datetime | None
    boundary_id: str = ""
    message: str = ""
    children: tuple[str, ...] = ()
    state_history: list[dict[str, Any]] = field(default_factory=list)
    task: TaskRow | None = None
    iteration_count: int = 0

    @property
    def is_container_driver(self) -> bool:
        """Whether this is the node that resolved a step's inputs."""
        return self.template == "system-container-driver"


def workflow_name(run: RunRow) -> str:
    """The workflow's name, which the names of its pods begin with."""
    return artifacts.workflow_name(run.pipeline_spec["pipelineInfo"]["name"], run.run_id)


def node_id(pod_name: str) -> str:
    """The node of a pod: ``name-abcde-123`` for ``name-abcde-system-container-impl-123``."""
    return pod_name.replace(POD_INFIX, "-")


def workflow_nodes(run: RunRow, tasks: Sequence[TaskRow]) -> list[Node]:
    """The nodes of a run, parents before their children."""
    children: dict[str | None, list[TaskRow]] = {}
    for task in tasks:
        children.setdefault(task.parent_task_id, []).append(task)
    builder = _Builder(workflow_name(run), run.run_id, children)
    nodes = [
        node
        for root in children.get(None, [])
        if root.started_at is not None
        for node in builder.dag_nodes(builder.workflow, "root", root)
    ]
    top = Node(
        node_id=builder.workflow,
        task_id=builder.task_id(builder.workflow),
        path=builder.workflow,
        display_name=builder.workflow,
        kind="DAG",
        template="entrypoint",
        phase=PHASES.get(run.state, "Pending"),
        started_at=run.created_at,
        finished_at=run.finished_at,
        message=run.error or "",
        children=tuple(node.node_id for node in nodes[:1]),
        state_history=run.state_history,
    )
    return [top, *nodes]


@dataclass(frozen=True)
class _Builder:
    """Makes the nodes of one workflow.

    :param children: the tasks by the task that holds them.
    """

    workflow: str
    run_id: str
    children: Mapping[str | None, list[TaskRow]]

    def dag_nodes(self, parent: str, name: str, task: TaskRow) -> Iterator[Node]:
        if self.has_not_begun(task):
            yield self.node(parent, f"{name}-driver", "Pod", "system-dag-driver", task)
            return
        path = f"{parent}.{name}"
        inner = [list(self.task_nodes(path, child)) for child in self.children.get(task.task_id, [])]
        yield self.driver(parent, name, "system-dag-driver", task)
        first = tuple(nodes[0].node_id for nodes in inner if nodes)
        yield self.node(parent, name, "DAG", name, task, children=first)
        for nodes in inner:
            yield from nodes

    def loop_nodes(self, parent: str, task: TaskRow) -> Iterator[Node]:
        path = f"{parent}.{task.name}"
        if self.has_not_begun(task):
            driver = self.node(path, "iteration-driver", "Pod", "system-dag-driver", task)
            yield self.node(
                parent, task.name, "DAG", f"{task.name}-iterator", task, children=(driver.node_id,)
            )
            yield driver
            return
        rows = self.children.get(task.task_id, [])
        names = {
            f"iteration-iterations({row.iteration}:{row.iteration})": row for row in rows if row.started_at
        }
        driver = self.driver(path, "iteration", "system-dag-driver", task, leads_to="iteration-iterations")
        yield self.node(parent, task.name, "DAG", f"{task.name}-iterator", task, children=(driver.node_id,))
        yield replace(driver, iteration_count=len(rows))
        group = self.node(path, "iteration-iterations", "TaskGroup", f"{task.name}-iteration", task)
        if rows:
            yield replace(group, children=tuple(self.id(f"{path}.{name}") for name in names))
        else:
            yield replace(group, kind="Skipped", phase="Skipped", message="Skipped, empty params")
        for name, row in names.items():
            item = self.id(f"{path}.{name}.iteration-item-driver")
            yield self.node(path, name, "DAG", f"{task.name}-iteration", row, children=(item,))
            yield from self.dag_nodes(f"{path}.{name}", "iteration-item", row)

    def task_nodes(self, parent: str, task: TaskRow) -> Iterator[Node]:
        if task.state == "SKIPPED":
            yield from self.skipped_nodes(parent, task)
        elif task.started_at is None:
            if task.pod_name:
                yield from self.container_nodes(parent, task)
        elif task.type == "DAG":
            yield from self.dag_nodes(parent, task.name, task)
        elif task.type == "LOOP":
            yield from self.loop_nodes(parent, task)
        elif task.type == "IMPORTER":
            yield self.node(parent, task.name, "Pod", "system-importer", task)
        elif task.executor_input is None:
            # The inputs could not be resolved, or have not been yet: there is only the driver.
            yield self.node(parent, f"{task.name}-driver", "Pod", "system-container-driver", task)
        else:
            yield from self.container_nodes(parent, task)

    def has_not_begun(self, task: TaskRow) -> bool:
        """Whether a group has failed for its inputs, in its driver."""
        return task.state == "FAILED" and not self.children.get(task.task_id)

    def container_nodes(self, parent: str, task: TaskRow) -> Iterator[Node]:
        pod = node_id(task.pod_name)
        yield self.driver(parent, task.name, "system-container-driver", task)
        yield self.node(parent, task.name, "DAG", "system-container-executor", task, children=(pod,))
        path = f"{parent}.{task.name}"
        executor = self.node(path, "executor", "Pod", "system-container-impl", task, identity=pod)
        waits = task.started_at is None and not executor.message
        yield replace(executor, message="waiting for a free worker of the server") if waits else executor

    def skipped_nodes(self, parent: str, task: TaskRow) -> Iterator[Node]:
        if task.started_at is None:
            yield self.node(parent, f"{task.name}-driver", "Skipped", "", task)
            return
        template = "system-dag-driver" if task.is_group else "system-container-driver"
        yield self.driver(parent, task.name, template, task)
        node = self.node(parent, task.name, "Skipped", "", task)
        yield replace(node, phase="Skipped", message="when 'false != false' evaluated false")

    def driver(self, parent: str, name: str, template: str, task: TaskRow, leads_to: str = "") -> Node:
        path = f"{parent}.{name}-driver"
        return Node(
            node_id=self.id(path),
            task_id=self.task_id(path),
            path=path,
            display_name=f"{name}-driver",
            kind="Pod",
            template=template,
            phase="Succeeded",
            started_at=task.created_at,
            finished_at=task.started_at or task.created_at,
            boundary_id=self.id(parent),
            children=(self.id(f"{parent}.{leads_to or name}"),),
            task=task,
        )

    def node(
        self,
        parent: str,
        name: str,
        kind: NodeType,
        template: str,
        task: TaskRow,
        *,
        identity: str = "",
        children: tuple[str, ...] = (),
    ) -> Node:
        path = f"{parent}.{name}"
        return Node(
            node_id=identity or self.id(path),
            task_id=self.task_id(path),
            path=path,
            display_name=name,
            kind=kind,
            template=template,
            phase=PHASES.get(task.state, "Pending"),
            started_at=task.started_at,
            finished_at=task.finished_at,
            boundary_id=self.id(parent),
            message=task.error or "",
            children=children,
            state_history=task.state_history,
            task=task,
        )

    def id(self, path: str) -> str:
        if path == self.workflow:
            return path
        digits = int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "big")
        return f"{self.workflow}-{digits}"

    def task_id(self, path: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.run_id}/{path}"))
