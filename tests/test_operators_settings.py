"""Kubernetes settings of the operator and the decorator, in DAGs that really run."""

from __future__ import annotations

import json
import logging
import uuid

import pytest
from airflow.sdk import DAG, task

from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.errors import DefinitionError, RunFailedError, SettingError
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project

CODE = """
def look(names: list) -> dict:
    import os
    return {name: os.environ[name] for name in names if name in os.environ}

def write(folder: str) -> str:
    from pathlib import Path
    Path(folder, "note").write_text("from the first step")
    return folder

def read(folder: str) -> str:
    from pathlib import Path
    return Path(folder, "note").read_text()
"""

PROJECT = Project("settings")
for name in ("look", "write", "read"):
    PROJECT.new_function(name, kind="python", code=CODE, handler=name)


def looking(names: list):
    """Two steps that return what they find of some environment variables; one has a setting of its own."""
    with pipeline_context() as pc:
        pc.step("look_here", function="look", inputs={"names": names}, values=["found"])
        pc.step(
            "look_there",
            function="look",
            inputs={"names": names},
            values=["found"],
            envs=[{"name": "STEP", "value": "there"}],
        )


def volume(folder: str) -> dict[str, object]:
    return {
        "volume_type": "persistent_volume_claim",
        "name": "notes",
        "mount_path": folder,
        "spec": {"size": "1Gi", "storage_class": "standard"},
    }


@pytest.fixture
def dag():
    """An empty DAG with a name of its own."""
    return DAG(f"dag-{uuid.uuid4().hex[:8]}", schedule=None, params={"level": "debug"})


def operator(dag: DAG, **arguments: object) -> KfpPipelineOperator:
    if not arguments.keys() & {"workflow", "steps", "pipeline"}:
        arguments |= {"workflow": looking, "arguments": {"names": ["LEVEL", "STEP", "TOKEN"]}}
    if "pipeline" not in arguments:
        arguments["project"] = PROJECT
    return KfpPipelineOperator(task_id="run_it", dag=dag, poll_interval=0.1, **arguments)


@pytest.fixture
def log(capsys, caplog):
    """What the tasks logged: Airflow 3.0 does it by logging, later ones print it themselves."""
    caplog.set_level(logging.INFO)
    return lambda: capsys.readouterr().out + caplog.text


def found(result, task_id="run_it"):
    assert result.errors == {}
    return {step: outputs["found"] for step, outputs in result.xcom(task_id).items()}


def test_settings_reach_all_steps_and_single_ones_by_name_and_pattern(dag, run_dag, kfp_client):
    operator(
        dag,
        settings={
            "envs": [{"name": "LEVEL", "value": "{{ params.level }}"}, {"name": "STEP", "value": "any"}],
            "steps": {"*here": {"env": {"TOKEN": "by pattern"}}, "look_here": {"env": {"STEP": "by name"}}},
        },
    )

    assert found(run_dag(dag)) == {
        "look_here": {"LEVEL": "debug", "STEP": "by name", "TOKEN": "by pattern"},
        "look_there": {"LEVEL": "debug", "STEP": "there", "TOKEN": "by pattern"},
    }


def test_a_setting_can_be_an_argument_of_the_run(dag, run_dag, kfp_client, kfp_server):
    secret = f"hub-{uuid.uuid4().hex[:8]}"
    (kfp_server.data / "secrets" / secret).mkdir(parents=True)
    (kfp_server.data / "secrets" / secret / "token").write_text("s3cret")
    steps = [
        {"name": "look_here", "function": "look", "inputs": {"names": ["TOKEN"]}, "values": ["found"]},
    ]
    settings = {"secrets": [{"name": {"argument": "secret"}, "keys": {"token": "TOKEN"}}]}
    operator(dag, steps=steps, arguments={"secret": secret}, settings=settings)

    assert found(run_dag(dag)) == {"look_here": {"TOKEN": "s3cret"}}


def test_the_decorator_takes_settings_too(dag, run_dag, kfp_client):
    settings = {"env": {"LEVEL": "info"}, "priority_class": "high"}
    with dag:

        @task.kfp_pipeline(project=PROJECT, settings=settings, settings_policy="warn", poll_interval=0.1)
        def look(names: list):
            looking(names)

        look(["LEVEL"])

    assert found(run_dag(dag), "look") == {"look_here": {"LEVEL": "info"}, "look_there": {"LEVEL": "info"}}


def test_objects_of_the_kubernetes_client_are_taken_as_they_are(dag, run_dag, kfp_client):
    from kubernetes.client import models

    operator(
        dag,
        settings={
            "tolerations": [models.V1Toleration(key="gpu", operator="Exists", effect="NoSchedule")],
            "env_vars": [models.V1EnvVar(name="LEVEL", value="{{ params.level }}")],
        },
        register=False,
    )

    assert found(run_dag(dag))["look_here"]["LEVEL"] == "debug"


def test_what_kfp_cannot_express_is_an_error_that_names_step_and_setting(dag, run_dag, kfp_client):
    operator(dag, settings={"steps": {"look_here": {"priority_class": "high"}}})

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, SettingError)
    assert (error.step, error.field) == ("look_here", "settings.steps['look_here'].priority_class")
    assert "settings_policy" in str(error)


def test_with_the_policy_warn_it_is_left_out_and_the_log_says_so(dag, run_dag, kfp_client, log):
    operator(dag, settings={"priority_class": "high", "env": {"LEVEL": "info"}}, settings_policy="warn")

    assert found(run_dag(dag))["look_here"]["LEVEL"] == "info"
    lines = log().splitlines()
    warning = next(line for line in lines if "'look_here', 'look_there': " in line)
    assert "priority_class is left out" in warning
    assert "warning" in warning.lower()
    # No released server has the tasks API, so nobody needs to know that it was not used.
    assert [line for line in lines if "was not used" in line] == []


def test_a_profile_of_airflows_configuration_wins_over_the_step(dag, run_dag, kfp_client, monkeypatch):
    profiles = {"loud": {"env": {"STEP": "of the profile"}}}
    monkeypatch.setenv("AIRFLOW__KFP__PROFILES", json.dumps(profiles))
    operator(dag, settings={"profile": "loud", "env": {"LEVEL": "info"}})

    mine = {"LEVEL": "info", "STEP": "of the profile"}
    assert found(run_dag(dag)) == {"look_here": mine, "look_there": mine}


@pytest.mark.parametrize(
    ("profiles", "words"),
    [
        ('{"loud": {}}', ["no profile 'quiet'", "Allowed: loud"]),
        ("loud", ["[kfp] profiles", "no JSON"]),
        ("[]", ["[kfp] profiles", "not a mapping"]),
        ('{"quiet": 3}', ["[kfp] profiles, 'quiet'", "3 is not a mapping"]),
        ('{"quiet": {"gpus": 3}}', ["profile 'quiet'", "gpus"]),
    ],
)
def test_a_profile_that_is_missing_or_wrong_is_named(dag, run_dag, kfp_client, monkeypatch, profiles, words):
    monkeypatch.setenv("AIRFLOW__KFP__PROFILES", profiles)
    operator(dag, settings={"profile": "quiet"})

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, SettingError)
    assert [word for word in words if word not in str(error)] == []


def test_a_compiled_pipeline_needs_no_profiles(dag, run_dag, kfp_client, monkeypatch):
    monkeypatch.setenv("AIRFLOW__KFP__PROFILES", "not JSON")
    operator(dag, pipeline="no-such-pipeline")

    assert "profiles" not in str(run_dag(dag).errors["run_it"])


def test_a_policy_that_there_is_not_is_refused_when_the_dag_is_parsed():
    with pytest.raises(DefinitionError, match="settings_policy: 'ignore' is no policy"):
        KfpPipelineOperator(task_id="run_it", pipeline="x", settings_policy="ignore")


def sharing(folder: str):
    """The second of two steps reads what the first has written to a folder."""
    with pipeline_context() as pc:
        written = pc.step("Write a note", function="write", inputs={"folder": folder}, values=["folder"])
        read = {"folder": written.outputs["folder"]}
        pc.step("Read the note", function="read", inputs=read, values=["text"])


@pytest.mark.parametrize("deferrable", [False, True])
def test_steps_that_share_a_claim_keep_their_names(dag, run_dag, kfp_client, tmp_path, log, deferrable):
    folder = str(tmp_path / "notes")
    operator(
        dag,
        workflow=sharing,
        arguments={"folder": folder},
        settings={"volumes": [volume(folder)]},
        collect_outputs=True,
        deferrable=deferrable,
    )

    result = run_dag(dag)

    assert result.errors == {}
    assert result.xcom("run_it") == {
        "Write a note": {"folder": folder},
        "Read the note": {"text": "from the first step"},
    }
    run = kfp_client.send(calls.get_run(result.xcom("run_it", "kfp_run")["run_id"]))
    assert {"createpvc", "deletepvc", "exit-handler-1"} <= {row.display_name for row in run.task_details}
    logged = log()
    assert "Step 'Read the note': SUCCEEDED" in logged
    assert "createpvc" not in logged
    assert list(tmp_path.iterdir()) == []


def test_a_compiled_pipeline_with_a_claim_has_its_steps_alone(dag, run_dag, kfp_client, tmp_path):
    folder = str(tmp_path / "notes")
    settings = {"volumes": [volume(folder)]}
    package = compile_handler(sharing, project=PROJECT, settings=settings, collect_outputs=True)
    operator(dag, pipeline=package.to_yaml(), arguments={"folder": folder})

    result = run_dag(dag)

    assert result.errors == {}
    assert result.xcom("run_it") == {
        "write-a-note": {"folder": folder},
        "read-the-note": {"text": "from the first step"},
    }


def test_a_failure_beside_a_claim_names_the_step(dag, run_dag, kfp_client, tmp_path):
    folder = str(tmp_path / "notes")
    only_the_first = {"steps": {"Write*": {"volumes": [volume(folder)]}}}
    operator(dag, workflow=sharing, arguments={"folder": folder}, settings=only_the_first)

    error = run_dag(dag).errors["run_it"]

    assert isinstance(error, RunFailedError)
    step = "\nStep 'Read the note' failed: The step ended with exit status 1.\n"
    assert step in str(error)
    assert "FileNotFoundError" in str(error)
    assert "exit-handler" not in str(error)
    assert list(tmp_path.iterdir()) == []
