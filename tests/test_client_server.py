"""The client against the embedded server, which runs the steps: from upload to outputs, by each reader."""

import asyncio
import json
import time
import uuid

import pytest

from airflow_kfp_runtime.client import (
    AsyncKfpClient,
    ClientSettings,
    KfpClient,
    RunRequest,
    RunState,
    calls,
    flows,
)
from airflow_kfp_runtime.client.filters import equals, one_of
from airflow_kfp_runtime.client.outputs import OutputReader, read_outputs
from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import Dataset, Input, Metrics, Output, pipeline_context
from airflow_kfp_runtime.errors import ConflictError, InvalidRequestError, NotFoundError
from airflow_kfp_runtime.project import Project
from demo.kfp_server import start_kfp_server
from tests.client_pipelines import nested_pipeline

END = (RunState.SUCCEEDED, RunState.FAILED)


@pytest.fixture(scope="module")
def next_server(tmp_path_factory):
    """A server that speaks the tasks API of what follows KFP 2.17."""
    server = start_kfp_server(tmp_path_factory.mktemp("next"), "--api", "next")
    yield server
    server.stop()


@pytest.fixture
def client(kfp_server):
    with KfpClient(ClientSettings(kfp_server.url)) as made:
        yield made


def new_id():
    return str(uuid.uuid4())


def submit(client, name, spec, **changes):
    return client.run(flows.submit_run(RunRequest(new_id(), name, pipeline_spec=spec, **changes)))


def wait(client, run_id, states=END):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        run = client.send(calls.get_run(run_id))
        if run.state in states:
            return run
        time.sleep(0.1)
    raise TimeoutError(f"run {run_id} is {run.state} after 60 s")


def finished(client, name, **changes):
    run = wait(client, submit(client, name, nested_pipeline(name, **changes)).run_id)
    assert run.state is RunState.SUCCEEDED, client.run(flows.explain_failure(run.run_id))
    return run


def without_places(outputs):
    """Drop the URIs, which differ from run to run, having seen that they are there.

    Only metrics may have none: the tasks API keeps their numbers and no file.
    """
    for named in outputs.values():
        for value in named.values():
            if isinstance(value, dict) and "uri" in value:
                uri = value.pop("uri")
                assert uri.startswith("file:///") or value["type"] == "system.Metrics"
    return outputs


DATA = {"name": "data", "type": "system.Dataset", "metadata": {}}
MODEL = {"name": "model", "type": "system.Model", "metadata": {}}
TASKS = {
    "prepare": {"rows": 3, "label": "blue", "data": DATA},
    "outer": {"accuracy": 1.0, "model": MODEL},
    "outer/train": {"accuracy": 1.0, "model": MODEL},
    "report": {"text": "done"},
}


def check(outputs, reader):
    tasks = without_places(json.loads(json.dumps(outputs.tasks)))
    assert tasks == TASKS
    assert isinstance(outputs.tasks["outer"]["accuracy"], float)
    assert isinstance(outputs.tasks["prepare"]["rows"], int)
    assert outputs.pipeline == {
        "score": 1.0,
        "model": outputs.tasks["outer/train"]["model"],
    }
    assert (outputs.unread, outputs.lagging) == ((), ())
    assert outputs.reader is reader


def test_outputs_are_read_from_ml_metadata(client):
    check(client.run(read_outputs(finished(client, "by-metadata"))), OutputReader.METADATA)


def test_outputs_are_read_from_the_tasks_api_where_there_is_one(next_server):
    with KfpClient(ClientSettings(next_server.url)) as client:
        check(client.run(read_outputs(finished(client, "by-tasks"))), OutputReader.TASKS_API)


def test_where_only_the_api_can_be_reached_the_manifest_has_what_was_consumed(kfp_server):
    settings = ClientSettings(kfp_server.url, metadata_url=f"{kfp_server.url}/nowhere")
    with KfpClient(settings) as client:
        outputs = client.run(read_outputs(finished(client, "by-manifest")))

    assert outputs.reader is OutputReader.MANIFEST
    assert outputs.tasks["prepare"]["rows"] == 3
    assert outputs.tasks["outer/train"]["accuracy"] == outputs.pipeline["score"] == 1.0
    assert outputs.pipeline["model"] == outputs.tasks["outer/train"]["model"]
    assert outputs.unread == (
        "Output 'label' of task 'prepare': no task that ran consumed it.",
        "The metadata of artifact 'model' of task 'outer/train': no task consumed it.",
        "Output 'text' of task 'report': no task that ran consumed it.",
    )
    assert len(outputs.passed_over) == 2


def test_with_the_task_that_collects_outputs_the_manifest_has_all(kfp_server):
    settings = ClientSettings(kfp_server.url, metadata_url=f"{kfp_server.url}/nowhere")
    with KfpClient(settings) as client:
        check(client.run(read_outputs(finished(client, "collected", collect=True))), OutputReader.MANIFEST)


def prepare(rows: int, data: Output[Dataset]) -> tuple[dict, list, float, bool, str, int]:
    from pathlib import Path

    Path(data.path).write_text("a\n" * rows)
    data.metadata["rows"] = rows
    data.metadata["columns"] = ["a", 1.5]
    data.metadata["nested"] = {"x": 1, "list": [2.0]}
    return {"n": rows, "f": 2.0, "deep": {"l": [1, None]}}, [1, "a"], 2.0, True, "3", rows


def train(data: Input[Dataset], metrics: Output[Metrics]) -> float:
    metrics.log_metric("accuracy", 0.5)
    metrics.log_metric("rounds", 3)
    return 1.0


def values_of_every_type(rows: int = 3):
    with pipeline_context() as pc:
        values = ["mapping", "sequence", "double", "truth", "text", "whole"]
        prepared = pc.step(
            name="prepare",
            function="prepare",
            parameters={"rows": rows},
            outputs={"data": "data"},
            values=values,
        )
        inputs = {"data": prepared.outputs["data"]}
        pc.step(
            name="train", function="train", inputs=inputs, outputs={"metrics": "metrics"}, values=["score"]
        )


def test_the_readers_agree_on_values_and_metadata_of_every_type(kfp_server, next_server):
    project = Project("agreement")
    for function in (prepare, train):
        project.new_function(function.__name__, kind="python", handler=function)
    read = {}
    for reader, settings in {
        OutputReader.METADATA: ClientSettings(kfp_server.url),
        OutputReader.TASKS_API: ClientSettings(next_server.url),
        OutputReader.MANIFEST: ClientSettings(kfp_server.url, metadata_url=f"{kfp_server.url}/nowhere"),
    }.items():
        package = compile_handler(values_of_every_type, project=project, collect_outputs=True)
        with KfpClient(settings) as client:
            run = wait(client, submit(client, "agreement", package.pipeline_spec).run_id)
            assert run.state is RunState.SUCCEEDED, client.run(flows.explain_failure(run.run_id))
            outputs = client.run(read_outputs(run))
        assert (outputs.reader, outputs.unread) == (reader, ())
        read[reader] = without_places(json.loads(json.dumps(outputs.tasks)))

    assert read[OutputReader.METADATA] == {
        "prepare": {
            "data": {**DATA, "metadata": {"rows": 3, "columns": ["a", 1.5], "nested": {"x": 1, "list": [2]}}},
            "mapping": {"n": 3, "f": 2, "deep": {"l": [1, None]}},
            "sequence": [1, "a"],
            "double": 2.0,
            "truth": True,
            "text": "3",
            "whole": 3,
        },
        "train": {
            "metrics": {
                "name": "metrics",
                "type": "system.Metrics",
                "metadata": {"accuracy": 0.5, "rounds": 3},
            },
            "score": 1.0,
        },
    }
    assert len({repr(sorted_deeply(tasks)) for tasks in read.values()}) == 1


def sorted_deeply(value):
    """Make the representation, which tells 3 from 3.0, independent of the order of keys."""
    if isinstance(value, dict):
        return {key: sorted_deeply(value[key]) for key in sorted(value)}
    return [sorted_deeply(item) for item in value] if isinstance(value, list) else value


def test_outputs_of_a_registered_version_are_resolved_through_its_ir(client):
    spec = nested_pipeline("registered")
    version = client.run(flows.ensure_pipeline_version("registered", "hash-1", json.dumps(spec)))
    again = client.run(flows.ensure_pipeline_version("registered", "hash-1", json.dumps(spec)))
    request = RunRequest(new_id(), "registered run", version=version.reference)
    run = wait(client, client.run(flows.submit_run(request)).run_id)

    assert again == version
    assert run.pipeline_spec is None
    assert run.pipeline_version_reference == version.reference
    assert client.run(flows.latest_pipeline_version(version.pipeline_id)).name == "hash-1"
    check(client.run(read_outputs(run)), OutputReader.METADATA)


def test_several_that_upload_at_once_end_with_one_version(kfp_server):
    spec = json.dumps(nested_pipeline("raced"))

    async def upload():
        async with AsyncKfpClient(ClientSettings(kfp_server.url)) as client:
            return await asyncio.gather(
                *[client.run(flows.ensure_pipeline_version("raced", "hash", spec)) for _ in range(8)]
            )

    versions = asyncio.run(upload())

    assert len({version.pipeline_version_id for version in versions}) == 1


def test_a_run_gets_the_id_that_was_asked_for_and_is_not_made_twice(client):
    request = RunRequest(new_id(), "x" * 300, description="d" * 300, pipeline_spec=nested_pipeline("once"))

    run, again = (client.run(flows.submit_run(request)) for _ in range(2))

    assert run.run_id == again.run_id == request.run_id
    assert not run.id_was_replaced
    assert len(client.run(flows.list_all(calls.list_runs(equals("run_id", request.run_id))))) == 1


def test_runs_are_listed_by_experiment_name_and_id_over_several_pages(client):
    experiment = client.run(flows.ensure_experiment("listing"))
    assert client.run(flows.ensure_experiment("listing")).experiment_id == experiment.experiment_id
    names = ["scheduled__2026-01-01T00:00:00+00:00", "100% %41", 'say "hi"', "plain"]
    for name in names:
        submit(client, name, nested_pipeline("listed"), experiment_id=experiment.experiment_id)
    submit(client, "elsewhere", nested_pipeline("listed"))

    listing = calls.list_runs(experiment_id=experiment.experiment_id, sort_by="created_at asc", page_size=2)
    runs = client.run(flows.list_all(listing))

    assert [run.display_name for run in runs] == names
    for run in runs:
        found = client.run(flows.list_all(calls.list_runs(equals("display_name", run.display_name))))
        assert run.run_id in [other.run_id for other in found]
    some = calls.list_runs(one_of("run_id", [run.run_id for run in runs[:3]]), page_size=1)
    assert {run.run_id for run in client.run(flows.list_all(some))} == {run.run_id for run in runs[:3]}


def test_a_failed_run_is_explained_and_retried(client):
    run = wait(client, submit(client, "failing", nested_pipeline("failing", fail=True)).run_id)
    failure = client.run(flows.explain_failure(run.run_id))

    assert run.state is RunState.FAILED
    assert [task.path for task in failure.tasks] == ["outer/train"]
    assert "bad data" in failure.tasks[0].log
    assert "bad data" in str(failure)
    assert not failure.was_terminated

    client.send(calls.retry_run(run.run_id))
    retried = wait(client, run.run_id, END)
    assert retried.state is RunState.FAILED


def test_a_failure_is_explained_from_the_tasks_api(next_server):
    with KfpClient(ClientSettings(next_server.url)) as client:
        run = wait(client, submit(client, "failing", nested_pipeline("failing", fail=True)).run_id)
        failure = client.run(flows.explain_failure(run.run_id))

    assert [task.path for task in failure.tasks] == ["outer/train"]
    assert "bad data" in failure.tasks[0].log


def test_a_run_is_terminated_once(client):
    spec = nested_pipeline("slow")
    spec["deploymentSpec"]["executors"]["exec-prepare"]["container"]["command"] = ["sleep", "60"]
    run = submit(client, "slow", spec)

    client.send(calls.terminate_run(run.run_id))
    ended = wait(client, run.run_id)

    assert ended.state is RunState.FAILED
    assert client.run(flows.explain_failure(run.run_id)).was_terminated
    with pytest.raises(InvalidRequestError):
        client.send(calls.terminate_run(run.run_id))


def test_refusals_are_told_apart(client):
    with pytest.raises(NotFoundError):
        client.send(calls.get_run(new_id()))
    with pytest.raises(InvalidRequestError):
        submit(client, "surplus", nested_pipeline("surplus"), parameters={"unknown": 1})
    client.send(calls.create_pipeline("taken"))
    with pytest.raises(ConflictError):
        client.send(calls.create_pipeline("taken"))
    done = finished(client, "done")
    with pytest.raises(ConflictError):
        client.send(calls.retry_run(done.run_id))


def test_a_run_is_archived_and_deleted_and_a_pipeline_with_its_versions(client):
    run = finished(client, "leaving")
    client.send(calls.archive_run(run.run_id))
    assert client.send(calls.get_run(run.run_id)).storage_state == "ARCHIVED"
    client.send(calls.delete_run(run.run_id))
    with pytest.raises(NotFoundError):
        client.send(calls.get_run(run.run_id))

    version = client.run(
        flows.ensure_pipeline_version("leaving", "1", json.dumps(nested_pipeline("leaving")))
    )
    client.send(calls.delete_pipeline(version.pipeline_id, cascade=True))
    with pytest.raises(NotFoundError):
        client.send(calls.get_pipeline_by_name("leaving"))


def test_the_server_says_what_it_is(client):
    assert client.send(calls.health()).tag_name
