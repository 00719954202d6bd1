"""Workers of a real Airflow that are killed or frozen while they submit, and tasks that are cleared."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient, RunState, calls, flows
from tests.airflow_processes import running_airflow
from tests.dags.killed import POINTS


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, kfp_server):
    with running_airflow(
        tmp_path_factory.mktemp("airflow"), Path(__file__).parent / "dags", kfp_server.url
    ) as running:
        yield running


@pytest.fixture
def kfp(kfp_server):
    with KfpClient(ClientSettings(host=kfp_server.url)) as client:
        yield client


def runs_of(kfp, run):
    """The pipeline runs of a DAG run, and the tasks that they are named after."""
    prefix = f"{run.dag_id}."
    found = [
        found
        for found in kfp.run(flows.list_all(calls.list_runs()))
        if found.display_name.startswith(prefix) and found.display_name.endswith(run.run_id)
    ]
    return found, Counter(found.display_name.removeprefix(prefix).split()[0] for found in found)


def test_a_worker_killed_at_any_point_of_the_submission_leaves_one_run(airflow, kfp):
    run = airflow.trigger("killed_workers")

    assert run.end() == "success", run.logs()

    mine, names = runs_of(kfp, run)
    assert names == dict.fromkeys(POINTS, 1)
    assert {found.state for found in mine} == {RunState.SUCCEEDED}
    records = {point: run.xcom(point, key="kfp_run")["run_id"] for point in POINTS}
    assert sorted(records.values()) == sorted(found.run_id for found in mine)
    assert "Going on with the run of an earlier try" in run.log("after_post")
    assert "An earlier try has announced run" in run.log("after_intent")


def test_a_try_that_airflow_has_replaced_submits_nothing(airflow, kfp, tmp_path):
    run = airflow.trigger("replaced_try", {"folder": str(tmp_path)})
    pid = tmp_path / "supervisor"
    supervisor = int(airflow.wait("the first try to freeze", lambda: pid.exists() and pid.read_text()))
    try:
        run.mark_failed("run")
        # The scheduler would otherwise end the DAG run after the clear.
        assert run.end() == "failed"
        run.clear("run")
        airflow.wait("the second try's pipeline run", lambda: run.xcom("run", key="kfp_run"))
    finally:
        os.kill(supervisor, signal.SIGCONT)

    assert run.end() == "success", run.logs()

    (log,) = airflow.deployment.home.glob("logs/dag_id=replaced_try/**/attempt=1.log")
    # Airflow refuses the intent, unless the supervisor hears first that the try is over, and stops it.
    ends = ("Another try of this task has begun", "is left alone", "Terminating run")
    airflow.wait("the first try to end", lambda: any(end in log.read_text() for end in ends))
    assert runs_of(kfp, run)[1] == {"run": 1}


def test_a_task_cleared_after_its_success_starts_a_new_run(airflow, kfp, tmp_path):
    gate = tmp_path / "gate"
    gate.write_text("1")
    run = airflow.trigger("gated_in_worker", {"gate": str(gate)})
    assert run.end() == "success", run.logs()
    gate.write_text("2")

    def number():
        return ((run.xcom("run") or {}).get("Pass gate") or {}).get("number")

    run.clear("run")

    airflow.wait("the outputs of a second run", lambda: number() == 2)
    assert runs_of(kfp, run)[1] == {"run": 2}
