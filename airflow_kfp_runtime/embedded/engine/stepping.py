"""What a run knows that its steps need: from a task's row and inputs to a step that can be launched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.engine.artifacts import Places, pod_name, workflow_name
from airflow_kfp_runtime.embedded.engine.iterations import is_loop
from airflow_kfp_runtime.embedded.engine.notes import executor_settings, not_applied, workspace_of
from airflow_kfp_runtime.embedded.engine.settings.fields import Pod
from airflow_kfp_runtime.embedded.engine.settings.read import read_settings
from airflow_kfp_runtime.embedded.engine.step import Step
from airflow_kfp_runtime.embedded.state.rows import RunRow, TaskRow, timestamp

if TYPE_CHECKING:
    from airflow_kfp_runtime.embedded.engine.origin import Origin
    from airflow_kfp_runtime.embedded.engine.resolve import Surroundings
    from airflow_kfp_runtime.embedded.engine.values import Values
    from airflow_kfp_runtime.embedded.state.rows import TaskType

Json = dict[str, Any]


class StepFactory:
    """Makes the steps of one run.

    :param run: its row.
    :param places: where its files are.
    """

    def __init__(self, run: RunRow, places: Places) -> None:
        self._run = run
        self._pipeline = run.pipeline_spec["pipelineInfo"]["name"]
        self._workflow = workflow_name(self._pipeline, run.run_id)
        self._root = places.artifact_root(self._pipeline, run.run_id)
        asked = workspace_of(run.platform_spec or {})
        self._workspace = places.workspace(run.run_id) if asked is not None else None

    def step(
        self, row: TaskRow, component: Json, inputs: Values, provided: frozenset[str], around: Surroundings
    ) -> Step:
        """The step of a container task.

        :param component: its component in the IR.
        :param inputs: its inputs, resolved.
        :param provided: those that it was given; the others are defaults.
        :param around: what its settings may refer to.
        :raises ResolveError: a setting is wrong or cannot be resolved.
        """
        label = component["executorLabel"]
        container = self._run.pipeline_spec["deploymentSpec"]["executors"][label]["container"]
        platforms = (self._run.platform_spec or {}).get("platforms", {})
        config = executor_settings(platforms.get("kubernetes", {}), label)
        pod = pod_name(self._workflow, row.task_id)
        return Step(
            run_id=self._run.run_id,
            task_id=row.task_id,
            name=row.name,
            pipeline=self._pipeline,
            pod_name=pod,
            container=container,
            component=component,
            inputs=inputs,
            provided=provided,
            names=self.names(row),
            workspace=self._workspace,
            settings=read_settings(config, around, self._pod(pod, row)),
            notes=tuple(not_applied(container, platforms, label, self._run.pipeline_root, inputs)),
        )

    def kind(self, origin: Origin) -> TaskType:
        """The type of a task's row."""
        if is_loop(origin.task):
            return "LOOP"
        if "dag" in origin.component:
            return "DAG"
        return "CONTAINER" if self.importer(origin.component) is None else "IMPORTER"

    def importer(self, component: Json) -> Json | None:
        """The importer that is a component's executor, if it is one."""
        executors = self._run.pipeline_spec["deploymentSpec"]["executors"]
        importer: Json | None = executors[component["executorLabel"]].get("importer")
        return importer

    def _pod(self, name: str, row: TaskRow) -> Pod:
        return Pod(
            name=name,
            namespace=self._run.namespace or "kubeflow",
            uid=row.task_id,
            service_account=self._run.service_account or "pipeline-runner",
        )

    def names(self, row: TaskRow) -> dict[str, str]:
        """What the placeholders of the run and the task stand for (KFP 2.17, ``kfp/dsl/__init__.py``)."""
        workspace = {"workspace_path": str(self._workspace)} if self._workspace else {}
        return {
            **workspace,
            "pipeline_job_name": self._run.display_name,
            "pipeline_job_resource_name": self._workflow,
            "pipeline_job_uuid": self._run.run_id,
            "pipeline_job_create_time_utc": timestamp(self._run.created_at),
            "pipeline_job_schedule_time_utc": timestamp(self._run.scheduled_at),
            "pipeline_task_name": row.name,
            "pipeline_task_uuid": row.task_id,
            "pipeline_root": str(self._root),
        }
