"""Blocks of this package's own DSL on the embedded server: what the author writes, and what comes back."""

from __future__ import annotations

from uuid import uuid4

import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient, RunRequest, RunState, calls, flows
from airflow_kfp_runtime.client.outputs import read_outputs
from airflow_kfp_runtime.client.steps import outputs_by_step
from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import Input, Model, Output, pipeline_context
from airflow_kfp_runtime.project import Project
from demo.processes import wait_for


def train(rate: float, model: Output[Model]) -> float:
    from pathlib import Path

    Path(model.path).write_text(str(rate))
    if rate < 0:
        raise ValueError(f"{rate} is no rate")
    return rate * 2


def best(scores: list) -> float:
    return max(scores)


def deploy(model: Input[Model], name: str) -> str:
    from pathlib import Path

    return f"{name} {Path(model.path).read_text()}"


def say(text: str) -> str:
    return text


@pytest.fixture
def project():
    project = Project("blocks")
    for function in (train, best, deploy, say):
        project.new_function(function.__name__, kind="python", handler=function, image="python:3.11")
    return project


def handler(rates: list[float], limit: float = 0.9):
    with pipeline_context() as pc:
        done = pc.step("tell the end", function="say", inputs={"text": "done"})
        with pc.on_exit(done):
            with pc.for_each(rates, parallelism=2) as rate:
                trained = pc.step("train it", function="train", inputs={"rate": rate})
                with pc.when(trained.outputs["Output"] > limit):
                    pc.step(
                        "deploy it",
                        function="deploy",
                        inputs={"model": trained.outputs["model"], "name": "large"},
                    )
            found = pc.step(
                "best", function="best", inputs={"scores": pc.collected(trained.outputs["Output"])}
            )
            with pc.when(found.outputs["Output"] > limit):
                good = pc.step("good", function="say", inputs={"text": "good"})
            with pc.otherwise():
                bad = pc.step("bad", function="say", inputs={"text": "bad"})
            pc.step(
                "report",
                function="say",
                inputs={"text": pc.one_of(good.outputs["Output"], bad.outputs["Output"])},
            )
    return pc


def finished(kfp_server, package, **parameters):
    with KfpClient(ClientSettings(kfp_server.url)) as client:
        request = RunRequest(
            str(uuid4()), "blocks", pipeline_spec=package.pipeline_spec, parameters=parameters
        )
        run = client.run(flows.submit_run(request))
        run = wait_for(
            "the run to end",
            lambda: (now := client.send(calls.get_run(run.run_id))).finished_at and now,
            seconds=60,
        )
        outputs = client.run(read_outputs(run))
        failure = client.run(flows.explain_failure(run.run_id)) if run.state is RunState.FAILED else None
        return run, outputs_by_step(outputs, package.step_names), failure


def test_a_handler_with_blocks_of_all_kinds_gives_its_outputs_by_the_authors_names(kfp_server, project):
    package = compile_handler(handler, project=project)

    run, outputs, _ = finished(kfp_server, package, rates=[0.25, 1.0, 0.5])

    assert run.state is RunState.SUCCEEDED
    models = outputs["train it"].pop("model")
    assert [model["type"] for model in models] == ["system.Model"] * 3
    assert outputs == {
        "tell the end": {"Output": "done"},
        "train it": {"Output": [0.5, 2.0, 1.0]},
        "deploy it": {"Output": [None, "large 1.0", "large 0.5"]},
        "best": {"Output": 2.0},
        "good": {"Output": "good"},
        "bad": {},
        "report": {"Output": "good"},
    }


def test_a_failed_iteration_is_named_and_what_is_to_run_at_the_end_has_run(kfp_server, project):
    package = compile_handler(handler, project=project)

    run, outputs, failure = finished(kfp_server, package, rates=[0.25, -1.0])

    assert run.state is RunState.FAILED
    assert outputs["tell the end"] == {"Output": "done"}
    assert outputs["train it"]["Output"] == [0.5, None]
    assert outputs["report"] == {}
    described = failure.describe(package.step_names)
    assert described.startswith("Step 'train it [1]' failed:")
    assert "ValueError: -1.0 is no rate" in described
