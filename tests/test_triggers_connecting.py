"""A triggerer whose Airflow cannot read the connection for a while: waited out as if the server were away.

Airflow's own lookup runs here, from the secrets backends down to the messages to the triggerer's supervisor;
only that answers from a script.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ConnectionResult, ErrorResponse, GetConnection

from airflow_kfp_runtime.client import RunRequest, calls
from airflow_kfp_runtime.compiler import compile_steps
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.triggers.kfp import KfpRunTrigger
from tests.fault_proxy import FaultProxy, Request, answers

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = Project("tests")
PROJECT.new_function("nap", kind="container", image="alpine", command=["sleep", "0.3"])

MISSING = ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND, detail={"conn_id": "kfp"})
AWAY = AirflowRuntimeError(
    ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"message": "connection refused"})
)


class Supervisor:
    """Answers as the supervisor of a triggerer does.

    :param connection: what it answers to the n-th lookup of a connection.
    """

    def __init__(self, connection: Callable[[int], object]) -> None:
        self._connection = connection
        self.lookups = 0

    async def asend(self, message: object) -> object:
        return self.send(message)

    def send(self, message: object) -> object:
        if not isinstance(message, GetConnection):
            return None
        self.lookups += 1
        answer = self._connection(self.lookups)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def supervised(monkeypatch):
    """Give the process a supervisor, as a triggerer's has."""

    def supervised(connection: Callable[[int], object]) -> Supervisor:
        supervisor = Supervisor(connection)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
        return supervisor

    return supervised


def connection_to(url: str, token: str = "token", conn_type: str = "kfp") -> ConnectionResult:
    others = dict.fromkeys(("schema", "login", "port", "extra"))
    return ConnectionResult(conn_id="kfp", conn_type=conn_type, host=url, password=token, **others)


def submit(client) -> str:
    package = compile_steps([{"name": "nap", "function": "nap"}], name="nap", project=PROJECT)
    request = RunRequest(str(uuid.uuid4()), "nap", pipeline_spec=package.pipeline_spec)
    return client.send(calls.create_run(request)).run_id


async def event_of(run_id: str, **arguments: object) -> dict[str, object]:
    trigger = KfpRunTrigger(run_id, kfp_conn_id="kfp", poll_interval=0.1, **arguments)
    (event,) = [event async for event in trigger.run()]
    return event.payload


async def test_an_outage_of_airflow_while_the_poller_connects_is_waited_out(
    kfp_client, kfp_server, supervised, capsys
):
    supervised(lambda lookup: AWAY if lookup < 5 else connection_to(kfp_server.url))

    assert (await event_of(submit(kfp_client)))["status"] == "succeeded"
    log = "".join(capsys.readouterr())
    assert "Airflow cannot read the connection 'kfp' at the moment" in log
    assert "The server answers again" in log


@pytest.mark.parametrize("while_away", [AWAY, MISSING], ids=["Airflow", "a secrets backend"])
async def test_an_outage_while_the_credentials_are_renewed_is_waited_out(
    kfp_client, kfp_server, supervised, while_away
):
    def expired(request: Request):
        refused = "first" in request.headers["authorization"]
        return answers(401, b"{}")(request) if refused else request.forward()

    with FaultProxy(kfp_server.url) as proxy:
        proxy.fail("GET", "/runs", expired, times=float("inf"))
        first, second = connection_to(proxy.url, "first"), connection_to(proxy.url, "second")
        supervisor = supervised(lambda lookup: first if lookup == 1 else while_away if lookup < 5 else second)

        assert (await event_of(submit(kfp_client)))["status"] == "succeeded"
    assert supervisor.lookups == 5


async def test_an_outage_of_airflow_that_lasts_gives_an_event_that_says_so(supervised):
    supervised(lambda _: AWAY)

    payload = await event_of("1", max_outage=0.5)

    assert payload["status"] == "lost"
    assert "Airflow cannot read the connection 'kfp'" in payload["reason"]
    assert "a retry of the task finds it again" in payload["reason"]


async def test_a_connection_that_does_not_exist_gives_an_event_at_once(supervised):
    supervised(lambda _: MISSING)
    began = time.monotonic()

    payload = await event_of("1", max_outage=600)

    assert payload["status"] == "lost"
    assert "isn't defined" in payload["reason"]
    assert time.monotonic() - began < 60


async def test_a_connection_that_is_wrong_gives_an_event_at_once(supervised):
    supervised(lambda _: connection_to("http://localhost", conn_type="aws"))

    payload = await event_of("1", max_outage=600)

    assert payload["status"] == "lost"
    assert "is of type 'aws', not 'kfp'" in payload["reason"]
