"""The embedded engine runs pipelines as real processes: values, order, failures, retries."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from airflow_kfp_runtime.embedded.state.rows import timestamp
from tests.embedded_engine import argument, nested, output_of, pipeline, running_server, step

ALWAYS = {"triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("data")) as running:
        yield running


def out(name):
    return f"{{{{$.outputs.parameters['{name}'].output_file}}}}"


def write(name, value):
    return f"printf '%s' '{value}' > {out(name)}"


def test_parameters_of_each_type_pass_between_tasks(server):
    types = {
        "text": ("STRING", "a 'b' \"c\"\nü"),
        "whole": ("NUMBER_INTEGER", 3.0),
        "broken": ("NUMBER_DOUBLE", 0.25),
        "flag": ("BOOLEAN", True),
        "items": ("LIST", [1, "two", None, {"a": 1.5}]),
        "struct": ("STRUCT", {"a": {"b": [True]}}),
    }
    executor = (
        "import json, sys; told = json.loads(sys.argv[1])\n"
        "values = told['inputs']['parameterValues']\n"
        "open(told['outputs']['outputFile'], 'w').write(json.dumps({'parameterValues': values}))"
    )
    python = {"command": ["python3", "-c", executor], "args": ["{{$}}"]}
    kinds = {name: kind for name, (kind, _) in types.items()}
    spec = pipeline(
        {
            "first": step(inputs=dict(types), outputs=kinds, container=python),
            "second": step(
                inputs={name: (kind, output_of("first", name)) for name, kind in kinds.items()},
                outputs=kinds,
                container=python,
            ),
        },
        outputs={name: (kind, output_of("second", name)) for name, kind in kinds.items()},
    )

    run = server.run(spec)

    assert run.state == "SUCCEEDED", run.error
    expected = {name: value for name, (_, value) in types.items()} | {"whole": 3}
    found = server.tasks(run)[""].outputs["parameters"]
    assert found == expected
    assert isinstance(found["whole"], int)
    assert isinstance(found["broken"], float)


def test_output_files_are_read_by_the_type_of_the_parameter(server):
    values = {
        "text": ("STRING", " as it is\n"),
        "whole": ("NUMBER_INTEGER", "42\n"),
        "broken": ("NUMBER_DOUBLE", "1e-3"),
        "flag": ("BOOLEAN", "True\n"),
        "items": ("LIST", '[1, "x"]'),
        "struct": ("STRUCT", '{"a": 1}'),
    }
    script = "\n".join(write(name, value) for name, (_, value) in values.items())
    run = server.run(
        pipeline({"writes": step(script, outputs={name: kind for name, (kind, _) in values.items()})})
    )

    assert server.tasks(run)["writes"].outputs["parameters"] == {
        "text": " as it is\n",
        "whole": 42,
        "broken": 0.001,
        "flag": True,
        "items": [1, "x"],
        "struct": {"a": 1},
    }


def test_run_arguments_fill_the_pipeline_and_defaults_the_rest(server):
    spec = pipeline(
        {
            "joins": step(
                write("joined", "{{$.inputs.parameters['a']}} {{$.inputs.parameters['both']}}"),
                inputs={
                    "a": ("STRING", argument("a")),
                    "n": (("NUMBER_INTEGER", 7), argument("n")),
                    "both": ("STRING", "{{$.inputs.parameters['a']}}/{{$.inputs.parameters['n']}}"),
                },
                outputs={"joined": "STRING"},
            )
        },
        inputs={"a": "STRING", "n": ("NUMBER_INTEGER", 5.0), "absent": ("STRING", None)},
    )

    run = server.run(spec, {"a": "x"})

    assert server.tasks(run)["joins"].outputs["parameters"] == {"joined": "x x/5"}
    assert server.tasks(run)[""].inputs["parameters"] == {"a": "x", "n": 5}


def test_artifacts_are_files_that_outlive_their_task_and_carry_metadata(server):
    metadata = (
        "import json, sys; told = json.loads(sys.argv[1])\n"
        "artifact = told['outputs']['artifacts']['data']['artifacts'][0]\n"
        "open(artifact['uri'], 'w').write('1,2')\n"
        "report = dict(artifact, metadata={'rows': 2})\n"
        "report = {'artifacts': {'data': {'artifacts': [report]}}}\n"
        "open(told['outputs']['outputFile'], 'w').write(json.dumps(report))\n"
    )
    spec = pipeline(
        {
            "makes": step(
                outputs={"data": "system.Dataset"},
                container={"command": ["python3", "-c", metadata, "{{$}}"]},
            ),
            "reads": step(
                "cat {{$.inputs.artifacts['data'].path}} > "
                + out("text")
                + "; printf '%s' '{{$.inputs.artifacts['data'].metadata['rows']}}' > "
                + out("rows"),
                inputs={"data": ("system.Dataset", output_of("makes", "data"))},
                outputs={"text": "STRING", "rows": "NUMBER_INTEGER"},
            ),
        },
        outputs={"data": ("system.Dataset", output_of("makes", "data"))},
    )

    run = server.run(spec)

    tasks = server.tasks(run)
    assert run.state == "SUCCEEDED", run.error
    assert tasks["reads"].outputs["parameters"] == {"text": "1,2", "rows": 2}
    (artifact,) = tasks[""].outputs["artifacts"]["data"]
    assert artifact["type"] == "system.Dataset"
    assert artifact["metadata"] == {"rows": 2}
    path = Path(urlsplit(artifact["uri"]).path)
    assert path.read_text() == "1,2"
    parts = path.relative_to(server.places.data / "artifacts").parts
    assert parts[:3] == ("by-hand", run.run_id, "makes")
    assert parts[4] == "data"
    assert tasks["reads"].inputs["artifacts"]["data"] == [artifact]


def test_a_nested_pipeline_hands_values_in_and_out(server):
    double = step(
        "echo $(( {{$.inputs.parameters['n']}} * 2 )) > " + out("n"),
        inputs={"n": ("NUMBER_INTEGER", argument("n"))},
        outputs={"n": "NUMBER_INTEGER"},
    )
    innermost = nested(
        {"double": double},
        inputs={"n": ("NUMBER_INTEGER", argument("n"))},
        outputs={"n": ("NUMBER_INTEGER", output_of("double", "n"))},
    )
    outer = nested(
        {"innermost": innermost},
        inputs={"n": ("NUMBER_INTEGER", argument("n"))},
        outputs={"n": ("NUMBER_INTEGER", output_of("innermost", "n"))},
    )
    spec = pipeline(
        {"outer": outer},
        inputs={"n": "NUMBER_INTEGER"},
        outputs={"n": ("NUMBER_INTEGER", output_of("outer", "n"))},
    )

    run = server.run(spec, {"n": 21})

    tasks = server.tasks(run)
    assert {path: (task.type, task.state) for path, task in tasks.items()} == {
        "": ("ROOT", "SUCCEEDED"),
        "outer": ("DAG", "SUCCEEDED"),
        "outer/innermost": ("DAG", "SUCCEEDED"),
        "outer/innermost/double": ("CONTAINER", "SUCCEEDED"),
    }
    assert tasks[""].outputs["parameters"] == {"n": 42}
    assert tasks["outer/innermost/double"].parent_task_id == tasks["outer/innermost"].task_id


def test_independent_tasks_run_at_the_same_time(server, tmp_path):
    # Each waits for the file that the other makes: one after the other would never end.
    def meets(mine, other):
        return step(f"touch {tmp_path}/{mine}; while [ ! -e {tmp_path}/{other} ]; do sleep 0.02; done")

    run = server.run(pipeline({"one": meets("one", "two"), "two": meets("two", "one")}))

    assert run.state == "SUCCEEDED"


def test_no_more_steps_run_at_once_than_there_are_workers(tmp_path):
    # With one worker the second step of two that would meet never starts, so the first times out.
    waits = "for i in $(seq 20); do [ -e {0}/{2} ] && exit 0; touch {0}/{1}; sleep 0.02; done; exit 9"
    steps = {
        "one": step(waits.format(tmp_path, "one", "two")),
        "two": step(waits.format(tmp_path, "two", "one")),
    }
    with running_server(tmp_path / "data", workers=1) as server:
        run = server.run(pipeline(steps))
        states = sorted(server.tasks(run)[name].state for name in steps)

    assert states == ["FAILED", "SUCCEEDED"]


def test_a_failure_skips_what_depends_on_it_and_lets_the_rest_run(server):
    spec = pipeline(
        {
            "fails": step("echo so far so good; echo the reason; exit 3"),
            "after": step(dependentTasks=["fails"]),
            "after-that": nested({"inner": step()}, dependentTasks=["after"]),
            "beside": step(),
            "beside-after": step(dependentTasks=["beside"]),
        }
    )

    run = server.run(spec)

    tasks = server.tasks(run)
    assert run.state == "FAILED"
    assert {path: task.state for path, task in tasks.items()} == {
        "": "FAILED",
        "fails": "FAILED",
        "after": "SKIPPED",
        "after-that": "SKIPPED",
        "beside": "SUCCEEDED",
        "beside-after": "SUCCEEDED",
    }
    assert tasks["fails"].exit_code == 3
    assert tasks["fails"].error == "The step ended with exit status 3.\nthe reason"
    assert "'fails'" in run.error
    assert [change["state"] for change in run.state_history][-2:] == ["RUNNING", "FAILED"]


def test_a_retry_that_succeeds_at_the_third_try(server, tmp_path):
    script = f"echo x >> {tmp_path}/tries; [ $(wc -l < {tmp_path}/tries) -ge 3 ]"
    policy = {"maxRetryCount": 4, "backoffDuration": "0.05s", "backoffFactor": 1.5}

    run = server.run(pipeline({"flaky": step(script, retryPolicy=policy)}))

    task = server.tasks(run)["flaky"]
    assert run.state == "SUCCEEDED"
    assert task.attempts == 3
    assert task.error is None
    assert (tmp_path / "tries").read_text() == "x\n" * 3
    assert "This is attempt 3." in server.log(run, "flaky")


def test_retries_end_with_the_policy(server, tmp_path):
    run = server.run(
        pipeline({"fails": step(f"echo x >> {tmp_path}/tries; exit 1", retryPolicy={"maxRetryCount": 1})})
    )

    assert run.state == "FAILED"
    assert server.tasks(run)["fails"].attempts == 2
    assert (tmp_path / "tries").read_text() == "x\n" * 2


def test_an_exit_handler_runs_after_a_failure_and_learns_of_it(server):
    status = {"raw": {"taskFinalStatus": {"producerTask": "work"}}}
    handler = step(
        "cat > /dev/null; printf '%s' '{{$.inputs.parameters['status']}}' > " + out("status"),
        inputs={"status": ("TASK_FINAL_STATUS", status)},
        outputs={"status": "STRUCT"},
        dependentTasks=["work"],
        **ALWAYS,
    )
    work = nested({"fails": step("exit 1"), "never": step(dependentTasks=["fails"])})

    run = server.run(pipeline({"work": work, "handler": handler}))

    tasks = server.tasks(run)
    assert run.state == "FAILED"
    assert tasks["handler"].state == "SUCCEEDED"
    found = tasks["handler"].outputs["parameters"]["status"]
    assert (found["state"], found["pipelineTaskName"]) == ("FAILED", "work")
    assert "fails" in found["error"]["message"]


def test_a_task_that_ignores_upstream_failures_runs_with_its_default(server):
    task = step(
        write("seen", "{{$.inputs.parameters['message']}}"),
        inputs={"message": (("STRING", "nothing came"), output_of("fails", "message"))},
        outputs={"seen": "STRING"},
        **ALWAYS,
    )
    run = server.run(pipeline({"fails": step("exit 1", outputs={"message": "STRING"}), "goes-on": task}))

    assert server.tasks(run)["goes-on"].outputs["parameters"] == {"seen": "nothing came"}
    assert run.state == "FAILED"


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        ("true", "STRING", "'x' (STRING) was not written"),
        (write("x", "ten"), "NUMBER_INTEGER", "'ten' is not of type NUMBER_INTEGER"),
        (write("x", "1.5"), "NUMBER_INTEGER", "1.5 is not of type"),
        (write("x", "[1]"), "STRUCT", "[1] is not of type STRUCT"),
        (write("x", "yes"), "BOOLEAN", "'yes' is not of type BOOLEAN"),
    ],
)
def test_an_output_that_is_missing_or_wrong_fails_the_task(server, script, kind, message):
    run = server.run(pipeline({"writes": step(script, outputs={"x": kind})}))

    task = server.tasks(run)["writes"]
    assert task.state == "FAILED"
    assert message in task.error.splitlines()[0]


def test_a_value_of_another_type_in_the_executor_output_fails_the_task(server):
    code = (
        "import json, sys; told = json.loads(sys.argv[1])\n"
        "open(told['outputs']['outputFile'], 'w').write('{\"parameterValues\": {\"x\": 5}}')"
    )
    container = {"command": ["python3", "-c", code, "{{$}}"]}
    run = server.run(pipeline({"writes": step(outputs={"x": "STRING"}, container=container)}))

    assert "5 is not of type STRING" in server.tasks(run)["writes"].error


def test_an_argument_that_does_not_fit_fails_the_run_with_its_name(server):
    run = server.run(pipeline({"one": step()}, inputs={"n": "NUMBER_INTEGER"}), {"n": "many"})

    assert run.state == "FAILED"
    assert "'n'" in run.error
    assert "NUMBER_INTEGER" in run.error


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"command": []}, "no command"),
        ({"command": ["no-such-program-anywhere"]}, "'no-such-program-anywhere'"),
        ({"command": ["sh", "-c", "no-such-program-anywhere"]}, "command not found"),
    ],
)
def test_what_an_image_would_have_brought_is_missed_with_a_clear_message(server, container, message):
    run = server.run(pipeline({"one": step(container=container)}))

    error = server.tasks(run)["one"].error
    assert run.state == "FAILED"
    assert message in error
    assert "images are not pulled" in error


def test_the_log_says_what_is_not_applied(server):
    container = {"image": "registry/image:1", "resources": {"resourceCpuLimit": "1"}}
    executors = {"exec-one": {"nodeSelector": {"labels": {"a": "b"}}, "imagePullPolicy": "Always"}}
    platform_spec = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}

    run = server.run(
        pipeline({"one": step("echo hello", container=container)}),
        platform_spec=platform_spec,
        pipeline_root="s3://bucket/root",
    )

    first, *rest = server.log(run, "one").splitlines()
    assert "registry/image:1" in first
    assert "not pulled" in first
    assert rest == [
        'Not applied here: nodeSelector {"labels":{"a":"b"}}.',
        "Not applied here: imagePullPolicy Always.",
        "Not applied here: cpu limit 1.",
        "Not applied here: the pipeline root s3://bucket/root; artifacts are files of this server.",
        "hello",
    ]


def test_a_task_has_a_clean_environment_and_an_empty_folder_of_its_own(server, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("TZ", "Europe/Rome")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    code = (
        "import importlib.util, json, os, sys\n"
        "told = json.loads(sys.argv[1])\n"
        "seen = dict(environment=dict(os.environ), files=os.listdir(), prefix=sys.prefix, here=os.getcwd(),\n"
        "            airflow=bool(importlib.util.find_spec('airflow')), home=os.path.expanduser('~'))\n"
        "report = json.dumps({'parameterValues': {'seen': seen}})\n"
        "open(told['outputs']['outputFile'], 'w').write(report)\n"
    )
    container = {
        "command": ["python3", "-c", code, "{{$}}"],
        "env": [{"name": "OWN", "value": "of {{$.pipeline_task_name}}"}],
    }
    run = server.run(pipeline({"looks": step(outputs={"seen": "STRUCT"}, container=container)}))

    seen = server.tasks(run)["looks"].outputs["parameters"]["seen"]
    environment = seen["environment"]
    assert environment["OWN"] == "of looks"
    assert environment["TZ"] == "Europe/Rome"
    assert not {"AIRFLOW__CORE__FERNET_KEY", "PYTHONPATH", "VIRTUAL_ENV"} & environment.keys()
    assert str(Path(sys.executable).parent) not in environment["PATH"].split(os.pathsep)
    assert seen["files"] == []
    assert not seen["airflow"]
    assert Path(seen["prefix"]).is_relative_to(server.places.environments)
    folder = server.places.run(run.run_id)
    assert Path(seen["home"]).is_relative_to(folder)
    assert Path(environment["TMPDIR"]).is_relative_to(folder)
    assert not Path(seen["here"]).exists()


def test_placeholders_of_the_run_are_filled_in_commands_and_constants(server):
    names = ["pipeline_job_name", "pipeline_job_uuid", "pipeline_task_name", "pipeline_root"]
    names += ["pipeline_job_create_time_utc", "pipeline_job_schedule_time_utc", "pipeline_task_uuid"]
    script = "\n".join(f"echo '{{{{$.{name}}}}}'" for name in names) + "\necho '{{$.inputs.parameters['c']}}'"
    run = server.run(
        pipeline({"says": step(script, inputs={"c": ("STRING", "run {{$.pipeline_job_uuid}}")})})
    )

    assert server.log(run, "says").splitlines()[1:] == [
        "a run",
        run.run_id,
        "says",
        str(server.places.artifact_root("by-hand", run.run_id)),
        timestamp(run.created_at),
        timestamp(run.scheduled_at),
        server.tasks(run)["says"].task_id,
        f"run {run.run_id}",
    ]


def test_a_hundred_runs_on_few_workers_all_end(server):
    spec = pipeline({"one": step(), "two": step(dependentTasks=["one"])})

    runs = [server.submit(spec) for _ in range(100)]

    assert {server.wait(run).state for run in runs} == {"SUCCEEDED"}
