"""Steps to IR: valid by KFP's own schema, deterministic, and with an answer to every mistake."""

import hashlib
import os
import subprocess
import sys
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from airflow_kfp_runtime.compiler import compile_handler, compile_pipeline, compile_steps, pipeline_name
from airflow_kfp_runtime.dsl import Dataset, Input, Metrics, Output, pipeline_context, trace
from airflow_kfp_runtime.dsl.step import task_name
from airflow_kfp_runtime.dsl.types import ParameterType
from airflow_kfp_runtime.errors import ArgumentError, DefinitionError, SourceError, StepError
from airflow_kfp_runtime.project import Function, Project, Workflow, new_function
from airflow_kfp_runtime.runtimes.component import Component, Container, FunctionKind, InputDeclaration
from tests import kfp_ir
from tests.environments import PROJECT as PROJECT_FOLDER
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


def download(url: str, dataset: Output[Dataset], rows: int = 10) -> int:
    """Write a table."""
    return rows


def train(di: Input[Dataset], metrics: Output[Metrics], epochs: int = 3, rate: float = 0.5) -> float:
    """Train on a table."""
    return 0.5


def report(accuracy: float, text: str = "", items: list = [], table: dict = {}, flag: bool = False):  # noqa: B006
    """Say how it went."""


PROJECT = Project("parking")
for function in (download, train, report):
    PROJECT.new_function(function.__name__, handler=function, image="python:3.12")
PROJECT.new_function("echo", kind="container", image="alpine", command=["echo", "$(inputs.x)"])
PROJECT.new_function("nothing", kind="container", image="alpine", command=["true"])


def compiled(handler, **options):
    package = compile_handler(handler, project=PROJECT, **options)
    kfp_ir.check(package.pipeline_spec)
    return package


def tasks(package):
    return package.pipeline_spec["root"]["dag"]["tasks"]


def steps_of(write):
    """Return a handler that calls ``write`` with its context."""

    def handler():
        with pipeline_context() as pc:
            return write(pc)

    return handler


def refusal(handler, kind=StepError, **options):
    with pytest.raises(kind) as caught:
        compile_handler(handler, **{"project": PROJECT, **options})
    return str(caught.value)


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
        "from tests.test_compiler_compile import PROJECT, wide; from airflow_kfp_runtime.compiler import *; "
        "import hashlib; p = compile_handler(wide, project=PROJECT, collect_outputs=True); "
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


def test_an_argument_that_steps_take_for_different_types_has_to_be_annotated():
    def write(n):
        with pipeline_context() as pc:
            first = pc.step(name="a", function="download", inputs={"url": "u", "rows": n})
            pc.step(name="b", function="train", inputs={"di": first.outputs["dataset"], "rate": n})

    def as_lists_too(n):
        with pipeline_context() as pc:
            pc.step(name="a", function="download", inputs={"url": n})
            pc.step(name="b", function="report", inputs={"accuracy": 1.0, "items": n})

    def annotated(n: int):
        write(n)

    assert refusal(write, ArgumentError) == (
        "argument 'n': is int for step 'a' and float for step 'b': annotate it in the handler's signature"
    )
    assert refusal(as_lists_too) == ("step 'b', inputs['items']: argument 'n' is a str. Allowed: list")
    assert compiled(annotated).parameters == {"n": {"parameterType": "NUMBER_INTEGER"}}


def test_a_value_of_the_wrong_type_is_named_with_where_it_comes_from_and_where_it_stands():
    def of(step):
        def handler(url: str):
            with pipeline_context() as pc:
                first = pc.step(name="a", function="download", inputs={"url": "u"})
                pc.step(name="b", **step(url, first.outputs["dataset"]))

        return refusal(handler)

    assert of(lambda url, data: {"function": "download", "inputs": {"url": "u", "rows": 1.5}}) == (
        "step 'b', inputs['rows']: 1.5 is a float. Allowed: int"
    )
    assert of(
        lambda url, data: {"function": "download", "inputs": {"url": "u"}, "parameters": {"rows": url}}
    ) == ("step 'b', parameters['rows']: argument 'url' is a str. Allowed: int")
    assert of(lambda url, data: {"function": "download", "inputs": {"url": data}}) == (
        "step 'b', inputs['url']: output 'dataset' of step 'a' is a Dataset, but the function declares str; "
        "annotate the argument as `url: Input[Dataset]`"
    )
    assert of(lambda url, data: {"function": "download", "parameters": {"ulr": "u"}}).startswith(
        "step 'b', parameters['ulr']: 'ulr' is not an input of function 'download'."
    )


def test_an_argument_of_the_pipeline_cannot_be_an_artifact():
    def handler(di):
        with pipeline_context() as pc:
            pc.step(name="a", function="train", inputs={"di": di})

    problem = refusal(handler, DefinitionError)

    assert problem.startswith("step 'a', inputs['di']: ")
    assert "artifact" in problem


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


@pytest.mark.parametrize("encoded", ["ä", "a", "/w=="])
def test_a_function_whose_base64_cannot_be_read_is_refused(encoded):
    function = new_function("mine", base64=encoded, handler="mine")
    handler = steps_of(lambda pc: pc.step(name="a", function=function) and None)

    assert "base64: is not base64 of UTF-8 text" in refusal(handler, SourceError)


class Nothing(BaseModel):
    """The specification of a function that needs none."""


def test_what_a_plugins_kind_makes_has_to_fit_the_step():
    made = Component({"needed": InputDeclaration()}, {}, Container("i", ("true",)))
    kind = FunctionKind("own", Nothing, ("job",), lambda request: made)
    function = Function("mine", kind, Nothing())

    unknown = steps_of(lambda pc: pc.step(name="a", function=function, parameters={"x": 1}) and None)
    missing = steps_of(lambda pc: pc.step(name="a", function=function) and None)

    assert refusal(unknown) == (
        "step 'a', parameters['x']: 'x' is not an input of the function. Allowed: needed"
    )
    assert refusal(missing) == "step 'a', inputs['needed']: the function needs this input"


def test_a_function_may_be_given_to_the_step_itself():
    function = new_function("mine", kind="container", image="alpine", command=["true"])

    package = compile_handler(steps_of(lambda pc: pc.step(name="a", function=function) and None))

    kfp_ir.check(package.pipeline_spec)


def test_a_step_in_place_of_its_output_is_refused_with_its_outputs():
    def write(pc):
        first = pc.step(name="a", function="echo", values=["text"])
        pc.step(name="b", function="echo", inputs={"x": first})

    assert refusal(steps_of(write)) == (
        "step 'b', inputs['x']: is step 'a' itself: pass one of its outputs. Allowed: its outputs['text']"
    )


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            {"function": "tarin"},
            "step 'a', function: project 'parking' has no function 'tarin'. Allowed: download",
        ),
        (
            {"function": 5},
            "step 'a', function: 5 is not a function. Allowed: a function's name in the project",
        ),
        ({"function": None, "workflow": "w"}, "step 'a', workflow: project 'parking' has no workflow 'w'"),
        ({"action": "serve"}, "step 'a', action: 'serve' is not an action of kind 'container'. Allowed: job"),
        (
            {"inputs": {"x": date(2026, 1, 1)}},
            "step 'a', inputs['x']: datetime.date(2026, 1, 1) cannot be passed",
        ),
        (
            {"inputs": {"x": date(2026, 1, 1)}},
            "Allowed: an output of a step, an argument of the pipeline, a JSON",
        ),
        ({"inputs": {"x": float("nan")}}, "step 'a', inputs['x']: nan cannot be passed: it is nan"),
        (
            {"parameters": {"x": {"k": {1}}}},
            "step 'a', parameters['x']: {'k': {1}} cannot be passed: ['k'] is of",
        ),
        ({"inputs": {"x": 2**53 + 1}}, "which KFP would round: pass it as a text"),
        (
            {"inputs": {"x": "{{argument:gone}}"}},
            "step 'a', inputs['x']: {{argument:gone}} refers to another",
        ),
        (
            {"inputs": {"x": "{{output:gone:n}}"}},
            "step 'a', inputs['x']: {{output:gone:n}} refers to another",
        ),
    ],
)
def test_a_wrong_step_is_refused_with_its_place(step, expected):
    problem = refusal(steps_of(lambda pc: pc.step(**{"name": "a", "function": "echo", **step}) and None))

    assert expected in problem


def test_a_function_by_name_needs_a_project():
    problem = refusal(steps_of(lambda pc: pc.step(name="a", function="echo") and None), project=None)

    assert problem.startswith("step 'a', function: names function 'echo', and there is no project")


@pytest.mark.parametrize("wrap", [lambda it: [it], lambda it: {"a": {"b": it}}, lambda it: [f"n={it}"]])
def test_a_reference_inside_a_list_or_dict_is_refused(wrap):
    def with_argument(n):
        with pipeline_context() as pc:
            pc.step(name="a", function="echo", inputs={"x": wrap(n)})

    @steps_of
    def with_output(pc):
        first = pc.step(name="f", function="download", inputs={"url": "u"})
        pc.step(name="a", function="echo", parameters={"x": wrap(first.outputs["Output"])})

    expected = "holds an output or argument inside a list or dict, where KFP cannot put it"
    assert refusal(with_argument).startswith(f"step 'a', inputs['x']: {expected}")
    assert refusal(with_output).startswith(f"step 'a', parameters['x']: {expected}")


def test_an_output_that_the_function_does_not_have_is_refused():
    @steps_of
    def as_input(pc):
        first = pc.step(name="f", function="download", inputs={"url": "u"})
        pc.step(name="a", function="train", inputs={"di": first.outputs["datset"]})

    @steps_of
    def in_text(pc):
        first = pc.step(name="f", function="nothing")
        pc.step(name="a", function="echo", parameters={"x": f"n={first.outputs['n']}"})

    @steps_of
    def as_result(pc):
        return {"best": pc.step(name="f", function="nothing").outputs["best"]}

    assert refusal(as_input) == (
        "step 'a', inputs['di']: 'datset' is not an output of step 'f'. Allowed: Output, dataset"
    )
    assert refusal(in_text) == (
        "step 'a', parameters['x']: 'n' is not an output of step 'f'. Allowed: none: that step has no outputs"
    )
    assert refusal(as_result).startswith("pipeline output 'best': 'best' is not an output of step 'f'")


def test_an_artifact_in_a_text_is_refused():
    @steps_of
    def handler(pc):
        first = pc.step(name="f", function="download", inputs={"url": "u"})
        pc.step(name="a", function="echo", inputs={"x": f"at {first.outputs['dataset']}"})

    assert refusal(handler) == (
        "step 'a', inputs['x']: puts step 'f', output 'dataset', which is an artifact, into a text: "
        "connect it as an input of its own"
    )


def test_references_to_another_pipeline_are_refused():
    elsewhere = pipeline_context().step(name="far", function="download", outputs={"dataset": "d"})
    kept = []

    def other(n):
        kept.append(n)
        pipeline_context().step(name="b", function="nothing")

    trace(other)
    with_output = steps_of(
        lambda pc: pc.step(name="a", function="train", inputs={"di": elsewhere.outputs["d"]}) and None
    )
    with_argument = steps_of(lambda pc: pc.step(name="a", function="echo", inputs={"x": kept[0]}) and None)

    assert refusal(with_output) == (
        "step 'a', inputs['di']: refers to step 'far', output 'd', of another pipeline_context(). Allowed: a"
    )
    assert refusal(with_argument).startswith(
        "step 'a', inputs['x']: refers to argument 'n' of another pipeline"
    )


def test_a_cycle_is_refused_with_its_steps():
    @steps_of
    def handler(pc):
        first, second, third = (pc.step(name=name, function="nothing") for name in "abc")
        second.after(first)
        third.after(second)
        first.after(third)

    @steps_of
    def itself(pc):
        step = pc.step(name="a", function="nothing")
        step.after(step)

    assert refusal(handler) == (
        "step 'a', inputs or after: the steps wait for each other: 'a' -> 'c' -> 'b' -> 'a'"
    )
    assert "the steps wait for each other: 'a' -> 'a'" in refusal(itself)


def test_two_references_that_kfp_could_not_tell_apart_are_refused():
    @steps_of
    def handler(pc):
        first = pc.step(name="a-b", function="download", inputs={"url": "u"}, values=["c"])
        second = pc.step(name="a", function="download", inputs={"url": "u"}, values=["b-c"])
        pc.step(name="x", function="echo", inputs={"x": f"{first.outputs['c']}{second.outputs['b-c']}"})

    problem = refusal(handler)

    assert "are both 'pipelinechannel--a-b-c' to KFP: rename one" in problem


def test_the_collecting_tasks_name_may_be_taken():
    handler = steps_of(lambda pc: pc.step(name="collect outputs", function="nothing") and None)

    assert "is the name of the task that collect_outputs=True adds: rename the step" in refusal(
        handler, collect_outputs=True
    )


def test_a_pipelines_name_is_as_kfp_allows_it():
    assert pipeline_name("Train & Test_v2 ") == "train-test-v2"
    assert len(pipeline_name("x" * 500)) == 128
    with pytest.raises(DefinitionError, match="pipeline name: '---' has no letter or digit"):
        pipeline_name("---")


def test_a_traced_pipeline_compiles_to_the_same_as_its_handler():
    pipeline = trace(wide)

    assert compile_pipeline(pipeline, project=PROJECT) == compile_handler(wide, project=PROJECT)
