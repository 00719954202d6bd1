"""A DAG that trains a model in a Kubeflow pipeline, from nothing to its outputs.

Starts the embedded Kubeflow Pipelines server and a real Airflow on this machine, triggers the DAG
train_and_branch, shows what happens, and ends all that it started. Exit status: 0 if the DAG run succeeded,
1 if anything failed, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import fcntl
import secrets
import shutil
import signal
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_kfp_runtime.client import ClientSettings, KfpClient
from demo.airflow_deployment import USERNAME, AirflowDeployment
from demo.follow import DagRun
from demo.kfp_server import start_kfp_server
from demo.processes import ProcessEndedError, wait_for
from demo.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_kfp_runtime.client import TaskDetail
    from demo.airflow_client import AirflowClient
    from demo.kfp_server import KfpServer

PROJECT = Path(__file__).parent.parent
DATA = PROJECT / ".demo"
DAGS = PROJECT / "example_dags"
DAG_ID = "train_and_branch"
PIPELINE_TASK = "training"
PIPELINE_STEPS = ("prepare", "train")

#: Seconds that the DAG run may take; the first one installs scikit-learn for the steps.
LIMIT = 600.0


class DemoError(RuntimeError):
    """The demo did not come to its end; the message says why."""


def main() -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    keep = parser.parse_args().keep
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    screen = Screen()
    try:
        with _the_only_one():
            run_demo(screen, keep=keep)
    except KeyboardInterrupt:
        screen.say("Stopped.")
        return 130
    except (DemoError, ProcessEndedError, TimeoutError) as error:
        screen.say(str(error), style="red")
        return 1
    return 0


def run_demo(screen: Screen, *, keep: bool) -> None:
    """Start the servers, run the DAG, show its outputs, and end what was started.

    :param keep: leave it running until Ctrl-C, once the outputs are shown.
    """
    with ExitStack() as started:
        try:
            with screen.stage("Starting the embedded Kubeflow Pipelines server"):
                _make_secret(DATA / "kfp" / "secrets" / "model-signing" / "key")
                server = start_kfp_server(DATA / "kfp")
                started.callback(server.stop)
            with screen.stage("Starting Airflow: API server, scheduler, triggerer, DAG processor"):
                airflow = started.enter_context(_airflow(server))
            client = started.enter_context(airflow.client())
            kfp = started.enter_context(KfpClient(ClientSettings(host=server.url)))
            processes = [*airflow.processes, server.process]

            with screen.stage(f"Reading the DAG {DAG_ID}"):
                wait_for("the DAG", lambda: _is_read(client), seconds=60, processes=processes)
            run = DagRun(client, kfp, DAG_ID, client.trigger(DAG_ID), PIPELINE_TASK, PIPELINE_STEPS)
            with screen.stage("Running the DAG"):
                for change in run.changes(seconds=LIMIT, processes=processes):
                    screen.say(change)
            if run.state != "success":
                raise DemoError(run.failure())

            _show_results(screen, run)
            if keep:
                _keep(screen, airflow, server)
        finally:
            # What follows ends the processes: a second Ctrl-C must not leave some of them behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _make_secret(file: Path) -> None:
    """Make the secret of the DAG train_on_gpu, so that it runs with ``--keep`` as the others do."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))


def _airflow(server: KfpServer) -> AirflowDeployment:
    home = DATA / "airflow"
    shutil.rmtree(home, ignore_errors=True)
    return AirflowDeployment(home, DAGS, connections={"kfp_default": server.airflow_connection})


def _is_read(client: AirflowClient) -> bool:
    for file, trace in client.import_errors().items():
        raise DemoError(f"Airflow cannot read {file}:\n{trace}")
    return client.dag_is_known(DAG_ID)


def _show_results(screen: Screen, run: DagRun) -> None:
    for task in run.airflow.tasks(run.dag_id, run.run_id):
        if task.state == "skipped":
            continue
        screen.took(f"  task {task.task_id}", task.seconds)
        if task.task_id == run.pipeline_task:
            for step in run.steps():
                screen.took(f"    step {step.display_name}", _seconds(step))
    screen.outputs(run.airflow.xcom(run.dag_id, run.run_id, run.pipeline_task))
    screen.times()


def _seconds(step: TaskDetail) -> float | None:
    if step.started_at is None or step.finished_at is None:
        return None
    return (step.finished_at - step.started_at).total_seconds()


def _keep(screen: Screen, airflow: AirflowDeployment, server: KfpServer) -> None:
    screen.say()
    screen.say(f"Airflow: {airflow.url}   user: {USERNAME}   password: {airflow.password}")
    screen.say(f"Kubeflow Pipelines API: {server.url}")
    screen.say("Ctrl-C ends everything.")
    with suppress(KeyboardInterrupt):
        while True:
            for process in (*airflow.processes, server.process):
                process.check()
            time.sleep(1)


@contextmanager
def _the_only_one() -> Iterator[None]:
    DATA.mkdir(exist_ok=True)
    with (DATA / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("A demo is running already: end it with Ctrl-C where it was started.") from None
        yield


if __name__ == "__main__":
    sys.exit(main())
