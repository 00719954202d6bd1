"""A real Airflow in a folder: scheduler, DAG processor, triggerers and API server, each a process.

It listens on the loopback interface alone, keeps everything in its folder (SQLite, logs), and takes nothing
from the Airflow of whoever starts it. Each process can be killed and started again by its name.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from base64 import urlsafe_b64encode
from collections import Counter
from typing import TYPE_CHECKING

import httpx

from demo.airflow_client import AirflowClient
from demo.processes import Process, free_port, stop_all, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

USERNAME = "admin"


class AirflowDeployment:
    """A deployment, which runs between :meth:`start` and :meth:`stop` or in a ``with`` block.

    :param home: its folder; one that holds an earlier deployment goes on with that one's data.
    :param dags: the folder of DAG files.
    :param connections: connection id to the connection, in any form that ``AIRFLOW_CONN_...`` takes.
    :param options: further Airflow options, such as ``{"core__parallelism": "8"}``.
    :param environment: further environment variables of every process.
    :param triggerers: how many; several take over each other's triggers, and need another database than
        SQLite (the option ``database__sql_alchemy_conn``).
    :param python: the interpreter of the environment that Airflow is installed in.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        connections: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        triggerers: int = 1,
        python: str = sys.executable,
    ) -> None:
        self.home = home
        self.password = secrets.token_urlsafe(9)
        self.port = free_port()
        self._running: dict[str, Process] = {}
        self._starts: Counter[str] = Counter()
        self._triggerers = triggerers
        self._python = python
        self._options = {**self._defaults(dags), **(options or {})}
        self._environment = {**(environment or {}), **_connection_variables(connections or {})}

    @property
    def processes(self) -> list[Process]:
        """Those that are to run now."""
        return list(self._running.values())

    @property
    def url(self) -> str:
        """The address of the UI and the REST API."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """The environment that an Airflow command of this deployment runs in."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        options = {f"AIRFLOW__{name.upper()}": value for name, value in self._options.items()}
        return {**inherited, "AIRFLOW_HOME": str(self.home), **options, **self._environment}

    def start(self, seconds: float = 180.0) -> Self:
        """Make the database, start the processes and wait until all of them report that they are well.

        :param seconds: after these, ``TimeoutError`` with the end of the processes' logs.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        passwords = self.home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({USERNAME: self.password}))
        self._migrate(seconds)
        try:
            for name in self._components():
                self.start_component(name)
            wait_for("Airflow's processes", self.is_healthy, seconds=seconds, processes=self.processes)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every process that :meth:`start` started."""
        stop_all(self.processes)
        self._running.clear()

    def start_component(self, name: str) -> None:
        """Start ``api-server``, ``scheduler``, ``dag-processor``, ``triggerer``, ``triggerer-2`` or so on."""
        self._running[name] = self._launch(name, *self._components()[name])

    def component(self, name: str) -> Process:
        """The process of that name."""
        return self._running[name]

    def stop_component(self, name: str) -> None:
        """End a process with SIGTERM, as whoever restarts it does."""
        self._running.pop(name).stop()

    def kill_component(self, name: str) -> None:
        """End a process, and all that it started, with SIGKILL."""
        self._running.pop(name).kill()

    def is_healthy(self) -> bool:
        """Whether all processes report that they are well."""
        try:
            answer = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=5)
        except httpx.TransportError:
            return False
        return answer.is_success and all(part["status"] == "healthy" for part in answer.json().values())

    def client(self) -> AirflowClient:
        """A client of the REST API, logged in."""
        return AirflowClient(self.url, username=USERNAME, password=self.password)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _components(self) -> dict[str, list[str]]:
        """The arguments of each process."""
        triggerers = ["triggerer", *(f"triggerer-{number}" for number in range(2, self._triggerers + 1))]
        return {
            "api-server": ["api-server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"],
            "scheduler": ["scheduler", "--skip-serve-logs"],
            **{name: ["triggerer", "--skip-serve-logs"] for name in triggerers},
            "dag-processor": ["dag-processor"],
        }

    def _launch(self, name: str, *arguments: str) -> Process:
        self._starts[name] += 1
        start = "" if self._starts[name] == 1 else f".{self._starts[name]}"
        return Process(
            f"airflow {name}",
            [self._python, "-m", "airflow", *arguments],
            log=self.home / "processes" / f"{name}{start}.log",
            environment=self.environment(),
        )

    def _migrate(self, seconds: float) -> None:
        migration = self._launch("db", "db", "migrate")
        try:
            if migration.wait(seconds):
                migration.check()
        finally:
            migration.stop()

    def _defaults(self, dags: Path) -> dict[str, str]:
        return {
            "core__dags_folder": str(dags.resolve()),
            "core__load_examples": "False",
            "core__dags_are_paused_at_creation": "False",
            "core__executor": "LocalExecutor",
            "core__parallelism": "4",
            "core__fernet_key": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            # Without it a task's process looks for the API server on port 8080.
            "core__execution_api_server_url": f"{self.url}/execution/",
            "core__simple_auth_manager_users": f"{USERNAME}:admin",
            "core__simple_auth_manager_passwords_file": str(self.home / "passwords.json"),
            "database__sql_alchemy_conn": f"sqlite:///{self.home / 'airflow.db'}",
            "logging__base_log_folder": str(self.home / "logs"),
            "api__base_url": self.url,
            # One secret for all processes: each would draw its own, and tasks' tokens would not be accepted.
            "api__secret_key": secrets.token_urlsafe(32),
            "api_auth__jwt_secret": secrets.token_urlsafe(32),
            # Seconds that the supervisor of a task may take to see its end. The scheduler fails a task that
            # resumes before it is seen that it deferred: with the default, 5, short pipelines are too fast.
            "workers__min_heartbeat_interval": "1",
            "scheduler__scheduler_idle_sleep_time": "0.2",
            "scheduler__enable_health_check": "False",
            "dag_processor__refresh_interval": "1",
            "dag_processor__min_file_process_interval": "1",
            "usage_data_collection__enabled": "False",
        }


def _connection_variables(connections: Mapping[str, str]) -> dict[str, str]:
    return {f"AIRFLOW_CONN_{name.upper()}": value for name, value in connections.items()}
