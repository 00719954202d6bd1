"""From an answer to a result or an error, whatever the body holds."""

import json
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.client.answers import Answer, result
from airflow_kfp_runtime.client.manifest import get_workflow
from airflow_kfp_runtime.client.tasks_api import list_tasks
from airflow_kfp_runtime.errors import InvalidRequestError, ServerError, UnexpectedResponseError
from airflow_kfp_runtime.redaction import Redaction

#: The fields that are read somewhere, and so may hold what their readers do not expect.
FIELDS = re.findall(
    r"\w+",
    """code details message error error_message error_details run_id runs state state_history update_time
    run_details task_details task_id child_tasks pod_name display_name finished_at created_at pipeline_spec
    pipeline_version_reference runtime_config parameters next_page_token total_size tasks type_attributes
    iteration_index status_metadata pods inputs outputs artifacts producer value name type metadata
    number_value parameter_key artifact_key pipeline_runtime multi_user""",
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("1970-01-01T00:00:00Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=20,
)
CALLS = [calls.health(), calls.get_run("r"), calls.list_runs(), list_tasks("r"), get_workflow("r")]


@given(
    call=st.sampled_from(CALLS),
    status=st.sampled_from([200, 400, 404, 500, 503]),
    data=st.dictionaries(st.sampled_from(FIELDS), VALUES),
)
def test_whatever_a_server_answers_is_a_result_or_an_error_of_the_server(call, status, data):
    answer = Answer(status, {}, json.dumps(data).encode())

    if status == 200:
        with suppress(UnexpectedResponseError):
            result(call, answer)
    else:
        with pytest.raises(ServerError) as refused:
            result(call, answer)
        assert refused.value.status == status


@pytest.mark.parametrize("details", [5, "text", {"a": 1}, [1, None]])
def test_details_in_another_shape_hide_no_message(details):
    body = json.dumps({"code": float("inf"), "message": "bad", "details": details}).encode()

    with pytest.raises(InvalidRequestError, match="bad") as refused:
        result(calls.health(), Answer(400, {}, body))

    assert (refused.value.code, refused.value.details) == (None, ())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120.0),
        (
            {"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            30.0,
        ),
        ({"retry-after": "Wed, 21 Oct 2026 07:00:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_when_a_busy_server_wants_to_be_asked_again_is_known(headers, seconds):
    with pytest.raises(ServerError) as caught:
        result(calls.health(), Answer(429, headers, b"secret token"), Redaction(["secret token"]))

    assert caught.value.retry_after == seconds
