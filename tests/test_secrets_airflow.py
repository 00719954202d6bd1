"""The secrets of a connection in a real Airflow that logs at DEBUG: searched is all that it leaves behind.

In each place a text was planted on purpose, which the same search has to find.
"""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from collections import defaultdict
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.airflow_processes import running_airflow
from tests.secret_marks import Arguments, Mark, Search
from tests.secret_proxy import CARRIERS, CheckingProxy, of_a_token, repeats

STATES = {
    "plant": "success",
    "succeeds": "success",
    "succeeds_in_worker": "success",
    "fails": "failed",
    "is_late": "failed",
    "is_marked": "failed",
    "is_unauthorized": "failed",
    "is_denied": "failed",
    "meets_an_outage": "failed",
}


class Evidence:
    """What was found in each place."""

    def __init__(self, airflow, home, secrets, planted):
        self.home = home
        self.secrets = secrets
        self.planted = planted
        self._airflow = airflow
        self._things = defaultdict(list)

    def __getitem__(self, place):
        return self._things[place]

    def keep_files(self, place, *files):
        self[place].extend(file.read_bytes() for file in files if file.is_file())

    def keep_trigger_rows(self):
        """Keep the triggers' arguments, which Airflow encrypts on some ways into the table only."""
        key = self._airflow.deployment.environment()["AIRFLOW__CORE__FERNET_KEY"]
        with closing(sqlite3.connect(self.home / "airflow.db", timeout=20)) as database:
            for path, arguments in database.execute("SELECT classpath, kwargs FROM trigger"):
                if not arguments.startswith("{"):
                    arguments = Fernet(key).decrypt(arguments.encode()).decode()
                self["trigger rows"].append(f"{path} {arguments}")

    def keep_answers(self, run):
        """Keep what the REST API shows of the tasks."""
        base = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        for task in self._get(base)["task_instances"]:
            self["rendered fields"].append(json.dumps(task["rendered_fields"]))
            one = f"{base}/{task['task_id']}"
            for entry in self._get(f"{one}/xcomEntries")["xcom_entries"]:
                shown = self._get(f"{one}/xcomEntries/{entry['key']}?stringify=true")
                self["XComs"].append(json.dumps(shown))
            for number in range(1, task["try_number"] + 1):
                log = self._get(f"{one}/logs/{number}", headers={"Accept": "application/json"})
                self["logs in the UI"].append(json.dumps(log))
        self["event log"].append(json.dumps(self._get("/api/v2/eventLogs?limit=1000")))

    def _get(self, path, **options):
        answer = self._airflow.client._http.get(path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    def found(self, place, *marks):
        search = Search(*marks)
        search.look(place, *self[place])
        return search.found


@pytest.fixture(scope="module")
def evidence(tmp_path_factory, kfp_server):
    folder = tmp_path_factory.mktemp("secrets")
    home, dags = folder / "airflow", folder / "dags"
    dags.mkdir()
    shutil.copy(Path(__file__).parent / "dags" / "secrets_kept.py", dags)
    secrets, planted = of_a_token(folder), Mark("planted")
    with ExitStack() as stack:
        proxies = {"kfp_default": CheckingProxy(kfp_server.url, secrets)}
        for status in (401, 403, 503):
            proxies[f"kfp_{status}"] = proxy = CheckingProxy(kfp_server.url, secrets)
            proxy.fail("", "", repeats("json", status), times=math.inf)
        for proxy in proxies.values():
            stack.enter_context(proxy)
        airflow = stack.enter_context(
            running_airflow(
                home,
                dags,
                kfp_server.url,
                # Those of the environment would win over those of the database.
                connections={"kfp_default": ""},
                environment={"AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG"},
            )
        )
        for name, proxy in proxies.items():
            connect(airflow, name, proxy.url, secrets)
        evidence = Evidence(airflow, home, secrets, planted)
        arguments = stack.enter_context(Arguments())
        run = airflow.trigger("secrets", {"planted": planted.core})
        airflow.wait("a task to wait in the triggerer", lambda: run.states().get("is_marked") == "deferred")
        evidence.keep_trigger_rows()
        persistently(airflow, lambda: run.mark_failed("is_marked"))
        assert run.end(seconds=400) == "failed"
        assert run.states() == STATES, run.logs()
        evidence.keep_answers(run)
        evidence["process arguments"].extend(arguments.seen)
        for proxy in proxies.values():
            assert proxy.seen
            assert not proxy.without
            for request in proxy.seen:
                headers = {name: text for name, text in request.headers.items() if name not in CARRIERS}
                evidence["requests"].append(f"{request.target} {headers} {request.body!r}")
    # Files as they are when everything has ended, so that nothing is in memory alone.
    evidence.keep_files("logs", *(home / "logs").rglob("*"), *(home / "processes").rglob("*"))
    evidence.keep_files("the database", *home.glob("airflow.db*"))
    evidence.keep_files("the KFP server's data", *kfp_server.data.rglob("*"))
    return evidence


def connect(airflow, name, host, secrets):
    """Write a connection into Airflow's database, as its UI does."""
    fields = {**secrets.fields, "extra": json.dumps(secrets.fields["extra"])}
    body = {"connection_id": name, "conn_type": "kfp", "host": host, **fields}
    persistently(airflow, lambda: airflow.client._send("POST", "/api/v2/connections", json=body))


def persistently(airflow, ask):
    """Ask Airflow until its SQLite, which others write to as well, is not locked."""

    def asked():
        try:
            ask()
        except RuntimeError as error:
            if "Database error" not in str(error):
                raise
            return False
        return True

    airflow.wait("SQLite", asked)


PLACES = [
    "logs",
    "logs in the UI",
    "the database",
    "trigger rows",
    "XComs",
    "rendered fields",
    "process arguments",
    "requests",
    "the KFP server's data",
]


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_of_a_connection_is_left_in(evidence, place):
    assert evidence.found(place, *evidence.secrets.marks) == []


@pytest.mark.parametrize("place", PLACES)
def test_the_search_finds_what_was_planted_in(evidence, place):
    assert evidence.found(place, evidence.planted)


def test_the_connections_are_in_the_database_encrypted(evidence):
    with closing(sqlite3.connect(evidence.home / "airflow.db")) as database:
        rows = database.execute("SELECT is_encrypted, is_extra_encrypted FROM connection").fetchall()

    assert rows == [(1, 1)] * 4
