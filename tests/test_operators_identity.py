"""The ids of a task's runs: which change with a clear, and which stay."""

from __future__ import annotations

import uuid

from airflow.sdk import DAG

from airflow_kfp_runtime.operators.identity import TaskIdentity
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator

PIPELINE = {
    "pipelineInfo": {"name": "nap"},
    "schemaVersion": "2.1.0",
    "sdkVersion": "tests",
    "root": {"dag": {"tasks": {"nap": {"taskInfo": {"name": "nap"}, "componentRef": {"name": "nap"}}}}},
    "components": {"nap": {"executorLabel": "nap"}},
    "deploymentSpec": {"executors": {"nap": {"container": {"image": "alpine", "command": ["true"]}}}},
}


def test_airflow_tells_a_clear_by_max_tries(run_dag, kfp_client):
    from airflow.models.taskinstance import TaskInstance, clear_task_instances
    from airflow.utils.session import create_session
    from sqlalchemy import select

    dag = DAG(f"dag-{uuid.uuid4().hex[:8]}", schedule=None)
    KfpPipelineOperator(task_id="run_it", dag=dag, pipeline=PIPELINE, retries=2, wait_for_completion=False)
    run_dag(dag)

    with create_session() as session:
        instances = list(session.scalars(select(TaskInstance).where(TaskInstance.dag_id == dag.dag_id)))
        before = [instance.max_tries for instance in instances]
        clear_task_instances(instances, session)
        after = [instance.max_tries for instance in instances]

    assert (before, after) == ([2], [3])


def test_a_cleared_task_has_other_run_ids():
    before = TaskIdentity("c", "d", "r", "t", -1, max_tries=2)
    after = TaskIdentity("c", "d", "r", "t", -1, max_tries=3)

    assert {before.run_id(n) for n in range(5)}.isdisjoint(after.run_id(n) for n in range(5))


def test_the_run_id_is_the_same_in_every_process():
    assert TaskIdentity("c", "d", "r", "t", -1, 2).run_id(0) == "bb8e9781-7f0f-5eab-98cb-98288cb29a98"
