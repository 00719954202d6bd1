"""A DAG for tests with a real Airflow: its tasks end in each way, with connections that hold secrets."""

from __future__ import annotations

import subprocess
from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project

project = Project("secrets")
project.new_function("nap", kind="container", image="alpine", command=["sleep", "0.1"])
project.new_function("fail", kind="container", image="alpine", command=["false"])
project.new_function("sleep", kind="container", image="alpine", command=["sleep", "300"])


def runs(task_id: str, function: str, **arguments) -> KfpPipelineOperator:
    return KfpPipelineOperator(
        task_id=task_id,
        steps=[{"name": f"{function} {{{{ params.planted }}}}", "function": function}],
        project=project,
        poll_interval=1,
        **arguments,
    )


@task
def plant(text: str) -> str:
    """Put a text wherever a secret must not be."""
    print("planted", text)
    subprocess.run(["sh", "-c", "sleep 2", text], check=True)
    return text


with DAG("secrets", schedule=None, params={"planted": ""}):
    plant("{{ params.planted }}")
    runs("succeeds", "nap", deferrable=True)
    runs("succeeds_in_worker", "nap")
    runs("fails", "fail", deferrable=True, retries=1, retry_delay=timedelta(0))
    runs("is_late", "sleep", deferrable=True, timeout=2)
    runs("is_marked", "sleep", deferrable=True)
    runs("is_unauthorized", "nap", kfp_conn_id="kfp_401", max_outage=2)
    runs("is_denied", "nap", kfp_conn_id="kfp_403")
    runs("meets_an_outage", "nap", kfp_conn_id="kfp_503", max_outage=2)
