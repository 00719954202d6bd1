"""The operator in DAGs that really run, against a server that really runs the pipelines."""

from __future__ import annotations

import json
import math
import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airflow_kfp_runtime.client import ClientSettings, KfpClient, RunRequest, Wait, calls, flows
from airflow_kfp_runtime.client.models import Run, RunState
from airflow_kfp_runtime.client.watch import Ending, Policy, Verdict
from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.errors import (
    ArgumentError,
    DefinitionError,
    KfpRuntimeError,
    NotFoundError,
    RunCanceledError,
    RunError,
    RunFailedError,
    RunTimeoutError,
    ServerUnavailableError,
    SettingError,
    SourceError,
)
from airflow_kfp_runtime.hooks.kfp import KfpHook
from airflow_kfp_runtime.links.kfp import KfpRunLink
from airflow_kfp_runtime.operators.exceptions import AirflowNotFoundException, AirflowTaskTimeout
from airflow_kfp_runtime.operators.intent import Intents, SupersededError
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.operators.killing import OwnRun
from airflow_kfp_runtime.operators.outcome import Terms, read_results, run_error
from airflow_kfp_runtime.operators.pipeline import CompilerOptions, from_pipeline
from airflow_kfp_runtime.operators.waiting import wait_for
from airflow_kfp_runtime.project import Project, Workflow
from airflow_kfp_runtime.triggers.events import event_payload
from tests.airflow_environment import DagResult
from tests.fault_proxy import FaultProxy, answers

CODE = """
def count(n: int, rows: Output[Dataset]):
    with open(rows.path, "w") as file:
        file.write("\\n".join(str(number) for number in range(n)))
    rows.metadata["lines"] = n

def add(rows: Input[Dataset], weight: float) -> float:
    with open(rows.path) as file:
        return sum(int(line) for line in file) * weight

def divide(n: int):
    print("about to divide", n)
    return n // 0
"""

PROJECT = Project("tests")
for name in ("count", "add", "divide"):
    PROJECT.new_function(name, kind="python", code=CODE, handler=name)
PROJECT.new_function("sleep", kind="container", image="alpine", command=["sleep", "300"])


def sums(n: int, weight: float = 1.0):
    with pipeline_context() as pc:
        counted = pc.step("count_rows", function="count", inputs={"n": n}, outputs={"rows": "rows"})
        rows = counted.outputs["rows"]
        pc.step("add_rows", function="add", inputs={"rows": rows, "weight": weight}, values=["total"])


def sleeping():
    with pipeline_context() as pc:
        pc.step("long_nap", function="sleep")


def failing(n: int = 7):
    with pipeline_context() as pc:
        pc.step("divide_it", function="divide", inputs={"n": n})


STEPS = [
    {
        "name": "count_rows",
        "function": "count",
        "inputs": {"n": {"argument": "n"}},
        "outputs": {"rows": "rows"},
    },
    {
        "name": "add_rows",
        "function": "add",
        "inputs": {"rows": {"from": "count_rows.rows"}, "weight": 1.0},
        "values": ["total"],
    },
]


@pytest.fixture
def dag():
    """An empty DAG with a name of its own."""
    return DAG(f"dag-{uuid.uuid4().hex[:8]}", schedule=None, params={"n": 5})


def operator(dag: DAG, **arguments: object) -> KfpPipelineOperator:
    if "pipeline" not in arguments:
        arguments.setdefault("project", PROJECT)
    return KfpPipelineOperator(task_id="run_it", dag=dag, poll_interval=0.1, **arguments)


def runs_of(client: KfpClient, dag: DAG) -> list[Run]:
    """The runs whose display name tells that they are this DAG's."""
    runs = client.run(flows.list_all(calls.list_runs()))
    return [run for run in runs if dag.dag_id in run.display_name]


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_outputs_reach_the_next_task(dag, run_dag, kfp_client, kfp_server, deferrable):
    @task(dag=dag)
    def double(outputs: dict) -> float:
        return outputs["add_rows"]["total"] * 2

    total = operator(dag, workflow=sums, arguments={"n": 5, "weight": 0.5}, deferrable=deferrable)
    double(total.output)

    result = run_dag(dag)

    assert result.states == {"run_it": "success", "double": "success"}, result.errors
    assert result.xcom("double") == 10.0
    outputs = result.xcom("run_it")
    assert outputs["add_rows"] == {"total": 5.0}
    artifact = outputs["count_rows"]["rows"]
    assert artifact.keys() == {"uri", "name", "type", "metadata"}
    assert (artifact["name"], artifact["type"], artifact["metadata"]["lines"]) == (
        "rows",
        "system.Dataset",
        5,
    )
    (run,) = runs_of(kfp_client, dag)
    url = f"{kfp_server.url}/#/runs/details/{run.run_id}"
    assert result.xcom("run_it", "kfp_run") == {"run_id": run.run_id, "state": "SUCCEEDED", "url": url}
    assert result.xcom("run_it", KfpRunLink.xcom_key) == url


def test_declarative_steps_with_the_parameters_of_the_dag_run(dag, run_dag, kfp_client):
    dag.render_template_as_native_obj = True
    operator(dag, steps=STEPS, arguments={"n": "{{ params.n }}"})

    result = run_dag(dag, conf={"n": 4})

    assert result.errors == {}
    assert result.xcom("run_it")["add_rows"] == {"total": 6.0}


@pytest.fixture(params=["mapping", "text", "path beside the dag", "name", "name and version"])
def compiled(request, kfp_client, tmp_path, dag):
    """A compiled pipeline in each form that the operator takes."""
    name = f"sums-{uuid.uuid4().hex[:8]}"
    package = compile_handler(sums, name=name, project=PROJECT)
    match request.param:
        case "mapping":
            return {"pipeline": package.pipeline_spec}
        case "text":
            return {"pipeline": package.to_yaml()}
        case "path beside the dag":
            (tmp_path / "sums.yaml").write_text(package.to_yaml())
            dag.fileloc = str(tmp_path / "dag.py")
            return {"pipeline": "sums.yaml"}
    kfp_client.run(flows.ensure_pipeline_version(name, "v1", package.to_yaml()))
    return {"pipeline": name, "pipeline_version": "v1" if "version" in request.param else None}


def test_a_compiled_pipeline_runs_in_each_form(dag, run_dag, kfp_client, compiled):
    operator(dag, **compiled, arguments={"n": 3})

    result = run_dag(dag)

    assert result.errors == {}
    assert result.xcom("run_it")["add-rows"] == {"total": 3.0}


def test_it_maps_over_arguments_with_a_run_for_each(dag, run_dag, kfp_client):
    KfpPipelineOperator.partial(
        task_id="run_it", dag=dag, workflow=sums, project=PROJECT, poll_interval=0.1
    ).expand(arguments=[{"n": 2}, {"n": 3}])

    result = run_dag(dag)

    assert result.states == {"run_it[0]": "success", "run_it[1]": "success"}, result.errors
    totals = [result.xcom("run_it", map_index=index)["add_rows"]["total"] for index in (0, 1)]
    assert totals == [1.0, 3.0]
    assert len({run.run_id for run in runs_of(kfp_client, dag)}) == 2


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_failed_run_fails_the_task_and_says_which_step_why_and_where(dag, run_dag, kfp_client, deferrable):
    operator(dag, workflow=failing, deferrable=deferrable)

    result = run_dag(dag)

    error = result.errors["run_it"]
    assert isinstance(error, RunFailedError)
    assert "\nStep 'divide_it' failed: The step ended with exit status 1.\n" in str(error)
    for words in ("divide_it", "exit status 1", "about to divide 7", "ZeroDivisionError: "):
        assert str(error).count(words) == 1, words
    assert result.xcom("run_it", "kfp_run")["url"] in str(error)
    assert result.xcom("run_it", "kfp_run")["state"] == "FAILED"
    assert f"Run {error.run_id} failed. " in str(error)


@pytest.mark.parametrize("deferrable", [False, True])
def test_at_the_timeout_the_run_is_terminated(dag, run_dag, kfp_client, deferrable):
    operator(dag, workflow=sleeping, timeout=timedelta(seconds=1), deferrable=deferrable)

    result = run_dag(dag)

    error = result.errors["run_it"]
    assert isinstance(error, RunTimeoutError)
    assert "It was terminated" in str(error)
    assert f"Run {error.run_id} had not ended within its timeout of 1 s; " in str(error)
    (run,) = runs_of(kfp_client, dag)
    assert run.state in (RunState.CANCELING, RunState.FAILED)


def test_without_waiting_the_task_ends_with_the_submitted_run(dag, run_dag, kfp_client):
    operator(dag, workflow=sleeping, wait_for_completion=False, deferrable=True)

    result = run_dag(dag)

    (run,) = runs_of(kfp_client, dag)
    assert result.xcom("run_it") == result.xcom("run_it", "kfp_run")
    assert result.xcom("run_it")["run_id"] == run.run_id
    kfp_client.send(calls.terminate_run(run.run_id))


def test_run_and_link_can_be_seen_while_the_worker_waits(dag, run_dag, kfp_client, monkeypatch):
    class Looking(KfpPipelineOperator):
        def execute(self, context):
            seen["dag"] = DagResult(self.dag_id, context["ti"].run_id, {})
            return super().execute(context)

    def looking(*arguments):
        seen["run"] = seen["dag"].xcom("run_it", "kfp_run")
        seen["link"] = seen["dag"].xcom("run_it", "kfp_run_link")
        return wait_for(*arguments)

    seen: dict[str, Any] = {}
    monkeypatch.setattr("airflow_kfp_runtime.operators.kfp.wait_for", looking)
    Looking(task_id="run_it", dag=dag, workflow=sums, arguments={"n": 1}, project=PROJECT, poll_interval=0.1)

    assert run_dag(dag).errors == {}

    (run,) = runs_of(kfp_client, dag)
    assert seen["run"]["run_id"] == run.run_id
    assert seen["run"]["url"] == seen["link"]


def test_a_workflow_knows_its_name_and_its_project(dag, run_dag, kfp_client):
    name = f"sums-{uuid.uuid4().hex[:8]}"
    operator(
        dag, workflow=Workflow.new(name, handler=sums, project=PROJECT), arguments={"n": 1}, project=None
    )

    assert run_dag(dag).errors == {}

    assert kfp_client.send(calls.get_pipeline_by_name(name)).name == name


def test_a_package_is_registered_once_under_its_content_hash(dag, run_dag, kfp_client):
    name = f"sums-{uuid.uuid4().hex[:8]}"
    operator(dag, workflow=sums, arguments={"n": 1}, pipeline_name=name)

    assert run_dag(dag).errors == {}
    assert run_dag(dag).errors == {}

    pipeline = kfp_client.send(calls.get_pipeline_by_name(name))
    (version,) = kfp_client.send(calls.list_pipeline_versions(pipeline.pipeline_id)).items
    assert version.name == compile_handler(sums, name=name, project=PROJECT).content_hash
    references = {run.pipeline_version_reference for run in runs_of(kfp_client, dag)}
    assert references == {version.reference}


def test_a_pipeline_can_be_sent_along_instead(dag, run_dag, kfp_client):
    operator(dag, workflow=sums, arguments={"n": 1}, register=False)

    assert run_dag(dag).errors == {}

    (run,) = runs_of(kfp_client, dag)
    assert run.pipeline_version_reference is None
    assert run.pipeline_spec is not None


def test_what_the_run_is_given_reaches_the_server(dag, run_dag, kfp_client):
    operator(
        dag,
        workflow=sums,
        arguments={"n": 1},
        run_name="nightly {{ dag.dag_id }}",
        experiment="{{ dag.dag_id }}",
        service_account="trainer",
        enable_caching=False,
        collect_outputs=True,
    )

    result = run_dag(dag)

    assert result.errors == {}
    assert result.xcom("run_it").keys() == {"count_rows", "add_rows"}
    (run,) = runs_of(kfp_client, dag)
    experiment = kfp_client.send(calls.get_experiment(run.experiment_id))
    assert run.display_name == f"nightly {dag.dag_id}"
    assert experiment.display_name == dag.dag_id
    assert run.service_account == "trainer"


def test_a_run_that_somebody_terminates_says_so(dag, run_dag, kfp_client, monkeypatch):
    def terminated(client, run_id, *rest):
        client.send(calls.terminate_run(run_id))
        return wait_for(client, run_id, *rest)

    monkeypatch.setattr("airflow_kfp_runtime.operators.kfp.wait_for", terminated)
    KfpPipelineOperator(task_id="run_it", dag=dag, workflow=sleeping, project=PROJECT, poll_interval=0.1)

    assert isinstance(run_dag(dag).errors["run_it"], RunCanceledError)


def test_a_retry_after_a_failed_run_starts_a_new_one(dag, run_dag, kfp_client):
    operator(dag, workflow=failing, retries=1, retry_delay=timedelta(0))

    run_dag(dag)

    runs = runs_of(kfp_client, dag)
    assert [run.state for run in runs] == [RunState.FAILED, RunState.FAILED]


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_retry_after_a_crash_finds_the_run_again(dag, run_dag, kfp_client, deferrable):
    class Crashing(KfpPipelineOperator):
        def _submitted(self, *arguments):
            submitted = super()._submitted(*arguments)
            if crashes:
                raise crashes.pop()
            return submitted

    crashes = [MemoryError("the worker was killed")]
    Crashing(
        task_id="run_it",
        dag=dag,
        workflow=sums,
        arguments={"n": 3},
        project=PROJECT,
        poll_interval=0.1,
        deferrable=deferrable,
        retries=1,
        retry_delay=timedelta(0),
    )

    result = run_dag(dag)

    assert result.states == {"run_it": "success"}
    assert result.xcom("run_it")["add_rows"] == {"total": 3.0}
    assert len(runs_of(kfp_client, dag)) == 1


def test_outputs_are_read_again_where_the_server_could_not_answer():
    flow = read_results("1")
    assert next(flow).label == calls.get_run("1").label
    assert isinstance(flow.throw(ServerUnavailableError("busy")), Wait)
    assert next(flow).label == calls.get_run("1").label

    with pytest.raises(NotFoundError):
        flow.throw(NotFoundError("deleted"))


def submitted(client: KfpClient, run_id: str, workflow: object, *, until: set[RunState]) -> str:
    package = compile_handler(workflow, project=PROJECT)
    client.run(flows.submit_run(RunRequest(run_id, "identity", pipeline_spec=package.pipeline_spec)))
    while client.send(calls.get_run(run_id)).state not in until:
        pass
    return run_id


def test_killing_the_task_ends_the_run(kfp_client):
    killed = KfpPipelineOperator(task_id="run_it", workflow=sleeping, project=PROJECT)
    killed.on_kill()
    run_id = submitted(kfp_client, str(uuid.uuid4()), sleeping, until={RunState.RUNNING})
    killed._own = OwnRun(SimpleNamespace(try_number=1, max_tries=0), Intents(None, ""), KfpHook(), run_id)

    killed.on_kill()

    state = kfp_client.send(calls.get_run(run_id)).state
    assert state in (RunState.CANCELING, RunState.FAILED)


def test_an_event_that_is_not_known_is_refused(kfp_client):
    with pytest.raises(KfpRuntimeError, match="does not know"):
        KfpPipelineOperator(task_id="run_it", pipeline="x").execute_complete({}, {"status": "success"})


def test_an_event_of_another_run_is_refused(kfp_client):
    event = event_payload("1", Ending(Verdict.SUCCEEDED, RunState.SUCCEEDED), {})
    instance = SimpleNamespace(
        task_id="run_it", map_index=-1, max_tries=0, xcom_pull=lambda **_: {"run_id": "2"}
    )

    with pytest.raises(RunError, match="event of run 1, and this try waits for run 2"):
        KfpPipelineOperator(task_id="run_it", pipeline="x").execute_complete({"ti": instance}, event)


def test_a_run_whose_state_cannot_be_read_may_be_going_on(dag, run_dag, kfp_client, monkeypatch):
    def deleted(client, run_id, *rest):
        client.send(calls.terminate_run(run_id))
        client.send(calls.delete_run(run_id))
        return wait_for(client, run_id, *rest)

    monkeypatch.setattr("airflow_kfp_runtime.operators.kfp.wait_for", deleted)
    KfpPipelineOperator(task_id="run_it", dag=dag, workflow=sleeping, project=PROJECT)

    error = run_dag(dag).errors["run_it"]
    assert type(error) is RunError
    assert "404" in str(error)


MISTAKES = {
    "an argument that the pipeline lacks": (
        {"workflow": sums, "arguments": {"n": 1, "wieght": 2.0}},
        ArgumentError,
        "wieght",
    ),
    "a missing argument": ({"workflow": sums}, ArgumentError, "n"),
    "an argument of another type": ({"workflow": sums, "arguments": {"n": "many"}}, ArgumentError, "many"),
    "arguments that are a rendered text": (
        {"workflow": sums, "arguments": "{{ {'n': 1} }}"},
        ArgumentError,
        "render_template_as_native_obj",
    ),
    "a pipeline of another type": ({"pipeline": 7}, DefinitionError, "pipeline: type int is neither"),
    "a file that is not there": ({"pipeline": "no/such.yaml"}, SourceError, "no/such.yaml"),
    "a pipeline that is not there": ({"pipeline": "no-such-pipeline"}, ArgumentError, "no-such-pipeline"),
    "a version of a compiled pipeline": (
        {"pipeline": "pipelineInfo: {name: x}\nroot: {}\n", "pipeline_version": "v1"},
        DefinitionError,
        "pipeline_version",
    ),
    "a setting": (
        {"workflow": sums, "arguments": {"n": 1}, "settings": {"profile": "1xa100"}},
        SettingError,
        "profile",
    ),
    "a setting of a compiled pipeline": (
        {"pipeline": "x", "settings": {"profile": "1xa100"}},
        DefinitionError,
        "settings: applies to steps",
    ),
    "caching of a pipeline on the server": (
        {"pipeline": "x", "enable_caching": False},
        DefinitionError,
        "enable_caching",
    ),
}


@pytest.mark.parametrize(("arguments", "kind", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_fails_the_task_before_anything_is_sent(dag, run_dag, kfp_client, arguments, kind, words):
    operator(dag, **arguments)
    pipelines = kfp_client.send(calls.list_pipelines()).total_size

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, kind)
    assert words in str(error)
    assert runs_of(kfp_client, dag) == []
    assert kfp_client.send(calls.list_pipelines()).total_size == pipelines


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "exactly one of workflow, steps and pipeline, not none"),
        ({"workflow": sums, "steps": STEPS}, "not workflow and steps"),
        ({"workflow": 7}, "workflow: 7 is not a function, a Workflow or the name of one"),
        ({"pipeline": "x", "poll_interval": 0}, "poll_interval: 0 is not a number of seconds above 0"),
        ({"pipeline": "x", "timeout": timedelta(seconds=-1)}, "timeout: "),
        ({"pipeline": "x", "stall_timeout": 0}, "stall_timeout: 0 is not a number"),
        ({"pipeline": "x", "max_outage": None}, "max_outage: None is not a number"),
        ({"pipeline": "x", "on_timeout": "kill"}, "Allowed: terminate, leave"),
        ({"pipeline": "x", "timeout": "1h"}, "timeout: '1h' is not a number"),
    ],
)
def test_a_wrong_parameter_is_refused_when_the_dag_is_parsed(arguments, words):
    with pytest.raises(DefinitionError) as refused:
        KfpPipelineOperator(task_id="run_it", **arguments)

    assert "task 'run_it'" in str(refused.value)
    assert words in str(refused.value)


def test_a_connection_that_is_missing_is_named(dag, run_dag):
    operator(dag, workflow=sums, arguments={"n": 1}, kfp_conn_id="no_such_connection")

    assert "no_such_connection" in str(run_dag(dag).errors["run_it"])


def test_a_server_that_is_not_there_is_named(dag, run_dag, monkeypatch):
    connection = {"conn_type": "kfp", "host": "http://127.0.0.1:9", "password": "the-token"}
    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", json.dumps(connection))
    operator(dag, workflow=sums, arguments={"n": 1}, max_outage=1)

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, ServerUnavailableError)
    assert "cannot connect to 127.0.0.1:9" in str(error)
    assert "the-token" not in str(error)


def test_caching_is_switched_for_all_tasks_of_a_compiled_pipeline():
    spec = compile_handler(sums, project=PROJECT).pipeline_spec

    def caching(enabled: bool | None) -> list[object]:
        package = from_pipeline(spec, None, [], CompilerOptions(enable_caching=enabled))
        return [entry["cachingOptions"] for entry in package.pipeline_spec["root"]["dag"]["tasks"].values()]

    assert caching(None) == caching(True) == [{"enableCache": True}] * 2
    assert caching(False) == [{}] * 2


def test_waiting_in_the_triggerer_is_the_default_where_airflow_says_so(monkeypatch):
    assert not KfpPipelineOperator(task_id="run_it", pipeline="x").deferrable

    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert KfpPipelineOperator(task_id="run_it", pipeline="x").deferrable


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("project", 5, "5 is not a Project or where its file is"),
        ("deferrable", "no", "'no' is not True or False"),
        ("arguments", ["a"], "['a'] is not a mapping"),
        ("steps", {"name": "a"}, "{'name': 'a'} is not a list of steps"),
    ],
)
def test_a_literal_of_the_wrong_type_is_refused_when_the_dag_is_parsed(dag, field, value, problem):
    fields = {"steps": STEPS, "project": PROJECT, field: value}

    with pytest.raises(DefinitionError) as caught:
        operator(dag, **fields)

    assert str(caught.value) == f"task 'run_it', {field}: {problem}"


def test_templates_may_stand_for_steps_and_arguments(dag):
    templated = operator(dag, steps="{{ params.steps }}", arguments="{{ params.arguments }}")

    assert (templated.steps, templated.arguments) == ("{{ params.steps }}", "{{ params.arguments }}")


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_run_is_left_at_its_timeout_if_the_user_says_so(dag, run_dag, kfp_client, deferrable):
    operator(dag, workflow=sleeping, timeout=1, on_timeout="leave", deferrable=deferrable)

    error = run_dag(dag).errors["run_it"]

    (run,) = runs_of(kfp_client, dag)
    assert isinstance(error, RunTimeoutError)
    assert "It was left as it is, and a retry of the task goes on with it." in str(error)
    assert run.state in (RunState.PENDING, RunState.RUNNING)
    kfp_client.send(calls.terminate_run(run.run_id))


def test_a_run_in_which_nothing_changes_is_terminated_with_the_reason(dag, run_dag, kfp_client):
    operator(dag, workflow=sleeping, stall_timeout=timedelta(seconds=1))

    error = run_dag(dag).errors["run_it"]

    (run,) = runs_of(kfp_client, dag)
    assert isinstance(error, RunTimeoutError)
    assert "seems to be stuck: nothing in it has changed for" in str(error)
    assert run.state in (RunState.CANCELING, RunState.FAILED)


def test_a_worker_reads_the_connection_again_when_its_credentials_are_refused(kfp_server, kfp_client):
    spec = compile_handler(sums, project=PROJECT).pipeline_spec
    request = RunRequest(str(uuid.uuid4()), "sums", pipeline_spec=spec, parameters={"n": 1})
    run = kfp_client.send(calls.create_run(request))

    def expired(request):
        old = request.headers.get("authorization") == "Bearer old token"
        return answers(401, b"{}")(request) if old else request.forward()

    with (
        FaultProxy(kfp_server.url) as proxy,
        KfpClient(ClientSettings(proxy.url, token="old token")) as client,
    ):
        proxy.fail("GET", "/runs", expired, times=math.inf)
        ending = wait_for(
            client, run.run_id, Policy(0.1), {}, [].append, lambda: KfpClient(ClientSettings(proxy.url))
        )

    assert ending.verdict is Verdict.SUCCEEDED


@pytest.mark.parametrize("on_timeout", ["terminate", "leave"])
def test_a_deferred_task_heeds_its_execution_timeout(dag, run_dag, kfp_client, on_timeout):
    operator(
        dag,
        workflow=sleeping,
        execution_timeout=timedelta(seconds=3),
        timeout=300,
        on_timeout=on_timeout,
        deferrable=True,
    )

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, RunTimeoutError)
    assert f"Run {error.run_id} had not ended within the task's execution_timeout of 3 s; " in str(error)
    assert_was_left_or_terminated(kfp_client, dag, on_timeout)


@pytest.mark.parametrize("on_timeout", ["terminate", "leave"])
def test_a_worker_at_the_execution_timeout_does_what_the_user_says(dag, run_dag, kfp_client, on_timeout):
    operator(dag, workflow=sleeping, execution_timeout=timedelta(seconds=3), on_timeout=on_timeout)

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, AirflowTaskTimeout)
    assert_was_left_or_terminated(kfp_client, dag, on_timeout)


def assert_was_left_or_terminated(kfp_client: KfpClient, dag: DAG, on_timeout: str) -> None:
    (run,) = runs_of(kfp_client, dag)
    if on_timeout == "leave":
        assert run.state is RunState.RUNNING
        kfp_client.send(calls.terminate_run(run.run_id))
    else:
        assert run.state in (RunState.CANCELING, RunState.FAILED)


def test_a_worker_waits_where_the_connection_cannot_be_read_for_a_moment(kfp_server, kfp_client):
    run_id = submitted(kfp_client, str(uuid.uuid4()), failing, until={RunState.FAILED})
    notes: list[str] = []
    clients: list[Any] = [
        AirflowNotFoundException("Airflow's API is busy"),
        KfpClient(ClientSettings(kfp_server.url)),
    ]

    def renew() -> KfpClient:
        client = clients.pop(0)
        if isinstance(client, Exception):
            raise client
        return client

    with FaultProxy(kfp_server.url) as proxy, KfpClient(ClientSettings(proxy.url)) as client:
        proxy.fail("GET", "/runs", answers(401, b"{}"), times=math.inf)
        ending = wait_for(client, run_id, Policy(0.1, max_outage=60.0), {}, notes.append, renew)

    assert ending.verdict is Verdict.FAILED
    assert "cannot read the connection; it says: Airflow's API is busy" in notes[0]


def test_a_connection_that_cannot_be_read_any_longer_is_an_outage(kfp_server, kfp_client):
    run_id = submitted(kfp_client, str(uuid.uuid4()), failing, until={RunState.FAILED})

    def renew() -> KfpClient:
        raise AirflowNotFoundException("Airflow's API is down")

    with FaultProxy(kfp_server.url) as proxy, KfpClient(ClientSettings(proxy.url)) as client:
        proxy.fail("GET", "/runs", answers(401, b"{}"), times=math.inf)
        ending = wait_for(client, run_id, Policy(0.1, max_outage=0.2), {}, [].append, renew)

    assert ending.verdict is Verdict.LOST
    assert "Airflow's API is down" in ending.reason


@pytest.mark.parametrize("verdict", [Verdict.TIMED_OUT, Verdict.STALLED])
def test_a_try_that_airflow_has_replaced_terminates_no_run_at_its_deadline(verdict):
    def taken() -> None:
        raise SupersededError("another try goes on with it")

    flow = run_error(Ending(verdict, RunState.RUNNING), "r", "http://ui", {}, Terms(check_place=taken))

    assert next(flow).method == "GET"
    with pytest.raises(SupersededError):
        flow.send(Run("r", state=RunState.RUNNING))


def test_the_timeout_error_names_the_steps_that_are_running():
    details = [
        {"task_id": "1", "display_name": "long-nap", "state": "RUNNING"},
        {"task_id": "2", "display_name": "short-nap", "state": "SUCCEEDED"},
    ]
    run = Run.from_json({"run_id": "r", "state": "RUNNING", "run_details": {"task_details": details}})
    names = {"long-nap": "long_nap", "short-nap": "short_nap"}
    ending = Ending(Verdict.TIMED_OUT, RunState.RUNNING, "within its limit")
    flow = run_error(ending, "r", "http://ui", names, Terms())

    next(flow)
    flow.send(run)
    with pytest.raises(StopIteration) as ended:
        flow.send(None)

    assert str(ended.value.value).startswith(
        "Run r had not ended within its limit; still running: step 'long_nap'. It was terminated"
    )
