"""Flows of several calls, with each answer that a server may give in between."""

import uuid

import pytest

from airflow_kfp_runtime.client import RunRequest, calls, flows
from airflow_kfp_runtime.client.answers import Answer
from airflow_kfp_runtime.client.models import Run
from airflow_kfp_runtime.client.run_lookup import described, fingerprint_of
from airflow_kfp_runtime.client.run_request import TEXT_LIMIT
from airflow_kfp_runtime.errors import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    ServerError,
    ServerUnavailableError,
)
from tests.client_script import NOT_FOUND, Script, answer

GET, POST = "GET /apis/v2beta1/runs/r", "POST /apis/v2beta1/runs"
RUN = answer({"run_id": "r", "state": "PENDING"})
UNAVAILABLE = ServerUnavailableError("the connection broke")
BROKEN = Answer(500, body=b'{"code": 13, "message": "cannot store"}')
REQUEST = RunRequest("r", "training", pipeline_spec={"root": {}})

PIPELINE = "GET /apis/v2beta1/pipelines/names/etl"
VERSIONS = "GET /apis/v2beta1/pipelines/p/versions"
UPLOAD = "POST /apis/v2beta1/pipelines/upload_version"
VERSION = {"pipeline_id": "p", "pipeline_version_id": "v", "name": "abc"}
TAKEN = Answer(409, body=b'{"error_message": "Failed to create a pipeline version"}')


def test_a_new_run_is_looked_up_and_then_sent_once():
    script = Script({POST: [RUN]})

    run = script.run(flows.submit_run(REQUEST))

    assert script.labels == [GET, POST]
    assert not run.id_was_replaced


def test_a_run_that_exists_already_is_not_sent():
    script = Script({GET: [RUN]})

    assert script.run(flows.submit_run(REQUEST)).run_id == "r"
    assert script.labels == [GET]


def test_without_the_first_look_a_run_is_one_call():
    script = Script({POST: [RUN]})

    script.run(flows.submit_run(REQUEST, look_first=False))

    assert script.labels == [POST]


@pytest.mark.parametrize("unclear", [UNAVAILABLE, BROKEN, TAKEN, Answer(200, body=b'{"run')])
def test_after_an_unclear_answer_the_run_is_found_and_not_sent_again(unclear):
    script = Script({GET: [NOT_FOUND, NOT_FOUND, NOT_FOUND, RUN], POST: [unclear]})

    run = script.run(flows.submit_run(REQUEST))

    assert run.run_id == "r"
    assert script.labels.count(POST) == 1
    assert script.waits == list(flows.LOOK_UP_DELAYS[:3])


def test_a_run_is_sent_again_only_when_every_look_says_that_it_does_not_exist():
    script = Script({POST: [UNAVAILABLE, RUN]})

    assert script.run(flows.submit_run(REQUEST)).run_id == "r"
    assert script.labels == [GET, POST, *[GET] * len(flows.LOOK_UP_DELAYS), POST]


def test_a_run_is_not_sent_again_when_a_look_is_not_answered():
    script = Script({GET: [NOT_FOUND, NOT_FOUND, UNAVAILABLE, NOT_FOUND], POST: [UNAVAILABLE, RUN]})

    with pytest.raises(ServerUnavailableError):
        script.run(flows.submit_run(REQUEST))
    assert script.labels.count(POST) == 1


def test_a_500_that_made_no_run_is_raised_with_its_cause():
    script = Script({POST: [BROKEN]})

    with pytest.raises(ServerError, match="cannot store"):
        script.run(flows.submit_run(REQUEST))
    assert script.labels.count(POST) == 1


def test_sending_ends_after_three_times():
    script = Script({POST: [UNAVAILABLE]})

    with pytest.raises(ServerUnavailableError):
        script.run(flows.submit_run(REQUEST))
    assert script.labels.count(POST) == 3


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Answer(400, body=b'{"code": 3, "message": "unknown field"}'), InvalidRequestError),
        (Answer(401, body=b'{"code": 16, "message": "who"}'), AuthenticationError),
        (Answer(302, {"location": "https://login.example.org"}), AuthenticationError),
    ],
)
def test_a_refusal_is_final(refusal, kind):
    script = Script({POST: [refusal]})

    with pytest.raises(kind):
        script.run(flows.submit_run(REQUEST))
    assert script.labels == [GET, POST]


def test_a_login_page_in_the_place_of_the_answer_is_unclear():
    login = Answer(200, {"content-type": "text/html"}, b"<html></html>")

    assert Script({GET: [NOT_FOUND, RUN], POST: [login]}).run(flows.submit_run(REQUEST)).run_id == "r"
    with pytest.raises(AuthenticationError):
        Script({POST: [login]}).run(flows.submit_run(REQUEST))


def test_a_server_that_chose_another_id_is_noticed():
    script = Script({POST: [answer({"run_id": "other"})]})

    run = script.run(flows.submit_run(REQUEST))

    assert run.id_was_replaced
    assert (run.run_id, run.requested_run_id) == ("other", "r")


LIST = "GET /apis/v2beta1/runs"
TOKEN_REQUEST = RunRequest("r", "training", described("a test", "r"), pipeline_spec={"root": {}})


def test_a_run_whose_answer_was_lost_is_found_under_the_id_that_the_server_chose():
    other = answer({"runs": [{"run_id": "other", "description": described("a test", "r")}]})
    script = Script({POST: [UNAVAILABLE], LIST: [answer({}), other]})

    run = script.run(flows.submit_run(TOKEN_REQUEST, look_first=False, namespace="team"))

    assert (run.run_id, run.id_was_replaced) == ("other", True)
    assert script.labels.count(POST) == 1
    assert script.calls[-1].query["namespace"] == "team"


def test_the_token_of_a_run_sent_before_is_looked_up_too():
    other = answer({"runs": [{"run_id": "other", "description": described("a test", "r")}]})

    assert Script({LIST: [other]}).run(flows.submit_run(TOKEN_REQUEST)).run_id == "other"


def test_each_time_that_a_run_is_sent_is_announced_right_before():
    script = Script({POST: [UNAVAILABLE, RUN]})
    sent: list[int] = []

    script.run(flows.submit_run(REQUEST, announce=lambda: sent.append(script.labels.count(POST))))

    assert sent == [0, 1]


CONFLICT = Answer(409, body=b'{"code": 6, "message": "exists"}')
REFUSED = Answer(403, body=b'{"code": 7, "message": "may not"}')


@pytest.mark.parametrize(
    ("answers", "is_withdrawn"),
    [
        ([REFUSED], True),
        ([CONFLICT], True),
        ([Answer(404, body=b'{"code": 5, "message": "no such version"}')], True),
        ([Answer(413)], True),
        ([AuthenticationError("the token file cannot be read")], True),
        ([Answer(500)], False),
        ([UNAVAILABLE], False),
        ([UNAVAILABLE, REFUSED], False),
        ([Answer(200, {"content-type": "text/html"}, b"<html></html>")], False),
    ],
)
def test_only_what_the_server_has_refused_for_certain_is_withdrawn(answers, is_withdrawn):
    withdrawn: list[bool] = []

    with pytest.raises(ServerError):
        Script({POST: answers}).run(
            flows.submit_run(REQUEST, look_first=False, withdraw=lambda: withdrawn.append(True))
        )
    assert withdrawn == [True] * is_withdrawn


def test_a_conflict_is_not_withdrawn_where_nobody_knows_whether_there_is_a_run():
    script = Script({POST: [CONFLICT], GET: [UNAVAILABLE]})

    with pytest.raises(ConflictError):
        script.run(flows.submit_run(REQUEST, look_first=False, withdraw=pytest.fail))


def test_a_run_that_may_not_be_announced_is_not_sent():
    def refuse():
        raise PermissionError("another try has begun")

    script = Script({})

    with pytest.raises(PermissionError):
        script.run(flows.submit_run(REQUEST, look_first=False, announce=refuse))
    assert script.labels == []


@pytest.mark.parametrize("length", [0, 10, 254, 400])
def test_a_description_holds_its_token_whole_and_fits_the_server(length):
    text = described("x" * length, str(uuid.uuid4()), "0123456789abcdef")

    assert len(text) <= TEXT_LIMIT
    assert fingerprint_of(Run("r", description=text)) == "0123456789abcdef"


def test_a_version_that_exists_is_not_uploaded():
    script = Script(
        {PIPELINE: [answer({"pipeline_id": "p"})], VERSIONS: [answer({"pipeline_versions": [VERSION]})]}
    )

    assert script.run(flows.ensure_pipeline_version("etl", "abc", "root: {}")).pipeline_version_id == "v"
    assert script.labels == [PIPELINE, VERSIONS]


def test_a_new_pipeline_and_its_version_are_made():
    create = "POST /apis/v2beta1/pipelines"
    script = Script(
        {create: [answer({"pipeline_id": "p"})], VERSIONS: [answer({})], UPLOAD: [answer(VERSION)]}
    )

    version = script.run(flows.ensure_pipeline_version("etl", "abc", "root: {}", namespace="team"))

    assert version.reference.pipeline_id == "p"
    assert script.labels == [PIPELINE, create, VERSIONS, UPLOAD]
    assert script.calls[0].query == {"namespace": "team"}
    assert script.calls[1].json == {"display_name": "etl", "namespace": "team"}
    assert script.calls[3].upload.content == b"root: {}"


def test_two_that_upload_at_once_end_with_the_same_pipeline_and_version():
    create = "POST /apis/v2beta1/pipelines"
    script = Script(
        {
            PIPELINE: [NOT_FOUND, answer({"pipeline_id": "p"})],
            create: [TAKEN],
            VERSIONS: [answer({}), answer({"pipeline_versions": [VERSION]})],
            UPLOAD: [TAKEN],
        }
    )

    assert script.run(flows.ensure_pipeline_version("etl", "abc", "root: {}")).pipeline_version_id == "v"


def test_a_conflict_that_no_version_explains_is_raised():
    script = Script({PIPELINE: [answer({"pipeline_id": "p"})], VERSIONS: [answer({})], UPLOAD: [TAKEN]})

    with pytest.raises(ConflictError):
        script.run(flows.ensure_pipeline_version("etl", "abc", "root: {}"))


def test_an_experiment_is_found_made_or_found_after_a_race():
    listing, create = "GET /apis/v2beta1/experiments", "POST /apis/v2beta1/experiments"
    mine = answer(
        {
            "experiments": [
                {"experiment_id": "x", "display_name": "Mine"},
                {"experiment_id": "e", "display_name": "mine"},
            ]
        }
    )

    found = Script({listing: [mine]})
    assert found.run(flows.ensure_experiment("mine")).experiment_id == "e"
    assert found.labels == [listing]

    made = Script({listing: [answer({})], create: [answer({"experiment_id": "n"})]})
    assert made.run(flows.ensure_experiment("mine", namespace="team")).experiment_id == "n"
    assert made.calls[1].json == {"display_name": "mine", "namespace": "team"}

    raced = Script({listing: [answer({}), mine], create: [TAKEN]})
    assert raced.run(flows.ensure_experiment("mine")).experiment_id == "e"


def test_all_pages_of_a_list_are_read():
    listing = "GET /apis/v2beta1/runs"
    script = Script(
        {
            listing: [
                answer({"runs": [{"run_id": "1"}, {"run_id": "2"}], "next_page_token": "t"}),
                answer({"runs": [{"run_id": "3"}]}),
            ]
        }
    )

    runs = script.run(flows.list_all(calls.list_runs(namespace="team")))

    assert [run.run_id for run in runs] == ["1", "2", "3"]
    assert script.calls[1].query == {"namespace": "team", "page_size": "200", "page_token": "t"}


def test_the_latest_version_is_the_one_made_last():
    script = Script({VERSIONS: [answer({"pipeline_versions": [VERSION]})]})

    assert script.run(flows.latest_pipeline_version("p")).pipeline_version_id == "v"
    assert script.calls[0].query == {"sort_by": "created_at desc", "page_size": "1"}
    assert Script({VERSIONS: [answer({})]}).run(flows.latest_pipeline_version("p")) is None
