"""The exception tree: messages, and that it survives being moved between processes."""

import pickle

import pytest

from airflow_kfp_runtime.errors import (
    DefinitionError,
    NotFoundError,
    RunFailedError,
    ServerError,
    ServerUnavailableError,
    StepError,
    nearest,
)


def test_a_definition_error_names_step_field_problem_and_what_is_allowed():
    error = StepError("is not an output", step="train", field="inputs['di']", allowed=["dataset", "model"])

    assert str(error) == "step 'train', inputs['di']: is not an output. Allowed: dataset, model"
    assert isinstance(error, ValueError)


def test_the_message_lists_the_first_of_what_is_allowed_and_counts_the_rest():
    few, many = [f"step_{number}" for number in range(12)], [f"step_{number}" for number in range(40)]

    assert str(StepError("is wrong", allowed=few)).endswith(". Allowed: " + ", ".join(few))
    assert str(StepError("is wrong", allowed=many)).endswith("step_10, step_11 and 28 more")
    assert StepError("is wrong", allowed=many).allowed == tuple(many)


def test_of_many_names_those_that_were_probably_meant_are_listed():
    names = ["train", *(f"part{number}" for number in range(40))]

    assert nearest("trian", names) == ["train"]
    assert nearest("trian", names[:3]) == names[:3]
    assert nearest("xyz", names) == names


def test_a_server_error_names_call_and_status():
    error = NotFoundError("no such run", call="GET /apis/v2beta1/runs/1", status=404, code=5)

    assert str(error) == "GET /apis/v2beta1/runs/1 answered 404: no such run"


@pytest.mark.parametrize(
    "error",
    [
        StepError("is wrong", step="train", field="inputs", allowed=["a"]),
        DefinitionError("is wrong"),
        RunFailedError("failed", run_id="1"),
        ServerUnavailableError("connection refused", call="GET /healthz", status=503, details=["x"]),
    ],
)
def test_every_error_survives_a_pickle_with_its_fields(error):
    restored = pickle.loads(pickle.dumps(error))

    assert type(restored) is type(error)
    assert str(restored) == str(error)
    assert vars(restored) == vars(error)


def test_only_errors_that_waiting_can_help_are_transient():
    assert ServerUnavailableError("busy").transient
    assert not ServerError("internal").transient
    assert not NotFoundError("gone").transient
