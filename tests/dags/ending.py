"""DAGs whose pipelines wait at a gate while the test ends them, or what runs them."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project

project = Project("ending")
project.new_function(
    "pass_gate",
    kind="container",
    image="alpine",
    command=["sh", "-c", 'until [ -e "$0" ]; do sleep 0.3; done; cat "$0" > "$1"'],
    args=["$(inputs.gate)", "$(outputs.number)"],
    outputs={"number": "int"},
)


def gated(gate: str):
    with pipeline_context() as pc:
        pc.step(name="Pass gate", function="pass_gate", inputs={"gate": gate}, values=["number"])


def dag(dag_id):
    return DAG(dag_id, schedule=None, params={"gates": ""}, max_active_runs=50, max_active_tasks=50)


for waiting, deferrable in (("deferred", True), ("in_worker", False)):
    with dag(f"ending_{waiting}"):
        KfpPipelineOperator(
            task_id="run",
            workflow=gated,
            project=project,
            arguments={"gate": "{{ params.gates }}/0"},
            deferrable=deferrable,
            poll_interval=2,
        ) >> EmptyOperator(task_id="after")
    with dag(f"ending_{waiting}_mapped"):
        KfpPipelineOperator.partial(
            task_id="run", workflow=gated, project=project, deferrable=deferrable, poll_interval=2
        ).expand(
            arguments=[{"gate": "{{ params.gates }}/0"}, {"gate": "{{ params.gates }}/1"}]
        ) >> EmptyOperator(task_id="after")

RETRY = {"retries": 1, "retry_delay": timedelta(seconds=1)}

for name, options in {
    "timeout": {"timeout": 12},
    "execution_timeout": {"execution_timeout": timedelta(seconds=12)},
    "leave": {"timeout": 12, "on_timeout": "leave", **RETRY},
    "in_worker_retried": {"deferrable": False, "retries": 5, "retry_delay": timedelta(seconds=3)},
}.items():
    with dag(f"ending_{name}"):
        KfpPipelineOperator(
            task_id="run",
            workflow=gated,
            project=project,
            arguments={"gate": "{{ params.gates }}/0"},
            poll_interval=2,
            **({"deferrable": True} | options),
        )
