"""A worker of a real Airflow that waits for its run, is taken for dead, and goes on beside its successor."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient, RunState, calls
from tests.airflow_processes import running_airflow

#: Airflow takes workers for dead after 15 s instead of 5 min.
IMPATIENT = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
}


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, kfp_server):
    with running_airflow(
        tmp_path_factory.mktemp("airflow"),
        Path(__file__).parent / "dags",
        kfp_server.url,
        environment=IMPATIENT,
    ) as running:
        yield running


def test_a_worker_that_was_taken_for_dead_leaves_the_run_to_its_successor(airflow, kfp_server, tmp_path):
    run = airflow.trigger("taken_for_dead", {"folder": str(tmp_path)})
    pid = tmp_path / "supervisor"
    supervisor = int(airflow.wait("the first try to freeze", lambda: pid.exists() and pid.read_text()))
    try:
        airflow.wait("the second try to wait", (tmp_path / "second").exists)
    finally:
        os.kill(supervisor, signal.SIGCONT)

    (log,) = airflow.deployment.home.glob("logs/dag_id=taken_for_dead/**/attempt=1.log")
    airflow.wait(
        "the first try to end", lambda: "another try of this task goes on with it" in log.read_text()
    )
    with KfpClient(ClientSettings(host=kfp_server.url)) as client:
        run_id = run.xcom("run", key="kfp_run")["run_id"]
        assert client.send(calls.get_run(run_id)).state is RunState.RUNNING
    (tmp_path / "gate").touch()

    assert run.end() == "success", run.logs()
    assert "Going on with the run of an earlier try" in run.log("run")
    assert run.task("run").try_number == 2
