"""A run's outputs over the three ways a client has: the tasks API, ML Metadata, the workflow manifest."""

from __future__ import annotations

import base64
import struct
from urllib.parse import quote

import httpx
import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient, calls, grpc_web
from airflow_kfp_runtime.client import metadata_messages as ml
from airflow_kfp_runtime.client.outputs import OutputReader, read_outputs
from airflow_kfp_runtime.errors import NotFoundError
from tests.embedded_api import Api, pipeline_spec, pod_name, run_tasks

MODEL = {
    "id": "model-1",
    "name": "model",
    "type": "system.Model",
    "uri": "/data/model",
    "metadata": {"framework": "sklearn", "layers": [1, 2], "options": {"a": {"b": 1}}, "trees": 10},
}
METRICS = {
    "id": "metrics-1",
    "name": "metrics",
    "type": "system.Metrics",
    "uri": "/data/metrics",
    "metadata": {"accuracy": 0.9, "loss": 0.1},
}
OUTPUTS = {
    "parameters": {"accuracy": 0.9, "label": "x", "config": {"a": [1, None]}, "items": [1, 2], "done": True},
    "artifacts": {"model": [MODEL], "metrics": [METRICS]},
}


@pytest.fixture(params=["2.17", "next"])
def api(request, tmp_path):
    api = Api(tmp_path, next_api=request.param == "next")
    yield api
    api.close()


@pytest.fixture
def next_api(tmp_path):
    api = Api(tmp_path, next_api=True)
    yield api
    api.close()


@pytest.fixture
def old_api(tmp_path):
    api = Api(tmp_path)
    yield api
    api.close()


def finished_run(api):
    run_id = api.run().json()["run_id"]
    api.finished(run_id, *run_tasks(run_id, outputs=OUTPUTS))
    return run_id


def test_a_client_reads_parameters_and_artifacts_from_either_api(api):
    run_id = finished_run(api)

    with KfpClient(ClientSettings(host=api.url)) as client:
        outputs = client.run(read_outputs(client.send(calls.get_run(run_id))))

    reader = OutputReader.TASKS_API if "next" in api.get("/healthz").text else OutputReader.METADATA
    assert outputs.reader is reader
    train = dict(outputs.tasks["train"])
    model, metrics = train.pop("model"), train.pop("metrics")
    assert train == OUTPUTS["parameters"]
    assert model == {name: MODEL[name] for name in ("uri", "name", "type", "metadata")}
    assert (metrics["type"], metrics["metadata"]) == ("system.Metrics", METRICS["metadata"])


# The tasks API


def test_tasks_are_listed_with_inputs_outputs_and_children(next_api):
    run_id = finished_run(next_api)

    root, train = next_api.get(f"/runs/{run_id}/tasks", order_by="name").json()["tasks"]

    assert (root["name"], root["display_name"], root["type"]) == ("ROOT", "run", "ROOT")
    assert root["child_tasks"] == [{"task_id": train["task_id"], "name": "train"}]
    assert (train["type"], train["state"], train["scope_path"]) == ("RUNTIME", "SUCCEEDED", "root.train")
    assert train["parent_task_id"] == root["task_id"]
    assert train["pods"] == [{"name": pod_name(run_id), "type": "EXECUTOR"}]
    assert train["inputs"] == {
        "parameters": [{"value": 3, "parameter_key": "epochs", "type": "RUNTIME_VALUE_INPUT"}]
    }
    by_key = {one["artifact_key"]: one for one in train["outputs"]["artifacts"]}
    assert by_key["model"]["artifacts"][0]["type"] == "Model"
    assert {one["name"]: one["number_value"] for one in by_key["metrics"]["artifacts"]} == {
        "accuracy": 0.9,
        "loss": 0.1,
    }
    assert next_api.get(f"/runs/{run_id}/tasks/{train['task_id']}").json() == train
    assert [
        task["name"]
        for task in next_api.get(f"/runs/{run_id}/tasks", parent_id=root["task_id"]).json()["tasks"]
    ] == ["train"]


def test_a_run_carries_its_tasks_only_in_the_full_view(next_api):
    run_id = finished_run(next_api)

    plain = next_api.get(f"/runs/{run_id}").json()
    full = next_api.get(f"/runs/{run_id}", view="FULL").json()
    (listed,) = next_api.get("/runs", view="FULL").json()["runs"]

    assert plain["task_count"] == 2
    assert not {"tasks", "run_details"} & set(plain)
    assert full.pop("tasks") == listed["tasks"]
    assert full == plain


def test_artifacts_are_listed_and_related_to_tasks(next_api):
    run_id = finished_run(next_api)

    artifacts = next_api.get("/artifacts", sort_by="name").json()["artifacts"]
    relations = next_api.get("/artifact_tasks", run_ids=run_id).json()["artifact_tasks"]

    assert [one["artifact_id"] for one in artifacts] == ["metrics-1", "model-1"]
    assert next_api.get("/artifacts/model-1").json()["uri"] == "/data/model"
    assert {(one["artifact_id"], one["key"], one["type"]) for one in relations} == {
        ("metrics-1", "metrics", "OUTPUT"),
        ("model-1", "model", "OUTPUT"),
    }
    task_id = relations[0]["task_id"]
    assert next_api.get("/artifact_tasks", task_ids=task_id, type="OUTPUT").json()["total_size"] == 2
    assert next_api.get("/artifact_tasks", artifact_ids="model-1").json()["total_size"] == 1
    assert next_api.get("/artifact_tasks", run_ids=run_id, type="COMPONENT_INPUT").json() == {}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/nowhere/tasks", 404),
        ("/runs/nowhere/tasks/x", 404),
        ("/artifacts/nowhere", 404),
        ("/artifact_tasks", 400),
        ("/artifact_tasks?run_ids=", 400),
    ],
)
def test_tasks_and_artifacts_that_are_not_there_are_refused(next_api, path, status):
    assert next_api.http.get(f"/apis/v2beta1{path}").status_code == status


def test_numbers_that_json_lacks_are_strings_as_protobuf_writes_them(next_api):
    run_id = next_api.run().json()["run_id"]
    values = {"a": float("nan"), "b": [float("inf"), -float("inf")], "c": 0.5}
    next_api.finished(run_id, *run_tasks(run_id, outputs={"parameters": values, "artifacts": {}}))

    tasks = next_api.get(f"/runs/{run_id}/tasks").json()["tasks"]

    shown = {
        one["parameter_key"]: one["value"]
        for task in tasks
        for one in task.get("outputs", {}).get("parameters", [])
    }
    assert shown == {"a": "NaN", "b": ["Infinity", "-Infinity"], "c": 0.5}


def test_each_api_lacks_what_the_other_has(old_api, tmp_path_factory):
    run_id = finished_run(old_api)
    newer = Api(tmp_path_factory.mktemp("next"), next_api=True)

    assert old_api.get(f"/runs/{run_id}/tasks").status_code == 404
    assert old_api.get("/artifacts").status_code == 404
    assert newer.http.post(f"/{ml.SERVICE}/GetExecutionsByContext").status_code == 404
    newer.close()


# ML Metadata


def frame(message):
    content = message.SerializeToString()
    return struct.pack(">BI", 0, len(content)) + content


def ask(api, method, request):
    """Call a method; the message of the answer, or the trailers of a refusal."""
    answer = httpx.post(
        f"{api.url}/{ml.SERVICE}/{method}",
        content=request if isinstance(request, bytes) else frame(request),
        headers={"Content-Type": "application/grpc-web+proto"},
    )
    assert answer.status_code == 200
    kind, length = struct.unpack(">BI", answer.content[:5])
    if kind == 0x80:
        return answer.content[5:].decode()
    assert b"grpc-status:0" in answer.content[5 + length :]
    return getattr(ml, f"{method}Response").FromString(answer.content[5 : 5 + length])


def context_of(api, run_id):
    request = ml.GetContextByTypeAndNameRequest(type_name="system.PipelineRun", context_name=run_id)
    return ask(api, "GetContextByTypeAndName", request).context


def test_metadata_has_executions_artifacts_and_events_of_a_run(old_api):
    run_id = finished_run(old_api)
    context = context_of(old_api, run_id)

    executions = ask(
        old_api, "GetExecutionsByContext", ml.GetExecutionsByContextRequest(context_id=context.id)
    ).executions
    artifacts = ask(
        old_api, "GetArtifactsByContext", ml.GetArtifactsByContextRequest(context_id=context.id)
    ).artifacts
    events = ask(
        old_api,
        "GetEventsByExecutionIDs",
        ml.GetEventsByExecutionIDsRequest(execution_ids=[one.id for one in executions]),
    ).events

    root, train = executions
    assert (root.type, train.type) == ("system.DAGExecution", "system.ContainerExecution")
    assert "parent_dag_id" not in root.custom_properties
    assert "outputs" not in root.custom_properties
    assert train.custom_properties["parent_dag_id"].int_value == root.id
    assert train.custom_properties["task_name"].string_value == "train"
    assert train.custom_properties["pod_name"].string_value == pod_name(run_id)
    assert train.last_known_state == ml.ExecutionState.COMPLETE
    assert ml.content(train.custom_properties["outputs"]) == OUTPUTS["parameters"]
    uris = {one.id: one.uri for one in artifacts}
    assert {(event.path.steps[0].key, uris[event.artifact_id]) for event in events} == {
        ("model", "/data/model"),
        ("metrics", "/data/metrics"),
    }
    assert {(event.execution_id, event.type) for event in events} == {(train.id, ml.EventType.OUTPUT)}


def test_metadata_of_an_unknown_run_is_empty(old_api):
    request = ml.GetContextByTypeAndNameRequest(type_name="system.PipelineRun", context_name="nowhere")

    assert not ask(old_api, "GetContextByTypeAndName", request).HasField("context")
    assert not ask(
        old_api, "GetExecutionsByContext", ml.GetExecutionsByContextRequest(context_id=99)
    ).executions


def test_metadata_comes_in_pages(old_api):
    run_id = finished_run(old_api)
    request = ml.GetExecutionsByContextRequest(context_id=context_of(old_api, run_id).id)
    request.options.max_result_size = 1
    types = []
    for _page in range(2):
        answer = ask(old_api, "GetExecutionsByContext", request)
        types += [one.type for one in answer.executions]
        request.options.next_page_token = answer.next_page_token

    assert types == ["system.DAGExecution", "system.ContainerExecution"]
    assert not answer.next_page_token


def test_a_call_that_is_wrong_is_refused_in_the_trailers(old_api):
    request = ml.GetContextByTypeAndNameRequest()

    assert "grpc-status:12" in ask(old_api, "PutContexts", request)
    assert "grpc-status:3" in ask(old_api, "GetContextByTypeAndName", b"short")
    assert "grpc-status:3" in ask(old_api, "GetContextByTypeAndName", struct.pack(">BI", 0, 9))
    broken = struct.pack(">BI", 0, 3) + b"\xff\xff\xff"
    assert "grpc-status:3" in ask(old_api, "GetContextByTypeAndName", broken)


def test_a_browser_speaks_base64(old_api):
    run_id = finished_run(old_api)
    request = ml.GetContextByTypeAndNameRequest(type_name="system.PipelineRun", context_name=run_id)

    answer = httpx.post(
        f"{old_api.url}/{ml.SERVICE}/GetContextByTypeAndName",
        content=base64.b64encode(frame(request)),
        headers={"Content-Type": "application/grpc-web-text"},
    )

    content = base64.b64decode(answer.content)
    length = struct.unpack(">BI", content[:5])[1]
    found = ml.GetContextByTypeAndNameResponse.FromString(content[5 : 5 + length])
    assert found.context.name == run_id


def test_the_pipelines_spec_reaches_the_reader(old_api):
    run_id = finished_run(old_api)

    assert old_api.get(f"/runs/{run_id}").json()["pipeline_spec"] == pipeline_spec()


def test_an_unknown_method_is_refused_and_its_name_cannot_pose_as_a_trailer(old_api):
    name = "GetTypes\r\ngrpc-status:0"

    answer = old_api.http.post(f"/{ml.SERVICE}/{quote(name)}")

    with pytest.raises(NotFoundError, match="does not serve GetTypes") as refused:
        grpc_web.message("call", answer.status_code, answer.headers, answer.content)
    assert refused.value.code == 12
