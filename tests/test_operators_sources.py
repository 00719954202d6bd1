"""The operator with workflows, projects and credentials from elsewhere, in DAGs that really run."""

from __future__ import annotations

import json
import logging
import traceback
import uuid

import pytest
from airflow.sdk import DAG

from airflow_kfp_runtime.client import KfpClient, calls
from airflow_kfp_runtime.errors import DefinitionError, SourceError
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project, Workflow
from airflow_kfp_runtime.triggers.kfp import KfpRunTrigger
from tests.digitalhub_wrapper import Wrapper
from tests.git_server import Authority, GitHttpServer, Repository
from tests.kubernetes_api import running_kubernetes_api
from tests.source_opening import zip_of

PASSWORD = "obviously-fake-password"

#: A handler whose module imports one beside it.
FLOW = """
from airflow_kfp_runtime.dsl import pipeline_context
from names import STEP

def pipeline(n: int):
    with pipeline_context() as pc:
        pc.step(name=STEP, function="double", inputs={"n": n}, values=["twice"])
"""

NAMES = 'STEP = "double_it"\n'

DOUBLE = """
def double(n: int) -> int:
    return 2 * n
"""

PROJECT = """
name: sums
connections: {kfp: "{{ params.kfp }}", git: team_git}
settings:
  env: {LEVEL: "{{ params.level }}"}
functions:
  double:
    source: functions.py
    handler: double
  look:
    code: |
      import os
      def look() -> str:
          return os.environ["LEVEL"]
    handler: look
workflows:
  sums: {code_src: flow.py, handler: pipeline}
  looking:
    code: |
      from airflow_kfp_runtime.dsl import pipeline_context
      def pipeline():
          with pipeline_context() as pc:
              pc.step("look", function="look", values=["level"])
    handler: pipeline
"""

#: A workflow that cannot be rendered, beside the one that runs.
OF_NO_CONCERN = "  broken: {code_src: '{{ 1 / 0 }}.py', handler: pipeline}\n"

FILES = {"flow.py": FLOW, "names.py": NAMES, "functions.py": DOUBLE, "project.yaml": PROJECT}

DOUBLE_IT = {"double_it": {"twice": 42}}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache of sources, which the configuration says, and nothing of the environment."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("AIRFLOW__KFP__SOURCE_CACHE", str(folder))
    for name in ("GIT_TOKEN", "GIT_USERNAME", "GIT_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def folder(tmp_path):
    """The folder of the DAG's file."""
    made = tmp_path / "dags"
    made.mkdir()
    for name, text in FILES.items():
        (made / name).write_text(text)
    return made


@pytest.fixture
def dag(folder, team_git):
    made = DAG(
        f"dag-{uuid.uuid4().hex[:8]}", schedule=None, params={"level": "debug", "kfp": "kfp_default", "n": 21}
    )
    made.fileloc = str(folder / "dag.py")
    made.render_template_as_native_obj = True
    return made


@pytest.fixture
def log(capsys, caplog):
    """What the tasks logged: Airflow 3.0 does it by logging, later ones print it themselves."""
    caplog.set_level(logging.INFO)
    return lambda: capsys.readouterr().out + caplog.text


@pytest.fixture(scope="module")
def git(tmp_path_factory):
    """A server with its own certificate and a login; its repository has all files at the tag ``v1``."""
    folder = tmp_path_factory.mktemp("git")
    (folder / "served").mkdir()
    repository = Repository.create(folder / "served" / "team.git")
    repository.commit(FILES)
    repository.git("tag", "v1")
    repository.git("push", "-q", "origin", "v1")
    repository.commit({"flow.py": "raise RuntimeError('this is not v1')"})
    server = GitHttpServer(folder / "served", Authority.create(folder / "tls"), login=f"ann:{PASSWORD}")
    yield server
    server.stop()


@pytest.fixture
def team_git(git, monkeypatch):
    """The connection to that server."""
    connection = {
        "conn_type": "git",
        "host": f"https://{git.address}",
        "login": "ann",
        "password": PASSWORD,
        "extra": {"ca_certificate": str(git.authority.certificate)},
    }
    monkeypatch.setenv("AIRFLOW_CONN_TEAM_GIT", json.dumps(connection))
    return "team_git"


def operator(dag: DAG, **arguments: object) -> KfpPipelineOperator:
    arguments.setdefault("arguments", {"n": "{{ params.n }}"})
    return KfpPipelineOperator(task_id="run_it", dag=dag, poll_interval=0.1, **arguments)


def functions() -> Project:
    project = Project("sums")
    project.new_function("double", code=DOUBLE, handler="double")
    return project


def outputs(result):
    assert result.errors == {}
    return result.xcom("run_it")


def assert_secret(password: str, result, logged: str, client: KfpClient) -> None:
    """Fail if a password is in the log, an XCom, a rendered field or the pipeline."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        xcoms = session.scalars(select(XComModel).where(XComModel.dag_id == result.dag_id)).all()
        query = select(RenderedTaskInstanceFields).where(RenderedTaskInstanceFields.dag_id == result.dag_id)
        fields = session.scalars(query).all()
        kept = [str(row.value) for row in xcoms] + [json.dumps(row.rendered_fields) for row in fields]
    assert kept
    run = client.send(calls.get_run(result.xcom("run_it", "kfp_run")["run_id"]))
    reference = run.pipeline_version_reference
    version = client.send(calls.get_pipeline_version(reference.pipeline_id, reference.pipeline_version_id))
    for place in (*kept, logged, repr(run), json.dumps(version.pipeline_spec)):
        assert password not in place


def test_a_workflow_in_a_file_beside_the_dags(dag, run_dag, kfp_client):
    workflow = Workflow.new("sums", code_src="flow.py", handler="pipeline", project=functions())
    operator(dag, workflow=workflow)

    assert outputs(run_dag(dag)) == DOUBLE_IT


def test_a_workflow_in_an_archive_beside_the_dags_file(dag, run_dag, kfp_client, folder):
    (folder / "flows.zip").write_bytes(zip_of({"flows/etl.py": FLOW, "names.py": NAMES}))
    workflow = Workflow.new("sums", code_src="flows.zip", handler="flows.etl:pipeline")
    operator(dag, workflow=workflow, project=functions())

    assert outputs(run_dag(dag)) == DOUBLE_IT


def test_a_workflow_from_git_by_tag_with_the_connection_of_the_task(
    dag, run_dag, kfp_client, git, team_git, cache, log
):
    workflow = Workflow.new("sums", code_src=git.url("team.git", "#v1"), handler="flow:pipeline")
    operator(dag, workflow=workflow, project=functions(), git_conn_id="{{ 'team' }}_git")

    result = run_dag(dag)

    assert outputs(result) == DOUBLE_IT
    assert any(cache.rglob("flow.py"))
    assert_secret(PASSWORD, result, log(), kfp_client)


def test_without_the_connection_the_task_says_what_is_missing(dag, run_dag, kfp_client, git):
    workflow = Workflow.new("sums", code_src=git.url("team.git", "#v1"), handler="flow:pipeline")
    operator(dag, workflow=workflow, project=functions())

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, SourceError)
    assert error.field == "workflow 'sums', code_src"
    assert f"no trusted connection to {git.address}" in str(error)


def test_a_source_that_is_not_there_is_named_with_where_it_was_looked_for(dag, run_dag, kfp_client, folder):
    operator(dag, workflow=Workflow.new("sums", code_src="flows/no.py", handler="pipeline"))

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, SourceError)
    for words in ("workflow 'sums', code_src", str(folder / "flows/no.py")):
        assert words in str(error)


@pytest.mark.parametrize("location", ["project.yaml", "."])
def test_a_project_beside_the_dags_file(dag, run_dag, kfp_client, location):
    operator(dag, project=location, workflow="sums")

    assert outputs(run_dag(dag)) == DOUBLE_IT


def test_a_project_from_git_whose_workflow_is_named_by_its_key(dag, run_dag, kfp_client, git, team_git, log):
    location = git.url("team.git", "#{{ 'v1' }}")
    operator(dag, project=location, workflow="store://sums/workflow/kfp/sums", git_conn_id=team_git)

    result = run_dag(dag)

    assert outputs(result) == DOUBLE_IT
    assert_secret(PASSWORD, result, log(), kfp_client)


@pytest.mark.parametrize(("conf", "level"), [({}, "debug"), ({"level": "info"}, "info")])
def test_templates_in_a_project_are_those_of_the_dag_run(dag, run_dag, kfp_client, conf, level):
    operator(dag, project="project.yaml", workflow="{{ 'looking' }}", arguments={})

    assert outputs(run_dag(dag, conf=conf)) == {"look": {"level": level}}


@pytest.mark.parametrize("given", [True, False])
def test_a_workflow_that_is_given_itself_brings_its_project_rendered(
    dag, run_dag, kfp_client, kfp_server, folder, monkeypatch, given
):
    monkeypatch.delenv("AIRFLOW_CONN_KFP_DEFAULT")
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", kfp_server.airflow_connection)
    (folder / "project.yaml").write_text(
        PROJECT.replace("code_src: flow.py", "code_src: '{{ params.flow }}.py'") + OF_NO_CONCERN
    )
    project = Project.load(folder / "project.yaml")
    operator(dag, workflow=project.workflow("sums"), **({"project": project} if given else {}))

    assert outputs(run_dag(dag, conf={"kfp": "elsewhere", "flow": "flow"})) == DOUBLE_IT


def test_the_connections_of_a_project_are_used_where_the_task_names_none(
    dag, run_dag, kfp_client, kfp_server, git, team_git, folder, monkeypatch
):
    monkeypatch.delenv("AIRFLOW_CONN_KFP_DEFAULT")
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", kfp_server.airflow_connection)
    (folder / "project.yaml").write_text(
        PROJECT.replace("flow.py,", f"'{git.url('team.git', '#v1:flow.py')}',")
    )
    operator(dag, project="project.yaml", workflow="sums")

    assert outputs(run_dag(dag, conf={"kfp": "elsewhere"})) == DOUBLE_IT


def test_a_connection_of_the_task_wins_over_that_of_the_project(dag, run_dag, kfp_client):
    operator(dag, project="project.yaml", workflow="sums", kfp_conn_id="kfp_default")

    assert outputs(run_dag(dag, conf={"kfp": "there_is_none"})) == DOUBLE_IT


def test_a_deferred_task_goes_on_with_the_projects_connection_and_does_not_read_it_again(
    dag, run_dag, kfp_client, kfp_server, folder, monkeypatch
):
    monkeypatch.delenv("AIRFLOW_CONN_KFP_DEFAULT")
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", kfp_server.airflow_connection)
    waits = KfpRunTrigger.run

    async def without_the_project(self):
        (folder / "project.yaml").unlink()
        async for event in waits(self):
            yield event

    monkeypatch.setattr(KfpRunTrigger, "run", without_the_project)
    operator(dag, project="project.yaml", workflow="sums", deferrable=True)

    assert outputs(run_dag(dag, conf={"kfp": "elsewhere"})) == DOUBLE_IT
    assert not (folder / "project.yaml").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source_cache_size", "-1"),
        ("source_cache_size", "large"),
        ("source_timeout", "0"),
        ("handler_timeout", "1 minute"),
    ],
)
def test_a_wrong_number_in_the_configuration_is_named(dag, run_dag, kfp_client, monkeypatch, name, value):
    monkeypatch.setenv(f"AIRFLOW__KFP__{name.upper()}", value)
    operator(dag, project="project.yaml", workflow="sums")

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, DefinitionError)
    assert str(error) == f"[kfp] {name}: {value!r} is not a number above 0"


def test_the_configuration_bounds_a_handler(dag, run_dag, kfp_client, monkeypatch):
    monkeypatch.setenv("AIRFLOW__KFP__HANDLER_TIMEOUT", "0.5")
    code = "def pipeline():\n    while True:\n        pass\n"
    operator(dag, workflow=Workflow.new("endless", code=code, handler="pipeline"), arguments={})

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, SourceError)
    assert "0.5 s" in str(error)


def test_the_configuration_bounds_a_fetch(dag, run_dag, kfp_client, git, team_git, monkeypatch):
    monkeypatch.setenv("AIRFLOW__KFP__SOURCE_TIMEOUT", "0.001")
    workflow = Workflow.new("sums", code_src=git.url("team.git", "#v1"), handler="flow:pipeline")
    operator(dag, workflow=workflow, project=functions(), git_conn_id=team_git)

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, SourceError)
    assert "0.001 s" in str(error)


@pytest.fixture
def platform(monkeypatch):
    """The Kubernetes API to which the connection ``platform``, of type ``digitalhub``, is written."""
    with running_kubernetes_api() as api:
        connection = {
            "conn_type": "digitalhub",
            "host": "https://core.example",
            "login": "ann",
            "password": PASSWORD,
            "extra": {"kubernetes_conn_id": "cluster"},
        }
        monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", api.connection())
        monkeypatch.setenv("AIRFLOW_CONN_PLATFORM", json.dumps(connection))
        yield api


@pytest.mark.parametrize("said_by", ["the task", "the project"])
def test_the_platforms_connection_is_written_into_the_secret_that_the_steps_read(
    dag, run_dag, kfp_client, platform, tmp_path, log, said_by
):
    wrapper = Wrapper.create(tmp_path / "wrapper")
    secret = f"hub-{uuid.uuid4().hex[:8]}"
    project = Project("sums", connections={"digitalhub": "platform"} if said_by == "the project" else {})
    project.new_function(
        "train", kind="digitalhub", function_kind="python", secret=secret, command=wrapper.command
    )
    operator(
        dag,
        steps=[{"name": "train", "function": "train", "outputs": {"model": "model"}}],
        project=project,
        arguments={},
        **({"digitalhub_conn_id": "platform"} if said_by == "the task" else {}),
    )

    result = run_dag(dag)

    assert outputs(result) == {
        "train": {"run_id": "run-1", "model": "store://sums/dataitem/table/model:of-train"}
    }
    assert platform.values(secret) == {
        "DHCORE_ENDPOINT": "https://core.example",
        "DHCORE_USER": "ann",
        "DHCORE_PASSWORD": PASSWORD,
    }
    logged = log()
    assert f"Wrote connection platform into the Kubernetes secret {secret}" in logged
    assert_secret(PASSWORD, result, logged, kfp_client)


def test_a_refused_secret_stops_the_task_before_anything_is_sent(dag, run_dag, kfp_client, platform):
    platform.refuses = True
    project = Project("sums")
    project.new_function("train", kind="digitalhub", function_kind="python")
    steps = [{"name": "train", "function": "train"}]
    operator(dag, steps=steps, project=project, arguments={}, digitalhub_conn_id="platform")

    result = run_dag(dag)

    error = result.errors["run_it"]
    assert "secret 'digitalhub'" in str(error)
    assert result.xcom("run_it", "kfp_run") is None
    assert PASSWORD not in "".join(traceback.format_exception(error))
