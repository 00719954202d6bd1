"""The kfp SDK as the oracle: the same pipelines in both languages are one graph, and each reads the other."""

import json
import subprocess
from pathlib import Path
from typing import Optional

import pytest

from airflow_kfp_runtime.compiler import PipelinePackage, compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.dsl.types import ArtifactType
from airflow_kfp_runtime.project import Project
from tests import kfp_ir
from tests.environments import KFP_SDK, environment
from tests.kfp_sdk_functions import FUNCTIONS, IMAGE

SCRIPT = Path(__file__).with_name("kfp_sdk_pipelines.py")

PROJECT = Project("oracle")
for function in FUNCTIONS.values():
    PROJECT.new_function(function.__name__, kind="python", handler=function, image=IMAGE)
PROJECT.new_function(
    "convert",
    kind="container",
    image="alpine:3.20",
    command=["sh", "-c", 'cp "$1" "$2"', "sh"],
    args=[
        "$(inputs.table)",
        "$(outputs.out)",
        "--url",
        "$(inputs.url)",
        "$(inputs.factor)",
        "$(outputs.rows)",
        "$(inputs.table.uri)",
    ],
    inputs={"url": "str", "factor": "float", "table": "Dataset"},
    outputs={"out": "Dataset", "rows": "int"},
)


def linear(url: str):
    """One after the other."""
    with pipeline_context() as pc:
        fetched = pc.step(name="fetch", function="fetch", inputs={"url": url})
        cleaned = pc.step(
            name="clean",
            function="clean",
            inputs={"table": fetched.outputs["dataset"]},
            parameters={"factor": 0.25},
        )
        pc.step(
            name="fit",
            function="fit",
            inputs={"table": cleaned.outputs["cleaned"], "epochs": fetched.outputs["Output"]},
        )


def diamond(url: str = "http://example.org", epochs: int = 5):
    with pipeline_context() as pc:
        fetched = pc.step(name="fetch", function="fetch", inputs={"url": url, "rows": 100})
        table = fetched.outputs["dataset"]
        left = pc.step(name="fit", function="fit", inputs={"table": table}, parameters={"epochs": epochs})
        right = pc.step(name="fit-2", function="fit", inputs={"table": table})
        models = {"left": left.outputs["model"], "right": right.outputs["model"]}
        pc.step(name="choose", function="choose", inputs=models)


def parallel():
    with pipeline_context() as pc:
        pc.step(name="say", function="say", inputs={"text": "one"})
        pc.step(name="say_2", function="say", inputs={"text": "two"}, parameters={"count": 2})
        pc.step(name="say_3", function="say", inputs={"text": "three"})


def after():
    with pipeline_context() as pc:
        first = pc.step(name="say", function="say", inputs={"text": "first"})
        second = pc.step(name="say-2", function="say", inputs={"text": "second"}).after(first)
        fetched = pc.step(name="fetch", function="fetch", inputs={"url": "u"}).after(first, second)
        table = fetched.outputs["dataset"]
        pc.step(name="clean", function="clean", inputs={"table": table}).after(second)


def artifacts():
    with pipeline_context() as pc:
        names = ("plot", "page", "note", "numbers", "anything", "model")
        drawn = pc.step(name="draw", function="draw", outputs={name: name for name in names})
        pc.step(name="look", function="look", inputs=drawn.outputs)


def arguments(
    text: str,
    count: int,
    rate: float,
    flag: bool,
    items: list,
    table: dict,
    d_text: str = "t",
    d_count: int = 3,
    d_rate: float = 0.5,
    d_flag: bool = False,
    d_items: list = [1, "a", {"b": True}],  # noqa: B006
    d_table: dict = {"a": [1.5]},  # noqa: B006
):
    given = {"text": text, "count": count, "rate": rate, "flag": flag, "items": items, "table": table}
    defaults = {
        "text": d_text, "count": d_count, "rate": d_rate, "flag": d_flag, "items": d_items, "table": d_table
    }  # fmt: skip
    with pipeline_context() as pc:
        pc.step(name="take", function="take", parameters=given)
        pc.step(name="take-2", function="take", parameters=defaults)


def constants():
    first = {"text": "1e3", "count": 3, "rate": 2.0, "flag": True, "items": [1, [2], "x"]}
    second = {"text": "", "count": 0, "rate": -0.5, "flag": False, "items": [], "table": {}}
    with pipeline_context() as pc:
        pc.step(name="take", function="take", inputs=first, parameters={"table": {"a": {"b": False}}})
        pc.step(name="take-2", function="take", parameters=second)


def optional(maybe: Optional[str] = None, perhaps: Optional[int] = None):  # noqa: UP045
    with pipeline_context() as pc:
        pc.step(name="offer", function="offer")
        given = {"maybe": maybe, "perhaps": perhaps, "text": "given"}
        pc.step(name="offer-2", function="offer", parameters=given)


def texts(bucket: str, day: int = 1):
    with pipeline_context() as pc:
        fetched = pc.step(name="fetch", function="fetch", inputs={"url": f"s3://{bucket}/{day}/data"})
        text = f"{fetched.outputs['Output']} rows of {bucket}, day {day} of {bucket}"
        pc.step(name="say", function="say", inputs={"text": text})


def containers(url: str, factor: float = 1.5):
    with pipeline_context() as pc:
        fetched = pc.step(name="fetch", function="fetch", inputs={"url": url})
        converted = pc.step(
            name="convert",
            function="convert",
            inputs={"url": url, "table": fetched.outputs["dataset"]},
            parameters={"factor": factor},
        )
        pc.step(name="clean", function="clean", inputs={"table": converted.outputs["out"]})
        rows = converted.outputs["rows"]
        pc.step(name="fetch-2", function="fetch", inputs={"url": "again"}, parameters={"rows": rows})


def results(url: str):
    with pipeline_context() as pc:
        fetched = pc.step(name="fetch", function="fetch", inputs={"url": url})
        fitted = pc.step(name="fit", function="fit", inputs={"table": fetched.outputs["dataset"]})
    return {
        "accuracy": fitted.outputs["Output"],
        "model": fitted.outputs["model"],
        "rows": fetched.outputs["Output"],
    }


def single_parameter():
    with pipeline_context() as pc:
        return pc.step(name="fetch", function="fetch", inputs={"url": "u"}).outputs["Output"]


def single_artifact():
    with pipeline_context() as pc:
        return pc.step(name="fetch", function="fetch", inputs={"url": "u"}).outputs["dataset"]


def uncached():
    with pipeline_context() as pc:
        pc.step(name="say", function="say", inputs={"text": "again"})


HANDLERS = (
    linear,
    diamond,
    parallel,
    after,
    artifacts,
    arguments,
    constants,
    optional,
    texts,
    containers,
    results,
    single_parameter,
    single_artifact,
    uncached,
)
PACKAGES = {
    package.name: package
    for package in (
        compile_handler(handler, project=PROJECT, enable_caching=handler is not uncached)
        for handler in HANDLERS
    )
}


@pytest.fixture(scope="module")
def sdk():
    """What the SDK compiles, and what it says of this package's YAML; one process for all."""
    done = subprocess.run(
        [str(environment("kfp", KFP_SDK)), str(SCRIPT)],
        input=json.dumps({name: package.to_yaml() for name, package in PACKAGES.items()}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def graph(spec):
    """Return what an IR says, without the names of its components and how its Python steps are started."""
    return {
        "name": spec["pipelineInfo"],
        "tasks": {name: task_of(spec, task) for name, task in spec["root"]["dag"]["tasks"].items()},
        "arguments": spec["root"].get("inputDefinitions", {}),
        "outputs": (spec["root"].get("outputDefinitions", {}), spec["root"]["dag"].get("outputs", {})),
        "schema": spec["schemaVersion"],
    }


def task_of(spec, task):
    component = spec["components"][task["componentRef"]["name"]]
    container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    return {
        "task": {key: value for key, value in task.items() if key != "componentRef"},
        "inputs": component.get("inputDefinitions", {}),
        "outputs": component.get("outputDefinitions", {}),
        "container": {"image": container["image"]} if container["image"] == IMAGE else container,
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_both_languages_compile_to_the_same_graph(sdk, name):
    ours, theirs = graph(PACKAGES[name].pipeline_spec), graph(sdk["compiled"][name])

    for task, compiled in theirs["tasks"].items():
        assert ours["tasks"].get(task) == compiled, task
    assert ours == theirs


def test_every_pipeline_of_the_sdk_is_written_here(sdk):
    assert set(PACKAGES) == set(sdk["compiled"])


@pytest.mark.parametrize("name", PACKAGES)
def test_the_sdk_accepts_what_this_package_writes(sdk, name):
    accepted = sdk["accepted"][name]
    package = PACKAGES[name]

    kfp_ir.check(package.pipeline_spec)
    assert accepted["name"] == name
    assert accepted["platform"] is False
    optional_by_name = {key: given[1] for key, given in accepted["inputs"].items()}
    assert optional_by_name == {
        key: declared.get("isOptional", False) for key, declared in package.parameters.items()
    }
    definitions = package.pipeline_spec["root"].get("outputDefinitions", {})
    assert set(accepted["outputs"]) == {key for kind in definitions.values() for key in kind}


@pytest.mark.parametrize("name", PACKAGES)
def test_what_the_sdk_compiles_is_loaded(sdk, name):
    spec = sdk["compiled"][name]

    package = PipelinePackage.load(spec)

    assert package.name == name
    assert package.pipeline_spec == spec
    assert package.platform_spec is None
    assert set(package.parameters) == set(PACKAGES[name].parameters)
    assert PipelinePackage.load(package.to_yaml()) == package
    assert PipelinePackage.load(package.to_json()) == package


def test_arguments_are_checked_against_what_the_sdk_compiled(sdk):
    package = PipelinePackage.load(sdk["compiled"]["arguments"])
    given = {"text": "t", "count": "3", "rate": 1, "flag": "true", "items": "[1]", "table": {"a": 1}}

    assert package.check_arguments(given) == {
        "text": "t",
        "count": 3,
        "rate": 1.0,
        "flag": True,
        "items": [1],
        "table": {"a": 1},
    }


def test_a_package_with_kubernetes_settings_keeps_both_documents(sdk, tmp_path):
    path = tmp_path / "platform.yaml"
    path.write_text(sdk["with_platform"])

    package = PipelinePackage.load(path)

    secret = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-say"]
    assert secret["secretAsEnv"][0]["secretName"] == "my-secret"
    assert package.pipeline_spec["pipelineInfo"]["name"] == "platform"
    assert PipelinePackage.load(package.to_yaml()) == package
    assert PipelinePackage.load(package.to_json()) == package


def test_the_schema_titles_of_artifacts_are_the_sdks(sdk):
    declared = graph(sdk["compiled"]["artifacts"])["tasks"]["draw"]["outputs"]["artifacts"]

    assert {ArtifactType(**snake(given["artifactType"])) for given in declared.values()} == {
        ArtifactType(f"system.{name}")
        for name in ("ClassificationMetrics", "HTML", "Markdown", "Metrics", "Artifact", "Model")
    }


def snake(given):
    return {"schema_title": given["schemaTitle"], "schema_version": given["schemaVersion"]}
