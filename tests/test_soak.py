"""A real Airflow and the server, killed with SIGKILL again and again in the middle of runs; then the ledger.

``KFP_SOAK_RUNS`` pipelines run (default 32), ``KFP_SOAK_ROUNDS`` times each process is killed at least (1),
in an order that ``KFP_SOAK_SEED`` repeats.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient
from tests.airflow_processes import running_airflow
from tests.dags.soak import PIPELINES
from tests.postgres import postgres
from tests.soak_killer import KillableServer, Killer
from tests.soak_ledger import entries_of, history, violations_of

RUNS = int(os.environ.get("KFP_SOAK_RUNS", "32"))
ROUNDS = int(os.environ.get("KFP_SOAK_ROUNDS", "1"))
SEED = int(os.environ.get("KFP_SOAK_SEED", random.randrange(1_000_000)))

#: Who is gone is to be missed soon: Airflow's defaults are minutes.
IMPATIENT = {
    "core__parallelism": "6",
    "dag_processor__min_file_process_interval": "60",
    "scheduler__scheduler_heartbeat_sec": "2",
    "scheduler__scheduler_health_check_threshold": "10",
    "scheduler__orphaned_tasks_check_interval": "5",
    "scheduler__task_instance_heartbeat_timeout": "15",
    "scheduler__task_instance_heartbeat_timeout_detection_interval": "3",
    "triggerer__job_heartbeat_sec": "2",
    "triggerer__triggerer_health_check_threshold": "8",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = KillableServer(tmp_path_factory.mktemp("kfp"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, server):
    # A retry that finds an intent without a run looks for it as long as a request may take.
    extra = {"connect_timeout": 2, "read_timeout": 8}
    connection = json.dumps({"conn_type": "kfp", "host": server.url, "extra": extra})
    with (
        postgres() as database,
        running_airflow(
            tmp_path_factory.mktemp("airflow"),
            Path(__file__).parent / "dags",
            server.url,
            connections={"kfp_default": connection},
            options={**IMPATIENT, "database__sql_alchemy_conn": database},
            triggerers=2,
        ) as running,
    ):
        yield running


def test_another_triggerer_takes_over(airflow, tmp_path):
    airflow.deployment.kill_component("triggerer-2")
    gate = tmp_path / "gate"
    run = airflow.trigger("gated_in_triggerer", {"gate": str(gate)})
    airflow.wait("the task to be watched", lambda: run.task("run").start and ": RUNNING" in run.log("run"))

    airflow.deployment.start_component("triggerer-2")
    airflow.deployment.kill_component("triggerer")
    gate.write_text("3")

    assert run.end() == "success", run.logs()
    assert run.xcom("add_one") == 4
    assert run.task("run").try_number == 1
    airflow.deployment.start_component("triggerer")


def test_whatever_is_killed_the_ledger_of_the_server_accounts_for_every_task(airflow, server, tmp_path):
    print(f"KFP_SOAK_SEED={SEED} KFP_SOAK_RUNS={RUNS} KFP_SOAK_ROUNDS={ROUNDS}")
    before = {run.run_id for run in server.runs()}
    dag_runs = [airflow.trigger("soak", {"marks": str(tmp_path)}) for _ in range(-(-RUNS // PIPELINES))]
    killer = Killer(airflow, server, dag_runs, SEED)
    while not killer.is_over() and min(killer.counts()[point] for point in killer.POINTS) < ROUNDS:
        killer.kill_each_once()
    # Its workers may wait for the lock of a queue that one of them held when it was killed.
    airflow.deployment.kill_component("scheduler")
    airflow.deployment.start_component("scheduler")

    for run in dag_runs:
        run.end(seconds=60 + 10 * RUNS)

    print(*killer.kills, sep="\n")
    runs = [run for run in server.runs() if run.run_id not in before]
    run_ids = [run.run_id for run in dag_runs]
    entries, violations = entries_of(airflow.client, "soak", run_ids, runs)
    assert len(entries) == len(dag_runs) * PIPELINES
    tries = sum(entry.task.try_number for entry in entries)
    print(f"{len(entries)} tasks, {tries} tries, {len(runs)} pipeline runs, {len(killer.kills)} kills")
    with KfpClient(ClientSettings(host=server.url)) as kfp:
        for entry in entries:
            if found := list(violations_of(entry, airflow.client, kfp)):
                violations += [f"{entry.owner} {sentence}" for sentence in found]
                violations.append(history(entry, airflow.client))
    assert not violations, "\n".join([f"KFP_SOAK_SEED={SEED}", *map(str, killer.kills), *violations])
    missed = set(killer.POINTS) - set(killer.counts())
    assert not missed, f"KFP_SOAK_SEED={SEED}: the runs had ended before these were killed: {missed}"
