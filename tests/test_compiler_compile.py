"""Steps to IR: valid by KFP's own schema and the same bytes each time."""

import hashlib
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.compiler import compile_handler, compile_pipeline, compile_steps, pipeline_name
from airflow_kfp_runtime.dsl import Dataset, Input, Output, pipeline_context, trace
from airflow_kfp_runtime.dsl.step import task_name
from airflow_kfp_runtime.dsl.types import ParameterType
from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.project import Project, Workflow, new_function
from tests import kfp_ir
from tests.environments import PROJECT as PROJECT_FOLDER
from tests.parking_project import PROJECT, compiled, download, steps_of, tasks
from tests.strategies import pipelines
from tests.strategies import project as random_project

#: The example of the runtime's documentation, but for its import line.
DOCUMENTED_EXAMPLE = """
from airflow_kfp_runtime.dsl import pipeline_context

def myhandler(url):
   # Use pipeline_context() manager
   with pipeline_context() as pc:

      # Defaine first step
      step1 = pc.step(name="download",                         # Name of the step 1
                     function="downloader-funct",              # Name of the dh function to execute
                     action="job",                             # Action to execute
                     inputs={"url": url},                      # Input parameters
                     outputs={"dataset": "dataset"})           # Mapped outputs

      step2 = pc.step(name="extract_parking",                  # Name of the step 2
                     function="extract-parkings",              # Name of the dh function to execute
                     action="job",                             # Action to execute
                     inputs={"di": step1.outputs['dataset']},  # Input parameters from previous step
                     outputs={"parkings": "parkings"})         # Mapped outputs
"""


def test_the_documented_example_compiles():
    project = Project("parking")
    project.new_function("downloader-funct", handler=download)
    project.new_function("extract-parkings", handler=extract)

    workflow = Workflow.new("myhandler", handler="myhandler", code=DOCUMENTED_EXAMPLE)
    package = compile_handler(workflow, project=project)

    kfp_ir.check(package.pipeline_spec)
    assert package.name == "myhandler"
    assert package.step_names == {"download": "download", "extract-parking": "extract_parking"}
    assert package.parameters == {"url": {"parameterType": "STRING"}}
    assert tasks(package)["extract-parking"] == {
        "taskInfo": {"name": "extract-parking"},
        "componentRef": {"name": "comp-extract-parking"},
        "cachingOptions": {"enableCache": True},
        "dependentTasks": ["download"],
        "inputs": {
            "artifacts": {
                "di": {"taskOutputArtifact": {"producerTask": "download", "outputArtifactKey": "dataset"}}
            }
        },
    }


def extract(di: Input[Dataset], parkings: Output[Dataset]):
    """Keep the parkings."""


@given(pipelines(), st.booleans(), st.booleans())
def test_every_pipeline_is_valid_ir(written, collect, caching):
    package = compile_steps(
        written.steps,
        name="random",
        project=random_project(),
        outputs=written.outputs,
        collect_outputs=collect,
        enable_caching=caching,
    )

    kfp_ir.check(package.pipeline_spec)
    assert len(tasks(package)) == len(written.steps) + collect
    for step in written.steps:
        waits_for = tasks(package)[task_name(step["name"])].get("dependentTasks", [])
        assert {task_name(name) for name in step["after"]} <= set(waits_for)
    assert set(package.parameters) == set(written.arguments)


def test_the_bytes_are_the_same_in_every_process():
    program = (
        "import hashlib; from airflow_kfp_runtime.compiler import compile_handler; "
        "from tests.parking_project import PROJECT; from tests.test_compiler_compile import wide; "
        "p = compile_handler(wide, project=PROJECT, collect_outputs=True); "
        "print(p.content_hash, hashlib.sha256((p.to_yaml() + p.to_json()).encode()).hexdigest())"
    )
    lines = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=PROJECT_FOLDER,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "42")
    }
    here = compile_handler(wide, project=PROJECT, collect_outputs=True)
    digest = hashlib.sha256((here.to_yaml() + here.to_json()).encode()).hexdigest()

    assert lines == {f"{here.content_hash} {digest}\n"}


def wide(url: str = "http://x", epochs: int = 3, table: dict = {"b": 1, "a": 2}):  # noqa: B006
    """Use everything."""
    with pipeline_context() as pc:
        first = pc.step(
            name="get", function="download", inputs={"url": f"{url}/data"}, outputs={"dataset": "table"}
        )
        for number in range(6):
            trained = pc.step(
                name=f"train {number}",
                function="train",
                inputs={"di": first.outputs["table"]},
                parameters={"epochs": epochs} if number % 2 else {"epochs": number},
                values=["accuracy"],
            )
            pc.step(
                name=f"report {number}",
                function="report",
                inputs={
                    "accuracy": trained.outputs["accuracy"],
                    "table": table,
                    "text": f"{number} {epochs}",
                },
            ).after(first)


def test_equal_components_are_shared_under_the_first_name():
    @steps_of
    def handler(pc):
        for name in ("c", "a", "b"):
            pc.step(name=name, function="echo", inputs={"x": name})
        pc.step(name="number", function="echo", inputs={"x": 1})
        pc.step(name="other", function="nothing")

    package = compiled(handler)

    assert {name: task["componentRef"]["name"] for name, task in tasks(package).items()} == {
        "a": "comp-a",
        "b": "comp-a",
        "c": "comp-a",
        "number": "comp-number",
        "other": "comp-other",
    }


def test_a_function_is_another_component_where_a_step_names_or_connects_it_in_another_way():
    @steps_of
    def handler(pc):
        pc.step(name="plain", function="download", inputs={"url": "u"})
        pc.step(name="mapped", function="download", inputs={"url": "u"}, outputs={"dataset": "table"})
        pc.step(name="valued", function="download", inputs={"url": "u"}, values=["rows"])

    package = compiled(handler)
    spec = package.pipeline_spec

    assert {name: set(kfp_ir.outputs_of(spec, task)) for name, task in tasks(package).items()} == {
        "plain": {"dataset", "Output"},
        "mapped": {"table", "Output"},
        "valued": {"dataset", "rows"},
    }


def test_a_list_that_two_steps_share_is_written_twice_without_an_alias():
    shared = [1, {"a": "b"}]

    @steps_of
    def handler(pc):
        for name in ("a", "b"):
            pc.step(name=name, function="report", inputs={"accuracy": 0.5, "items": shared})

    package = compiled(handler)
    shared.append("later")

    assert "&id" not in package.to_yaml()
    for task in tasks(package).values():
        assert task["inputs"]["parameters"]["items"]["runtimeValue"]["constant"] == [1, {"a": "b"}]


def test_references_in_texts_become_parameters_of_the_task():
    def handler(bucket: str, day=None):
        with pipeline_context() as pc:
            first = pc.step(name="get it", function="download", inputs={"url": f"s3://{bucket}/{day}"})
            pc.step(
                name="say",
                function="echo",
                inputs={"x": f"{first.outputs['Output']} rows in {bucket}, {bucket}"},
            )

    package = compiled(handler)

    assert tasks(package)["say"]["dependentTasks"] == ["get-it"]
    assert tasks(package)["say"]["inputs"]["parameters"] == {
        "x": {
            "runtimeValue": {
                "constant": "{{$.inputs.parameters['pipelinechannel--get-it-Output']}} rows in "
                "{{$.inputs.parameters['pipelinechannel--bucket']}}, "
                "{{$.inputs.parameters['pipelinechannel--bucket']}}"
            }
        },
        "pipelinechannel--bucket": {"componentInputParameter": "bucket"},
        "pipelinechannel--get-it-Output": {
            "taskOutputParameter": {"producerTask": "get-it", "outputParameterKey": "Output"}
        },
    }
    assert package.parameters == {
        "bucket": {"parameterType": "STRING"},
        "day": {"parameterType": "STRING", "isOptional": True},
    }


def test_an_argument_without_a_type_takes_that_of_the_steps_that_use_it():
    def handler(url, rows, rate=None, note=None, unused=None):
        with pipeline_context() as pc:
            first = pc.step(name="a", function="download", inputs={"url": url, "rows": rows})
            pc.step(name="b", function="train", inputs={"di": first.outputs["dataset"], "rate": rate})
            pc.step(name="c", function="echo", inputs={"x": note})
            pc.step(name="d", function="echo", inputs={"x": rows})

    package = compiled(handler, argument_types={"note": ParameterType.LIST, "rows": ParameterType.STRING})

    assert {name: declared["parameterType"] for name, declared in package.parameters.items()} == {
        "url": "STRING",
        "rows": "NUMBER_INTEGER",
        "rate": "NUMBER_DOUBLE",
        "note": "LIST",
        "unused": "STRING",
    }
    spec = package.pipeline_spec
    component = spec["components"][tasks(package)["d"]["componentRef"]["name"]]
    assert component["inputDefinitions"]["parameters"]["x"] == {"parameterType": "NUMBER_INTEGER"}


def test_arguments_that_are_none_are_left_out():
    package = compiled(
        steps_of(
            lambda pc: pc.step(name="a", function="download", inputs={"url": "u", "rows": None}) and None
        )
    )

    assert tasks(package)["a"]["inputs"]["parameters"] == {"url": {"runtimeValue": {"constant": "u"}}}


def test_caching_is_on_unless_it_is_switched_off():
    handler = steps_of(lambda pc: pc.step(name="a", function="nothing") and None)

    assert tasks(compiled(handler))["a"]["cachingOptions"] == {"enableCache": True}
    assert tasks(compiled(handler, enable_caching=True))["a"]["cachingOptions"] == {"enableCache": True}
    assert tasks(compiled(handler, enable_caching=False))["a"]["cachingOptions"] == {}


def test_outputs_of_the_pipeline_name_their_producer():
    @steps_of
    def handler(pc):
        step = pc.step(name="get", function="download", inputs={"url": "u"}, outputs={"dataset": "table"})
        return {"table": step.outputs["table"], "again": step.outputs["table"]}

    @steps_of
    def single(pc):
        return pc.step(name="get", function="download", inputs={"url": "u"}).outputs["Output"]

    root = compiled(handler).pipeline_spec["root"]
    selected = {"artifactSelectors": [{"producerSubtask": "get", "outputArtifactKey": "table"}]}
    assert root["dag"]["outputs"] == {"artifacts": {"table": selected, "again": selected}}

    root = compiled(single).pipeline_spec["root"]
    assert root["dag"]["outputs"] == {
        "parameters": {
            "Output": {"valueFromParameter": {"producerSubtask": "get", "outputParameterKey": "Output"}}
        }
    }
    assert root["outputDefinitions"] == {"parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}}}


def test_a_last_task_can_collect_every_output():
    @steps_of
    def handler(pc):
        first = pc.step(name="get it", function="download", inputs={"url": "u"}, values=["rows"])
        pc.step(name="alone", function="nothing").after(first)

    package = compiled(handler, collect_outputs=True)
    task = tasks(package)["collect-outputs"]

    assert task["dependentTasks"] == ["alone", "get-it"]
    assert task["cachingOptions"] == {}
    assert task["inputs"] == {
        "artifacts": {
            "get-it--dataset": {
                "taskOutputArtifact": {"producerTask": "get-it", "outputArtifactKey": "dataset"}
            }
        },
        "parameters": {
            "get-it--rows": {"taskOutputParameter": {"producerTask": "get-it", "outputParameterKey": "rows"}}
        },
    }
    executors = package.pipeline_spec["deploymentSpec"]["executors"]
    assert executors["exec-collect-outputs"]["container"] == {
        "image": "python:3.12-slim",
        "command": ["true"],
    }
    named = compiled(handler, collect_outputs="registry.local/busybox")
    executors = named.pipeline_spec["deploymentSpec"]["executors"]
    assert executors["exec-collect-outputs"]["container"]["image"] == "registry.local/busybox"


def test_a_function_may_be_given_to_the_step_itself():
    function = new_function("mine", kind="container", image="alpine", command=["true"])

    package = compile_handler(steps_of(lambda pc: pc.step(name="a", function=function) and None))

    kfp_ir.check(package.pipeline_spec)


def test_a_pipelines_name_is_as_kfp_allows_it():
    assert pipeline_name("Train & Test_v2 ") == "train-test-v2"
    assert len(pipeline_name("x" * 500)) == 128
    with pytest.raises(DefinitionError, match="pipeline name: '---' has no letter or digit"):
        pipeline_name("---")


def test_a_traced_pipeline_compiles_to_the_same_as_its_handler():
    pipeline = trace(wide)

    assert compile_pipeline(pipeline, project=PROJECT) == compile_handler(wide, project=PROJECT)
