"""Reading outputs: the shapes that real servers of each age answer with, and what cannot be read."""

import base64
import gzip
import json
from dataclasses import replace

import pytest

from airflow_kfp_runtime.client import RunState, flows, grpc_web
from airflow_kfp_runtime.client import metadata_messages as ml
from airflow_kfp_runtime.client.answers import Answer
from airflow_kfp_runtime.client.models import Run
from airflow_kfp_runtime.client.outputs import OutputReader, read_outputs
from airflow_kfp_runtime.errors import AuthenticationError, ServerUnavailableError
from tests.client_pipelines import nested_pipeline
from tests.client_script import NOT_FOUND, Script, answer

TASKS = "GET /apis/v2beta1/runs/r/tasks"
MANIFEST = "GET /apis/v1beta1/runs/r"
SERVICE = "POST /ml_metadata.MetadataStoreService/"
DONE = Run("r", state=RunState.SUCCEEDED, pipeline_spec=nested_pipeline("p"))
UNAVAILABLE = ServerUnavailableError("no connection")


def reply(message):
    """A gRPC-web answer with that message."""
    body = grpc_web.frame(message.SerializeToString()) + grpc_web.frame(b"grpc-status:0\r\n", trailers=True)
    return Answer(200, {"content-type": "application/grpc-web+proto"}, body)


def execution(number, name, parent=None, *, iteration=None, **outputs):
    properties = {"task_name": ml.value(name), "outputs": ml.value(outputs)}
    if parent is not None:
        properties["parent_dag_id"] = ml.value(parent)
    if iteration is not None:
        properties["iteration_index"] = ml.value(iteration)
    return ml.Execution(id=number, custom_properties=properties)


def artifact(number, kind, **metadata):
    properties = {name: ml.value(value) for name, value in metadata.items()}
    return ml.Artifact(id=number, type=kind, uri=f"s3://{number}", custom_properties=properties)


def event(artifact_id, execution_id, key, kind=ml.EventType.OUTPUT):
    path = ml.EventPath(steps=[ml.EventPathStep(key=key)])
    return ml.Event(artifact_id=artifact_id, execution_id=execution_id, type=kind, path=path)


def metadata(executions, artifacts=(), events=()):
    return {
        f"{SERVICE}GetContextByTypeAndName": [
            reply(ml.GetContextByTypeAndNameResponse(context=ml.Context(id=9)))
        ],
        f"{SERVICE}GetExecutionsByContext": [reply(ml.GetExecutionsByContextResponse(executions=executions))],
        f"{SERVICE}GetArtifactsByContext": [reply(ml.GetArtifactsByContextResponse(artifacts=artifacts))],
        f"{SERVICE}GetEventsByExecutionIDs": [reply(ml.GetEventsByExecutionIDsResponse(events=events))],
    }


ROOT, OUTER = execution(1, ""), execution(3, "outer", 1)


def test_ml_metadata_gives_tasks_artifacts_and_through_the_ir_the_outputs_of_dags():
    script = Script(
        metadata(
            [ROOT, execution(2, "prepare", 1, rows=3.0), OUTER, execution(4, "train", 3, accuracy=1)],
            [
                artifact(
                    7,
                    "system.Model",
                    display_name="model",
                    store_session_info="{}",
                    epochs=3.0,
                    layers={"list": [1, 2]},
                    options={"struct": {"list": [1]}},
                )
            ],
            [event(7, 4, "model"), event(7, 2, "model", ml.EventType.INPUT)],
        )
    )

    outputs = script.run(read_outputs(DONE))

    model = {
        "uri": "s3://7",
        "name": "model",
        "type": "system.Model",
        "metadata": {"epochs": 3, "layers": [1, 2], "options": {"list": [1]}},
    }
    assert outputs.tasks == {
        "outer": {"accuracy": 1.0, "model": model},
        "outer/train": {"accuracy": 1.0, "model": model},
        "prepare": {"rows": 3},
    }
    assert isinstance(outputs.tasks["outer/train"]["accuracy"], float)
    assert outputs.pipeline == {"score": 1.0, "model": model}
    assert (outputs.reader, outputs.unread) == (OutputReader.METADATA, ())
    assert "404" in outputs.passed_over[0]


def test_ml_metadata_is_asked_page_by_page():
    answers = metadata([])
    pages = [
        ml.GetExecutionsByContextResponse(executions=[ROOT], next_page_token="t"),
        ml.GetExecutionsByContextResponse(executions=[execution(2, "prepare", 1, rows=3)]),
    ]
    answers[f"{SERVICE}GetExecutionsByContext"] = [reply(page) for page in pages]
    script = Script(answers)

    assert script.run(read_outputs(DONE)).tasks == {"prepare": {"rows": 3}}
    asked = [call for call in script.calls if call.label.endswith("GetExecutionsByContext")]
    requests = [ml.GetExecutionsByContextRequest.FromString(call.content[5:]) for call in asked]
    assert [request.options.next_page_token for request in requests] == ["", "t"]
    assert {request.context_id for request in requests} == {9}


def test_iterations_of_a_loop_are_told_apart_by_their_index():
    loop = execution(2, "for-loop-1", 1)
    runs = [execution(3, "for-loop-1", 2, iteration=0), execution(4, "for-loop-1", 2, iteration=1)]
    steps = [execution(5, "square", 3, value=0), execution(6, "square", 4, value=1)]
    script = Script(metadata([ROOT, loop, *runs, *steps]))

    assert script.run(read_outputs(DONE)).tasks == {
        "for-loop-1/0/square": {"value": 0},
        "for-loop-1/1/square": {"value": 1},
    }


def test_an_output_of_the_pipeline_that_nothing_explains_is_said_to_be_unread():
    script = Script(metadata([ROOT, execution(2, "prepare", 1, rows=3)]))

    assert script.run(read_outputs(DONE)).unread == (
        "Output 'score' of the pipeline: no output that it comes from was read.",
        "Output 'model' of the pipeline: no output that it comes from was read.",
    )


def test_a_run_that_failed_lacks_outputs_without_a_word():
    failed = replace(DONE, state=RunState.FAILED)
    outputs = Script(metadata([ROOT, execution(2, "prepare", 1, rows=3)])).run(read_outputs(failed))

    assert (outputs.tasks, outputs.pipeline, outputs.unread) == ({"prepare": {"rows": 3}}, {}, ())


def test_several_artifacts_of_one_output_become_a_list():
    script = Script(
        metadata(
            [ROOT, execution(2, "prepare", 1)],
            [artifact(7, "system.Dataset"), artifact(8, "system.Dataset")],
            [event(7, 2, "data"), event(8, 2, "data")],
        )
    )

    found = script.run(read_outputs(DONE)).tasks["prepare"]["data"]
    assert [item["uri"] for item in found] == ["s3://7", "s3://8"]


def test_executions_that_claim_each_other_as_parents_do_not_hold_the_reader_up():
    script = Script(metadata([execution(1, "a", 2, x=1), execution(2, "b", 1, x=2)]))

    assert len(script.run(read_outputs(DONE)).tasks) == 2


def test_what_is_down_for_a_moment_is_asked_again():
    answers = {TASKS: [UNAVAILABLE, NOT_FOUND], **metadata([ROOT, execution(2, "prepare", 1, rows=3)])}
    answers[f"{SERVICE}GetContextByTypeAndName"].insert(0, UNAVAILABLE)
    script = Script(answers)

    assert script.run(read_outputs(DONE)).reader is OutputReader.METADATA
    assert script.waits == [1.0, 1.0]


def test_ml_metadata_that_stays_down_is_passed_over_where_the_manifest_lacks_nothing():
    spec = nested_pipeline("p")
    spec["root"]["dag"] = {"tasks": {"say": {"componentRef": {"name": "comp-say"}}}}
    spec["components"]["comp-say"] = {"executorLabel": "exec-say"}
    run = Run("r", state=RunState.SUCCEEDED, pipeline_spec=spec)
    script = Script({f"{SERVICE}GetContextByTypeAndName": [UNAVAILABLE], MANIFEST: [workflow(*ENTRY)]})

    outputs = script.run(read_outputs(run))

    assert (outputs.reader, outputs.unread) == (OutputReader.MANIFEST, ())
    assert script.waits == [1.0, 2.0]


def test_another_service_in_the_place_of_ml_metadata_is_passed_over():
    other = Script(
        {f"{SERVICE}GetContextByTypeAndName": [answer({})], MANIFEST: [workflow(*ENTRY, *DRIVERS)]}
    )
    outputs = other.run(read_outputs(DONE))
    assert outputs.reader is OutputReader.MANIFEST
    assert "not gRPC-web" in outputs.passed_over[1]
    assert other.waits == []


def test_ml_metadata_that_is_away_is_an_error_where_the_manifest_lacks_what_it_may_have():
    read = metadata([ROOT, execution(2, "report", 1, text="a")])
    answers = {MANIFEST: [workflow(*ENTRY, *DRIVERS)], **read}
    answers[f"{SERVICE}GetContextByTypeAndName"][:0] = [UNAVAILABLE] * 3
    script = Script(answers)

    with pytest.raises(ServerUnavailableError, match=r"are not lost.* ML Metadata cannot be reached"):
        script.run(read_outputs(DONE))

    assert script.run(read_outputs(DONE)).tasks["report"] == {"text": "a"}


def test_an_api_that_stays_down_is_an_error_and_no_reason_to_read_elsewhere():
    with pytest.raises(ServerUnavailableError):
        Script({TASKS: [UNAVAILABLE]}).run(read_outputs(DONE))
    with pytest.raises(ServerUnavailableError):
        Script({MANIFEST: [UNAVAILABLE]}).run(read_outputs(DONE))
    with pytest.raises(AuthenticationError):
        Script({TASKS: [Answer(401, body=b"{}")]}).run(read_outputs(DONE))


@pytest.mark.parametrize(
    "refusal",
    [
        NOT_FOUND,
        Answer(501, body=b'{"code":12,"message":"Method Not Allowed"}'),
        Answer(405, body=b"Method Not Allowed"),
        Answer(404, {"content-type": "text/html"}, b"<html>404</html>"),
    ],
)
def test_a_tasks_api_that_is_not_offered_is_passed_over(refusal):
    script = Script({TASKS: [refusal], **metadata([ROOT])})

    assert script.run(read_outputs(DONE)).reader is OutputReader.METADATA


TASK_ROWS = [
    {"task_id": "1", "name": "ROOT", "type": "ROOT"},
    {"task_id": "2", "name": "outer", "type": "DAG", "parent_task_id": "1"},
    {
        "task_id": "3",
        "name": "train",
        "type": "RUNTIME",
        "parent_task_id": "2",
        "outputs": {
            "parameters": [{"value": 1, "parameter_key": "accuracy", "type": "OUTPUT"}],
            "artifacts": [
                {
                    "artifact_key": "model",
                    "artifacts": [
                        {
                            "artifact_id": "7",
                            "name": "m",
                            "type": "Model",
                            "uri": "s3://7",
                            "metadata": {"a": 1},
                        }
                    ],
                }
            ],
        },
    },
]


def test_the_tasks_api_gives_all_in_one_list():
    outputs = Script({TASKS: [answer({"tasks": TASK_ROWS})]}).run(read_outputs(DONE))

    model = {"uri": "s3://7", "name": "m", "type": "system.Model", "metadata": {"a": 1}}
    assert outputs.tasks == {
        "outer": {"accuracy": 1.0, "model": model},
        "outer/train": {"accuracy": 1.0, "model": model},
    }
    assert outputs.pipeline == {"score": 1.0, "model": model}
    assert (outputs.reader, outputs.passed_over) == (OutputReader.TASKS_API, ())


@pytest.mark.parametrize("key", ["parameter_key", "parameterKey", "parameter_name", "name"])
def test_the_tasks_api_is_read_in_each_spelling_that_it_has_had(key):
    rows = [*TASK_ROWS[:2], {**TASK_ROWS[2], "outputs": {"parameters": [{"value": 1, key: "accuracy"}]}}]

    outputs = Script({TASKS: [answer({"tasks": rows})]}).run(read_outputs(DONE))

    assert outputs.tasks["outer/train"] == {"accuracy": 1.0}


def test_metrics_of_the_tasks_api_become_one_artifact():
    metrics = [
        {"name": "accuracy", "type": "Metric", "number_value": 0.9},
        {"name": "loss", "type": "Metric", "number_value": 0},
    ]
    row = {"task_id": "2", "name": "prepare", "type": "RUNTIME", "parent_task_id": "1"}
    row["outputs"] = {"artifacts": [{"artifact_key": "metrics", "artifacts": metrics}]}

    outputs = Script({TASKS: [answer({"tasks": [TASK_ROWS[0], row]})]}).run(read_outputs(DONE))

    assert outputs.tasks["prepare"]["metrics"] == {
        "uri": "",
        "name": "metrics",
        "type": "system.Metrics",
        "metadata": {"accuracy": 0.9, "loss": 0},
    }


def node(number, name, boundary="", *, kind="Pod", phase="Succeeded", patch=None, **more):
    made = {
        "id": f"wf-{number}",
        "name": f"wf.{name}",
        "displayName": name,
        "type": kind,
        "phase": phase,
        **more,
    }
    if boundary:
        made["boundaryID"] = f"wf-{boundary}"
    if patch is not None:
        container = {"name": "main", "command": ["launch", "--executor_input", json.dumps(patch), "--"]}
        parameters = [{"name": "pod-spec-patch", "value": json.dumps({"containers": [container]})}]
        made["outputs"] = {"parameters": parameters}
    return made


def workflow(*nodes, packed=False, **status):
    rows = {row["id"]: row for row in nodes}
    if packed:
        status["compressedNodes"] = base64.b64encode(gzip.compress(json.dumps(rows).encode())).decode()
    else:
        status["nodes"] = rows
    manifest = {"metadata": {"name": "wf"}, "status": status}
    return answer({"run": {"id": "r"}, "pipeline_runtime": {"workflow_manifest": json.dumps(manifest)}})


def given(uri, name="7", **metadata):
    return {"artifacts": [{"name": name, "uri": uri, "metadata": metadata}]}


ENTRY = (
    node(1, "wf", kind="DAG"),
    node(2, "root", "1", kind="DAG"),
    node(3, "prepare", "2", kind="DAG"),
    node(4, "executor", "3"),
    node(5, "outer", "2", kind="DAG"),
    node(6, "train", "5", kind="DAG"),
    node(7, "executor", "6"),
    node(8, "report", "2", kind="DAG"),
    node(9, "executor", "8"),
)
PREPARE = {
    "outputs": {
        "artifacts": {"data": given("s3://data", "data")},
        "parameters": {"rows": {"outputFile": "/x"}},
    }
}
TRAIN = {
    "inputs": {
        "parameterValues": {"rows": 3},
        "artifacts": {"data": given("s3://data", display_name="data", store_session_info="{}", size=5)},
    },
    "outputs": {"artifacts": {"model": given("s3://model", "model")}},
}
REPORT = {"inputs": {"parameterValues": {"accuracy": 1}}}
DRIVERS = (
    node(10, "prepare-driver", "2", patch=PREPARE),
    node(11, "train-driver", "5", patch=TRAIN),
    node(12, "report-driver", "2", patch=REPORT),
)


@pytest.mark.parametrize("packed", [False, True])
def test_the_manifest_has_what_was_consumed_and_says_what_it_lacks(packed):
    outputs = Script({MANIFEST: [workflow(*ENTRY, *DRIVERS, packed=packed)]}).run(read_outputs(DONE))

    model = {"uri": "s3://model", "name": "model", "type": "system.Model", "metadata": {}}
    data = {"uri": "s3://data", "name": "data", "type": "system.Dataset", "metadata": {"size": 5}}
    assert outputs.tasks == {
        "outer": {"accuracy": 1.0, "model": model},
        "outer/train": {"accuracy": 1.0, "model": model},
        "prepare": {"data": data, "rows": 3},
    }
    assert outputs.pipeline == {"score": 1.0, "model": model}
    assert outputs.unread == (
        "Output 'label' of task 'prepare': no task that ran consumed it.",
        "The metadata of artifact 'model' of task 'outer/train': no task consumed it.",
        "Output 'text' of task 'report': no task that ran consumed it.",
    )
    assert outputs.reader is OutputReader.MANIFEST
    assert len(outputs.passed_over) == 2


def looping():
    """A loop over ``train`` beside a task that is called ``iteration``, as Argo has them."""
    loop = {
        "componentRef": {"name": "comp-each"},
        "parameterIterator": {"itemInput": "item", "items": {"raw": "[1, 2]"}},
    }
    made = {"outputDefinitions": {"parameters": {"x": {"parameterType": "NUMBER_INTEGER"}}}}
    spec = {
        "root": {"dag": {"tasks": {"each": loop, "iteration": {"componentRef": {"name": "comp-train"}}}}},
        "components": {
            "comp-each": {"dag": {"tasks": {"train": {"componentRef": {"name": "comp-train"}}}}},
            "comp-train": made,
        },
    }
    patch = {"outputs": {"artifacts": {"page": given("s3://page", "page")}}}
    nodes = [
        node(1, "wf", kind="DAG"),
        node(2, "root", "1", kind="DAG"),
        node(3, "iteration-driver", "2", patch=patch, templateName="system-container-driver"),
        node(4, "iteration", "2", kind="DAG"),
        node(5, "executor", "4"),
        node(10, "each", "2", kind="DAG", templateName="comp-each-each-iterator"),
        node(11, "iteration-driver", "10", templateName="system-dag-driver")
        | {"outputs": {"parameters": [{"name": "iteration-count", "value": "2"}]}},
        node(12, "iteration-iterations", "10", kind="TaskGroup"),
    ]
    for index, number in enumerate((20, 30)):
        nodes += [
            node(number, f"iteration-iterations({index}:{index})", "10", kind="DAG"),
            node(number + 1, "iteration-item-driver", str(number)),
            node(number + 2, "iteration-item", str(number), kind="DAG"),
            node(number + 3, "train-driver", str(number + 2), patch=patch),
            node(number + 4, "train", str(number + 2), kind="DAG"),
            node(number + 5, "executor", str(number + 4)),
        ]
    return spec, workflow(*nodes)


def test_the_manifest_has_the_iterations_of_a_loop():
    spec, manifest = looping()

    outputs = Script({MANIFEST: [manifest]}).run(read_outputs(replace(DONE, pipeline_spec=spec)))

    assert outputs.tasks.keys() == {"iteration", "each/0/train", "each/1/train"}
    assert outputs.iterations == {"each": 2}
    assert outputs.unread == (
        "Output 'x' of task 'each/0/train': no task that ran consumed it.",
        "Output 'x' of task 'each/1/train': no task that ran consumed it.",
        "Output 'x' of task 'iteration': no task that ran consumed it.",
    )


def test_a_cached_task_has_no_patch_and_its_artifact_is_known_only_from_its_consumer():
    cached = node(10, "prepare-driver", "2")
    outputs = Script({MANIFEST: [workflow(*ENTRY, cached, *DRIVERS[1:])]}).run(read_outputs(DONE))

    assert outputs.tasks["prepare"]["data"]["uri"] == "s3://data"

    outputs = Script({MANIFEST: [workflow(*ENTRY, cached)]}).run(read_outputs(DONE))

    assert "Artifact 'data' of task 'prepare': it was cached and no task consumed it." in outputs.unread


def test_tasks_that_did_not_succeed_are_no_gap():
    skipped = [dict(row, phase="Omitted") if row["id"] in ("wf-8", "wf-9") else row for row in ENTRY]
    outputs = Script({MANIFEST: [workflow(*skipped, *DRIVERS[:2])]}).run(read_outputs(DONE))

    assert not any("report" in sentence for sentence in outputs.unread)


def test_an_artifact_that_a_failed_task_was_to_write_is_no_output():
    failed = [dict(row, phase="Failed") if row["id"] in ("wf-6", "wf-7") else row for row in ENTRY]
    outputs = Script({MANIFEST: [workflow(*failed, *DRIVERS[:2])]}).run(read_outputs(DONE))

    assert list(outputs.tasks) == ["prepare"]


def test_without_the_ir_the_collecting_task_still_names_the_outputs():
    patch = {
        "inputs": {
            "parameterValues": {"prepare--rows": 3, "outer--accuracy": 1},
            "artifacts": {"outer--model": given("s3://model", display_name="model", epochs=2)},
        }
    }
    script = Script({MANIFEST: [workflow(*ENTRY, node(10, "collect-outputs-driver", "2", patch=patch))]})

    outputs = script.run(read_outputs(Run("r", state=RunState.SUCCEEDED)))

    model = {"uri": "s3://model", "name": "model", "type": "system.Artifact", "metadata": {"epochs": 2}}
    assert outputs.tasks == {"outer": {"accuracy": 1, "model": model}, "prepare": {"rows": 3}}
    assert outputs.pipeline == {}
    assert "does not hold the run's IR" in outputs.unread[0]


@pytest.mark.parametrize(
    "broken",
    [
        NOT_FOUND,
        answer({"run": {"id": "r"}}),
        answer({"pipeline_runtime": {"workflow_manifest": "{"}}),
        answer({"pipeline_runtime": {"workflow_manifest": '{"status": {"compressedNodes": "bm8="}}'}}),
        answer({"pipeline_runtime": {"workflow_manifest": '{"status": {"compressedNodes": "!"}}'}}),
    ],
)
def test_when_no_reader_works_that_is_said_and_is_no_error(broken):
    outputs = Script({MANIFEST: [broken]}).run(read_outputs(DONE))

    assert (outputs.tasks, outputs.pipeline) == ({}, {})
    assert outputs.unread[0].startswith("No outputs could be read")


def test_a_broken_patch_is_as_good_as_none():
    broken = node(10, "prepare-driver", "2")
    broken["outputs"] = {"parameters": [{"name": "pod-spec-patch", "value": '{"containers": 3}'}]}

    assert Script({MANIFEST: [workflow(*ENTRY, broken)]}).run(read_outputs(DONE)).tasks == {}


def test_a_failure_names_the_task_its_last_attempt_its_message_and_the_end_of_its_log():
    log = "GET /apis/v1alpha1/runs/r/nodes/wf-system-container-impl-14/log"
    failed = [
        node(13, "executor(0)", "6", phase="Failed", message="exit 1", finishedAt="2026-01-01T00:00:01Z"),
        node(
            14, "executor(1)", "6", phase="Failed", message="exit 2",
            finishedAt="2026-01-01T00:00:02Z", templateName="system-container-impl",
        ),
        node(15, "executor(0)", "3", phase="Failed", message="flaky", finishedAt="2026-01-01T00:00:01Z"),
        node(16, "executor(1)", "3", finishedAt="2026-01-01T00:00:02Z"),
    ]  # fmt: skip
    rows = [row for row in ENTRY if row["displayName"] != "executor"]
    script = Script(
        {
            "GET /apis/v2beta1/runs/r": [answer({"run_id": "r", "state": "FAILED"})],
            MANIFEST: [workflow(*rows, *failed, message="child failed")],
            log: [Answer(200, body="\n".join(f"line {number}" for number in range(60)).encode())],
        }
    )

    failure = script.run(flows.explain_failure("r"))

    assert [(task.path, task.message) for task in failure.tasks] == [("outer/train", "exit 2")]
    assert failure.tasks[0].log.splitlines() == [f"line {number}" for number in range(10, 60)]
    assert str(failure).startswith("Task 'outer/train' failed: exit 2\n  | line 10\n")


def test_a_failure_that_nothing_explains_is_still_a_failure():
    details = [
        {"display_name": "train", "state": "FAILED", "pod_name": "gone", "error": {"message": "exit 1"}}
    ]
    run = {"run_id": "r", "state": "FAILED", "run_details": {"task_details": details}}
    failure = Script({"GET /apis/v2beta1/runs/r": [answer(run)]}).run(flows.explain_failure("r"))

    assert (failure.state, failure.tasks[0].path, failure.tasks[0].log) == (RunState.FAILED, "train", "")

    bare = Script({"GET /apis/v2beta1/runs/r": [answer({"run_id": "r", "state": "FAILED"})]})
    assert bare.run(flows.explain_failure("r")).tasks == ()


def test_a_termination_is_told_from_a_failure():
    history = [{"state": "RUNNING"}, {"state": "CANCELING"}, {"state": "FAILED"}]
    run = answer({"run_id": "r", "state": "FAILED", "state_history": history})

    assert Script({"GET /apis/v2beta1/runs/r": [run]}).run(flows.explain_failure("r")).was_terminated
