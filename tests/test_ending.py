"""When a real Airflow ends a pipeline run: where a user ends the task or its time is over, and only there."""

from __future__ import annotations

import json
import os
import signal
import time
from itertools import product
from pathlib import Path

import psycopg2
import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient, RunState, calls
from demo import sessions
from demo.kfp_server import start_kfp_server
from demo.processes import wait_for
from tests.airflow_processes import running_airflow
from tests.fault_proxy import FaultProxy
from tests.postgres import postgres

TERMINATED = {RunState.FAILED, RunState.CANCELED}

OPTIONS = {
    "core__parallelism": "24",
    "dag_processor__min_file_process_interval": "60",
    "scheduler__scheduler_heartbeat_sec": "2",
    "scheduler__scheduler_health_check_threshold": "10",
    # A triggerer that is gone is to be missed soon: Airflow's default is 30 s.
    "triggerer__job_heartbeat_sec": "1",
    "triggerer__triggerer_health_check_threshold": "6",
}


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """What stands before the server, and counts."""
    server = start_kfp_server(tmp_path_factory.mktemp("kfp"), "--workers", "64")
    with FaultProxy(server.url) as proxy:
        yield proxy
    server.stop()


@pytest.fixture(scope="module")
def database():
    with postgres() as address:
        yield address


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, proxy, database):
    with running_airflow(
        tmp_path_factory.mktemp("airflow"),
        Path(__file__).parent / "dags",
        proxy.url,
        options={**OPTIONS, "database__sql_alchemy_conn": database},
        triggerers=2,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def kfp(proxy):
    with KfpClient(ClientSettings(proxy.url)) as client:
        yield client


class Waiting:
    """The tasks of a DAG run whose pipelines wait at their gates."""

    def __init__(self, airflow, proxy, kfp, gates, dag_id):
        self.airflow = airflow
        self.proxy = proxy
        self.kfp = kfp
        self.gates = gates
        self.indices = [0, 1] if dag_id.endswith("_mapped") else [-1]
        self.first = {}
        self.run = airflow.trigger(dag_id, {"gates": str(gates)})

    def submitted(self, index):
        """The pipeline run of the newest try."""
        record = self.run.xcom("run", key="kfp_run", map_index=index)
        return record and record["run_id"]

    def wait_until_watched(self):
        for index in self.indices:
            self.first[index] = self.airflow.wait(
                f"a pipeline run of {self.run.dag_id}", lambda index=index: self.submitted(index)
            )
            self.airflow.wait(
                f"{self.run.dag_id} to watch its run",
                lambda index=index: f"Run {self.first[index]}: RUNNING" in self.run.log("run", index),
            )

    def open(self, index, number):
        (self.gates / str(max(index, 0))).write_text(str(number))

    def number(self, index):
        return self.run.xcom("run", map_index=index)["Pass gate"]["number"]

    def terminations(self, run_id):
        return self.proxy.reached("POST", f"/runs/{run_id}:terminate$")

    def state(self, run_id):
        run = self.kfp.send(calls.get_run(run_id))
        return run.state if run.finished_at else None

    def end_of(self, run_id):
        return self.airflow.wait("the end of a pipeline run", lambda: self.state(run_id), seconds=60)

    def watches(self, index):
        """What each triggerer that watches the run has logged, by the name of the file.

        A triggerer that gets a trigger back begins its file anew.
        """
        pattern = f"logs/dag_id={self.run.dag_id}/run_id={self.run.run_id}/**/attempt=1.log.trigger.*"
        logs = {
            path.name: path.read_text()
            for path in self.airflow.deployment.home.glob(pattern)
            if index < 0 or f"map_index={index}" in path.parts
        }
        return {name: log for name, log in logs.items() if f"Run {self.first[index]}: RUNNING" in log}


DEEDS = {
    "marked failed": lambda case, index: case.run.mark("run", "failed", index),
    "marked success": lambda case, index: case.run.mark("run", "success", index),
    "cleared": lambda case, index: case.run.clear("run", index),
    "DAG run marked failed": lambda case, index: case.run.mark_run_failed(),
}
CASES = list(product(("deferred", "in_worker"), ("", "_mapped"), DEEDS))


@pytest.fixture(scope="module")
def ended_by_a_user(airflow, proxy, kfp, tmp_path_factory):
    """What a user has done to tasks of each kind, all at the same time."""
    cases = {
        (waiting, mapped, deed): Waiting(
            airflow, proxy, kfp, tmp_path_factory.mktemp("gates"), f"ending_{waiting}{mapped}"
        )
        for waiting, mapped, deed in CASES
    }
    for case in cases.values():
        case.wait_until_watched()
    for (_, _, deed), case in cases.items():
        DEEDS[deed](case, case.indices[0])
    return cases


@pytest.mark.parametrize(("waiting", "mapped", "deed"), CASES)
def test_the_run_of_a_task_that_a_user_ends_is_terminated_once(ended_by_a_user, waiting, mapped, deed):
    case = ended_by_a_user[waiting, mapped, deed]
    index, *siblings = case.indices
    assert case.end_of(case.first[index]) in TERMINATED
    going_on = [] if deed == "DAG run marked failed" else siblings

    if deed == "cleared":
        case.airflow.wait("another run", lambda: case.submitted(index) not in (None, case.first[index]))
        case.open(index, 5)
    for sibling in going_on:
        case.open(sibling, 7)

    assert case.run.end() == ("success" if deed in ("cleared", "marked success") else "failed")
    assert case.run.task("after").state == {
        "marked failed": "upstream_failed",
        "DAG run marked failed": "skipped",
    }.get(deed, "success")
    if deed == "cleared":
        assert case.number(index) == 5
    assert [case.number(sibling) for sibling in going_on] == [7] * len(going_on)
    ended = {index, *siblings} - {*going_on}
    assert {case.end_of(case.first[each]) for each in ended} <= TERMINATED
    assert {each: case.terminations(case.first[each]) for each in case.indices} == {
        each: int(each in ended) for each in case.indices
    }


class Held:
    """Deferred tasks, plain and mapped, that are handed from one triggerer to the other."""

    def __init__(self, airflow, cases):
        self.airflow = airflow
        self.cases = cases

    def tasks(self):
        return [(case, index) for case in self.cases for index in case.indices]

    def watchers(self):
        """The triggerers that have watched one of the runs."""
        return {name for case, index in self.tasks() for name in case.watches(index)}

    def wait_for_others_than(self, watchers):
        self.airflow.wait(
            "another triggerer to watch all runs",
            lambda: all(case.watches(index).keys() - watchers for case, index in self.tasks()),
        )

    def check(self):
        """Check that the tasks wait for the runs that they have started, which go on."""
        for case, index in self.tasks():
            assert case.run.task("run", index).state == "deferred", case.run.logs()
            assert case.submitted(index) == case.first[index]
            assert case.state(case.first[index]) is None
            assert case.terminations(case.first[index]) == 0


@pytest.fixture(scope="module")
def held(airflow, proxy, kfp, tmp_path_factory):
    """Tasks that the first triggerer watches."""
    airflow.deployment.kill_component("triggerer-2")
    cases = [
        Waiting(airflow, proxy, kfp, tmp_path_factory.mktemp("gates"), dag_id)
        for dag_id in ("ending_deferred", "ending_deferred_mapped")
    ]
    for case in cases:
        case.wait_until_watched()
    airflow.deployment.start_component("triggerer-2")
    return Held(airflow, cases)


def send(number, airflow, component):
    for pid in sessions.members(airflow.deployment.component(component).pid):
        os.kill(pid, number)


def test_a_triggerer_that_was_taken_for_dead_and_goes_on_terminates_nothing(airflow, held):
    before = held.watchers()

    send(signal.SIGSTOP, airflow, "triggerer")
    try:
        held.wait_for_others_than(before)
    finally:
        send(signal.SIGCONT, airflow, "triggerer")

    # Airflow 3.3.2 takes what another triggerer has adopted for what a user has ended.
    airflow.wait(
        "on_kill in the first triggerer",
        lambda: all(
            any(
                "invoking on_kill" in log and "trigger completed" in log
                for log in case.watches(index).values()
            )
            for case, index in held.tasks()
        ),
    )
    held.check()


def test_an_upgrade_of_the_triggerers_terminates_nothing(airflow, held, database):
    before = held.watchers()

    airflow.deployment.stop_component("triggerer-2")
    airflow.deployment.stop_component("triggerer")
    store_as_the_first_version_did(held, database)
    airflow.deployment.start_component("triggerer")

    held.wait_for_others_than(before)
    held.check()
    airflow.deployment.start_component("triggerer-2")


def store_as_the_first_version_did(held, database):
    with (
        psycopg2.connect(database.replace("+psycopg2", "")) as connection,
        connection.cursor() as cursor,
    ):
        for case, index in held.tasks():
            arguments = {
                "run_id": case.first[index],
                "kfp_conn_id": "kfp_default",
                "poll_interval": 2.0,
                "deadline": None,
                "step_names": {"pass-gate": "Pass gate"},
            }
            cursor.execute(
                "UPDATE trigger SET kwargs = %s FROM task_instance AS task WHERE trigger.id = task.trigger_id"
                " AND (task.dag_id, task.run_id, task.map_index) = (%s, %s, %s)",
                (json.dumps(arguments), case.run.dag_id, case.run.run_id, index),
            )
            assert cursor.rowcount == 1


def test_a_triggerer_that_is_killed_terminates_nothing(airflow, held):
    before = held.watchers()

    airflow.deployment.kill_component("triggerer")
    held.wait_for_others_than(before)

    held.check()
    airflow.deployment.start_component("triggerer")


def test_a_scheduler_that_is_killed_terminates_nothing(airflow, held):
    airflow.deployment.kill_component("scheduler")
    airflow.deployment.start_component("scheduler")

    held.check()


def test_a_scheduler_that_is_stopped_lets_the_tasks_in_its_workers_finish(airflow, proxy, kfp, tmp_path):
    case = Waiting(airflow, proxy, kfp, tmp_path, "ending_in_worker")
    case.wait_until_watched()
    scheduler = airflow.deployment.component("scheduler")

    scheduler.ask_to_stop()
    try:
        airflow.wait("the scheduler to stop", lambda: "Exiting gracefully" in scheduler.log.read_text())
        case.open(-1, 4)
        wait_for("the task to succeed", lambda: case.run.task("run").state == "success", seconds=120)
    finally:
        # It may wait for ever for the workers that it had begun to start (Airflow 3.3.2, LocalExecutor).
        airflow.deployment.kill_component("scheduler")
        airflow.deployment.start_component("scheduler")

    assert case.run.end() == "success", case.run.logs()
    assert (case.number(-1), case.submitted(-1)) == (4, case.first[-1])
    assert case.terminations(case.first[-1]) == 0


def test_tasks_that_were_handed_about_succeed_with_the_outputs_of_their_first_runs(held):
    for number, (case, index) in enumerate(held.tasks()):
        case.open(index, number)

    assert [case.run.end() for case in held.cases] == ["success", "success"]
    for number, (case, index) in enumerate(held.tasks()):
        assert case.number(index) == number
        assert case.submitted(index) == case.first[index]
        assert case.run.task("run", index).try_number == 1
        assert case.terminations(case.first[index]) == 0


@pytest.fixture(scope="module")
def overdue(airflow, proxy, kfp, tmp_path_factory):
    """Tasks whose time has run out while there was no triggerer."""
    for component in ("triggerer", "triggerer-2"):
        airflow.deployment.kill_component(component)
    cases = {
        limit: Waiting(airflow, proxy, kfp, tmp_path_factory.mktemp("gates"), f"ending_{limit}")
        for limit in ("timeout", "execution_timeout", "leave")
    }
    for case in cases.values():
        case.run.wait_until("run", "deferred")
        case.first[-1] = case.submitted(-1)
    created = {case.kfp.send(calls.get_run(case.first[-1])).created_at.timestamp() for case in cases.values()}
    time.sleep(max(created) + 14 - time.time())
    airflow.deployment.start_component("triggerer")
    return cases


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("timeout", "had not ended within its timeout of 12 s"),
        ("execution_timeout", "had not ended within the task's execution_timeout of 12 s"),
    ],
)
def test_a_deadline_that_passed_without_a_triggerer_ends_the_run_once_there_is_one(overdue, limit, words):
    case = overdue[limit]

    assert case.run.end() == "failed"
    assert words in case.run.log("run")
    assert "It was terminated" in case.run.log("run")
    assert case.end_of(case.first[-1]) in TERMINATED
    assert case.terminations(case.first[-1]) == 1


def test_a_run_that_is_left_at_its_deadline_is_gone_on_with_in_a_retry(airflow, overdue):
    case = overdue["leave"]
    airflow.wait("the retry", lambda: case.run.task("run").try_number == 2)
    case.open(-1, 3)

    assert case.run.end() == "success", case.run.logs()
    assert (case.number(-1), case.submitted(-1)) == (3, case.first[-1])
    assert case.terminations(case.first[-1]) == 0


def test_an_api_server_of_airflow_that_is_away_terminates_nothing(airflow, proxy, kfp, tmp_path):
    case = Waiting(airflow, proxy, kfp, tmp_path, "ending_in_worker_retried")
    case.wait_until_watched()
    logs = airflow.deployment.home / "processes"

    airflow.deployment.kill_component("api-server")
    airflow.wait(
        "the worker to be stopped",
        lambda: any("Too many failed heartbeats" in log.read_text() for log in logs.glob("scheduler*.log")),
    )
    airflow.deployment.start_component("api-server")
    airflow.wait("the API server", airflow.deployment.is_healthy)
    case.open(-1, 9)

    assert case.run.end() == "success", case.run.logs()
    assert (case.number(-1), case.submitted(-1)) == (9, case.first[-1])
    assert case.terminations(case.first[-1]) == 0
