"""The executor as it travels: a real process of a clean interpreter, with KFP's executor input."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp.pipeline_spec.pipeline_spec_pb2 import ExecutorOutput

from airflow_kfp_runtime.runtimes.python import executor
from airflow_kfp_runtime.runtimes.python.command import executor_text
from tests.python_steps import Step, dataset

TRAIN = """
from kfp import dsl
from airflow_kfp_runtime.dsl import Input, Output, Dataset, pipeline_context

@dsl.component(base_image="ignored")
def train(
    di: Input[Dataset], model: Output[dsl.Model], scores: Output[Metrics], epochs: int = 3
) -> NamedTuple("Outputs", [("accuracy", float), ("settings", dict)]):
    with open(di.path) as file:
        rows = file.read().split()
    with open(model.path, "w") as file:
        file.write("+".join(rows))
    model.framework = "none"
    scores.log_metric("rows", len(rows))
    return 1, {"epochs": epochs, "from": di.metadata["origin"], "class": type(model).__name__}
"""


def test_parameters_and_artifacts_go_in_and_come_out(tmp_path):
    (tmp_path / "rows.txt").write_text("a b")
    step = Step(
        tmp_path,
        {"handler": "train", "code": TRAIN},
        inputs={"di": dataset(tmp_path / "rows.txt", origin="web")},
        outputs={"model": "best", "accuracy": "acc"},
    )

    written = step.output()

    assert written["parameterValues"] == {
        "acc": 1.0,
        "settings": {"epochs": 3, "from": "web", "class": "Model"},
    }
    assert type(written["parameterValues"]["acc"]) is float
    assert written["artifacts"]["best"]["artifacts"] == [
        {
            "name": "projects/1/best",
            "type": {"schemaTitle": "system.Model", "schemaVersion": "0.0.1"},
            "uri": f"file://{tmp_path}/artifacts/best",
            "metadata": {"framework": "none"},
        }
    ]
    assert written["artifacts"]["scores"]["artifacts"][0]["metadata"] == {"rows": 2}
    assert (tmp_path / "artifacts" / "best").read_text() == "a+b"


def test_inputs_of_the_task_that_the_function_does_not_have_are_left_out(tmp_path):
    code = "def train(text, n: int = 1) -> str:\n    return f'{text} {n}'"
    step = Step(tmp_path, {"handler": "train", "code": code}, inputs={"text": "a"})
    step.given |= {"pipelinechannel--cpu": "1", "cpu_limit": "1", "n": 2}

    assert step.output()["parameterValues"] == {"Output": "a 2"}


def test_the_output_is_kfps_message_in_json(tmp_path):
    (tmp_path / "rows.txt").write_text("a b")
    step = Step(
        tmp_path,
        {"handler": "train", "code": TRAIN},
        inputs={"di": dataset(tmp_path / "rows.txt", origin="web")},
    )
    written = step.output()

    parsed = ParseDict(written, ExecutorOutput())

    assert parsed.parameter_values["settings"].struct_value["epochs"] == 3
    assert parsed.artifacts["model"].artifacts[0].type.schema_title == "system.Model"


def test_the_oldest_python_that_this_machine_has_runs_the_executor(tmp_path):
    (tmp_path / "rows.txt").write_text("a b")
    installed = sorted(Path("~/.pyenv/versions").expanduser().glob("3.[89].*/bin/python3"))
    python = str(installed[0]) if installed else shutil.which("python3")
    step = Step(
        tmp_path,
        {"handler": "train", "code": TRAIN},
        inputs={"di": dataset(tmp_path / "rows.txt", origin="web")},
    )

    done = step.run(python=python)

    assert done.returncode == 0, done.stderr


def test_a_source_with_double_braces_arrives_as_it_is(tmp_path):
    code = "def show(n: int) -> str:\n    return f'{{$}} {{{n}}} {{{{'\n"
    step = Step(tmp_path, {"handler": "show", "code": code}, inputs={"n": 1}, values=["text"])

    assert not any("{{" in part for part in step.component.implementation.args[2:])
    assert step.output()["parameterValues"] == {"text": "{$} {1} {{"}


def test_paths_take_the_place_of_artifacts_where_they_are_asked_for(tmp_path):
    code = (
        "from kfp.dsl import InputPath, OutputPath\n"
        "def copy(di: InputPath('Dataset'), n: OutputPath(int), out: OutputPath(Dataset)):\n"
        "    text = open(di).read()\n"
        "    open(out, 'w').write(text)\n"
        "    open(n, 'w').write(str(len(text)))\n"
    )
    (tmp_path / "in").write_text("abc")
    step = Step(tmp_path, {"handler": "copy", "code": code}, inputs={"di": dataset(tmp_path / "in")})

    step.output()

    assert (tmp_path / "parameters" / "n").read_text() == "3"
    assert (tmp_path / "artifacts" / "out").read_text() == "abc"


def test_a_callable_travels_without_the_module_around_it(tmp_path):
    def area(width: float, height: "float" = 2.0) -> dict[str, float]:
        import math

        outcome = NamedTuple("Outcome", [("area", int)])  # noqa: F821 -- the executor provides it
        return outcome(math.floor(width * height))._asdict()

    step = Step(tmp_path, {"handler": area}, inputs={"width": 3}, outputs={"shape": "shape"})

    assert step.output()["parameterValues"] == {"shape": {"area": 6}}


@pytest.mark.parametrize(
    ("annotation", "returned", "message"),
    [
        (
            "float",
            "'high'",
            "'accuracy' of function 'f' is declared float, but the function returned str: 'high'",
        ),
        ("int", "True", "is declared int, but the function returned bool: True"),
        ("bool", "1", "is declared bool, but the function returned int: 1"),
        ("int", "None", "is declared int, but the function returned NoneType: None"),
        ("float", "float('nan')", "'accuracy' of function 'f' is nan, which JSON and KFP cannot carry."),
        ("dict", "{'a': [1, {1, 2}]}", "function 'f'['a'][1] is of type set, which is not JSON: {1, 2}"),
        ("dict", "{'a': {2: 1}}", "function 'f'['a'] has the key 2, but in JSON every key is a str."),
        ("int", "2 ** 60", "which KFP would round to a double. Pass it as a str."),
        ("str", "'\\ud800'", "is not valid Unicode text"),
        ("tuple[int, str]", "1", "is declared to return 2 values ('accuracy', 'b'), but it returned int: 1"),
        ("tuple[int, str]", "(1, 'a', 2)", "but it returned a tuple of 3: (1, 'a', 2)"),
    ],
)
def test_a_returned_value_that_does_not_fit_fails_the_step_and_says_so(
    tmp_path, annotation, returned, message
):
    code = f"def f() -> {annotation}:\n    return {returned}\n"
    names = ["accuracy", "b"] if "tuple" in annotation else ["accuracy"]

    told = Step(tmp_path, {"handler": "f", "code": code}, values=names).failure()

    assert message in told
    assert "Traceback" not in told


def test_a_received_value_that_does_not_fit_fails_the_step(tmp_path):
    step = Step(tmp_path, {"handler": "f", "code": "def f(n: int): pass"}, inputs={"n": 2})
    step.given = {"n": 2.5}

    assert "Input 'n' of function 'f' is declared int, but the step received float: 2.5" in step.failure()


def test_numbers_arrive_as_declared_however_json_wrote_them(tmp_path):
    code = "def f(n: int, x: float) -> str:\n    return f'{n!r} {x!r}'\n"
    step = Step(tmp_path, {"handler": "f", "code": code}, inputs={"n": 3, "x": 2.0}, values=["seen"])
    # KFP's launcher is written in Go, whose JSON has digits up to 1e21.
    step.given = {"n": 3.0, "x": 10**17}

    assert step.output()["parameterValues"] == {"seen": "3 1e+17"}


def test_an_exception_shows_the_users_own_lines_only(tmp_path):
    source = tmp_path / "train.py"
    source.write_text(
        "def train(n: int):\n    return inner(n)\n\n\ndef inner(n):\n    return n / 0  # here\n"
    )

    told = Step(tmp_path, {"handler": "train", "source": source}, inputs={"n": 1}).failure()

    assert told.startswith('Traceback (most recent call last):\n  File "train.py", line 2, in train\n')
    assert 'File "train.py", line 6, in inner\n    return n / 0  # here\n' in told
    assert told.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "<string>" not in told


def test_a_missing_module_and_a_dsl_that_is_used_in_a_step_are_explained(tmp_path):
    missing = Step(tmp_path, {"handler": "f", "code": "def f():\n    import no_such_module\n"}).failure()
    code = "from airflow_kfp_runtime.dsl import pipeline_context\ndef f():\n    pipeline_context()\n"
    misused = Step(tmp_path, {"handler": "f", "code": code}).failure()

    assert "Add 'no_such_module' to the function's requirements, or use an image that has it." in missing
    assert "pipeline_context describes pipelines; a step cannot use it." in misused


def test_what_nothing_takes_is_said_in_the_log(tmp_path):
    code = "def f(out: Output[Dataset]):\n    return 3\n"

    done = Step(tmp_path, {"handler": "f", "code": code}).run()

    assert done.returncode == 0
    assert "No output of the step takes what 'f' returned." in done.stderr
    assert f"Output 'out': the function wrote nothing to {tmp_path}/artifacts/out" in done.stderr


def test_requirements_that_cannot_be_installed_fail_the_step_with_advice(tmp_path):
    (tmp_path / "python3").write_text('#!/bin/sh\necho "$@" >> called\nexit 1\n')
    (tmp_path / "python3").chmod(0o755)
    requirement = "pandas>=2; python_version>'3$(touch hacked)'"
    step = Step(tmp_path, {"handler": "f", "code": "def f(): pass", "requirements": [requirement]})

    done = subprocess.run(
        step.command(),
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )

    assert done.returncode == 1
    assert f"Cannot install the function's requirements ({requirement})" in done.stderr
    assert (tmp_path / "called").read_text().splitlines() == [
        f"-m pip install --quiet --disable-pip-version-check --no-input -- {requirement}"
    ]
    assert not (tmp_path / "hacked").exists()


def test_requirements_that_are_installed_let_the_function_run(tmp_path):
    (tmp_path / "python3").write_text(
        f'#!/bin/sh\n[ "$2" = pip ] && exit 0\nexec {sys.executable} -I -S "$@"\n'
    )
    (tmp_path / "python3").chmod(0o755)
    code = "def f() -> int:\n    return 1\n"
    step = Step(tmp_path, {"handler": "f", "code": code, "requirements": ["six"]})

    subprocess.run(
        step.command(), check=True, timeout=30, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )

    assert json.loads((tmp_path / "out" / "output.json").read_text())["parameterValues"] == {"Output": 1}


def test_the_text_that_travels_is_small_and_holds_no_placeholder():
    text = executor_text()

    assert len(text) < 13 * 1024
    assert "{{" not in text


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("minio://mlpipeline/v2/d", "/minio/mlpipeline/v2/d"),
        ("s3://bucket/d", "/s3/bucket/d"),
        ("gs://bucket/d", "/gcs/bucket/d"),
        ("oci://registry/image:1", "/oci/registry_image:1/models"),
        ("file:///data/d", "/data/d"),
        ("/data/d", "/data/d"),
    ],
)
def test_an_artifact_lies_where_kfps_launcher_puts_it(uri, path):
    artifact = executor.Artifact(uri=uri)

    assert artifact.path == path


def test_a_custom_path_and_the_workspace_come_before_the_uri():
    custom = executor.artifact_of({"uri": "s3://b/d", "customPath": "/tmp/d"})
    workspace = executor.artifact_of({"uri": "s3://b/d", "metadata": {"_kfp_workspace": True}})

    assert custom.path == "/tmp/d"
    assert workspace.path == "/kfp-workspace/.artifacts/s3/b/d"


def test_a_path_that_is_set_becomes_the_uri():
    artifact = executor.Model(uri="s3://b/d")

    artifact.path = "/minio/b/e"

    assert artifact.uri == "minio://b/e"


def test_classification_metrics_are_kept_as_kfps_ui_reads_them():
    metrics = executor.ClassificationMetrics()
    metrics.log_roc_curve([0.0, 0.5], [0.1, 0.9], [1.0, 0.2])
    metrics.log_confusion_matrix(["cat", "dog"], [[3, 1], [0, 5]])
    metrics.log_confusion_matrix_cell("dog", "cat", 2)

    assert metrics.metadata == {
        "confidenceMetrics": [
            {"confidenceThreshold": 1.0, "recall": 0.1, "falsePositiveRate": 0.0},
            {"confidenceThreshold": 0.2, "recall": 0.9, "falsePositiveRate": 0.5},
        ],
        "confusionMatrix": {
            "annotationSpecs": [{"displayName": "cat"}, {"displayName": "dog"}],
            "rows": [{"row": [3, 1]}, {"row": [2, 5]}],
        },
    }
    with pytest.raises(ValueError, match="'cow' is not a category"):
        metrics.log_confusion_matrix_row("cow", [1, 2])


class NumpyScalar:
    """What numpy's scalars have in common, for an environment that has no numpy."""

    __module__ = "numpy"
    shape = ()

    def __init__(self, value):
        self.value = value

    def item(self):
        return self.value


def test_numpys_scalars_count_as_pythons():
    assert executor.typed(NumpyScalar(0.5), "float", "x", "returned") == 0.5
    assert executor.plain({"n": [NumpyScalar(3)]}, "x") == {"n": [3]}
    with pytest.raises(executor.ValueMismatchError, match=r"x\['n'\] is inf"):
        executor.plain({"n": NumpyScalar(float("inf"))}, "x")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

VALUES = {
    "str": st.text(),
    "int": st.integers(-(2**53), 2**53),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "list": st.lists(JSON, max_size=3),
    "dict": st.dictionaries(st.text(), JSON, max_size=3),
}


def identity(value):
    return value


@pytest.mark.parametrize("declared", VALUES)
def test_every_value_passes_through_a_function_unchanged_and_with_its_type(tmp_path, declared):
    interface = {
        "function": "f",
        "inputs": {"value": declared},
        "outputs": {},
        "paths": [],
        "returns": [["out", None, declared]],
        "form": "single",
    }
    file = tmp_path / "output.json"

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(VALUES[declared])
    def passes(value):
        executor_input = {
            "inputs": {"parameterValues": {"value": value}},
            "outputs": {"outputFile": str(file)},
        }
        step = executor.Step(interface, json.loads(json.dumps(executor_input)))
        step.write(identity(**step.arguments()))
        returned = json.loads(file.read_text(), parse_constant=pytest.fail)["parameterValues"]["out"]
        assert returned == value
        assert type(returned) is type(value)

    passes()
