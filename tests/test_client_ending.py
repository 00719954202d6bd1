"""Ending a run that may only just have been sent."""

import pytest

from airflow_kfp_runtime.client.answers import Answer
from airflow_kfp_runtime.client.ending import end_submitted
from airflow_kfp_runtime.client.flows import LOOK_UP_DELAYS
from airflow_kfp_runtime.errors import PermissionDeniedError, ServerUnavailableError
from tests.client_script import NOT_FOUND, Script, answer

GET, LIST = "GET /apis/v2beta1/runs/r", "GET /apis/v2beta1/runs"
TERMINATE = "POST /apis/v2beta1/runs/r:terminate"
RUN = answer({"run_id": "r", "state": "RUNNING"})
DONE = answer({})
UNAVAILABLE = ServerUnavailableError("the connection broke")


def test_a_run_that_is_there_is_terminated_at_once():
    script = Script({GET: [RUN], TERMINATE: [DONE]})

    assert script.run(end_submitted("r"))
    assert script.labels == [GET, TERMINATE]
    assert script.waits == []


def test_a_run_that_the_server_makes_after_the_kill_is_terminated():
    script = Script({GET: [NOT_FOUND, NOT_FOUND, RUN], LIST: [DONE], TERMINATE: [DONE]})

    assert script.run(end_submitted("r"))
    assert script.labels.count(TERMINATE) == 1
    assert script.waits == list(LOOK_UP_DELAYS[:2])


def test_a_run_under_an_id_of_the_servers_own_is_terminated():
    own = {"run_id": "own", "state": "RUNNING", "description": "x airflow-kfp-runtime:r"}
    script = Script({LIST: [answer({"runs": [own]})], "POST /apis/v2beta1/runs/own:terminate": [DONE]})

    assert script.run(end_submitted("r"))
    assert script.labels[-1] == "POST /apis/v2beta1/runs/own:terminate"


def test_a_run_that_was_never_sent_is_looked_for_and_left():
    script = Script({LIST: [DONE]})

    assert not script.run(end_submitted("r"))
    assert script.waits == list(LOOK_UP_DELAYS)


def test_a_server_that_cannot_answer_is_asked_again():
    script = Script({GET: [UNAVAILABLE, RUN], TERMINATE: [Answer(503), DONE]})

    assert script.run(end_submitted("r"))
    assert script.labels.count(TERMINATE) == 2


def test_a_server_that_never_answers_is_an_error():
    with pytest.raises(ServerUnavailableError):
        Script({GET: [UNAVAILABLE]}).run(end_submitted("r"))


def test_a_refusal_is_an_error_at_once():
    script = Script({GET: [Answer(403, body=b'{"code": 7, "message": "denied"}')]})

    with pytest.raises(PermissionDeniedError):
        script.run(end_submitted("r"))
    assert script.labels == [GET]
