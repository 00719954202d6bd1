"""The embedded engine runs what the kfp SDK compiles, unchanged, with its own executor in each step."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from tests.embedded_engine import running_server
from tests.environments import KFP_SDK, environment

PIPELINES = """
import sys
from typing import NamedTuple
from kfp import compiler, dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output, PipelineTaskFinalStatus

component = dsl.component(base_image="python:3.11")


@component
def every_type(text: str, whole: int, broken: float, flag: bool, items: list, struct: dict) -> NamedTuple(
    "Outputs",
    [("text", str), ("whole", int), ("broken", float), ("flag", bool), ("items", list), ("struct", dict)],
):
    assert type(whole) is int and type(flag) is bool, (whole, flag)
    return text, whole, broken, flag, items, struct


@component
def download(url: str, dataset: Output[Dataset]):
    with open(dataset.path, "w") as file:
        file.write(url)
    dataset.metadata["rows"] = 1


@component
def train(dataset: Input[Dataset], model: Output[Model], metrics: Output[Metrics], epochs: int = 3) -> float:
    with open(dataset.path) as source, open(model.path, "w") as target:
        target.write(source.read() * epochs)
    metrics.log_metric("accuracy", 0.5)
    model.framework = "none"
    return dataset.metadata["rows"] / 2


@component
def returns_artifact(text: str) -> Artifact:
    return Artifact(name="mine", uri=dsl.get_uri("suffix"), metadata={"text": text})


@dsl.container_component
def contained(number: float, model: Input[Model], text: dsl.OutputPath(str), absent: str = None):
    return dsl.ContainerSpec(
        image="alpine",
        command=["sh", "-c", 'out="$1"; shift; mkdir -p "$(dirname "$out")"; echo "$@" > "$out"', "sh", text],
        args=[
            dsl.ConcatPlaceholder(["n=", number]),
            dsl.IfPresentPlaceholder("absent", then=["--absent", absent], else_=["--none"]),
            model.path,
        ],
    )


@dsl.pipeline
def part(url: str, epochs: int = 2) -> float:
    data = download(url=url)
    return train(dataset=data.outputs["dataset"], epochs=epochs).outputs["Output"]


@dsl.pipeline(name="everything")
def everything(url: str, n: int = 5, absent: str = None) -> float:
    every_type(text=f"{url} & {n}", whole=n, broken=0.5, flag=True, items=[1, "x"], struct={"a": {"b": 1}})
    data = download(url=url)
    trained = train(dataset=data.outputs["dataset"])
    contained(number=trained.outputs["Output"], model=trained.outputs["model"], absent=absent)
    returns_artifact(text="x").after(data)
    return part(url=f"{url}/{n}").output


@component
def fails(path: str):
    import pathlib, sys
    tries = pathlib.Path(path)
    tries.write_text((tries.read_text() if tries.exists() else "") + "x")
    if len(tries.read_text()) < 3:
        print("not yet")
        sys.exit(7)


@component
def always_fails():
    raise RuntimeError("the reason")


@component
def clean_up(status: PipelineTaskFinalStatus) -> str:
    return f"{status.state} {status.pipeline_task_name} {'always-fails' in status.error_message}"


@dsl.pipeline(name="failures")
def failures(path: str):
    fails(path=path).set_retry(num_retries=3, backoff_duration="0s")
    with dsl.ExitHandler(clean_up()):
        always_fails()


for pipeline in (everything, failures):
    compiler.Compiler().compile(pipeline, f"{sys.argv[1]}/{pipeline.name}.yaml")
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The pipelines above as the SDK compiles them, by name."""
    folder = tmp_path_factory.mktemp("compiled")
    source = folder / "pipelines.py"
    source.write_text(PIPELINES)
    python = environment("kfp", KFP_SDK)
    subprocess.run([python, source, folder], check=True, capture_output=True, timeout=300)
    return {file.stem: next(yaml.safe_load_all(file.read_text())) for file in folder.glob("*.yaml")}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="module")
def everything(server, compiled):
    """The tasks of a run of the pipeline with everything in it, and the run."""
    run = server.run(compiled["everything"], {"url": "http://x"})
    return run, server.tasks(run)


def test_a_pipeline_with_everything_in_it_succeeds(everything):
    run, tasks = everything

    errors = {path: task.error for path, task in tasks.items() if task.error}
    assert (run.state, errors) == ("SUCCEEDED", {})
    assert tasks[""].outputs["parameters"] == {"Output": 0.5}


def test_every_type_comes_back_as_it_went_in(everything):
    _, tasks = everything

    assert tasks["every-type"].outputs["parameters"] == {
        "text": "http://x & 5",
        "whole": 5,
        "broken": 0.5,
        "flag": True,
        "items": [1, "x"],
        "struct": {"a": {"b": 1}},
    }


def test_artifacts_carry_their_type_and_metadata(everything):
    _, tasks = everything

    outputs = tasks["train"].outputs["artifacts"]
    assert outputs["metrics"][0]["metadata"] == {"accuracy": 0.5}
    assert outputs["model"][0]["type"] == "system.Model"
    assert outputs["model"][0]["metadata"]["framework"] == "none"
    (returned,) = tasks["returns-artifact"].outputs["artifacts"]["Output"]
    assert returned["name"] == "mine"
    assert returned["uri"].endswith("/suffix")
    assert returned["uri"].startswith("file:///")


def test_a_container_component_gets_its_line_with_structures_resolved(everything):
    _, tasks = everything

    model = tasks["train"].outputs["artifacts"]["model"][0]["uri"].removeprefix("file://")
    assert tasks["contained"].outputs["parameters"] == {"text": f"n=0.5 --none {model}\n"}


def test_parallel_tasks_share_one_environment_with_pip(server, everything):
    run, _ = everything

    complete = list(server.places.environments.glob("*/complete"))
    assert len(complete) == 2
    assert "virtual environment of its own" in server.log(run, "download")
    assert "virtual environment of its own" not in server.log(run, "contained")


def test_retries_and_an_exit_handler(server, compiled, tmp_path):
    run = server.run(compiled["failures"], {"path": str(tmp_path / "tries")})

    tasks = server.tasks(run)
    assert run.state == "FAILED"
    assert (tasks["fails"].state, tasks["fails"].attempts) == ("SUCCEEDED", 3)
    assert tasks["exit-handler-1/always-fails"].error.endswith("RuntimeError: the reason")
    assert tasks["clean-up"].outputs["parameters"] == {"Output": "FAILED exit-handler-1 True"}
