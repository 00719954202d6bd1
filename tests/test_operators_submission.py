"""One run for each piece of work, whatever the server answers and whenever a try ends, in DAGs that run."""

from __future__ import annotations

import inspect
import json
import logging
import uuid
from dataclasses import replace
from datetime import timedelta
from math import inf
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException, AirflowSkipException

from airflow_kfp_runtime.client import KfpClient, RunRequest, calls, flows
from airflow_kfp_runtime.client.fate import Fate, fate_of
from airflow_kfp_runtime.client.models import Run, RunState
from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.errors import RunError, RunFailedError, SourceError
from airflow_kfp_runtime.operators.intent import Intents
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.operators.preparation import fingerprint_of_work
from airflow_kfp_runtime.project import Project
from tests.fault_proxy import (
    FaultProxy,
    Request,
    answers,
    delayed,
    drop,
    malformed,
    page,
    refuses,
    truncated,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fault_proxy import Reply

RUNS = "/apis/v2beta1/runs$"

CODE = """
def count(folder: str) -> int:
    with open(f"{folder}/count", "a") as file:
        file.write(".")
    return 1

def fail_once(folder: str, number: int) -> int:
    import os
    try:
        os.mkdir(f"{folder}/failed")
    except FileExistsError:
        return number + 1
    raise RuntimeError("the first time")

def echo(text: str) -> str:
    return text
"""

PROJECT = Project("tests")
for name in ("count", "fail_once", "echo"):
    PROJECT.new_function(name, kind="python", code=CODE, handler=name)
PROJECT.new_function("nap", kind="container", image="alpine", command=["sleep", "3"])
PROJECT.new_function("sleep", kind="container", image="alpine", command=["sleep", "300"])


def echoing(text: str):
    with pipeline_context() as pc:
        pc.step("say", function="echo", inputs={"text": text}, values=["said"])


def sleeping(text: str = ""):
    with pipeline_context() as pc:
        pc.step("long_nap", function="sleep")


def napping():
    with pipeline_context() as pc:
        pc.step("short_nap", function="nap")


def failing_once(folder: str):
    with pipeline_context() as pc:
        counted = pc.step("count_it", function="count", inputs={"folder": folder}, values=["one"])
        pc.step(
            "fail_it",
            function="fail_once",
            inputs={"folder": folder, "number": counted.outputs["one"]},
            values=["two"],
        )


@pytest.fixture
def dag():
    """An empty DAG with a name of its own."""
    return DAG(f"dag-{uuid.uuid4().hex[:8]}", schedule=None)


@pytest.fixture
def proxy(kfp_client, kfp_server, monkeypatch):
    """The server behind a proxy, to which the connection leads; a request may take a second."""
    with FaultProxy(kfp_server.url) as proxy:
        connection = {"conn_type": "kfp", "host": proxy.url, "extra": {"read_timeout": 1}}
        monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", json.dumps(connection))
        yield proxy


@pytest.fixture(params=[True, False], ids=["with a state store", "without a state store"])
def state_store(request, monkeypatch):
    """Airflow 3.3, and as it was before."""
    if not request.param:
        monkeypatch.setattr(Intents, "of", lambda *_: Intents(None, ""))


@pytest.fixture
def log(capsys, caplog):
    """What the tasks logged: Airflow 3.0 does it by logging, later ones print it themselves."""
    caplog.set_level(logging.INFO)
    return lambda: capsys.readouterr().out + caplog.text


def operator(dag: DAG, workflow: object, **arguments: Any) -> KfpPipelineOperator:
    return KfpPipelineOperator(
        task_id="run_it",
        dag=dag,
        workflow=workflow,
        project=PROJECT,
        poll_interval=0.1,
        retry_delay=timedelta(0),
        **arguments,
    )


def runs_of(client: KfpClient, dag: DAG) -> list[Run]:
    runs = client.run(flows.list_all(calls.list_runs()))
    return [run for run in runs if dag.dag_id in run.display_name]


def without_its_id(request: Request) -> Request:
    body = json.loads(request.body)
    del body["run_id"]
    return replace(request, body=json.dumps(body).encode())


def ignoring_ids(request: Request) -> Reply:
    """What a server does that chooses the ids of runs itself."""
    return without_its_id(request).forward()


def crash_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first try end right after the server has answered, with nothing kept of the answer."""
    crashes = [MemoryError("the worker was killed")]
    confirm = Intents.confirm

    def confirm_or_crash(*arguments: Any) -> None:
        if crashes:
            raise crashes.pop()
        confirm(*arguments)

    monkeypatch.setattr(Intents, "confirm", confirm_or_crash)


UNCLEAR = {
    "no answer": drop(acted=True),
    "a 500": refuses(500, 13, "the database is busy", acted=True),
    "a proxy's 502": page(502, acted=True),
    "a 503": refuses(503, 14, "Kubernetes does not answer", acted=True),
    "a 504": answers(504, acted=True),
    "a time-out": delayed(3, acted=True),
    "half an answer": truncated,
    "malformed JSON": malformed(acted=True),
    "a login page": page(200, acted=True),
}


@pytest.mark.parametrize("honours_ids", [True, False], ids=["server takes ids", "server chooses ids"])
@pytest.mark.parametrize("fault", UNCLEAR.values(), ids=UNCLEAR)
def test_an_unclear_answer_to_a_submission_leaves_one_run(
    dag, run_dag, proxy, kfp_client, fault, honours_ids
):
    proxy.fail("POST", RUNS, fault if honours_ids else lambda request: fault(without_its_id(request)))
    operator(dag, echoing, arguments={"text": "once"})

    result = run_dag(dag)

    assert result.errors == {}
    assert result.xcom("run_it") == {"say": {"said": "once"}}
    (run,) = runs_of(kfp_client, dag)
    assert result.xcom("run_it", "kfp_run")["run_id"] == run.run_id
    assert proxy.reached("POST", RUNS) == 1


def test_a_submission_that_never_reached_the_server_is_sent_again(dag, run_dag, proxy, kfp_client):
    proxy.fail("POST", RUNS, drop())
    operator(dag, echoing, arguments={"text": "once"})

    assert run_dag(dag).errors == {}
    assert len(runs_of(kfp_client, dag)) == 1


def test_a_retry_does_not_wait_for_a_run_that_the_server_has_refused(dag, run_dag, proxy, kfp_client, log):
    proxy.fail("POST", RUNS, refuses(403, 7, "may not create runs"))
    operator(dag, echoing, arguments={"text": "once"}, retries=1)

    result = run_dag(dag)

    assert result.states == {"run_it": "success"}
    assert len(runs_of(kfp_client, dag)) == 1
    lines = log()
    assert "New run, generation 0: there is none of an earlier try to go on with" in lines
    assert "has announced run" not in lines


@pytest.mark.usefixtures("state_store")
@pytest.mark.parametrize("honours_ids", [True, False], ids=["server takes ids", "server chooses ids"])
def test_a_retry_after_a_crash_finds_the_run_under_whichever_id(
    dag, run_dag, proxy, kfp_client, monkeypatch, honours_ids
):
    if not honours_ids:
        proxy.fail("POST", RUNS, ignoring_ids, times=inf)
    crash_once(monkeypatch)
    operator(dag, echoing, arguments={"text": "once"}, retries=1)

    result = run_dag(dag)

    assert result.states == {"run_it": "success"}
    assert result.xcom("run_it") == {"say": {"said": "once"}}
    assert len(runs_of(kfp_client, dag)) == 1


@pytest.mark.usefixtures("state_store")
def test_a_server_that_chooses_ids_gets_one_run_for_each_generation(
    dag, run_dag, proxy, kfp_client, tmp_path
):
    proxy.fail("POST", RUNS, ignoring_ids, times=inf)
    operator(dag, failing_once, arguments={"folder": str(tmp_path)}, retries=2)

    assert run_dag(dag).states == {"run_it": "success"}

    assert sorted(run.state for run in runs_of(kfp_client, dag)) == [RunState.FAILED, RunState.SUCCEEDED]


def test_a_retry_resumes_a_failed_run_and_keeps_its_finished_steps(dag, run_dag, kfp_client, tmp_path):
    operator(dag, failing_once, arguments={"folder": str(tmp_path)}, retries=1, on_retry="resume")

    result = run_dag(dag)

    assert result.xcom("run_it") == {"count_it": {"one": 1}, "fail_it": {"two": 2}}
    (run,) = runs_of(kfp_client, dag)
    assert run.state is RunState.SUCCEEDED
    assert (tmp_path / "count").read_text() == "."


def test_where_the_server_does_not_resume_a_run_a_new_one_is_started(
    dag, run_dag, proxy, kfp_client, tmp_path
):
    proxy.fail("POST", ":retry$", refuses(403, 7, "may not retry"))
    operator(dag, failing_once, arguments={"folder": str(tmp_path)}, retries=1, on_retry="resume")

    assert run_dag(dag).states == {"run_it": "success"}
    assert len(runs_of(kfp_client, dag)) == 2


def test_the_error_of_a_failed_run_says_what_a_retry_does(dag, run_dag, kfp_client, tmp_path):
    operator(dag, failing_once, arguments={"folder": str(tmp_path)}, on_retry="resume")

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, RunFailedError)
    assert "A retry of the task resumes it" in str(error)


def test_a_retry_waits_as_long_again_for_a_run_that_was_left_at_its_deadline(dag, run_dag, kfp_client):
    operator(dag, napping, timeout=1.5, on_timeout="leave", retries=3)

    assert run_dag(dag).states == {"run_it": "success"}
    assert len(runs_of(kfp_client, dag)) == 1


def changing(dag: DAG, on_change: str, workflow: object) -> KfpPipelineOperator:
    arguments = {"text": "{{ ti.try_number }}"}
    return operator(dag, workflow, arguments=arguments, retries=1, on_change=on_change)


def test_a_changed_run_is_replaced_by_a_new_one(dag, run_dag, kfp_client, monkeypatch):
    crash_once(monkeypatch)
    changing(dag, "new", echoing)

    result = run_dag(dag)

    assert result.xcom("run_it") == {"say": {"said": "2"}}
    assert len(runs_of(kfp_client, dag)) == 2


def test_a_changed_run_that_goes_on_is_terminated_first(dag, run_dag, kfp_client, monkeypatch):
    crash_once(monkeypatch)
    task = changing(dag, "new", sleeping)
    task.wait_for_completion = False

    assert run_dag(dag).states == {"run_it": "success"}

    fates = {run.runtime_config.parameters["text"]: fate_of(run) for run in runs_of(kfp_client, dag)}
    going_on = [run for run in runs_of(kfp_client, dag) if run.state is RunState.RUNNING]
    for run in going_on:
        kfp_client.send(calls.terminate_run(run.run_id))
    assert fates["2"] is Fate.GOING_ON
    assert [run.runtime_config.parameters["text"] for run in going_on] in ([], ["2"])


def test_a_changed_run_is_gone_on_with_where_the_user_says_so(dag, run_dag, kfp_client, monkeypatch):
    crash_once(monkeypatch)
    changing(dag, "attach", echoing)

    result = run_dag(dag)

    assert result.xcom("run_it") == {"say": {"said": "1"}}
    assert len(runs_of(kfp_client, dag)) == 1


def test_a_changed_run_fails_the_task_where_the_user_says_so(dag, run_dag, kfp_client, monkeypatch):
    crash_once(monkeypatch)
    changing(dag, "fail", echoing)

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, RunError)
    assert "another pipeline or other arguments" in str(error)
    assert len(runs_of(kfp_client, dag)) == 1


class WorksOnce:
    """A handler that raises from its second call on."""

    def __init__(self, handler: Any, problem: Exception) -> None:
        self.handlers = [handler]
        self.problem = problem
        self.__signature__ = inspect.signature(handler)
        self.__name__ = handler.__name__

    def __call__(self, *arguments: Any, **named: Any) -> None:
        if not self.handlers:
            raise self.problem
        self.handlers.pop()(*arguments, **named)


def losing_its_handler(dag: DAG, problem: Exception, **arguments: Any) -> KfpPipelineOperator:
    given = {"arguments": {"text": "once"}, "retries": 1, **arguments}
    return operator(dag, WorksOnce(echoing, problem), **given)


@pytest.mark.usefixtures("state_store")
@pytest.mark.parametrize(
    "problem", [SourceError("the repository is gone"), KeyError("gone"), AirflowNotFoundException("gone")]
)
def test_a_retry_goes_on_with_a_run_whose_pipeline_cannot_be_made_any_longer(
    dag, run_dag, kfp_client, monkeypatch, problem
):
    crash_once(monkeypatch)
    losing_its_handler(dag, problem)

    result = run_dag(dag)

    assert result.states == {"run_it": "success"}
    assert result.xcom("run_it") == {"say": {"said": "once"}}
    assert len(runs_of(kfp_client, dag)) == 1


@pytest.mark.parametrize("losing", ["its handler", "its project"])
def test_a_run_is_found_on_the_connection_of_a_project_whose_work_cannot_be_made(
    dag, run_dag, kfp_client, kfp_server, monkeypatch, losing
):
    connection = json.dumps({"conn_type": "kfp", "host": kfp_server.url})
    monkeypatch.delenv("AIRFLOW_CONN_KFP_DEFAULT")
    monkeypatch.setenv("AIRFLOW_CONN_OF_THE_PROJECT", connection)
    crash_once(monkeypatch)
    project = Project("gone", connections={"kfp": "of_the_project"})
    project.new_function("echo", kind="python", code=CODE, handler="echo")
    left = [project]

    def load(*_: Any, **__: Any) -> Project:
        if not left:
            raise SourceError("the project is gone")
        return left.pop()

    monkeypatch.setattr(Project, "load", load)
    task = losing_its_handler(dag, SourceError("gone"))
    task.project = project if losing == "its handler" else "project.yaml"

    assert run_dag(dag).states == {"run_it": "success"}
    assert len(runs_of(kfp_client, dag)) == 1


def test_the_log_says_why_the_pipeline_could_not_be_made_and_that_a_change_is_not_known(
    dag, run_dag, kfp_client, monkeypatch, log
):
    crash_once(monkeypatch)
    losing_its_handler(dag, SourceError("the repository is gone"))

    run_dag(dag)

    warning = next(line for line in log().splitlines() if "cannot be made" in line)
    assert "SourceError: the repository is gone. " in warning
    assert "whether pipeline or arguments have changed since is not known" in warning


def test_a_retry_goes_on_with_a_run_whose_pipeline_the_server_has_no_longer(
    dag, run_dag, kfp_client, monkeypatch
):
    package = compile_handler(echoing, project=PROJECT, name=f"deleted-{uuid.uuid4().hex[:8]}")
    version = kfp_client.run(flows.ensure_pipeline_version(package.name, "v1", package.to_json()))
    confirm = Intents.confirm
    crashes = [MemoryError("the worker was killed")]

    def delete_and_crash(*arguments: Any) -> None:
        if crashes:
            kfp_client.send(calls.delete_pipeline_version(version.pipeline_id, version.pipeline_version_id))
            raise crashes.pop()
        confirm(*arguments)

    monkeypatch.setattr(Intents, "confirm", delete_and_crash)
    KfpPipelineOperator(
        task_id="run_it",
        dag=dag,
        pipeline=package.name,
        arguments={"text": "once"},
        poll_interval=0.1,
        retries=1,
        retry_delay=timedelta(0),
    )

    assert run_dag(dag).states == {"run_it": "success"}
    assert len(runs_of(kfp_client, dag)) == 1


@pytest.mark.parametrize("on_change", ["new", "fail"])
def test_an_error_of_the_pipeline_stands_where_there_is_no_run_to_go_on_with(
    dag, run_dag, kfp_client, monkeypatch, on_change
):
    if on_change == "fail":
        crash_once(monkeypatch)
        losing_its_handler(dag, KeyError("gone"), on_change="fail")
    else:
        handler = WorksOnce(echoing, KeyError("gone"))
        handler.handlers.clear()
        operator(dag, handler, arguments={"text": "never"}, retries=1)

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, KeyError)
    assert len(runs_of(kfp_client, dag)) == (on_change == "fail")


@pytest.mark.usefixtures("state_store", "kfp_client")
def test_an_error_of_the_project_stands_where_only_the_project_names_the_connection(
    dag, run_dag, monkeypatch
):
    def load(*_: Any, **__: Any) -> Project:
        raise SourceError("the project is gone")

    monkeypatch.delenv("AIRFLOW_CONN_KFP_DEFAULT")
    monkeypatch.setattr(Project, "load", load)
    operator(dag, "train", retries=1).project = "project.yaml"

    assert isinstance(run_dag(dag).errors["run_it"], SourceError)


def test_a_retry_that_is_killed_while_its_pipeline_is_made_ends_the_run_of_the_earlier_try(
    dag, run_dag, kfp_client, monkeypatch
):
    tries: list[KfpPipelineOperator] = []
    execute = KfpPipelineOperator.execute

    def noted(self: KfpPipelineOperator, context: Any) -> Any:
        tries.append(self)
        return execute(self, context)

    def killed_in_the_second_try() -> None:
        if len(tries) > 1:
            tries[-1].on_kill()
            raise AirflowFailException("the task was marked failed")
        sleeping()

    monkeypatch.setattr(KfpPipelineOperator, "execute", noted)
    crash_once(monkeypatch)
    operator(dag, killed_in_the_second_try, retries=1)

    assert run_dag(dag).states == {"run_it": "failed"}
    (run,) = runs_of(kfp_client, dag)
    assert run.state in (RunState.CANCELING, RunState.FAILED)


def test_a_failed_run_is_not_replaced_where_its_pipeline_cannot_be_made(dag, run_dag, kfp_client, tmp_path):
    handler = WorksOnce(failing_once, KeyError("gone"))
    operator(dag, handler, arguments={"folder": str(tmp_path)}, retries=1)

    assert isinstance(run_dag(dag).errors["run_it"], KeyError)
    assert len(runs_of(kfp_client, dag)) == 1


def test_a_failed_run_is_resumed_where_its_pipeline_cannot_be_made(dag, run_dag, kfp_client, tmp_path):
    handler = WorksOnce(failing_once, KeyError("gone"))
    operator(dag, handler, arguments={"folder": str(tmp_path)}, retries=1, on_retry="resume")

    # The names of the steps are those of KFP's tasks then.
    assert run_dag(dag).xcom("run_it") == {"count-it": {"one": 1}, "fail-it": {"two": 2}}


def test_a_skip_that_a_handler_asks_for_is_done(dag, run_dag, kfp_client, monkeypatch):
    crash_once(monkeypatch)
    losing_its_handler(dag, AirflowSkipException("not today"))

    assert run_dag(dag).states == {"run_it": "skipped"}


def test_the_fingerprint_changes_with_pipeline_and_arguments_alone():
    fingerprint = fingerprint_of_work("a", {"x": 1, "y": [1.5, None]})

    assert fingerprint == fingerprint_of_work("a", {"y": [1.5, None], "x": 1})
    assert fingerprint != fingerprint_of_work("b", {"x": 1, "y": [1.5, None]})
    assert fingerprint != fingerprint_of_work("a", {"x": 2, "y": [1.5, None]})


@pytest.fixture(params=["registered", "sent along"])
def succeeded_run(kfp_client, request) -> str:
    run_id = str(uuid.uuid4())
    package = compile_handler(echoing, project=PROJECT, name=f"echoing-{run_id[:8]}")
    given: dict[str, Any] = {"pipeline_spec": package.pipeline_spec}
    if request.param == "registered":
        version = kfp_client.run(flows.ensure_pipeline_version(package.name, "v1", package.to_json()))
        given = {"version": version.reference}
    kfp_client.run(flows.submit_run(RunRequest(run_id, "resuming", parameters={"text": "hello"}, **given)))
    while kfp_client.send(calls.get_run(run_id)).finished_at is None:
        pass
    return run_id


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"state": "SUCCEEDED", "reason": ""},
        {"state": "SUCCEEDED", "step_names": {"say": "say"}, "kfp_conn_id": None},
        {"state": "SUCCEEDED", "step_names": {"say": "say"}, "of_a_later_version": 1},
    ],
)
def test_the_resuming_leg_needs_neither_pipeline_nor_project_nor_each_field_of_an_event(
    succeeded_run, tmp_path: Path, fields
):
    pushed: dict[str, Any] = {}
    instance = SimpleNamespace(
        task_id="run_it",
        map_index=-1,
        max_tries=0,
        xcom_pull=lambda **_: None,
        xcom_push=lambda key, value: pushed.update({key: value}),
    )
    # What the task has become since: its workflow and its project are not there any longer.
    task = KfpPipelineOperator(
        task_id="run_it", workflow="no such workflow", project=tmp_path / "gone" / "project.yaml"
    )

    outputs = task.execute_complete(
        {"ti": instance}, {"status": "succeeded", "run_id": succeeded_run, **fields}
    )

    assert outputs == {"say": {"said": "hello"}}
    assert pushed["kfp_run"]["state"] in ("SUCCEEDED", "UNKNOWN")


def test_a_first_leg_does_need_its_pipeline(dag, run_dag, kfp_client):
    KfpPipelineOperator(task_id="run_it", dag=dag, pipeline="gone.yaml")

    assert isinstance(run_dag(dag).errors["run_it"], SourceError)
