"""From a task to the IR: its component, its executor, its Kubernetes part, and the task in its graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.compiler import specifications
from airflow_kfp_runtime.compiler.embedding import embed
from airflow_kfp_runtime.compiler.resources import resource_inputs, with_settings
from airflow_kfp_runtime.compiler.run_time_values import check_channels
from airflow_kfp_runtime.dsl.types import ParameterType
from airflow_kfp_runtime.runtimes.component import NestedPipeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_kfp_runtime.compiler.components import Compilation
    from airflow_kfp_runtime.compiler.connections import Connection
    from airflow_kfp_runtime.compiler.dags import Dag
    from airflow_kfp_runtime.compiler.executors import Executors
    from airflow_kfp_runtime.dsl.references import Reference
    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.project.settings.model import TaskSettings
    from airflow_kfp_runtime.runtimes.component import Component


@dataclass(frozen=True)
class Task:
    """What becomes a task of a graph.

    :param name: its key in the graph.
    :param component: what it runs.
    :param connected: what the inputs of the component are connected to.
    :param after: the names of tasks, in whatever graph, that have to end before.
    :param settings: what Kubernetes gets for it, or ``None`` for what it does by itself.
    :param claims: the name of each of its new claims, by the volume's name.
    :param caching: whether KFP may take the outputs of an earlier, equal task; ``None`` is yes, and for the
        tasks of a compiled pipeline what they say themselves.
    :param always: start it however those before it have ended.
    """

    name: str
    component: Component
    connected: Mapping[str, Connection]
    after: Iterable[str]
    settings: TaskSettings | None = None
    claims: Mapping[str, Reference] = field(default_factory=dict)
    caching: bool | None = False
    always: bool = False


def add_task(task: Task, dag: Dag, executors: Executors, compilation: Compilation) -> None:
    """Add a task to its graph.

    :raises SettingError: two of its run-time values have the same name in KFP.
    """
    settings = task.settings
    types = compilation.input_types(task.component, task.connected)
    if settings is None:
        made_from = (id(task.component), task.caching, *types.items())
        component = executors.plain.get(made_from)
        if component is None:
            component = executors.plain[made_from] = _component(task, types, dag, executors)
    else:
        component = _component(task, types, dag, executors)
    connected = task.connected
    resources = resource_inputs(settings, taken=types) if settings is not None else None
    if resources:
        connected = {**connected, **resources}
        types = {**types, **dict.fromkeys(resources, ParameterType.STRING)}
        check_channels(task.name, connected)
    specification = specifications.task_spec(
        task.name,
        component,
        connected,
        types,
        dag.source,
        after=dag.before(task.after),
        caching=task.caching is not False,
    )
    if settings is not None and settings.retries is not None:
        specification["retryPolicy"] = specifications.retry_policy(settings.retries)
    if task.always:
        specification["triggerPolicy"] = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    dag.tasks[task.name] = specification


def _component(task: Task, types: Mapping[str, ValueType], dag: Dag, executors: Executors) -> str:
    """Return the key of a task's component."""
    implementation = task.component.implementation
    if isinstance(implementation, NestedPipeline):
        return embed(implementation, task.name, executors, caching=task.caching)
    container = specifications.container_spec(implementation)
    config: dict[str, Any] = {}
    if task.settings is not None:
        # A pipeline without settings need not build their model, which takes longer than to compile it.
        from airflow_kfp_runtime.compiler.kubernetes import executor_config

        container = with_settings(container, task.settings)
        config = executor_config(task.settings, dag.source, task.claims)
    interface = specifications.component_spec(task.component, types)
    return executors.add(task.name, interface, container, config)
