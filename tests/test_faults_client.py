"""Each fault on each call of a task's life: one run, and its result or the true error.

The faults are real ones, between the client and the embedded API; the waits of the flows are cut short.
"""

import json
import math
import uuid

import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient, Wait, calls
from airflow_kfp_runtime.client.ending import end_submitted
from airflow_kfp_runtime.client.generations import Search
from airflow_kfp_runtime.client.patience import patiently
from airflow_kfp_runtime.client.watch import Policy, Progress, Verdict, decide
from airflow_kfp_runtime.compiler import PipelinePackage
from airflow_kfp_runtime.errors import (
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    ServerUnavailableError,
)
from airflow_kfp_runtime.operators.identity import TaskIdentity
from airflow_kfp_runtime.operators.intent import Intents
from airflow_kfp_runtime.operators.outcome import read_results
from airflow_kfp_runtime.operators.preparation import prepare
from airflow_kfp_runtime.operators.submission import Submission, send
from tests.embedded_api import Api, pipeline_spec, run_tasks
from tests.fault_proxy import (
    FaultProxy,
    answers,
    delayed,
    drop,
    duplicated,
    malformed,
    page,
    refuses,
    slow,
    truncated,
)

RUN = "/runs/[^/:]+$"
#: The calls of a task's life: method, path, and how many of this kind come before it.
CALLS = {
    "look for an earlier run": ("GET", RUN, 0),
    "look for the pipeline": ("GET", "/pipelines/names/", 0),
    "create the pipeline": ("POST", "/pipelines$", 0),
    "look for the version": ("GET", "/versions$", 0),
    "upload the version": ("POST", "/upload_version$", 0),
    "look for the experiment": ("GET", "/experiments$", 0),
    "create the experiment": ("POST", "/experiments$", 0),
    "create the run": ("POST", "/runs$", 0),
    "poll": ("GET", RUN, 1),
    "read the run for its outputs": ("GET", RUN, 2),
    "read the pipeline for its outputs": ("GET", "/versions/[^/]+$", 0),
    "read the outputs": ("GET", "/tasks$", 0),
}
FAULTS = {
    "dropped": lambda acted: drop(acted=acted),
    "429": lambda acted: answers(429, b"slow down", acted=acted, Retry_After="3"),
    "502": lambda acted: page(502, acted=acted),
    "503": lambda acted: refuses(503, 14, "unavailable", acted=acted),
    "504": lambda acted: answers(504, b"upstream timed out", acted=acted),
    "malformed": lambda acted: malformed(acted=acted),
    "too late": lambda acted: delayed(0.25, acted=acted),
}
#: Faults of an answer, which the server has always acted for.
FAULTS_AFTER = {
    "truncated": truncated,
    "dripping": slow(0.05),
    "login page": page(acted=True),
}
READS = [name for name, (method, _, _) in CALLS.items() if method == "GET"]


class HastyClient(KfpClient):
    """A client that waits for a moment only, if longer than what is "too late" comes after its time-out."""

    def _answer(self, instruction):
        if isinstance(instruction, Wait):
            return super()._answer(Wait(min(instruction.seconds, 0.1)))
        return super()._answer(instruction)


class Task:
    """A task that runs a pipeline of its own, through a proxy."""

    def __init__(self, api, proxy, **settings):
        self.api = api
        self.name = f"p{uuid.uuid4().hex}"
        fast = {"read_timeout": 0.2, "call_timeout": 0.2} | settings
        self.client = HastyClient(ClientSettings(proxy.url, **fast))

    def run(self):
        """Do what the operator does, and return the outputs."""
        with self.client as client:
            return self._completed(self._submitted(client), client)

    def _submitted(self, client):
        submission = Submission(
            search=Search(TaskIdentity("kfp", self.name, "manual", "task", -1, 0).run_id, is_retry=False),
            connection="kfp",
            pipeline=PipelinePackage.load(pipeline_spec(self.name)),
            arguments={},
            run_name=self.name,
            description="A task",
            experiment=self.name,
        )
        prepared = client.run(patiently(prepare(submission)))
        run = client.run(patiently(send(prepared, submission, Intents(None, "key"))))
        outputs = {"parameters": {"loss": 0.5}, "artifacts": {}}
        self.api.finished(run.run_id, *run_tasks(run.run_id, outputs=outputs))
        return run.run_id

    def _completed(self, run_id, client):
        progress, now = Progress(), 1000.0
        while True:
            try:
                look = client.send(calls.get_run(run_id))
            except ServerError as error:
                look = error
            decision = decide(Policy(), progress, look, now)
            if decision.ending:
                break
            progress, now = decision.progress, now + decision.delay
        if decision.ending.verdict is not Verdict.SUCCEEDED:
            raise look
        return client.run(patiently(read_results(run_id))).tasks

    @property
    def runs(self):
        rows = self.api.get("/runs", sort_by="created_at desc").json().get("runs", [])
        return [row for row in rows if row["display_name"] == self.name]


RESULT = {"train": {"loss": 0.5}}


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    made = Api(tmp_path_factory.mktemp("api"), next_api=True)
    yield made
    made.close()


@pytest.fixture
def proxy(api):
    with FaultProxy(api.url) as made:
        yield made


def fail(proxy, call, fault, times=1):
    method, path, after = CALLS[call]
    proxy.fail(method, path, fault, after=after, times=times)


def test_a_task_without_faults_makes_each_call_once(api, proxy):
    assert Task(api, proxy).run() == RESULT
    for method, path, _ in CALLS.values():
        assert proxy.sent(method, path) == (3 if path == RUN else 1)


@pytest.mark.parametrize("acted", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_a_fault_that_passes_is_ridden_out(api, proxy, call, fault, acted):
    fail(proxy, call, FAULTS[fault](acted))
    task = Task(api, proxy)

    assert task.run() == RESULT
    assert len(task.runs) == 1
    assert proxy.reached("POST", "/runs$") == 1


@pytest.mark.parametrize("fault", FAULTS_AFTER)
@pytest.mark.parametrize("call", CALLS)
def test_an_answer_that_is_lost_on_its_way_is_no_loss(api, proxy, call, fault):
    fail(proxy, call, FAULTS_AFTER[fault])
    task = Task(api, proxy)

    assert task.run() == RESULT
    assert len(task.runs) == 1
    assert proxy.reached("POST", "/runs$") == 1


@pytest.mark.parametrize("call", [*READS, "create the run"])
def test_a_500_to_what_was_done_or_read_is_no_loss(api, proxy, call):
    fail(proxy, call, refuses(500, 13, "lost", acted=True))
    task = Task(api, proxy)

    assert task.run() == RESULT
    assert len(task.runs) == 1
    assert proxy.reached("POST", "/runs$") == 1


@pytest.mark.parametrize("call", [name for name in CALLS if name != "create the run"])
def test_a_request_that_arrives_twice_changes_nothing(api, proxy, call):
    fail(proxy, call, duplicated)
    task = Task(api, proxy)

    assert task.run() == RESULT
    assert len(task.runs) == 1


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (refuses(400, 3, "unknown field"), InvalidRequestError),
        (refuses(403, 7, "denied"), PermissionDeniedError),
        (refuses(404, 5, "no such experiment"), NotFoundError),
        (refuses(500, 13, "the workflow is too large"), ServerError),
    ],
)
def test_a_refused_run_fails_at_once_with_what_the_server_says(api, proxy, refusal, kind):
    fail(proxy, "create the run", refusal, math.inf)
    task = Task(api, proxy)

    with pytest.raises(kind) as raised:
        task.run()
    assert raised.value.message in (
        "unknown field",
        "denied",
        "no such experiment",
        "the workflow is too large",
    )
    assert proxy.sent("POST", "/runs$") == 1
    assert task.runs == []


@pytest.mark.parametrize("call", READS)
def test_a_denied_read_is_asked_once(api, proxy, call):
    method, path, after = CALLS[call]
    fail(proxy, call, refuses(403, 7, "denied"), math.inf)

    with pytest.raises(PermissionDeniedError, match="denied"):
        Task(api, proxy).run()
    assert proxy.sent(method, path) == after + 1


def test_a_run_that_was_deleted_is_an_error_that_says_so(api, proxy):
    fail(proxy, "poll", refuses(404, 5, "run not found"), math.inf)

    with pytest.raises(NotFoundError, match="run not found"):
        Task(api, proxy).run()


def test_a_server_that_stays_away_is_the_error_in_the_end(api, proxy):
    fail(proxy, "look for the pipeline", drop(), math.inf)
    task = Task(api, proxy)

    with pytest.raises(ServerUnavailableError, match="broke"):
        task.run()
    assert task.runs == []


@pytest.mark.parametrize("call", CALLS)
def test_a_token_that_is_renewed_meanwhile_is_taken_at_the_401(api, proxy, tmp_path, call):
    file = tmp_path / "token"
    file.write_text("old")

    def renew(request):
        assert request.headers["authorization"] == "Bearer old"
        file.write_text("new")
        return refuses(401, 16, "expired")(request)

    fail(proxy, call, renew)
    task = Task(api, proxy, token_file=str(file))

    assert task.run() == RESULT
    assert len(task.runs) == 1


def test_a_token_that_stays_wrong_is_an_error_with_no_run(api, proxy, tmp_path):
    file = tmp_path / "token"
    file.write_text("old")
    proxy.fail("", "", refuses(401, 16, "expired"), times=math.inf)
    task = Task(api, proxy, token_file=str(file))

    with pytest.raises(AuthenticationError, match="expired"):
        task.run()
    assert proxy.ledger == []


@pytest.mark.parametrize("acted", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", [("GET", RUN), ("POST", ":terminate$")], ids=["look", "terminate"])
def test_a_run_is_terminated_once_through_a_fault(api, proxy, call, fault, acted):
    made = api.run().json()["run_id"]
    proxy.fail(*call, FAULTS[fault](acted))
    with HastyClient(ClientSettings(proxy.url, read_timeout=0.2)) as client:
        assert client.run(end_submitted(made))

    states = [entry["state"] for entry in api.get(f"/runs/{made}").json()["state_history"]]
    assert states == ["PENDING", "CANCELING"]


def test_a_run_is_found_by_its_token_where_the_server_chose_its_id(api, proxy):
    def under_an_id_of_its_own(request):
        api.post("/runs", json.loads(request.body) | {"run_id": str(uuid.uuid4())})

    proxy.fail("POST", "/runs$", under_an_id_of_its_own)
    task = Task(api, proxy)

    assert task.run() == RESULT
    assert len(task.runs) == 1
    assert proxy.sent("POST", "/runs$") == 1
