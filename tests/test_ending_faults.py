"""Terminating a run through a server that fails: what becomes of it, and what the task's log says."""

from __future__ import annotations

import asyncio
import math
import uuid

import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient, RunRequest, RunState, calls
from airflow_kfp_runtime.client.watch import Ending, Verdict
from airflow_kfp_runtime.compiler import compile_steps
from airflow_kfp_runtime.operators import outcome
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.triggers import kfp as triggers
from airflow_kfp_runtime.triggers.kfp import KfpRunTrigger
from demo.processes import wait_for
from tests.fault_proxy import FaultProxy, answers, drop, refuses

PROJECT = Project("tests")
PROJECT.new_function("nap", kind="container", image="alpine", command=["true"])
PROJECT.new_function("sleep", kind="container", image="alpine", command=["sleep", "300"])
PROJECT.new_function("fail", kind="container", image="alpine", command=["false"])

TERMINATE = ":terminate$"
IS_ENDING = {RunState.CANCELING, RunState.FAILED}
GOES_ON = {RunState.PENDING, RunState.RUNNING}

BAD_REQUEST = {"status": 400, "code": 3, "message": "Row not found"}
ERROR = {"status": 500, "code": 13, "message": "argo is down"}


@pytest.fixture
def proxy(kfp_server, monkeypatch):
    with FaultProxy(kfp_server.url) as proxy:
        monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", proxy.url.replace("http", "kfp"))
        yield proxy


@pytest.fixture
def client(proxy):
    with KfpClient(ClientSettings(proxy.url)) as client:
        yield client


def submit(client, function, until=RunState.RUNNING):
    package = compile_steps([{"name": function, "function": function}], name=function, project=PROJECT)
    request = RunRequest(str(uuid.uuid4()), function, pipeline_spec=package.pipeline_spec)
    run_id = client.send(calls.create_run(request)).run_id
    wait_for(f"a run that is {until}", lambda: state_of(client, run_id) is until, seconds=60)
    return run_id


def state_of(client, run_id):
    return client.send(calls.get_run(run_id)).state


def error_at_the_deadline(client, run_id, **policies):
    ending = Ending(Verdict.TIMED_OUT, RunState.RUNNING)
    return str(client.run(outcome.run_error(ending, run_id, "URL", {}, outcome.Terms(**policies))))


@pytest.fixture
def kill(monkeypatch, capsys):
    """Do what the triggerer does for a task that a user has marked as failed; return what was logged."""

    async def is_abandoned(trigger):
        return True

    monkeypatch.setattr(KfpRunTrigger, "_is_abandoned", is_abandoned)

    def kill(run_id):
        trigger = KfpRunTrigger(run_id)
        asyncio.run(trigger.on_kill() if triggers._HAS_ON_KILL else trigger.cleanup())
        return capsys.readouterr().out

    return kill


FAULTS = {
    "500, and the server has acted": refuses(**ERROR, acted=True),
    "400, and the server has acted": refuses(**BAD_REQUEST, acted=True),
    "no answer, and the server has acted": drop(acted=True),
    "no answer": drop(),
    "503": answers(503),
    "an HTML page of a proxy": answers(502, b"<html></html>", Content_Type="text/html"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_run_is_terminated_at_its_deadline_whatever_the_first_answer_is(proxy, client, fault):
    run_id = submit(client, "sleep")
    proxy.fail("POST", TERMINATE, fault)

    error = error_at_the_deadline(client, run_id)

    assert "It was terminated, and a retry of the task starts a new one." in error
    assert state_of(client, run_id) in IS_ENDING
    assert sum(row.status == 200 for row in proxy.ledger if row.path.endswith(":terminate")) == 1


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_trigger_terminates_its_run_whatever_the_first_answer_is(proxy, client, kill, fault):
    run_id = submit(client, "sleep")
    proxy.fail("POST", TERMINATE, fault)

    log = kill(run_id)

    assert f"The task no longer waits for run {run_id}: terminating it" in log
    assert "may go on" not in log
    assert state_of(client, run_id) in IS_ENDING
    assert sum(row.status == 200 for row in proxy.ledger if row.path.endswith(":terminate")) == 1


@pytest.mark.parametrize("fault", [BAD_REQUEST, ERROR], ids=["400", "500"])
def test_a_run_that_is_not_terminated_is_said_to_go_on(proxy, client, kill, fault):
    run_id = submit(client, "sleep")
    proxy.fail("POST", TERMINATE, refuses(**fault), times=2)

    error, log = error_at_the_deadline(client, run_id), kill(run_id)

    assert "It could not be terminated and may go on: " in error
    assert f"Run {run_id} could not be terminated and may go on: " in log
    assert fault["message"] in error
    assert fault["message"] in log
    assert state_of(client, run_id) in GOES_ON
    client.send(calls.terminate_run(run_id))


@pytest.mark.parametrize(
    ("function", "state", "resumes", "sentence"),
    [
        ("nap", RunState.SUCCEEDED, False, "succeeded since, and a retry of the task hands its outputs on."),
        ("fail", RunState.FAILED, False, "failed since, and a retry of the task starts a new one."),
        ("fail", RunState.FAILED, True, "failed since, and a retry of the task resumes it."),
    ],
)
def test_a_run_that_ended_at_the_deadline_is_not_said_to_be_terminated(
    client, kill, function, state, resumes, sentence
):
    run_id = submit(client, function, until=state)

    assert f"It has {sentence}" in error_at_the_deadline(client, run_id, resumes=resumes)
    assert f"Run {run_id} had ended already: {state.value}" in kill(run_id)
    assert state_of(client, run_id) is state


def test_a_run_that_was_terminated_before_the_deadline_is_said_to_be(client):
    run_id = submit(client, "sleep")
    client.send(calls.terminate_run(run_id))

    assert "It was terminated" in error_at_the_deadline(client, run_id)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("airflow_kfp_runtime.client.ending.PATIENCE", 0.2)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_stays_out_of_reach_is_given_up_and_the_log_says_that_the_run_may_go_on(
    proxy, client, kill
):
    run_id = submit(client, "sleep")
    proxy.fail("", "", answers(503), times=math.inf)

    error, log = error_at_the_deadline(client, run_id), kill(run_id)

    assert "It could not be terminated and may go on: " in error
    assert "trying again for up to 0.2 s" in log
    assert f"Run {run_id} could not be terminated and may go on: " in log
    proxy.heal()
    client.send(calls.terminate_run(run_id))


def test_a_termination_outlasts_an_outage(proxy, client, kill):
    run_id = submit(client, "sleep")
    proxy.fail("", "", answers(503), times=3)

    log = kill(run_id)

    assert "trying again for up to 120 s" in log
    assert f"Run {run_id} no longer goes on" in log
    assert state_of(client, run_id) in IS_ENDING
