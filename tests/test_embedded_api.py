"""The REST API call by call: what it answers, how it refuses, and the oddities a client must live with."""

from __future__ import annotations

import gzip
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from airflow_kfp_runtime.embedded.engine.artifacts import workflow_name
from airflow_kfp_runtime.embedded.state.rows import RunRow
from tests.embedded_api import Api, pipeline_spec, pod_name, run_tasks


@pytest.fixture
def api(tmp_path):
    api = Api(tmp_path)
    yield api
    api.close()


def refused(answer, status, code, *words):
    """Whether an answer is the gateway's error: status, gRPC code, words in its message."""
    body = answer.json()
    assert answer.status_code == status, body
    assert body["code"] == code
    assert set(body) == {"code", "message", "details"}
    for word in words:
        assert word in body["message"]
    return True


# Health


def test_health_tells_the_version_and_that_it_is_the_embedded_server(api):
    health = api.get("/healthz").json()

    assert health["tag_name"] == "2.17.0+embedded"
    assert health["multi_user"] is False


def test_an_unknown_path_is_a_404_and_an_unknown_method_a_501_as_the_gateway_has_it(api):
    assert api.get("/nothing").json() == {"code": 5, "message": "Not Found", "details": []}
    assert api.get("/nothing").status_code == 404
    assert api.http.put("/apis/v2beta1/runs").status_code == 501


# Experiments


def test_there_is_a_default_experiment_once(api, tmp_path):
    listed = api.get("/experiments").json()

    assert [one["display_name"] for one in listed["experiments"]] == ["Default"]
    assert listed["total_size"] == 1
    assert listed["experiments"][0]["last_run_created_at"] == "1970-01-01T00:00:00Z"


def test_an_experiment_is_made_read_archived_and_deleted(api):
    made = api.post("/experiments", {"display_name": "tests", "namespace": "ignored"}).json()
    path = f"/experiments/{made['experiment_id']}"
    run_id = api.run(experiment_id=made["experiment_id"]).json()["run_id"]

    assert "namespace" not in made
    assert api.get(path).json()["display_name"] == "tests"
    assert api.get(path).json()["last_run_created_at"] != "1970-01-01T00:00:00Z"
    assert api.post(f"{path}:archive").json() == {}
    assert api.get(path).json()["storage_state"] == "ARCHIVED"
    assert api.get(f"/runs/{run_id}").json()["storage_state"] == "ARCHIVED"
    assert refused(api.post(f"/runs/{run_id}:unarchive"), 400, 9, "must be un-archived first")
    assert api.post(f"{path}:unarchive").json() == {}
    assert api.post(f"/runs/{run_id}:unarchive").json() == {}
    assert api.delete(path).json() == {}
    assert refused(api.get(path), 404, 5, f"Experiment {made['experiment_id']} not found")


def test_an_experiment_needs_a_new_short_name(api):
    api.post("/experiments", {"display_name": "tests"})

    assert refused(api.post("/experiments", {"display_name": "tests"}), 409, 6, "specify a new name")
    assert refused(api.post("/experiments", {}), 500, 13, "non-empty name")
    assert refused(api.post("/experiments", {"display_name": "x" * 129}), 400, 3, "cannot exceed 128")


# Pipelines and versions


def test_a_pipeline_and_its_versions_are_uploaded_read_and_deleted(api):
    pipeline = api.upload(pipeline_spec(), name="first", description="d", tags='{"team": "a"}').json()
    pipeline_id = pipeline["pipeline_id"]
    version = api.upload(
        pipeline_spec(), "/pipelines/upload_version", name="v2", pipelineid=pipeline_id
    ).json()

    assert (pipeline["name"], pipeline["display_name"]) == ("first", "first")
    assert pipeline["tags"] == {"team": "a"}
    assert api.get("/pipelines/names/first").json() == pipeline
    assert api.get(f"/pipelines/{pipeline_id}").json() == pipeline
    assert api.get("/pipelines").json()["pipelines"] == [pipeline]
    versions = api.get(f"/pipelines/{pipeline_id}/versions").json()
    assert [one["name"] for one in versions["pipeline_versions"]] == ["first", "v2"]
    path = f"/pipelines/{pipeline_id}/versions/{version['pipeline_version_id']}"
    assert api.get(path).json()["pipeline_spec"] == pipeline_spec()
    assert refused(api.delete(f"/pipelines/{pipeline_id}"), 400, 3, "Set cascade=true")
    assert api.delete(path).json() == {}
    assert refused(api.get(path), 404, 5, "PipelineVersion")
    assert api.delete(f"/pipelines/{pipeline_id}", cascade="true").json() == {}
    assert refused(api.get(f"/pipelines/{pipeline_id}"), 404, 5, "Pipeline")
    assert refused(api.get("/pipelines/names/first"), 404, 5, "first")
    assert api.get(f"/pipelines/{pipeline_id}/versions").json() == {}


def test_a_pipeline_can_be_made_without_a_version_and_changed(api):
    made = api.post("/pipelines", {"display_name": "empty"}).json()
    path = f"/pipelines/{made['pipeline_id']}"

    changed = api.http.patch(f"/apis/v2beta1{path}", json={"display_name": "new", "tags": {"a": "b"}}).json()
    kept = api.http.patch(f"/apis/v2beta1{path}", json={}).json()

    assert changed == {**made, "display_name": "new", "tags": {"a": "b"}}
    assert kept == changed
    assert refused(api.post("/pipelines", {"name": "empty"}), 409, 6, "already exists")
    assert refused(api.post("/pipelines", {}), 400, 3, "name is required")
    assert api.delete(path).json() == {}


def test_a_version_can_be_changed(api):
    pipeline_id = api.upload(pipeline_spec(), name="p").json()["pipeline_id"]
    (version,) = api.get(f"/pipelines/{pipeline_id}/versions").json()["pipeline_versions"]
    path = f"/apis/v2beta1/pipelines/{pipeline_id}/versions/{version['pipeline_version_id']}"

    assert api.http.patch(path, json={"displayName": "new"}).json() == {**version, "display_name": "new"}


def test_nothing_is_downloaded(api):
    assert refused(api.post("/pipelines/create", {}), 501, 12, "downloads no pipelines")
    assert refused(api.post("/pipelines/p/versions", {}), 501, 12, "upload_version?pipelineid=p")


def test_uploads_have_errors_of_their_own_shape(api):
    pipeline_id = api.upload(pipeline_spec(), name="taken").json()["pipeline_id"]

    def message(answer, status):
        assert answer.status_code == status, answer.text
        return answer.json()["error_message"]

    assert message(api.upload(pipeline_spec(), name="taken"), 409) == (
        "Failed to create a pipeline and a pipeline version"
    )
    assert message(
        api.upload(pipeline_spec(), "/pipelines/upload_version", name="taken", pipelineid=pipeline_id), 409
    ) == ("Failed to create a pipeline version")
    assert message(api.upload(pipeline_spec(), "/pipelines/upload_version", name="v", pipelineid="x"), 400)
    assert "unable to decode yaml" in message(api.upload(b"a: ["), 400)
    assert "no archives" in message(api.upload(gzip.compress(b"a: b")), 400)
    assert "lowercase" in message(api.upload(pipeline_spec("pipe.one"), name="p"), 400)
    assert "tags" in message(api.upload(pipeline_spec(), name="t", tags="[1]"), 400)
    assert "tags" in message(api.upload(pipeline_spec(), name="t", tags="{"), 400)
    assert message(api.http.post("/apis/v2beta1/pipelines/upload", data={"x": "y"}), 400) == (
        "Failed to read pipeline from file"
    )
    long_name = api.upload(pipeline_spec(), name="x" * 129)
    assert (long_name.status_code, long_name.text) == (400, "Pipeline.Name length cannot exceed 128\n")


def test_a_file_that_is_too_large_is_refused(api, monkeypatch):
    uploads = "airflow_kfp_runtime.embedded.api.uploads"
    monkeypatch.setattr(f"{uploads}.MAX_FILE_BYTES", 10)
    read = api.upload(pipeline_spec())
    monkeypatch.setattr(f"{uploads}._FORM_BYTES", 10)
    announced = api.upload(pipeline_spec())

    assert (read.status_code, read.json()["error_message"]) == (400, "Failed to read a pipeline spec file")
    assert announced.status_code == 400
    assert announced.json()["error_message"] == "Failed to read pipeline from file"


# Submitting runs


def test_a_run_of_an_inline_pipeline_shows_what_was_submitted(api):
    spec = pipeline_spec(n={"parameterType": "NUMBER_DOUBLE"})
    run = api.run(spec=spec, parameters={"n": 2.0}, description="d", service_account="me").json()

    assert uuid.UUID(run["run_id"])
    assert run["state"] == "PENDING"
    assert [change["state"] for change in run["state_history"]] == ["PENDING"]
    assert run["pipeline_spec"] == spec
    assert run["runtime_config"] == {"parameters": {"n": 2}}
    assert "2.0" not in json.dumps(run["runtime_config"])
    assert run["finished_at"] == "1970-01-01T00:00:00Z"
    assert (run["description"], run["service_account"]) == ("d", "me")
    assert run["storage_state"] == "AVAILABLE"
    assert run["experiment_id"] == api.get("/experiments").json()["experiments"][0]["experiment_id"]
    assert api.engine.asked == [("submit", run["run_id"])]
    assert not {"error", "run_details", "pipeline_version_reference", "recurring_run_id"} & set(run)


def test_a_run_of_a_version_shows_its_reference_and_no_spec(api):
    pipeline_id = api.upload(pipeline_spec(), name="p").json()["pipeline_id"]
    (version,) = api.get(f"/pipelines/{pipeline_id}/versions").json()["pipeline_versions"]
    reference = {"pipeline_id": pipeline_id, "pipeline_version_id": version["pipeline_version_id"]}

    run = api.post("/runs", {"display_name": "r", "pipeline_version_reference": reference}).json()
    latest = api.post(
        "/runs", {"display_name": "r", "pipelineVersionReference": {"pipelineId": pipeline_id}}
    ).json()

    assert run["pipeline_version_reference"] == latest["pipeline_version_reference"] == reference
    assert "pipeline_spec" not in run
    assert api.store.get_run(run["run_id"]).pipeline_spec == pipeline_spec()


def test_the_latest_version_is_the_youngest(api):
    pipeline_id = api.upload(pipeline_spec(), name="p").json()["pipeline_id"]
    newest = [
        api.upload(pipeline_spec(), "/pipelines/upload_version", name=name, pipelineid=pipeline_id).json()
        for name in "abc"
    ][-1]

    run = api.post("/runs", {"display_name": "r", "pipeline_version_reference": {"pipeline_id": pipeline_id}})

    found = run.json()["pipeline_version_reference"]["pipeline_version_id"]
    assert found == newest["pipeline_version_id"]


def test_a_run_id_that_the_client_chose_is_kept_and_a_second_post_starts_nothing(api):
    run_id = str(uuid.uuid4())

    first = api.run(run_id=run_id)
    second = api.run(run_id=run_id)

    assert first.json()["run_id"] == run_id
    assert refused(second, 500, 13, "Duplicate entry", run_id)
    assert second.json()["details"][0]["message"] == "Internal Server Error"
    assert api.engine.asked == [("submit", run_id)]
    assert api.get("/runs").json()["total_size"] == 1


def test_of_many_posts_of_one_run_id_at_the_same_time_one_starts_a_run(api):
    run_id = str(uuid.uuid4())

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.run(run_id=run_id), range(16)))

    assert sorted(answer.status_code for answer in answers) == [200] + [500] * 15
    assert api.engine.asked == [("submit", run_id)]


@pytest.mark.parametrize(
    ("message", "status", "code", "words"),
    [
        ({"display_name": ""}, 500, 13, "Run name cannot be empty"),
        ({"display_name": "x" * 256}, 500, 13, "Data too long for column 'DisplayName'"),
        ({"description": "x" * 256}, 500, 13, "Data too long for column 'Description'"),
        ({"pipeline_spec": None}, 500, 13, "empty pipeline spec manifest"),
        ({"pipeline_spec": {"a": 1}}, 500, 13, 'unknown field "a"'),
        ({"experiment_id": "nowhere"}, 404, 5, "Experiment nowhere not found"),
        ({"pipeline_version_reference": {"pipeline_id": "nowhere"}}, 500, 13, "Pipeline nowhere not found"),
        ({"runtime_config": {"parameters": {"x": 1}}}, 400, 3, "not required by pipeline: x"),
        ({"namespace": "mine"}, 400, 3, 'unknown field "namespace"'),
        ({"runtime_config": {"arguments": {}}}, 400, 3, 'unknown field "arguments"'),
        ({"display_name": 5}, 400, 3, "display_name"),
        ({"runtime_config": {"parameters": []}}, 400, 3, "parameters"),
        ({"plugins_input": {"mlflow": {}}}, 400, 3, "no plugins: mlflow"),
        ({"scheduled_at": "soon"}, 400, 3, "Timestamp"),
        ({"run_id": "../../etc"}, 500, 13, "Invalid value: '../../etc'"),
        ({"run_id": ".."}, 500, 13, "valid label"),
        ({"run_id": "a/b"}, 500, 13, "valid label"),
        ({"run_id": "x" * 64}, 500, 13, "at most 63"),
    ],
)
def test_a_run_that_is_wrong_is_refused_as_the_real_server_does(api, message, status, code, words):
    answer = api.post("/runs", {"display_name": "run", "pipeline_spec": pipeline_spec(), **message})

    assert refused(answer, status, code, words)
    assert api.engine.asked == []
    assert api.get("/runs").json() == {}


def test_a_body_that_is_not_json_is_refused(api):
    assert refused(api.http.post("/apis/v2beta1/runs", content=b"{"), 400, 3, "syntax error")
    assert refused(api.http.post("/apis/v2beta1/runs", content=b"[]"), 400, 3)


def test_an_unknown_version_or_one_of_another_pipeline_is_a_500_with_the_cause(api):
    first = api.upload(pipeline_spec(), name="a").json()["pipeline_id"]
    second = api.upload(pipeline_spec(), name="b").json()["pipeline_id"]
    (version,) = api.get(f"/pipelines/{second}/versions").json()["pipeline_versions"]

    def submit(pipeline_id, version_id):
        reference = {"pipeline_id": pipeline_id, "pipeline_version_id": version_id}
        return api.post("/runs", {"display_name": "r", "pipeline_version_reference": reference})

    assert refused(submit(first, "gone"), 500, 13, "PipelineVersion gone not found")
    assert refused(submit(first, version["pipeline_version_id"]), 500, 13, "belongs to pipeline")


def test_a_pipeline_that_cannot_run_here_is_refused_at_submission(api):
    spec = pipeline_spec()
    spec["root"]["dag"]["tasks"]["train"]["triggerPolicy"] = {"condition": "size('') == 0"}

    assert refused(api.run(spec=spec), 400, 3, "train", "condition", "'size' of CEL is not supported")
    assert api.engine.asked == []


def test_macros_in_arguments_are_expanded(api):
    spec = pipeline_spec(path={"parameterType": "STRING"})

    run = api.run(spec=spec, parameters={"path": "out/[[RunUUID]]"}).json()

    assert run["runtime_config"]["parameters"] == {"path": f"out/{run['run_id']}"}


def test_a_scheduled_time_is_kept_and_known_to_macros(api):
    spec = pipeline_spec(day={"parameterType": "STRING"})

    run = api.run(
        spec=spec, parameters={"day": "[[ScheduledTime.2006-01-02]]"}, scheduled_at="2026-08-01T00:00:00Z"
    ).json()

    assert run["scheduled_at"] == "2026-08-01T00:00:00Z"
    assert run["runtime_config"]["parameters"] == {"day": "2026-08-01"}


# Reading, listing, ending runs


def test_lists_are_empty_objects_where_there_is_nothing(api):
    assert api.get("/runs").json() == {}
    assert api.get("/pipelines").json() == {}


def test_runs_are_listed_by_experiment_and_in_pages(api):
    other = api.post("/experiments", {"display_name": "other"}).json()["experiment_id"]
    for name in "abc":
        api.run(display_name=name)
    api.run(display_name="d", experiment_id=other)

    first = api.get("/runs", page_size=2, sort_by="name desc").json()
    second = api.get("/runs", page_size=2, page_token=first["next_page_token"]).json()

    assert [run["display_name"] for run in first["runs"] + second["runs"]] == ["d", "c", "b", "a"]
    assert (first["total_size"], second["total_size"]) == (4, 4)
    assert "next_page_token" not in second
    assert [run["display_name"] for run in api.get("/runs", experiment_id=other).json()["runs"]] == ["d"]
    assert refused(api.get("/runs", experiment_id="nowhere"), 404, 5, "nowhere")


def test_a_filter_or_page_that_is_wrong_is_a_400(api):
    assert refused(api.get("/runs", filter="{"), 400, 3, "failed to parse valid filter")
    assert refused(api.get("/runs", page_token="x"), 400, 3, "Invalid page token")
    assert refused(api.get("/runs", page_size="x"), 400, 3, "page_size")
    assert refused(api.get("/runs", sort_by="pipeline_id"), 400, 3, "Invalid sorting field")


def test_a_run_is_terminated_once(api):
    run_id = api.run().json()["run_id"]

    assert api.post(f"/runs/{run_id}:terminate").json() == {}
    assert api.get(f"/runs/{run_id}").json()["state"] == "CANCELING"
    assert refused(api.post(f"/runs/{run_id}:terminate"), 400, 3, "Row not found")
    assert refused(api.post("/runs/nowhere:terminate"), 404, 5, "Run nowhere not found")


def test_only_a_failed_run_is_retried(api):
    run_id = api.run().json()["run_id"]

    assert refused(api.post(f"/runs/{run_id}:retry"), 409, 10, "must be Failed")
    api.finished(run_id, state="FAILED")
    assert api.post(f"/runs/{run_id}:retry").json() == {}
    assert api.get(f"/runs/{run_id}").json()["state"] == "RUNNING"
    assert api.get(f"/runs/{run_id}").json()["finished_at"] == "1970-01-01T00:00:00Z"


def test_a_deleted_run_is_given_up_by_the_engine_and_gone(api):
    run_id = api.run().json()["run_id"]

    assert api.delete(f"/runs/{run_id}").json() == {}
    assert ("discard", run_id) in api.engine.asked
    assert refused(api.get(f"/runs/{run_id}"), 404, 5, f"Run {run_id} not found")
    assert refused(api.delete(f"/runs/{run_id}"), 404, 5)


def test_archiving_does_not_stop_a_run(api):
    run_id = api.run().json()["run_id"]

    assert api.post(f"/runs/{run_id}:archive").json() == {}
    run = api.get(f"/runs/{run_id}").json()
    assert (run["storage_state"], run["state"]) == ("ARCHIVED", "PENDING")
    assert api.engine.asked == [("submit", run_id)]


def test_task_details_have_a_row_for_each_node_of_the_workflow(api):
    run_id = api.run().json()["run_id"]
    api.finished(run_id, *run_tasks(run_id))

    details = api.get(f"/runs/{run_id}").json()["run_details"]["task_details"]

    assert [detail["display_name"] for detail in details] == [
        workflow_name("pipe", run_id), "root-driver", "root", "train-driver", "train", "executor",
    ]  # fmt: skip
    assert {detail["state"] for detail in details} == {"SUCCEEDED"}
    assert details[4]["child_tasks"] == [{"pod_name": f"{workflow_name('pipe', run_id)}-42"}]
    assert len({detail["task_id"] for detail in details}) == 6
    assert not {"pod_name", "executor_detail", "error", "inputs", "outputs"} & set(details[5])


def test_recurring_runs_are_refused_honestly(api):
    for answer in (api.get("/recurringruns"), api.post("/recurringruns", {}), api.get("/recurringruns/x")):
        assert refused(answer, 501, 12, "no recurring runs")


# Logs and the v1 view


def test_a_log_is_read_by_the_pod_or_the_node(api):
    run_id = api.run().json()["run_id"]
    api.finished(run_id, *run_tasks(run_id))
    folder = api.data / "runs" / run_id / "logs"
    folder.mkdir(parents=True)
    (folder / f"{pod_name(run_id)}.log").write_text("trained\n")

    for name in (pod_name(run_id), f"{workflow_name('pipe', run_id)}-42"):
        answer = api.http.get(f"/apis/v1alpha1/runs/{run_id}/nodes/{name}/log", params={"follow": "true"})
        assert (answer.status_code, answer.text) == (200, "trained\n")
        assert answer.headers["content-type"].startswith("text/plain")
        # A length would be wrong by the time that a step which goes on has written more.
        assert "content-length" not in answer.headers


@pytest.mark.parametrize("pod", ["other", "UPPER", ".."])
def test_a_log_that_is_not_there_is_an_error_under_200(api, pod):
    run_id = api.run().json()["run_id"]

    answer = api.http.get(f"/apis/v1alpha1/runs/{run_id}/nodes/{pod.replace('.', '%2e')}/log")

    assert (answer.status_code, set(answer.json())) == (200, {"error_message", "error_details"})


def test_a_log_cannot_be_asked_for_by_a_path(api):
    run_id = api.run().json()["run_id"]
    (api.data / "secret.log").write_text("secret")

    answer = api.http.get(f"/apis/v1alpha1/runs/{run_id}/nodes/..%2F..%2F..%2Fsecret/log")

    assert answer.status_code == 404


def manifest(api, run_id):
    answer = api.http.get(f"/apis/v1beta1/runs/{run_id}").json()
    return answer["run"], json.loads(answer["pipeline_runtime"]["workflow_manifest"])


def test_the_v1_view_has_the_workflow_with_what_each_step_consumed(api):
    run_id = api.run().json()["run_id"]
    api.finished(run_id, *run_tasks(run_id))

    run, workflow = manifest(api, run_id)

    assert (run["id"], run["status"], run["storage_state"]) == (run_id, "Succeeded", "STORAGESTATE_AVAILABLE")
    assert workflow["metadata"]["name"] == workflow_name("pipe", run_id)
    assert workflow["status"]["phase"] == "Succeeded"
    nodes = {node["displayName"]: node for node in workflow["status"]["nodes"].values()}
    assert nodes["executor"]["id"] == f"{workflow['metadata']['name']}-42"
    assert nodes["executor"]["boundaryID"] == nodes["train"]["id"]
    assert nodes["train"]["boundaryID"] == nodes["root"]["id"]
    outputs = {one["name"]: one["value"] for one in nodes["train-driver"]["outputs"]["parameters"]}
    command = json.loads(outputs["pod-spec-patch"])["containers"][0]["command"]
    consumed = json.loads(command[command.index("--executor_input") + 1])
    assert consumed["inputs"]["parameterValues"] == {"epochs": 3}


def test_the_workflow_has_the_messages_of_failed_steps_and_omits_skipped_ones(api):
    run_id = api.run().json()["run_id"]
    root, train = run_tasks(run_id, state="FAILED", error="exit code 3", exit_code=3)
    skipped = replace(
        train,
        task_id="s",
        name="after",
        path="after",
        state="SKIPPED",
        error=None,
        started_at=None,
        pod_name="",
    )
    unresolved = replace(
        train, task_id="u", name="other", path="other", executor_input=None, error="no input", pod_name=""
    )
    for task in (root, train, skipped, unresolved):
        api.store.save_task(task)
    api.store.set_run_state(run_id, "FAILED", "train failed")

    _, workflow = manifest(api, run_id)

    nodes = {node["displayName"]: node for node in workflow["status"]["nodes"].values()}
    assert workflow["status"]["message"] == "train failed"
    assert (nodes["executor"]["phase"], nodes["executor"]["message"]) == ("Failed", "exit code 3")
    assert nodes["executor"]["outputs"] == {"exitCode": "3"}
    assert nodes["after-driver"]["phase"] == "Omitted"
    assert (nodes["other-driver"]["phase"], nodes["other-driver"]["message"]) == ("Failed", "no input")
    assert "other" not in nodes


def test_a_nested_pipeline_is_a_dag_node_with_a_driver(api):
    run_id = api.run().json()["run_id"]
    root, train = run_tasks(run_id)
    outer = replace(root, task_id="o", name="outer", path="outer", type="DAG", parent_task_id=root.task_id)
    for task in (root, outer, replace(train, parent_task_id="o", path="outer/train", executor_input=None)):
        api.store.save_task(task)
    api.store.set_run_state(run_id, "SUCCEEDED")

    _, workflow = manifest(api, run_id)

    names = [node["name"] for node in workflow["status"]["nodes"].values()]
    assert f"{workflow['metadata']['name']}.root.outer" in names
    assert f"{workflow['metadata']['name']}.root.outer.train-driver" in names


# Pages


def test_the_pages_show_runs_and_escape_what_others_wrote(api):
    run_id = api.run(display_name="<script>alert(1)</script>").json()["run_id"]
    api.finished(run_id, *run_tasks(run_id, error="a < b", state="FAILED"), state="FAILED")

    log = api.data / "runs" / run_id / "logs" / f"{pod_name(run_id)}.log"
    log.parent.mkdir(parents=True)
    log.touch()

    front, page = api.http.get("/").text, api.http.get(f"/runs/{run_id}").text

    assert f'href="/runs/{run_id}"' in front
    assert "location.hash" in front
    assert "<script>alert" not in front + page
    assert "&lt;script&gt;alert(1)" in page
    assert "a &lt; b" in page
    assert f"/nodes/{log.stem}/log" in page
    assert 'http-equiv="refresh"' not in page
    assert api.http.get("/runs/nowhere").status_code == 404


def test_the_page_of_a_run_that_goes_on_reloads_itself(api):
    run_id = api.run().json()["run_id"]

    assert 'http-equiv="refresh"' in api.http.get(f"/runs/{run_id}").text


# What must not get in


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_web_page_cannot_start_a_run(api, origin):
    message = json.dumps({"display_name": "run", "pipeline_spec": pipeline_spec()})
    headers = {"Origin": origin, "Content-Type": "text/plain"}

    assert refused(api.http.post("/apis/v2beta1/runs", content=message, headers=headers), 403, 7, origin)
    assert api.engine.asked == []


def test_the_servers_own_pages_may_and_links_from_elsewhere_work(api):
    own = api.http.post("/apis/v2beta1/experiments", json={"display_name": "x"}, headers={"Origin": api.url})

    assert own.status_code == 200
    assert api.http.get("/", headers={"Origin": "http://evil.example"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:80", 200), ("127.0.0.1", 200), ("[::1]:8888", 200), ("evil.example", 403), ("[", 403)],
)
def test_a_local_server_answers_to_local_names_only(api, host, status):
    assert api.http.get("/apis/v2beta1/healthz", headers={"Host": host}).status_code == status


def test_a_body_that_is_too_large_is_refused(api, monkeypatch):
    monkeypatch.setattr("airflow_kfp_runtime.embedded.api.context.MAX_FILE_BYTES", 10)

    assert refused(api.run(), 400, 3, "larger than 10 bytes")


# What goes wrong inside


def test_a_defect_is_a_500_in_the_gateways_shape(api, monkeypatch):
    def broken(run_id):
        raise RuntimeError("no disk")

    run_id = api.run().json()["run_id"]
    monkeypatch.setattr(api.engine, "terminate", broken)

    assert refused(api.post(f"/runs/{run_id}:terminate"), 500, 13, "no disk")
    assert isinstance(api.store.get_run(run_id), RunRow)
