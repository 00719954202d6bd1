"""Loops, branches and importers as the APIs and the page of a run show them, from rows made by hand."""

from __future__ import annotations

import re

import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient
from airflow_kfp_runtime.client import metadata_messages as ml
from airflow_kfp_runtime.client.metadata import call
from airflow_kfp_runtime.embedded.state.rows import TaskRow, now
from tests.embedded_api import Api
from tests.embedded_engine import argument, branch, loop, pipeline, step

SAY = step(inputs={"text": ("STRING", argument("item"))}, outputs={"out": "STRING"})
MAYBE = branch(
    "inputs.parameter_values['item'] == 'b'", {"tell": step()}, inputs={"item": ("STRING", argument("item"))}
)
SPEC = pipeline({"each": loop({"say": SAY, "maybe": MAYBE}, ["a", "b"])})
MODEL = {"id": "m", "name": "model", "type": "system.Model", "uri": "s3://model", "metadata": {}}


@pytest.fixture
def api(tmp_path):
    api = Api(tmp_path)
    yield api
    api.close()


@pytest.fixture
def next_api(tmp_path):
    api = Api(tmp_path, next_api=True)
    yield api
    api.close()


def run_in_a_loop(api):
    """A run that is in its first iteration: ``say`` waits for a worker, ``maybe`` was skipped."""
    run_id = api.run(spec=SPEC).json()["run_id"]
    rows = {}

    def add(path, kind, **members):
        parent = rows.get(path.rpartition("/")[0]) if path else None
        name = path.rpartition("/")[2] if kind != "ITERATION" else path.split("/")[-2]
        members.setdefault("started_at", now())
        rows[path] = TaskRow(
            path or "root", run_id, name, path, kind, now(), parent.task_id if parent else None, **members
        )
        api.store.save_task(rows[path])

    add("", "ROOT", state="RUNNING")
    add("each", "LOOP", state="RUNNING")
    values = {"parameters": {"item": "a"}, "artifacts": {}}
    add("each/0", "ITERATION", state="RUNNING", inputs=values)
    outputs = {"parameters": {"pipelinechannel--say-text": "handed on", "own": "shown"}, "artifacts": {}}
    add("each/1", "ITERATION", started_at=None, outputs=outputs)
    add("each/0/say", "CONTAINER", started_at=None, pod_name="by-hand-system-container-impl-1")
    add("each/0/maybe", "DAG", state="SKIPPED", inputs=values)
    api.store.set_run_state(run_id, "RUNNING")
    return run_id


def test_the_tasks_api_has_the_loop_and_its_iterations(next_api):
    run_id = run_in_a_loop(next_api)

    tasks = {task["task_id"]: task for task in next_api.get(f"/runs/{run_id}/tasks").json()["tasks"]}

    assert (tasks["each"]["type"], tasks["each"]["type_attributes"]) == ("LOOP", {"iteration_count": "2"})
    first = tasks["each/0"]
    assert (first["name"], first["type"], first["type_attributes"]) == (
        "each",
        "LOOP_ITERATION",
        {"iteration_index": "0"},
    )
    assert first["inputs"]["parameters"] == [
        {"value": "a", "parameter_key": "item", "type": "ITERATOR_INPUT_RAW"}
    ]
    assert tasks["each/0/maybe"]["state"] == "SKIPPED"
    assert tasks["each/0/maybe"]["inputs"]["parameters"][0]["type"] == "COMPONENT_INPUT"
    assert tasks["each/0/say"]["scope_path"] == "root.each.0.say"


def test_ml_metadata_has_an_execution_for_what_has_started(api):
    run_id = run_in_a_loop(api)
    importer = TaskRow(
        "import", run_id, "import", "import", "IMPORTER", now(), "root", "SUCCEEDED", started_at=now(),
        outputs={"parameters": {}, "artifacts": {"artifact": [MODEL]}},
    )  # fmt: skip
    api.store.save_task(importer)

    with KfpClient(ClientSettings(api.url)) as client:
        context = ml.GetContextByTypeAndNameRequest(type_name=ml.RUN_CONTEXT_TYPE, context_name=run_id)
        number = client.send(call("GetContextByTypeAndName", context)).context.id
        request = ml.GetExecutionsByContextRequest(context_id=number)
        executions = client.send(call("GetExecutionsByContext", request)).executions
        by_type = {execution.type: execution for execution in executions}
        events = ml.GetEventsByExecutionIDsRequest(execution_ids=[by_type["system.ImporterExecution"].id])
        (event,) = client.send(call("GetEventsByExecutionIDs", events)).events

    root, each, first, maybe, _ = executions
    assert each.custom_properties["iteration_count"].int_value == 2
    assert first.custom_properties["iteration_index"].int_value == 0
    assert "iteration_index" in first.custom_properties
    assert first.custom_properties["task_name"].string_value == "each"
    assert first.custom_properties["parent_dag_id"].int_value == each.id
    assert "iteration_index" not in maybe.custom_properties
    assert maybe.last_known_state == ml.ExecutionState.CANCELED
    assert root.type == "system.DAGExecution"
    assert event.path.steps[0].key == "artifact"


def test_run_details_have_the_nodes_of_argo(api):
    run_id = run_in_a_loop(api)

    details = api.get(f"/runs/{run_id}").json()["run_details"]["task_details"]

    assert {row["display_name"]: row["state"] for row in details[3:]} == {
        "each": "RUNNING",
        "iteration-driver": "SUCCEEDED",
        "iteration-iterations": "RUNNING",
        "iteration-iterations(0:0)": "RUNNING",
        "iteration-item-driver": "SUCCEEDED",
        "iteration-item": "RUNNING",
        "say-driver": "SUCCEEDED",
        "say": "PENDING",
        "executor": "PENDING",
        "maybe-driver": "SUCCEEDED",
        "maybe": "SKIPPED",
    }


def test_the_page_of_a_run_has_each_task_followed_by_those_in_it(api):
    run_id = run_in_a_loop(api)

    page = api.http.get(f"/runs/{run_id}").text

    row = r'<tr><td><span title="(each[^"]*)" style="padding-left: ([^"]*)em">([^<]*)</span>'
    assert re.findall(row, page) == [
        ("each", "0", "each"),
        ("each/0", "1.5", "iteration 0"),
        ("each/0/say", "3", "say"),
        ("each/0/maybe", "3", "maybe"),
        ("each/1", "1.5", "iteration 1"),
    ]
    assert "own = &quot;shown&quot;" in page
    assert "handed on" not in page
