"""The secrets of a connection of type ``kfp`` are nowhere but in the requests that they are for.

Each error is provoked for real, by a proxy that demands the secrets and in its errors repeats all that it was
sent. Searched are exceptions with what stands behind them, everything that is logged at DEBUG, XComs and
rendered fields in Airflow's database, triggers and their events, and the requests' addresses and bodies.
"""

from __future__ import annotations

import asyncio
import json
import math
import socket
import uuid
from dataclasses import replace
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG

from airflow_kfp_runtime.client import ClientSettings, RunRequest, Wait, calls
from airflow_kfp_runtime.client.http import AsyncKfpClient, KfpClient
from airflow_kfp_runtime.client.metadata import read_metadata_outputs
from airflow_kfp_runtime.errors import DefinitionError, RunError, ServerError
from airflow_kfp_runtime.hooks import kfp as hooks
from airflow_kfp_runtime.hooks.kfp import KfpHook
from airflow_kfp_runtime.operators.intent import Intents
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.operators.killing import OwnRun
from airflow_kfp_runtime.operators.waiting import wait_for
from airflow_kfp_runtime.triggers import newest_try
from airflow_kfp_runtime.triggers.kfp import KfpRunTrigger
from tests.airflow_environment import HOME
from tests.fault_proxy import drop
from tests.git_server import Authority
from tests.http_server import HttpServer
from tests.secret_marks import Mark, Search, everything_logged
from tests.secret_proxy import (
    CARRIERS,
    FORMS,
    CheckingProxy,
    cut_off,
    in_grpc,
    of_a_login,
    of_a_token,
    of_a_token_file,
    redirects,
    repeats,
    too_slow,
    with_status_line,
    with_wrong_encoding,
)
from tests.test_operators_kfp import PROJECT, failing, operator, sleeping, sums

KINDS = {"token": of_a_token, "token file": of_a_token_file, "login": of_a_login}

FAULTS = {
    **{f"{status}": repeats("json", status) for status in (400, 401, 403, 404, 409, 429, 500, 502, 503, 504)},
    **{f"401 as {form}": repeats(form) for form in FORMS},
    **{f"500 as {form}": repeats(form, 500) for form in ("text", "escaped json", "a long text")},
    "login page": repeats("a page", 200),
    "login page, not escaped": repeats("an unescaped page", 200),
    "another json": repeats("another json", 200),
    "malformed json": repeats("malformed json", 200),
    "error in the log": repeats("an error in the log", 200),
    "redirect with a query": redirects("https://login.example/?token={quoted}"),
    "redirect with a path": redirects("/login/{quoted}#{quoted}"),
    "redirect with a login": redirects("https://ann:{token}@login.example/"),
    "redirect to a host": redirects("https://{quoted}/"),
    "no http": with_status_line,
    "wrong encoding": with_wrong_encoding,
    "cut off": cut_off,
    "too slow": too_slow,
    "dropped": drop(),
    "gRPC": in_grpc,
}
#: One call of each kind; ML Metadata is read by a flow.
CALLS = (
    calls.health(),
    calls.get_run("r"),
    calls.list_runs(page_size=1, namespace="team"),
    calls.create_run(RunRequest("r", "run", pipeline_spec={"root": {}})),
    calls.terminate_run("r"),
    calls.upload_pipeline_version("p", "1", "root: {}"),
    calls.read_log("r", "pod"),
)


class Scene:
    """A connection with secrets that leads to a proxy, and all that can be seen of them."""

    #: Seconds that a whole answer may take.
    call_timeout = 20.0

    def __init__(self, secrets, upstream, monkeypatch, capfd, records):
        self.secrets = secrets
        self.proxy = CheckingProxy(upstream, secrets)
        self.search = Search(*secrets.marks)
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self._records = records
        self.connect(self.proxy.url, read_timeout=10)
        read = hooks.client_settings
        # A whole answer may take minutes by default, which no field of the connection says.
        monkeypatch.setattr(
            hooks,
            "client_settings",
            lambda connection: replace(read(connection), call_timeout=self.call_timeout),
        )

    def connect(self, host, **extra):
        fields = {"conn_type": "kfp", "host": host, **self.secrets.fields}
        fields["extra"] = {**fields["extra"], **extra}
        self._monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", json.dumps(fields))

    def hurry(self):
        """Cut the pauses between attempts short."""
        for client in (KfpClient, AsyncKfpClient):
            answer = client._answer
            self._monkeypatch.setattr(
                client,
                "_answer",
                lambda self, instruction, answer=answer: answer(
                    self, Wait(0) if isinstance(instruction, Wait) else instruction
                ),
            )

    def failed(self, error):
        self.search.look_at_error("an error", error)

    def finish(self):
        """Look into all that was written meanwhile."""
        for name, line in self._records.lines:
            self.search.look(f"the log of {name}", line)
        printed = self._capfd.readouterr()
        self.search.look("what was printed", printed.out, printed.err)
        for request in self.proxy.seen:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in CARRIERS}
            self.search.look("a request", request.target, request.body, headers)
        self.proxy.__exit__()


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def records():
    with everything_logged() as records:
        yield records


@pytest.fixture
def scene(kind, tmp_path, request, monkeypatch, capfd, records):
    upstream = "http://127.0.0.1:9"
    if "kfp_server" in request.fixturenames:
        upstream = request.getfixturevalue("kfp_server").url
    scene = Scene(KINDS[kind](tmp_path), upstream, monkeypatch, capfd, records)
    yield scene
    scene.finish()
    assert scene.search.found == []
    assert not scene.proxy.without


def failures_of_each_call(hook):
    """Send each call by both clients, and return the errors."""
    with hook.client() as client:
        for call in CALLS:
            yield failure(lambda call=call: client.send(call))
        yield failure(lambda: client.run(read_metadata_outputs("r")))
    yield from asyncio.run(failures_of_async_client(hook), debug=True)


async def failures_of_async_client(hook):
    async with await hook.async_client() as client:
        return [await async_failure(client.send(call)) for call in CALLS]


def failure(send):
    try:
        send()
    except ServerError as error:
        return error
    return None


async def async_failure(sent):
    try:
        await sent
    except ServerError as error:
        return error
    return None


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_of_a_call_and_no_log_of_it_holds_a_secret(scene, fault):
    scene.proxy.fail("", "", FAULTS[fault], times=math.inf)
    scene.call_timeout = 0.2 if fault == "too slow" else scene.call_timeout

    errors = [error for error in failures_of_each_call(KfpHook()) if error is not None]

    # Some answers of 200 are right ones for some calls.
    assert errors
    for error in errors:
        scene.failed(error)
    assert len(scene.proxy.seen) == 2 * len(CALLS) + 1
    hook = KfpHook()
    works, said = hook.test_connection()
    # Which are answers of 200 that are none of KFP's errors.
    assert not works or fault in ("error in the log", "gRPC")
    with hook.client() as client:
        scene.search.look("a representation", repr(hook), repr(hook.settings), repr(client))
    scene.search.look("what testing the connection says", said)


@pytest.fixture(scope="module")
def https(tmp_path_factory):
    server = HttpServer(Authority.create(tmp_path_factory.mktemp("authority")))
    yield server
    server.stop()


@pytest.mark.parametrize("fault", ["nobody is there", "no such host", "no answer", "untrusted", "no TLS"])
def test_no_error_of_a_connection_and_no_log_of_it_holds_a_secret(scene, https, fault):
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = {
            "nobody is there": f"http://127.0.0.1:{taken.getsockname()[1]}",
            "no such host": "http://kfp.invalid",
            "no answer": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "untrusted": https.url(""),
            "no TLS": scene.proxy.url.replace("http:", "https:"),
        }[fault]
        scene.connect(host, read_timeout=0.05, connect_timeout=2)

        errors = list(failures_of_each_call(KfpHook()))

    assert None not in errors
    for error in errors:
        scene.failed(error)
    scene.search.look("what testing the connection says", KfpHook().test_connection())
    assert https.requests == []


WRONG_FIELDS = {
    "a login in the address": lambda mark: {"host": f"https://ann:{mark}@kfp.example"},
    "a login with a slash": lambda mark: {"host": f"https://ann:pass/{mark}@kfp.example"},
    "a login without a scheme": lambda mark: {"host": f"ann:{mark}@kfp.example", "port": 8888},
    "a login with a wrong port": lambda mark: {"host": f"https://ann:{mark}@kfp.example:port", "port": 1},
    "a login with a bracket": lambda mark: {"host": f"https://ann:[{mark}@kfp.example", "port": 1},
    "a login that is not normal": lambda mark: {"host": f"https://ann:{mark}\u2100@kfp.example", "port": 1},
    "a login behind another": lambda mark: {"host": f"https://ann:{mark}@kfp.example/a://b"},
    "a token in the address": lambda mark: {"host": f"https://kfp.example?token={mark}"},
    "a login in the dashboard's": lambda mark: {"extra": {"ui_url": f"https://ann:{mark}@kfp.example"}},
    "a login in ML Metadata's": lambda mark: {"extra": {"metadata_url": f"https://ann:{mark}@kfp.example"}},
    "headers that are none": lambda mark: {"extra": {"headers": f"authorization: {mark}"}},
    "headers as a list": lambda mark: {"extra": {"headers": [mark]}},
    "a cookie without a name": lambda mark: {"extra": {"cookie": mark.replace("=", "")}},
    "another field": lambda mark: {"password": mark, "extra": {"api_key": mark, "verify": "perhaps"}},
    "a token with a file": lambda mark: {"password": mark, "extra": {"token_file": "/token"}},
    "another type": lambda mark: {"conn_type": "http", "password": mark},
    "a wrong time-out": lambda mark: {"password": mark, "extra": {"read_timeout": "soon"}},
    "no host": lambda mark: {"host": "", "password": mark},
}


@pytest.mark.parametrize("fields", WRONG_FIELDS)
def test_what_is_wrong_with_a_connection_is_said_without_its_secrets(fields, monkeypatch, records, capfd):
    mark = Mark(fields)
    search = Search(mark)
    connection = {"conn_type": "kfp", "host": "http://kfp.example", **WRONG_FIELDS[fields](mark.value)}
    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", json.dumps(connection))

    with pytest.raises(DefinitionError) as refused:
        _ = KfpHook().settings
    works, said = KfpHook().test_connection()

    assert not works
    search.look_at_error("an error", refused.value)
    search.look("what testing the connection says", said)
    search.look("a log", *(line for _, line in records.lines), *capfd.readouterr())
    (event,) = asyncio.run(events_of(KfpRunTrigger("r", poll_interval=0.05)), debug=True)
    assert event["status"] == "lost"
    search.look("an event", event)
    assert search.found == []


@pytest.mark.parametrize("value", ["{mark}\nx-more: 1", "{mark}\x00", "\udcff{mark}"])
@pytest.mark.parametrize("where", ["token", "header", "cookie"])
def test_a_secret_that_http_cannot_carry_is_not_shown(where, value, monkeypatch, records):
    mark = Mark(where)
    secret = value.format(mark=mark.core)
    settings = ClientSettings(
        "http://127.0.0.1:9",
        token=secret if where == "token" else None,
        headers={"x-api-key": secret} if where == "header" else {},
        cookies={"session": secret} if where == "cookie" else {},
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = replace(settings, host=f"http://127.0.0.1:{server.getsockname()[1]}", read_timeout=0.1)
        with KfpClient(settings) as client, pytest.raises(ServerError) as refused:
            client.send(calls.get_run("r"))

    search = Search(mark)
    search.look_at_error("an error", refused.value)
    search.look("a log", *(line for _, line in records.lines))
    assert search.found == []


@pytest.fixture
def dag():
    return DAG(f"secrets-{uuid.uuid4().hex[:8]}", schedule=None, params={"n": 3})


@pytest.fixture
def tasks(scene, dag, run_dag, kfp_server):
    """Run the task of the DAG, and look into all that is left of it."""

    def run():
        result = run_dag(dag)
        for error in result.errors.values():
            scene.failed(error)
        task = dag.get_task("run_it")
        scene.search.look("an operator", repr(task), *(getattr(task, name) for name in task.template_fields))
        assert scene.search.look_at_files(*HOME.glob("airflow.db*")) >= 1
        assert scene.proxy.seen
        return result

    return run


on_worker_and_triggerer = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "triggerer"])
RUN = "/runs/[^/:]+$"


@on_worker_and_triggerer
def test_a_task_that_succeeds_leaves_no_secret_behind(scene, dag, tasks, deferrable):
    operator(dag, workflow=sums, arguments={"n": "{{ params.n }}"}, deferrable=deferrable, max_outage=5)
    dag.render_template_as_native_obj = True

    assert tasks().states == {"run_it": "success"}


@pytest.mark.parametrize("kind", ["token"], indirect=True)
@on_worker_and_triggerer
@pytest.mark.parametrize("ending", ["failed", "timed out", "stalled"])
def test_a_run_that_does_not_succeed_leaves_no_secret_behind(scene, dag, tasks, deferrable, ending):
    options = {
        "failed": {"workflow": failing},
        "timed out": {"workflow": sleeping, "timeout": 0.5},
        "stalled": {"workflow": sleeping, "stall_timeout": 0.5},
    }[ending]
    operator(dag, deferrable=deferrable, max_outage=5, **options)

    assert tasks().states == {"run_it": "failed"}


@pytest.mark.parametrize("kind", ["token"], indirect=True)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
@pytest.mark.parametrize("path", ["/runs$", RUN])
def test_a_refused_submission_leaves_no_secret_behind(scene, dag, tasks, status, path):
    scene.hurry()
    scene.proxy.fail("" if path == RUN else "POST", path, repeats("json", status), times=math.inf)
    operator(dag, workflow=sums, arguments={"n": 1}, max_outage=1)

    states = tasks().states

    # A look that finds no run is the way to one; a name that is taken is that of another submission.
    assert states == {"run_it": "failed"} or status == 404


@pytest.mark.parametrize("kind", ["token"], indirect=True)
@on_worker_and_triggerer
@pytest.mark.parametrize("status", [401, 404, 503])
def test_an_outage_while_a_run_is_waited_for_leaves_no_secret_behind(scene, dag, tasks, deferrable, status):
    scene.hurry()
    # The first look is that of the submission.
    scene.proxy.fail("GET", RUN, repeats("json", status), after=1, times=math.inf)
    scene.proxy.fail("GET", "/runs$", repeats("json", status), times=math.inf)
    operator(dag, workflow=sums, arguments={"n": 1}, deferrable=deferrable, max_outage=0.3)

    assert tasks().states == {"run_it": "failed"}


@pytest.mark.parametrize("kind", ["token"], indirect=True)
@pytest.mark.parametrize("fault", [repeats("text", 403), in_grpc], ids=["403", "gRPC"])
def test_outputs_that_cannot_be_read_leave_no_secret_behind(scene, dag, tasks, fault):
    scene.hurry()
    scene.proxy.fail("POST", "/ml_metadata", fault, times=math.inf)
    scene.proxy.fail("GET", "/apis/v1beta1/", repeats("text", 403), times=math.inf)
    operator(dag, workflow=sums, arguments={"n": 1}, max_outage=5)

    tasks()

    assert scene.proxy.sent("POST", "/ml_metadata")


@pytest.mark.parametrize("kind", ["token"], indirect=True)
@pytest.mark.parametrize("path", [RUN, ":terminate$"])
def test_a_run_that_cannot_be_terminated_is_reported_without_a_secret(scene, path, monkeypatch):
    scene.hurry()
    scene.proxy.fail("", path, repeats("json", 403), times=math.inf)
    monkeypatch.setattr(newest_try, "state_of", lambda _: "failed")
    killed = KfpPipelineOperator(task_id="run_it", workflow=sleeping, project=PROJECT)
    task, run_id = SimpleNamespace(try_number=1, max_tries=0), str(uuid.uuid4())
    killed._own = OwnRun(task, Intents(None, ""), KfpHook(), run_id)
    trigger = KfpRunTrigger(run_id)
    trigger.task_instance = SimpleNamespace(task_id="t", dag_id="d", run_id="r", map_index=-1)

    killed.on_kill()
    seen_by_worker = len(scene.proxy.seen)
    asyncio.run(trigger._end_abandoned_run(), debug=True)

    assert 0 < seen_by_worker < len(scene.proxy.seen)
    scene.search.look("an operator", repr(killed))


@pytest.mark.parametrize("fault", ["401", "403", "503", "500 as a long text", "login page", "no http"])
def test_what_a_trigger_stores_and_sends_holds_no_secret(scene, fault):
    scene.proxy.fail("", "", FAULTS[fault], times=math.inf)
    trigger = KfpRunTrigger(str(uuid.uuid4()), poll_interval=0.05, max_outage=0.2)

    (event,) = asyncio.run(events_of(trigger), debug=True)

    assert event["status"] == "lost"
    assert scene.proxy.seen
    scene.search.look("a trigger", trigger.serialize(), repr(trigger), vars(trigger))
    scene.search.look("an event", json.dumps(event))
    pushed = []
    task = SimpleNamespace(
        task_id="t",
        map_index=-1,
        try_number=1,
        max_tries=0,
        xcom_pull=lambda **_: None,
        xcom_push=lambda **pair: pushed.append(pair),
    )
    resumed = KfpPipelineOperator(task_id="run_it", pipeline="x")
    with pytest.raises(RunError, match=event["run_id"]) as raised:
        resumed.execute_complete({"ti": task}, event)
    scene.failed(raised.value)
    scene.search.look("an XCom", pushed)


async def events_of(trigger):
    return [event.payload async for event in trigger.run()]


@pytest.mark.parametrize("kind", ["token"], indirect=True)
def test_a_run_that_was_deleted_is_reported_without_a_secret(scene, dag, tasks, monkeypatch):
    def deleted(client, run_id, *rest):
        client.send(calls.terminate_run(run_id))
        client.send(calls.delete_run(run_id))
        scene.proxy.fail("GET", RUN, repeats("json", 404), times=math.inf)
        return wait_for(client, run_id, *rest)

    monkeypatch.setattr("airflow_kfp_runtime.operators.kfp.wait_for", deleted)
    operator(dag, workflow=sleeping, max_outage=5)

    assert tasks().states == {"run_it": "failed"}
