"""Riding out a server that cannot answer: which calls are repeated, for how long, and with which pauses."""

from dataclasses import replace

import pytest

from airflow_kfp_runtime.client import RunRequest, calls, flows
from airflow_kfp_runtime.client.answers import Answer
from airflow_kfp_runtime.client.call import Service
from airflow_kfp_runtime.client.patience import BUSY, LONGEST_PAUSE, RENEWAL, patiently
from airflow_kfp_runtime.errors import (
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    ServerError,
    ServerUnavailableError,
)
from tests.client_script import NOT_FOUND, Script, answer

GET, POST, RETRY = "GET /apis/v2beta1/runs/r", "POST /apis/v2beta1/runs", "POST /apis/v2beta1/runs/r:retry"
RUN = answer({"run_id": "r"})
UNAVAILABLE = ServerUnavailableError("the connection broke")
PAGE = Answer(200, {"content-type": "text/html"}, b"<html></html>")


def look():
    return (yield calls.get_run("r"))


def looks(number):
    for _ in range(number):
        yield calls.get_run("r")


def patient(flow, **options):
    return patiently(flow, jitter=lambda: 1.0, **options)


@pytest.mark.parametrize("failure", [UNAVAILABLE, Answer(502), Answer(200, body=b'{"run'), PAGE, Answer(401)])
def test_a_call_is_repeated_until_it_is_answered(failure):
    script = Script({GET: [failure, failure, RUN]})

    assert script.run(patient(look())).run_id == "r"
    assert script.waits == [1.0, 2.0]


def test_the_pauses_grow_and_add_up_to_the_patience():
    script = Script({GET: [UNAVAILABLE]})

    with pytest.raises(ServerUnavailableError):
        script.run(patient(look(), seconds=100))
    assert script.waits == [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE, 9]


def test_jitter_halves_a_pause_at_most():
    script = Script({GET: [UNAVAILABLE, RUN]})

    script.run(patiently(look(), jitter=lambda: 0.0))
    assert script.waits == [0.5]


def test_each_answer_gives_the_patience_anew():
    script = Script({GET: [UNAVAILABLE, RUN, UNAVAILABLE, RUN]})

    script.run(patient(looks(2), seconds=1.5))
    assert script.waits == [1.0, 1.0]


def test_a_server_that_names_a_time_is_asked_then():
    script = Script({GET: [Answer(429, {"retry-after": "7"}), RUN]})

    script.run(patient(look()))
    assert script.waits == [7.0]


def test_credentials_are_waited_for_only_as_long_as_a_renewal_takes():
    script = Script({GET: [Answer(401, body=b'{"code": 16, "message": "who"}')]})

    with pytest.raises(AuthenticationError, match="who"):
        script.run(patient(look()))
    assert sum(script.waits) == RENEWAL


def test_a_500_to_a_read_is_final_after_a_while():
    script = Script({GET: [Answer(500, body=b'{"code": 13, "message": "no"}')]})

    with pytest.raises(ServerError, match="no"):
        script.run(patient(look()))
    assert sum(script.waits) == BUSY


def test_ml_metadata_that_cannot_be_reached_is_final():
    def read():
        yield replace(calls.get_run("r"), service=Service.METADATA)

    script = Script({GET: [UNAVAILABLE]})

    with pytest.raises(ServerUnavailableError):
        script.run(patient(read()))
    assert script.waits == []


def test_a_500_to_a_change_is_final():
    def create():
        yield calls.create_experiment("e")

    script = Script({"POST /apis/v2beta1/experiments": [Answer(500)]})

    with pytest.raises(ServerError):
        script.run(patient(create()))
    assert script.waits == []


@pytest.mark.parametrize(
    ("refusal", "kind"), [(NOT_FOUND, NotFoundError), (Answer(400), InvalidRequestError)]
)
def test_a_refusal_is_final(refusal, kind):
    script = Script({GET: [refusal]})

    with pytest.raises(kind):
        script.run(patient(look()))
    assert script.waits == []


def test_a_run_is_not_sent_again_before_it_was_looked_up():
    script = Script({GET: [NOT_FOUND, UNAVAILABLE, RUN], POST: [UNAVAILABLE]})

    script.run(patient(flows.submit_run(RunRequest("r", "run", pipeline_spec={"root": {}}))))
    assert script.labels == [GET, POST, GET, GET]


def test_a_resumption_is_not_repeated():
    def resume():
        yield calls.retry_run("r")

    script = Script({RETRY: [UNAVAILABLE]})

    with pytest.raises(ServerUnavailableError):
        script.run(patient(resume()))
    assert script.labels == [RETRY]


def test_each_outage_is_noted_once_with_how_long_it_is_borne():
    script = Script({GET: [UNAVAILABLE, UNAVAILABLE, RUN, answer({}, 500), RUN]})
    notes = []

    script.run(patient(looks(2), seconds=90, note=notes.append))

    assert len(notes) == 2
    assert notes[0] == "the connection broke; trying again for up to 90 s"
    assert notes[1].endswith(f"; trying again for up to {BUSY:g} s")
