"""Reading what servers answer: nothing that a server leaves out, renames or adds may be taken for success."""

import json
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.client.models import (
    Experiment,
    Health,
    Page,
    Pipeline,
    PipelineVersion,
    Run,
    RunState,
    VersionReference,
)
from airflow_kfp_runtime.client.run_request import RunRequest
from airflow_kfp_runtime.errors import DefinitionError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

RUN = {
    "experiment_id": "e",
    "run_id": "r",
    "display_name": "training",
    "storage_state": "AVAILABLE",
    "pipeline_version_reference": {"pipeline_id": "p", "pipeline_version_id": "v"},
    "runtime_config": {"parameters": {"n": 1, "d": {"a": 1}}, "pipeline_root": "s3://bucket"},
    "service_account": "runner",
    "created_at": "2026-08-08T15:15:41Z",
    "scheduled_at": "2026-08-08T15:15:41.123456789Z",
    "finished_at": "1970-01-01T00:00:00Z",
    "state": "RUNNING",
    "state_history": [
        {"update_time": "2026-08-08T15:15:42Z", "state": "PENDING"},
        {"update_time": "2026-08-08T15:15:43Z", "state": "RUNNING"},
    ],
    "run_details": {
        "task_details": [
            {
                "run_id": "r",
                "task_id": "t",
                "display_name": "train",
                "state": "FAILED",
                "child_tasks": [{"pod_name": "training-x-system-container-impl-1"}],
            }
        ]
    },
}


def test_a_run_is_read_with_its_times_history_and_tasks():
    run = Run.from_json(RUN)

    assert run.state is RunState.RUNNING
    assert run.finished_at is None
    assert run.scheduled_at == datetime(2026, 8, 8, 15, 15, 41, 123456, tzinfo=timezone.utc)
    assert [change.state for change in run.state_history] == [RunState.PENDING, RunState.RUNNING]
    assert run.pipeline_version_reference == VersionReference("p", "v")
    assert run.runtime_config.parameters == {"n": 1, "d": {"a": 1}}
    assert run.task_details[0].pod_names == ("training-x-system-container-impl-1",)


def test_camel_case_means_the_same_but_leaves_the_users_own_keys_alone():
    run = Run.from_json(
        {
            "runId": "r",
            "displayName": "training",
            "stateHistory": [{"updateTime": "2026-08-08T15:15:42Z", "state": "PENDING"}],
            "runtimeConfig": {"parameters": {"learning_rate": 1, "learningRate": 2}},
            "pipelineVersionReference": {"pipelineId": "p", "pipelineVersionId": "v"},
        }
    )

    assert (run.run_id, run.display_name, run.state) == ("r", "training", RunState.UNKNOWN)
    assert run.state_history[0].update_time is not None
    assert run.runtime_config.parameters == {"learning_rate": 1, "learningRate": 2}
    assert run.pipeline_version_reference == VersionReference("p", "v")


@given(json_values.filter(lambda value: value not in list(RunState.__members__)))
def test_a_state_nobody_has_heard_of_is_unknown(state):
    assert Run.from_json({"run_id": "r", "state": state}).state is RunState.UNKNOWN


def test_every_state_of_the_api_has_its_member():
    known = ("PENDING", "RUNNING", "SUCCEEDED", "SKIPPED", "FAILED", "CANCELING", "CANCELED", "PAUSED")

    assert [RunState.parse(name).value for name in known] == list(known)


@given(
    st.fixed_dictionaries(
        {"run_id": st.just("r")},
        optional={name: json_values for name in (*RUN, "error", "pipeline_spec") if name != "run_id"},
    )
)
def test_a_run_with_fields_of_any_shape_is_read_and_never_succeeds_by_accident(data):
    run = Run.from_json(data)

    assert run.run_id == "r"
    assert (run.state is RunState.SUCCEEDED) == (data.get("state") == "SUCCEEDED")


@pytest.mark.parametrize("read", [Run, Pipeline, PipelineVersion, Experiment])
def test_an_answer_without_an_id_is_not_taken_for_a_row(read):
    with pytest.raises(ValueError, match="is missing"):
        read.from_json({"display_name": "x"})


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-08-08T15:15:41Z", datetime(2026, 8, 8, 15, 15, 41, tzinfo=timezone.utc)),
        ("2026-08-08T17:15:41+02:00", datetime(2026, 8, 8, 15, 15, 41, tzinfo=timezone.utc)),
        ("2026-08-08T15:15:41.5Z", datetime(2026, 8, 8, 15, 15, 41, 500000, tzinfo=timezone.utc)),
        ("1970-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("2026-13-08T15:15:41Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_time_is_read_in_utc_and_what_is_none_is_none(written, read):
    assert Run.from_json({"run_id": "r", "finished_at": written}).finished_at == read


def test_the_error_of_a_run_that_the_server_could_not_read_is_kept():
    assert (
        Run.from_json({"run_id": "r", "error": {"code": 13, "message": "cannot read"}}).error == "cannot read"
    )
    assert Run.from_json({"run_id": "r", "error": {"code": 13}}).error == "code 13"
    assert Run.from_json({"run_id": "r"}).error is None


def test_a_pipeline_of_a_server_before_names_is_named_by_its_display_name():
    assert Pipeline.from_json({"pipeline_id": "p", "display_name": "etl"}).name == "etl"
    assert PipelineVersion.from_json({"pipeline_version_id": "v", "display_name": "1"}).name == "1"


def test_health_is_read_from_the_server_and_through_the_ui():
    assert Health.from_json({"tag_name": "2.17.0", "multi_user": True}) == Health("2.17.0", multi_user=True)
    assert Health.from_json({"apiServerTagName": "2.17.0"}).tag_name == "2.17.0"
    assert Health.from_json({}) == Health()


def test_an_empty_page_is_an_empty_object():
    assert Page.reader("runs", Run.from_json)("{}") == Page()
    page = Page.reader("runs", Run.from_json)(
        json.dumps({"runs": [RUN], "total_size": 7, "next_page_token": "t"})
    )
    assert (page.items[0].run_id, page.total_size, page.next_page_token) == ("r", 7, "t")


def test_a_brief_run_says_how_far_it_is_as_the_whole_one_does():
    whole, brief = Run.from_json(RUN), Run.brief(RUN)

    assert (brief.run_id, brief.state, brief.finished_at) == (whole.run_id, whole.state, whole.finished_at)
    assert [change.state for change in brief.state_history] == [
        change.state for change in whole.state_history
    ]
    assert [(task.task_id, task.display_name, task.state) for task in brief.task_details] == [
        (task.task_id, task.display_name, task.state) for task in whole.task_details
    ]
    assert brief.task_details


def test_a_run_request_names_its_version_and_leaves_out_what_is_empty():
    request = RunRequest("r", "training", version=VersionReference("p", "v"), parameters={"n": 0})

    assert request.to_json() == {
        "run_id": "r",
        "display_name": "training",
        "pipeline_version_reference": {"pipeline_id": "p", "pipeline_version_id": "v"},
        "runtime_config": {"parameters": {"n": 0}},
    }


def test_a_run_request_sends_the_ir_alone_or_beside_its_kubernetes_part():
    spec, platforms = {"root": {"dag": {}}}, {"platforms": {"kubernetes": {}}}

    assert RunRequest("r", "n", pipeline_spec=spec).to_json()["pipeline_spec"] == spec
    assert RunRequest("r", "n", pipeline_spec=spec, platform_spec=platforms).to_json()["pipeline_spec"] == {
        "pipeline_spec": spec,
        "platform_spec": platforms,
    }


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "either a version or a pipeline_spec"),
        ({"version": VersionReference("p", "v"), "pipeline_spec": {"root": {}}}, "either a version"),
        (
            {"version": VersionReference("p", "v"), "platform_spec": {"platforms": {}}},
            "platform_spec: is for",
        ),
    ],
)
def test_a_run_request_of_which_a_part_would_be_left_out_is_refused(fields, words):
    with pytest.raises(DefinitionError, match=words):
        RunRequest("r", "n", **fields)


def test_texts_that_mysql_would_refuse_after_the_workflow_was_made_are_cut():
    body = RunRequest("r", "n" * 300, description="d" * 300, pipeline_spec={"root": {}}).to_json()

    assert (len(body["display_name"]), len(body["description"])) == (255, 255)
