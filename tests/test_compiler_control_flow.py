"""Blocks of steps: random ones keep the laws of the compiler, and what cannot be is refused by name."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from airflow_kfp_runtime.compiler import compile_pipeline
from airflow_kfp_runtime.dsl import pipeline_context, pipeline_from_steps, trace
from airflow_kfp_runtime.dsl.serialization import pipeline_as_data, pipeline_from_data
from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.project import Project
from tests import kfp_ir
from tests.block_strategies import pipelines, project

PROJECT = project()
some = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def copied(pipeline):
    """Return what comes back from another process."""
    return pipeline_from_data(json.loads(json.dumps(pipeline_as_data(pipeline), allow_nan=False)))


@some
@given(pipelines())
def test_random_blocks_compile_to_valid_ir_alike_in_both_forms_and_after_a_copy(written):
    pipeline = trace(written.handler(), name="p")

    package = compile_pipeline(pipeline, project=PROJECT)
    again = compile_pipeline(trace(written.handler(), name="p"), project=PROJECT)
    copy = compile_pipeline(copied(pipeline), project=PROJECT)
    as_data = pipeline_from_steps(written.steps, name="p", outputs=written.outputs)

    kfp_ir.check(package.pipeline_spec)
    assert package.to_json() == again.to_json() == copy.to_json()
    assert package.step_names == copy.step_names
    assert sorted(package.step_names.values()) == sorted(step.name for step in pipeline.steps)
    assert pipeline_as_data(copied(pipeline)) == pipeline_as_data(pipeline)
    # An argument that the steps do not use is one of the handler's signature only.
    without = {**package.pipeline_spec, "root": {**package.pipeline_spec["root"], "inputDefinitions": None}}
    declarative = compile_pipeline(as_data, project=PROJECT).pipeline_spec
    assert {**declarative, "root": {**declarative["root"], "inputDefinitions": None}} == without


@some
@given(pipelines(claims=True))
def test_random_blocks_with_claims_compile_to_valid_ir(written):
    package = compile_pipeline(trace(written.handler(), name="p"), project=PROJECT, collect_outputs=True)

    kfp_ir.check(package.pipeline_spec, package.platform_spec)


def test_what_only_a_text_refers_to_survives_a_copy():
    def handler(tables, url):
        with pipeline_context() as pc:
            with pc.when(url == "x"):
                first = pc.step("first", function="text")
            with pc.otherwise():
                second = pc.step("second", function="text")
            chosen = pc.one_of(first.outputs["t"], second.outputs["t"])
            with pc.for_each(tables) as table:
                third = pc.step("third", function="text", inputs={"x": f"{table['name']} of {chosen}"})
            pc.step("last", function="text", inputs={"x": f"all: {pc.collected(third.outputs['t'])}"})

    pipeline = trace(handler, name="p")
    package, copy = (compile_pipeline(one, project=PROJECT) for one in (pipeline, copied(pipeline)))

    kfp_ir.check(package.pipeline_spec)
    assert copy.to_yaml() == package.to_yaml()
    loop = package.pipeline_spec["components"]["comp-for-loop-4"]
    assert loop["inputDefinitions"]["parameters"]["pipelinechannel--tables-loop-item"] == {
        "parameterType": "STRUCT"
    }
    assert package.pipeline_spec["root"]["dag"]["tasks"]["last"]["inputs"]["parameters"]["x"] == {
        "runtimeValue": {"constant": "all: {{$.inputs.parameters['pipelinechannel--collected-third-t']}}"}
    }


def test_loops_in_each_other_may_go_through_the_same_list():
    def handler(names: list[str]):
        with pipeline_context() as pc, pc.for_each(names) as first, pc.for_each(names) as second:
            pc.step(
                "pair", function="text", inputs={"x": f"{first}/{second}/{first}", "y": second, "z": first}
            )

    package = compile_pipeline(trace(handler, name="p"), project=PROJECT)

    kfp_ir.check(package.pipeline_spec)
    task = package.pipeline_spec["components"]["comp-for-loop-2"]["dag"]["tasks"]["pair"]
    inputs = task["inputs"]["parameters"]
    given = {name: value.get("componentInputParameter") for name, value in inputs.items()}
    outer = package.pipeline_spec["components"]["comp-for-loop-1"]["dag"]["tasks"]["for-loop-2"]
    assert given["y"] == outer["parameterIterator"]["itemInput"]
    assert outer["inputs"]["parameters"][given["z"]] == {
        "componentInputParameter": package.pipeline_spec["root"]["dag"]["tasks"]["for-loop-1"][
            "parameterIterator"
        ]["itemInput"]
    }
    text = inputs["x"]["runtimeValue"]["constant"]
    names = re.findall(r"parameters\['([^']+)'\]", text)
    assert [given[name] for name in names] == [given["z"], given["y"], given["z"]]


def in_a_loop(items, **settings):
    """Compile a step in a loop with settings, each made from the item."""

    def handler():
        with pipeline_context() as pc, pc.for_each(items) as item:
            given = {name: make(item) for name, make in settings.items()}
            pc.step("train", function="number", **given)

    package = compile_pipeline(trace(handler, name="p"), project=PROJECT)
    kfp_ir.check(package.pipeline_spec, package.platform_spec)
    return package


def test_settings_take_the_item_of_a_loop():
    package = in_a_loop(
        [{"cpu": "1", "pool": "a"}, {"cpu": "2", "pool": "b"}],
        node_selector=lambda item: item,
        resources=lambda item: {"cpu_request": item["cpu"]},
    )

    component = package.pipeline_spec["components"]["comp-for-loop-1"]
    (config,) = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    assert component["inputDefinitions"]["parameters"] == {
        "pipelinechannel--loop-item-param-1": {"parameterType": "STRUCT"}
    }
    assert component["dag"]["tasks"]["train"]["inputs"]["parameters"] == {
        "cpu_request": {
            "runtimeValue": {
                "constant": "{{$.inputs.parameters['pipelinechannel--loop-item-param-1-subvar-cpu']}}"
            }
        },
        "pipelinechannel--loop-item-param-1-subvar-cpu": {
            "componentInputParameter": "pipelinechannel--loop-item-param-1",
            "parameterExpressionSelector": 'parseJson(string_value)["cpu"]',
        },
    }
    assert config["nodeSelector"]["nodeSelectorJson"] == {
        "componentInputParameter": "pipelinechannel--loop-item-param-1"
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"image_pull_secrets": lambda item: [item["name"]]},
            "image_pull_secrets[0]: is item['name'] of for_each([{'name': 'x'}]), and KFP looks up no part",
        ),
        (
            {"node_selector": lambda item: item["name"]},
            "step 'train', node_selector: is item['name'] of for_each([{'name': 'x'}]), and KFP looks up no",
        ),
    ],
)
def test_a_part_of_an_item_is_refused_where_the_server_does_not_look_it_up(settings, expected):
    with pytest.raises(DefinitionError) as caught:
        in_a_loop([{"name": "x"}], **settings)
    assert expected in str(caught.value)


def test_what_may_not_run_or_runs_several_times_is_not_collected_with_the_rest():
    def handler(url):
        with pipeline_context() as pc:
            last = pc.step("last", function="number")
            with pc.on_exit(last):
                pc.step("first", function="number")
                with pc.when(url == "x"):
                    pc.step("second", function="number")
            with pc.for_each([1]):
                pc.step("third", function="number")

    package = compile_pipeline(trace(handler, name="p"), project=PROJECT, collect_outputs=True)

    kfp_ir.check(package.pipeline_spec)
    collecting = package.pipeline_spec["root"]["dag"]["tasks"]["collect-outputs"]
    assert collecting["dependentTasks"] == ["exit-handler-1"]
    assert set(collecting["inputs"]["parameters"]) == {"first--n"}
    (warning,) = package.warnings
    assert warning.startswith(
        "collect_outputs leaves out the outputs of 'last', 'second', 'third', which may"
    )


def test_an_argument_that_a_run_may_leave_out_is_warned_of_where_a_block_needs_it():
    def handler(mode: str = None):  # noqa: RUF013
        with pipeline_context() as pc, pc.when(mode == "x"):
            pc.step("first", function="number")

    (warning,) = compile_pipeline(trace(handler, name="p"), project=PROJECT).warnings

    assert warning.startswith("argument 'mode': give each run a value for it.")


def test_the_pipelines_of_the_documentation_compile():
    page = Path(__file__).parents[1].joinpath("docs", "control-flow.md").read_text(encoding="utf-8")
    python, written = (re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL)[1] for kind in ("python", "yaml"))
    anything = Project("documentation")
    for name in ("clean", "train", "deploy", "report", "score", "rank", "load"):
        outputs = {"accuracy": "float", "model": "Model", "url": "str", "points": "float"}
        command = ["p", "{{$}}", *(f"$(outputs.{key})" for key in outputs)]
        anything.new_function(name, kind="container", image="alpine", command=command, outputs=outputs)

    def handler(folder):
        exec(python, {"pipeline_context": pipeline_context, "folder": folder})

    train = {"name": "train", "function": "train"}
    for pipeline in (
        trace(handler, name="p"),
        pipeline_from_steps([train, *yaml.safe_load(written)], name="p"),
    ):
        kfp_ir.check(compile_pipeline(pipeline, project=anything).pipeline_spec)
