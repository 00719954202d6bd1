"""Runs that have ended while the server still shows their tasks as they were a moment before."""

from __future__ import annotations

import time
import uuid

import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient, RunRequest, RunState, calls, flows
from airflow_kfp_runtime.client.graph import Graph
from airflow_kfp_runtime.client.lagging import PAUSES, lagging_tasks
from airflow_kfp_runtime.client.models import Run
from airflow_kfp_runtime.client.outputs import OutputReader, read_settled_outputs
from airflow_kfp_runtime.operators.outcome import read_results
from demo.kfp_server import start_kfp_server
from demo.processes import wait_for
from tests.client_pipelines import nested_pipeline
from tests.client_script import Script, answer
from tests.fault_proxy import FaultProxy, rewritten

RUN = "GET /apis/v2beta1/runs/r"
TASKS = f"{RUN}/tasks"
MANIFEST = "GET /apis/v1beta1/runs/r"


def run(state, *details, spec=True, history=()):
    return answer(
        {
            "run_id": "r",
            "state": state,
            "state_history": [{"state": before} for before in history],
            "run_details": {"task_details": [{"display_name": n, "state": s} for n, s in details]},
            **({"pipeline_spec": nested_pipeline("p")} if spec else {}),
        }
    )


def task(name, state, parent="root", **outputs):
    rows = [{"parameter_key": key, "value": value} for key, value in outputs.items()]
    return {
        "task_id": name,
        "name": name,
        "parent_task_id": parent,
        "type": "DAG" if name == "outer" else "RUNTIME",
        "state": state,
        "outputs": {"parameters": rows},
        "status_metadata": {"message": f"{name} is {state}"},
    }


def tasks(*rows):
    return answer({"tasks": [{"task_id": "root", "type": "ROOT", "state": "RUNNING"}, *rows]})


PREPARED = task("prepare", "SUCCEEDED", rows=3)
# What is around a task is brought up to date late, or not at all, and has no bearing on the outputs.
OUTER = task("outer", "RUNNING")
TRAINED = task("train", "SUCCEEDED", "outer", accuracy=1)
REPORTED = task("report", "SUCCEEDED", text="done")
UP_TO_DATE = tasks(PREPARED, OUTER, TRAINED, REPORTED)
STALE = {
    "a task that is still running": tasks(PREPARED, OUTER, TRAINED, task("report", "RUNNING", text="do")),
    "a task without outputs": tasks(PREPARED, OUTER, TRAINED, task("report", "SUCCEEDED")),
    "a task that is lacking": tasks(PREPARED, OUTER, TRAINED),
    "a task in a nested pipeline that is lacking": tasks(PREPARED, OUTER, REPORTED),
}


@pytest.mark.parametrize("stale", STALE.values(), ids=STALE)
def test_a_run_that_has_succeeded_is_read_again_until_its_tasks_are_up_to_date(stale):
    script = Script({RUN: [run("SUCCEEDED")], TASKS: [stale, stale, UP_TO_DATE]})

    outputs = script.run(read_settled_outputs("r"))

    assert outputs.tasks["report"] == {"text": "done"}
    assert outputs.tasks["outer/train"] == {"accuracy": 1.0}
    assert (outputs.lagging, script.waits) == ((), list(PAUSES[:2]))


def test_a_run_that_is_up_to_date_is_read_once():
    script = Script({RUN: [run("SUCCEEDED", ("prepare", "SUCCEEDED"))], TASKS: [UP_TO_DATE]})

    script.run(read_settled_outputs("r"))

    assert (script.labels, script.waits) == ([RUN, TASKS], [])


@pytest.mark.parametrize("stale", STALE.values(), ids=STALE)
def test_a_server_that_never_catches_up_costs_seconds_and_a_warning(stale):
    script = Script({RUN: [run("SUCCEEDED")], TASKS: [stale]})

    outputs = script.run(read_settled_outputs("r"))

    assert outputs.tasks["prepare"] == {"rows": 3}
    assert outputs.lagging in [("report",), ("outer/train",)]
    assert f"without outputs: {outputs.lagging[0]!r}" in outputs.unread[-1]
    assert sum(script.waits) == sum(PAUSES) < 10


def test_the_rows_of_a_run_itself_can_lag_behind_too():
    stale = run("SUCCEEDED", ("prepare", "SUCCEEDED"), ("report", "RUNNING"))
    script = Script({RUN: [stale, run("SUCCEEDED", ("report", "SUCCEEDED"))], TASKS: [UP_TO_DATE]})

    assert script.run(read_settled_outputs("r")).lagging == ()
    assert script.waits == [PAUSES[0]]


def test_states_that_nobody_has_heard_of_are_not_waited_for():
    rows = [task("prepare", "CACHED", rows=3), OUTER, TRAINED, {**REPORTED, "state": "REIMAGINED"}]
    script = Script({RUN: [run("SUCCEEDED", ("report", "Omitted"))], TASKS: [tasks(*rows)]})

    assert script.run(read_settled_outputs("r")).lagging == ()


def test_a_manifest_that_lacks_what_nobody_consumed_is_not_waited_for():
    script = Script(
        {
            RUN: [run("SUCCEEDED")],
            MANIFEST: [answer({"pipeline_runtime": {"workflow_manifest": '{"status": {"nodes": {}}}'}})],
        }
    )

    outputs = script.run(read_settled_outputs("r"))

    assert (outputs.reader, outputs.lagging, script.waits) == (OutputReader.MANIFEST, (), [])


def test_only_a_run_that_has_succeeded_must_have_all_outputs():
    graph = Graph.of(nested_pipeline("p"))

    assert lagging_tasks(Run("r", state=RunState.FAILED), graph, {}) == ()
    assert lagging_tasks(Run("r", state=RunState.SUCCEEDED), graph, {}) == (
        "prepare",
        "outer/train",
        "report",
    )


@pytest.mark.parametrize("uncertain", [{"triggerPolicy": {"condition": "true"}}, {"parameterIterator": {}}])
def test_what_depends_on_a_branch_or_a_loop_may_not_have_run(uncertain):
    spec = nested_pipeline("p")
    spec["root"]["dag"]["tasks"]["outer"].update(uncertain)

    assert Graph.of(spec).certain == ["prepare"]


def failed_tasks(failure):
    return [(task.path, task.message) for task in failure.tasks]


@pytest.mark.parametrize("before", ["RUNNING", "SUCCEEDED"])
def test_the_failed_step_is_looked_for_until_the_server_shows_it(before):
    stale, shown = (tasks(PREPARED, OUTER, task("train", state, "outer")) for state in (before, "FAILED"))
    script = Script({RUN: [run("FAILED")], TASKS: [stale, shown]})

    failure = script.run(flows.explain_failure("r"))

    assert failed_tasks(failure) == [("outer/train", "train is FAILED")]
    assert script.waits == [PAUSES[0]]


def test_a_second_step_that_fails_is_named_beside_the_first():
    first, second = task("prepare", "FAILED"), task("report", "FAILED")
    script = Script({RUN: [run("FAILED")], TASKS: [tasks(first, {**second, "state": "RUNNING"})]})
    script.answers[TASKS].append(tasks(first, second))

    assert [path for path, _ in failed_tasks(script.run(flows.explain_failure("r")))] == ["prepare", "report"]


def test_a_failure_that_the_server_never_explains_costs_seconds():
    script = Script({RUN: [run("FAILED")], TASKS: [tasks(PREPARED)]})

    assert script.run(flows.explain_failure("r")).tasks == ()
    assert script.waits == list(PAUSES)


def test_the_rows_of_a_run_are_read_again_where_nothing_else_explains_its_failure():
    pod = {"display_name": "train", "pod_name": "p", "error": {"message": "exit 1"}}
    stale, shown = (
        answer({"run_id": "r", "state": "FAILED", "run_details": {"task_details": [{**pod, "state": state}]}})
        for state in ("RUNNING", "FAILED")
    )
    script = Script({RUN: [stale, shown]})

    assert failed_tasks(script.run(flows.explain_failure("r"))) == [("train", "exit 1")]


def test_what_the_workflow_says_is_not_waited_for():
    manifest = answer(
        {"pipeline_runtime": {"workflow_manifest": '{"status": {"message": "no quota", "nodes": {}}}'}}
    )
    script = Script({RUN: [run("FAILED", ("prepare", "RUNNING"))], MANIFEST: [manifest]})

    assert (script.run(flows.explain_failure("r")).message, script.waits) == ("no quota", [])


def test_a_run_that_was_terminated_needs_no_explanation():
    script = Script({RUN: [run("FAILED", history=["CANCELING", "FAILED"])], TASKS: [tasks(OUTER)]})

    assert script.run(flows.explain_failure("r")).was_terminated
    assert script.waits == []


@pytest.fixture
def next_server(tmp_path):
    """A server that speaks the tasks API of what follows KFP 2.17."""
    server = start_kfp_server(tmp_path, "--api", "next")
    yield server
    server.stop()


def ended(client, **changes):
    request = RunRequest(str(uuid.uuid4()), "p", pipeline_spec=nested_pipeline("p", **changes))
    run_id = client.run(flows.submit_run(request)).run_id
    wait_for("the end of the run", lambda: client.send(calls.get_run(run_id)).finished_at, seconds=60)
    return run_id


def as_if_running(name):
    """Show that task as it was before it ended."""

    def change(data):
        for row in data["tasks"]:
            if row["name"] == name:
                row["state"] = "RUNNING"
                row.pop("outputs", None)
        return data

    return rewritten(change)


def test_outputs_and_failures_are_complete_where_a_server_shows_stale_tasks_for_a_moment(next_server):
    with FaultProxy(next_server.url) as proxy, KfpClient(ClientSettings(proxy.url)) as client:
        succeeded, failed = ended(client), ended(client, fail=True)
        proxy.fail("GET", f"{succeeded}/tasks$", as_if_running("train"), times=2)
        proxy.fail("GET", f"{failed}/tasks$", as_if_running("train"))

        began = time.monotonic()
        outputs = client.run(read_results(succeeded))
        failure = client.run(flows.explain_failure(failed))

    assert outputs.tasks["outer/train"]["accuracy"] == outputs.pipeline["score"] == 1.0
    assert outputs.unread == ()
    assert [task.path for task in failure.tasks] == ["outer/train"]
    assert time.monotonic() - began >= sum(PAUSES[:2]) + PAUSES[0]
