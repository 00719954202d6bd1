"""The server as a process: how it starts, what it keeps over a restart, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
from contextlib import ExitStack, closing

import httpx
import pytest

from airflow_kfp_runtime.embedded.access import DataInUseError, exclusive
from demo.kfp_server import SERVE, start_kfp_server
from demo.processes import wait_for
from tests.embedded_api import pipeline_spec


def submit(server, command, name="run"):
    spec = pipeline_spec()
    spec["deploymentSpec"]["executors"]["exec-train"]["container"]["command"] = command
    answer = httpx.post(f"{server.url}/apis/v2beta1/runs", json={"display_name": name, "pipeline_spec": spec})
    return answer.raise_for_status().json()["run_id"]


def run_of(server, run_id):
    return httpx.get(f"{server.url}/apis/v2beta1/runs/{run_id}").raise_for_status().json()


def started(marker):
    """The id of a step's process, which writes it to a file when it starts."""
    return wait_for("the step", lambda: (marker.exists() and marker.read_text().strip()) or None, seconds=30)


def is_running(pid):
    return subprocess.run(["kill", "-0", pid], capture_output=True).returncode == 0


@pytest.fixture
def start_again():
    """Start a server that was stopped, on its data."""
    with ExitStack() as running:

        def start(stopped):
            server = start_kfp_server(stopped.data)
            running.callback(server.stop)
            return server

        yield start


def test_a_run_with_its_log_and_pipeline_survives_a_restart(kfp_server_alone, start_again):
    server = kfp_server_alone
    run_id = submit(server, ["echo", "trained"])
    before = wait_for(
        "the run to succeed",
        lambda: (run := run_of(server, run_id))["state"] == "SUCCEEDED" and run,
        seconds=30,
    )

    server.stop()
    server = start_again(server)

    assert run_of(server, run_id) == before
    (executor,) = [
        detail
        for detail in before["run_details"]["task_details"]
        if any(child["pod_name"].rpartition("-")[2].isdigit() for child in detail.get("child_tasks", []))
        and detail["display_name"] == "train"
    ]
    node = executor["child_tasks"][0]["pod_name"]
    log = httpx.get(f"{server.url}/apis/v1alpha1/runs/{run_id}/nodes/{node}/log").text
    assert "trained" in log
    assert "not pulled" in log


def test_sigterm_ends_the_processes_of_runs_and_the_server_with_status_0(kfp_server_alone, tmp_path):
    marker = tmp_path / "started"
    run_id = submit(kfp_server_alone, ["sh", "-c", f"echo $$ > {marker}; sleep 600"])
    pid = started(marker)
    process = kfp_server_alone.process

    process.ask_to_stop()

    assert process.wait(30) == 0
    assert not is_running(pid)
    assert f"Run {run_id}" in process.log.read_text()


def test_deleting_a_run_that_goes_on_ends_its_process_and_removes_its_files(kfp_server_alone, tmp_path):
    marker = tmp_path / "started"
    run_id = submit(kfp_server_alone, ["sh", "-c", f"echo $$ > {marker}; sleep 600"])
    pid = started(marker)

    answer = httpx.delete(f"{kfp_server_alone.url}/apis/v2beta1/runs/{run_id}", timeout=30)

    assert (answer.status_code, answer.json()) == (200, {})
    wait_for("the end of the step", lambda: not is_running(pid), seconds=30)
    assert not (kfp_server_alone.data / "runs" / run_id).exists()
    assert httpx.get(f"{kfp_server_alone.url}/apis/v2beta1/runs/{run_id}").status_code == 404


def test_a_second_server_on_the_same_directory_says_who_holds_it(kfp_server_alone):
    second = subprocess.run(
        [*SERVE, "--port", "0", "--data", str(kfp_server_alone.data)],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert second.returncode == 1
    assert second.stdout == ""
    assert f"in use by another embedded server (process {kfp_server_alone.process.pid})" in second.stderr


def test_data_of_a_later_version_is_refused_with_what_to_do(tmp_path):
    with closing(sqlite3.connect(tmp_path / "server.db")) as connection:
        connection.execute("PRAGMA user_version = 99")

    done = subprocess.run(
        [*SERVE, "--port", "0", "--data", str(tmp_path)], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1
    assert "was written by a later version of the embedded server (schema 99" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_step_that_waits_for_a_free_worker_is_a_pending_pod(tmp_path):
    server = start_kfp_server(tmp_path / "data", "--workers", "1")
    try:
        marker = tmp_path / "started"
        submit(server, ["sh", "-c", f"echo $$ > {marker}; sleep 600"])
        started(marker)
        waiting = submit(server, ["true"])

        def nodes():
            rows = run_of(server, waiting).get("run_details", {}).get("task_details", [])
            return {row["display_name"]: row["state"] for row in rows}

        wait_for("the step to be due", lambda: "executor" in nodes(), seconds=30)
        assert nodes()["executor"] == "PENDING"
        run = httpx.get(f"{server.url}/apis/v1beta1/runs/{waiting}").json()
        assert "waiting for a free worker" in run["pipeline_runtime"]["workflow_manifest"]
    finally:
        server.stop()


def test_a_port_that_is_taken_is_an_error_that_names_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*SERVE, "--port", str(port), "--data", str(tmp_path)], capture_output=True, text=True, timeout=60
        )

    assert done.returncode == 1
    assert "could not start" in done.stderr
    assert str(port) in done.stderr
    assert "Choose another --host, --port" in done.stderr


def test_the_next_api_is_an_option(tmp_path):
    server = start_kfp_server(tmp_path / "new" / "data", "--api", "next")
    try:
        assert "next" in httpx.get(f"{server.url}/apis/v2beta1/healthz").json()["tag_name"]
        os.kill(server.process.pid, signal.SIGINT)
        assert server.process.wait(30) == 0
    finally:
        server.stop()


@pytest.mark.parametrize(
    "arguments",
    [["--workers", "0"], ["--workers", "x"], ["--api", "3"], ["--port", "65536"], ["--port", "x"]],
)
def test_arguments_that_are_wrong_are_refused(tmp_path, arguments):
    done = subprocess.run(
        [*SERVE, "--data", str(tmp_path), *arguments], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 2
    assert arguments[0] in done.stderr


def test_a_directory_is_free_again_when_its_holder_lets_go(tmp_path):
    with exclusive(tmp_path), pytest.raises(DataInUseError, match="in use"), exclusive(tmp_path):
        raise RuntimeError("two holders")
    with exclusive(tmp_path):
        assert (tmp_path / "server.lock").read_text().isdigit()


def test_a_file_as_the_data_directory_is_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    done = subprocess.run(
        [*SERVE, "--port", "0", "--data", str(file)], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1
    assert done.stderr == f"--data: {file} is a file, not a directory\n"
