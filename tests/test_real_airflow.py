"""Pipelines from a real Airflow: scheduler, triggerer, DAG processor and API server, each a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient, RunState, calls
from demo.processes import wait_for
from tests.airflow_processes import running_airflow


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


def started_run(run, kfp):
    """The pipeline run that a DAG run's task submitted, once it is running."""

    def found():
        assert run.task("run").state != "failed", run.logs()
        record = run.xcom("run", key="kfp_run")
        running = record and kfp.send(calls.get_run(record["run_id"])).state is RunState.RUNNING
        return record if running else None

    return run.airflow.wait("the pipeline run", found)


def ended_state(kfp, run_id):
    def state():
        found = kfp.send(calls.get_run(run_id))
        return found.state if found.finished_at else None

    return wait_for("the end of the pipeline run", state, seconds=60)


def test_a_task_defers_while_its_pipeline_runs_and_hands_the_outputs_on(airflow, kfp, tmp_path):
    gate = tmp_path / "gate"
    run = airflow.trigger("gated_in_triggerer", {"gate": str(gate)})

    run.wait_until("run", "deferred")
    submitted = started_run(run, kfp)
    assert run.task("run").state == "deferred"
    assert submitted["run_id"] in run.links("run")["Kubeflow Pipelines run"]

    gate.write_text("41")
    assert run.end() == "success", run.logs()
    outputs = run.xcom("run")["Pass gate"]
    assert (outputs["number"], outputs["details"]) == (41, {"digits": ["4", "1"]})
    assert Path(outputs["table"]["uri"].removeprefix("file://")).read_text() == "41"
    assert run.xcom("add_one") == 42
    assert ended_state(kfp, submitted["run_id"]) is RunState.SUCCEEDED


def test_a_task_that_waits_in_the_worker_hands_the_same_outputs_on(airflow, tmp_path):
    gate = tmp_path / "gate"
    gate.write_text("7")
    run = airflow.trigger("gated_in_worker", {"gate": str(gate)})

    assert run.end() == "success", run.logs()
    assert run.xcom("add_one") == 8


def test_a_failed_step_fails_the_task_and_shows_what_the_step_wrote(airflow, tmp_path):
    gate = tmp_path / "gate"
    gate.write_text("not a number")
    run = airflow.trigger("gated_in_triggerer", {"gate": str(gate)})

    assert run.end() == "failed"
    assert run.states() == {"run": "failed", "add_one": "upstream_failed"}
    log = run.log("run")
    assert "Pass gate" in log
    assert "waiting at the gate" in log
    assert "ValueError: invalid literal for int() with base 10: 'not a number'" in log
