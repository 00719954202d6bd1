"""Waiting in the triggerer: the event, the arguments that are stored, and when a run is ended."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from types import SimpleNamespace

import pytest

from airflow_kfp_runtime.client import KfpClient, RunRequest, calls
from airflow_kfp_runtime.client.ending import end_run
from airflow_kfp_runtime.client.models import RunState
from airflow_kfp_runtime.client.watch import Ending, Verdict
from airflow_kfp_runtime.compiler import compile_steps
from airflow_kfp_runtime.errors import KfpRuntimeError
from airflow_kfp_runtime.hooks.kfp import KfpHook
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.triggers import kfp as triggers
from airflow_kfp_runtime.triggers import newest_try, shared
from airflow_kfp_runtime.triggers.events import RunEvent, event_payload, read_event
from airflow_kfp_runtime.triggers.kfp import KfpRunTrigger

PROJECT = Project("tests")
PROJECT.new_function("nap", kind="container", image="alpine", command=["sleep", "0.2"])
PROJECT.new_function("sleep", kind="container", image="alpine", command=["sleep", "300"])
PROJECT.new_function("fail", kind="container", image="alpine", command=["false"])


def submit(client: KfpClient, function: str) -> str:
    package = compile_steps([{"name": function, "function": function}], name=function, project=PROJECT)
    request = RunRequest(str(uuid.uuid4()), function, pipeline_spec=package.pipeline_spec)
    return client.send(calls.create_run(request)).run_id


def state_of(client: KfpClient, run_id: str) -> RunState:
    return client.send(calls.get_run(run_id)).state


async def event_of(trigger: KfpRunTrigger) -> dict[str, object]:
    (event,) = [event async for event in trigger.run()]
    return event.payload


def recreated(trigger: KfpRunTrigger) -> KfpRunTrigger:
    """The trigger as a triggerer makes it: from JSON in the database."""
    _, arguments = trigger.serialize()
    return KfpRunTrigger(**json.loads(json.dumps(arguments)))


async def test_a_run_that_succeeds_gives_one_event_with_all_that_the_operator_needs(kfp_client):
    run_id = submit(kfp_client, "nap")

    payload = await event_of(recreated(KfpRunTrigger(run_id, poll_interval=0.1, step_names={"nap": "Nap"})))

    assert read_event(json.loads(json.dumps(payload))) == RunEvent(
        run_id, Ending(Verdict.SUCCEEDED, RunState.SUCCEEDED), {"nap": "Nap"}, "kfp_default"
    )


async def test_a_run_that_fails_gives_an_event_too(kfp_client):
    payload = await event_of(KfpRunTrigger(submit(kfp_client, "fail"), poll_interval=0.1))

    assert (payload["status"], payload["state"]) == ("failed", "FAILED")


async def test_the_deadline_ends_the_waiting_and_leaves_the_run_to_the_operator(kfp_client):
    run_id = submit(kfp_client, "sleep")

    payload = await event_of(KfpRunTrigger(run_id, poll_interval=60, deadline=time.time() + 0.5))

    assert payload["status"] == "timed_out"
    assert state_of(kfp_client, run_id) in (RunState.PENDING, RunState.RUNNING)
    kfp_client.send(calls.terminate_run(run_id))


async def test_a_run_that_the_server_does_not_know_gives_an_event_with_the_reason(kfp_client):
    payload = await event_of(KfpRunTrigger(str(uuid.uuid4())))

    assert payload["status"] == "lost"
    assert "404" in payload["reason"]


async def test_a_missing_connection_gives_an_event_with_the_reason(airflow_database):
    payload = await event_of(KfpRunTrigger("1", kfp_conn_id="no_such_connection"))

    assert payload["status"] == "lost"
    assert "no_such_connection" in payload["reason"]


async def test_a_connection_that_cannot_be_read_in_time_gives_an_event_with_the_reason(monkeypatch):
    async def load(self):
        raise TimeoutError("the vault does not answer")

    monkeypatch.setattr(KfpHook, "load", load)

    payload = await asyncio.wait_for(event_of(KfpRunTrigger("1", poll_interval=0.1)), 10)

    assert payload["status"] == "lost"
    assert "the vault does not answer" in payload["reason"]


async def test_the_deadline_holds_while_the_server_is_out_of_reach(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", "kfp://127.0.0.1:9")

    payload = await event_of(KfpRunTrigger("1", poll_interval=0.1, deadline=time.time() + 0.5))

    assert payload["status"] == "timed_out"


async def test_a_server_that_stays_out_of_reach_gives_an_event_that_says_so(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", "kfp://127.0.0.1:9")

    payload = await event_of(KfpRunTrigger("1", poll_interval=0.1, max_outage=0.3))

    assert payload["status"] == "lost"
    assert "a retry of the task finds it again" in payload["reason"]


async def test_a_run_in_which_nothing_changes_gives_an_event_and_goes_on(kfp_client):
    run_id = submit(kfp_client, "sleep")

    payload = await event_of(KfpRunTrigger(run_id, poll_interval=0.1, stall_timeout=0.5))

    assert (payload["status"], payload["state"]) == ("stalled", "RUNNING")
    assert state_of(kfp_client, run_id) is RunState.RUNNING
    kfp_client.send(calls.terminate_run(run_id))


async def test_triggers_of_one_connection_and_interval_share_a_poller(kfp_client):
    same = [KfpRunTrigger(submit(kfp_client, "nap"), poll_interval=0.1) for _ in range(3)]
    other = KfpRunTrigger(submit(kfp_client, "nap"), poll_interval=0.2)

    waiting = [asyncio.create_task(event_of(trigger)) for trigger in (*same, other)]
    await asyncio.sleep(0)
    shares = sorted(poller.watched for poller in shared._pollers.values())
    events = await asyncio.gather(*waiting)

    assert shares == [1, 3]
    assert {event["status"] for event in events} == {"succeeded"}
    assert shared._pollers == {}


async def test_a_trigger_that_is_cancelled_takes_no_other_with_it(kfp_client):
    first, second = (
        asyncio.create_task(event_of(KfpRunTrigger(submit(kfp_client, "nap"), poll_interval=0.1)))
        for _ in range(2)
    )
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    assert (await second)["status"] == "succeeded"
    assert shared._pollers == {}


def test_each_event_loop_has_pollers_of_its_own(kfp_client):
    trigger = KfpRunTrigger(submit(kfp_client, "nap"), poll_interval=0.1)

    assert asyncio.run(event_of(trigger))["status"] == "succeeded"
    assert asyncio.run(event_of(recreated(trigger)))["status"] == "succeeded"


def test_what_is_stored_holds_no_secret_and_names_the_class(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", "kfp://:the-token@localhost:8888")
    path, arguments = KfpRunTrigger("1", deadline=5.0).serialize()

    assert path == "airflow_kfp_runtime.triggers.kfp.KfpRunTrigger"
    assert "the-token" not in json.dumps(arguments)
    assert arguments["deadline"] == 5.0


def test_a_row_of_an_older_version_still_makes_a_trigger():
    trigger = KfpRunTrigger(run_id="1", step_names={})

    assert (trigger.poll_interval, trigger.max_outage, trigger.stall_timeout) == (10.0, 600.0, None)


@pytest.mark.parametrize(
    "event",
    [None, "success", {}, {"status": "succeeded"}, {"status": "success", "run_id": "1"}],
)
def test_an_event_that_is_not_known_is_refused(event):
    with pytest.raises(KfpRuntimeError, match="does not know"):
        read_event(event)


@pytest.mark.parametrize("verdict", Verdict)
def test_every_ending_survives_the_way_through_the_database(verdict):
    ending = Ending(verdict, RunState.RUNNING, "because")

    assert read_event(json.loads(json.dumps(event_payload("1", ending, {"a": "A"}, "kfp")))) == RunEvent(
        "1", ending, {"a": "A"}, "kfp"
    )


def test_an_event_of_a_version_that_sent_no_connection_is_read():
    event = {"status": "succeeded", "run_id": "1", "state": "SUCCEEDED"}

    assert read_event(event) == RunEvent("1", Ending(Verdict.SUCCEEDED, RunState.SUCCEEDED), {}, None)


@pytest.fixture
def task(monkeypatch):
    """Say what Airflow answers of the task instance: its state, and the run that its newest try recorded."""

    def answers(state: str | Exception | None, recorded: str | None = None) -> SimpleNamespace:
        def state_of(task):
            if isinstance(state, Exception):
                raise state
            return state

        monkeypatch.setattr(newest_try, "state_of", state_of)
        monkeypatch.setattr(newest_try, "run_recorded_by", lambda _: recorded)
        return SimpleNamespace(task_id="train", dag_id="d", run_id="r", map_index=-1)

    return answers


async def kill(run_id: str, task: SimpleNamespace | None) -> None:
    """What the triggerer does when it stops a trigger that has not fired."""
    trigger = KfpRunTrigger(run_id)
    trigger.task_instance = task
    await (trigger.on_kill() if triggers._HAS_ON_KILL else trigger.cleanup())


@pytest.mark.parametrize("state", ["failed", "success", "removed", "scheduled", None])
async def test_a_task_that_a_user_marked_or_cleared_ends_its_run(kfp_client, task, state):
    run_id = submit(kfp_client, "sleep")

    await kill(run_id, task(state))

    assert state_of(kfp_client, run_id) in (RunState.CANCELING, RunState.FAILED)


@pytest.mark.parametrize(
    ("state", "recorded"), [("deferred", "another run"), ("running", None), ("running", "another run")]
)
async def test_a_cleared_task_whose_next_try_has_begun_ends_the_old_run(kfp_client, task, state, recorded):
    run_id = submit(kfp_client, "sleep")

    await kill(run_id, task(state, recorded=recorded))

    assert state_of(kfp_client, run_id) in (RunState.CANCELING, RunState.FAILED)


async def test_a_trigger_that_is_cancelled_again_while_it_ends_its_run_ends_it_all_the_same(
    kfp_client, task, monkeypatch
):
    asked, may_answer = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def late(task):
        loop.call_soon_threadsafe(asked.set)
        may_answer.wait(30)
        return "failed"

    run_id = submit(kfp_client, "sleep")
    instance = task("failed")
    monkeypatch.setattr(newest_try, "state_of", late)

    killing = asyncio.create_task(kill(run_id, instance))
    await asked.wait()
    killing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killing
    may_answer.set()
    await asyncio.gather(*triggers._endings)

    assert state_of(kfp_client, run_id) in (RunState.CANCELING, RunState.FAILED)


@pytest.mark.parametrize(
    "reason", ["handed on", "resumed elsewhere", "ended elsewhere", "unknown", "no task"]
)
async def test_a_run_that_somebody_may_still_wait_for_is_left_alone(kfp_client, task, reason):
    run_id = submit(kfp_client, "sleep")
    instance = {
        "handed on": lambda: task("deferred", recorded=run_id),
        "resumed elsewhere": lambda: task("running", recorded=run_id),
        "ended elsewhere": lambda: task("up_for_retry", recorded=run_id),
        "unknown": lambda: task(RuntimeError("the API server is down")),
        "no task": lambda: None,
    }[reason]()

    await kill(run_id, instance)

    assert state_of(kfp_client, run_id) in (RunState.PENDING, RunState.RUNNING)
    kfp_client.send(calls.terminate_run(run_id))


async def test_the_log_says_that_a_run_may_go_on_whose_connection_cannot_be_read(
    task, airflow_database, monkeypatch
):
    lines: list[str] = []
    trigger = KfpRunTrigger("1", kfp_conn_id="no_such_connection")
    trigger.task_instance = task("failed")
    monkeypatch.setattr(trigger.log, "error", lambda line, *values: lines.append(line % values))

    await (trigger.on_kill() if triggers._HAS_ON_KILL else trigger.cleanup())

    (line,) = lines
    assert line.startswith("Run 1 could not be terminated and may go on: ")
    assert "no_such_connection" in line


async def test_a_trigger_that_has_fired_ends_nothing(kfp_client, task):
    run_id = submit(kfp_client, "sleep")
    trigger = KfpRunTrigger(run_id, deadline=time.time())
    trigger.task_instance = task("success")
    await event_of(trigger)

    await trigger.cleanup()
    if triggers._HAS_ON_KILL:
        await trigger.on_kill()

    assert state_of(kfp_client, run_id) in (RunState.PENDING, RunState.RUNNING)
    kfp_client.send(calls.terminate_run(run_id))


async def test_cleanup_ends_a_run_only_where_airflow_has_no_on_kill(kfp_client, task):
    run_id = submit(kfp_client, "sleep")
    trigger = KfpRunTrigger(run_id)
    trigger.task_instance = task("failed")

    await trigger.cleanup()

    goes_on = state_of(kfp_client, run_id) in (RunState.PENDING, RunState.RUNNING)
    assert goes_on == triggers._HAS_ON_KILL
    kfp_client.run(end_run(run_id))
