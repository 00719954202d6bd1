"""What tests of several rooms share: a server that runs pipelines, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.airflow_environment import (  # noqa: F401 - it sets Airflow's home before Airflow is imported
    airflow_database,
    kfp_client,
    run_dag,
)

if TYPE_CHECKING:
    from pathlib import Path

# A law holds or not, however long a busy machine takes to try it.
hypothesis.settings.register_profile(
    "laws", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("laws")

_READY = "Kubeflow Pipelines API on "


class KfpServer:
    """The embedded server as a process on a free port, with its own data directory.

    :param data: the directory; it outlives a stop, so that a restart goes on with it.
    :param options: further arguments of ``serve``.
    """

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.options = options
        self.log = data.parent / f"{data.name}.log"
        self.url = ""
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "airflow_kfp_runtime", "serve", "--port", "0"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.data), *self.options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        line = self.process.stdout.readline()
        if not line.startswith(_READY):
            self.stop()
            raise RuntimeError(f"the server did not start:\n{self.log.read_text()[-4000:]}")
        self.url = line.removeprefix(_READY).strip()
        # A pipe that nobody reads would block the server once it is full.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process = None


@pytest.fixture(scope="session")
def kfp_server(tmp_path_factory):
    """One embedded server for the whole session; tests keep to runs and names of their own."""
    server = KfpServer(tmp_path_factory.mktemp("kfp") / "data", "--workers", "4")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def kfp_server_alone(tmp_path):
    """An embedded server for one test, which may stop, kill and start it."""
    server = KfpServer(tmp_path / "data", "--workers", "4")
    server.start()
    yield server
    server.stop()
