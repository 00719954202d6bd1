"""Steps as data: the same pipelines as in Python, in any order, and an answer to every mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.compiler import compile_handler, compile_steps
from airflow_kfp_runtime.dsl import PipelineArgument, StepOutput, pipeline_from_steps
from airflow_kfp_runtime.errors import DefinitionError, StepError
from airflow_kfp_runtime.project.settings.model import Resources, TaskSettings
from tests.strategies import pipelines, project

PROJECT = project()


@given(pipelines(), st.randoms(use_true_random=False))
def test_both_forms_compile_to_the_same_bytes_in_any_order_of_the_list(written, random):
    shuffled = random.sample(written.steps, len(written.steps))

    from_data = compile_steps(shuffled, name="p", project=PROJECT, outputs=written.outputs)
    from_python = compile_handler(written.handler(), name="p", project=PROJECT)

    assert from_data.to_yaml() == from_python.to_yaml()
    assert from_data.to_json() == from_python.to_json()
    assert from_data.content_hash == from_python.content_hash
    assert from_data.step_names == from_python.step_names


def test_references_become_those_of_the_dsl():
    pipeline = pipeline_from_steps(
        [
            {
                "name": "train",
                "function": "f",
                "inputs": {"di": {"from": "get.data.dataset"}, "url": {"argument": "url"}},
                "parameters": {"again": {"argument": "url"}, "map": {"from": "x", "to": "y"}},
                "after": "report",
                "resources": {"cpu": "1"},
            },
            {"name": "get.data", "function": "f", "outputs": {"dataset": "dataset"}, "after": ["report"]},
            {"name": "report", "workflow": "w", "values": ["n"]},
        ],
        name="p",
        description="d",
        outputs={"n": {"from": "report.n"}},
    )

    train, get_data, report = pipeline.steps
    assert isinstance(train.inputs["di"], StepOutput)
    assert train.inputs["di"].step is get_data
    assert train.inputs["di"].key == "dataset"
    assert isinstance(train.inputs["url"], PipelineArgument)
    assert train.parameters["again"] is train.inputs["url"]
    assert train.parameters["map"] == {"from": "x", "to": "y"}
    assert train.predecessors == get_data.predecessors == [report]
    assert train.settings == TaskSettings(resources=Resources(cpu_request="1"))
    assert [argument.name for argument in pipeline.arguments] == ["url"]
    assert pipeline.outputs["n"].step is report
    assert (pipeline.name, pipeline.description) == ("p", "d")


GET = {"name": "get", "function": "f", "outputs": {"dataset": "dataset"}}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], "steps: [] is not a list of steps, with at least one"),
        ("get", "steps: 'get' is not a list of steps"),
        ({"name": "get"}, "steps: {'name': 'get'} is not a list of steps"),
        ([GET, "train"], "steps[1]: 'train' is not a mapping"),
        ([GET, {"function": "f"}], "steps[1]: has no name"),
        ([GET, GET], "step 'get', name: another step has this name already"),
        (
            [{**GET, "inptus": {}}],
            "step 'get', inptus: 'inptus' is not a parameter of a step. Allowed: inputs",
        ),
        ([{**GET, "aftr": []}], "Allowed: after"),
        ([{**GET, 5: 1}], "step 'get', 5: 5 is not a parameter of a step"),
        ([{"name": "get"}], "step 'get', function: names neither a function nor a workflow"),
        ([{**GET, "after": {"get": 1}}], "step 'get', after: {'get': 1} is not a list of names of steps"),
        ([{**GET, "after": ["gte"]}], "step 'get', after: there is no step 'gte'. Allowed: get"),
        ([{**GET, "after": [["get"]]}], "step 'get', after: there is no step ['get']"),
    ],
)
def test_a_wrong_list_is_refused(steps, expected):
    with pytest.raises(StepError) as caught:
        pipeline_from_steps(steps, name="p")

    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"from": "gte.dataset"}, "there is no step 'gte'. Allowed: get, use"),
        ({"from": "get.datset"}, "'datset' is not an output of step 'get'. Allowed: dataset"),
        ({"from": "get"}, "{'from': 'get'} is not a reference. Allowed: {\"from\": \"step.output\"}"),
        ({"from": 5}, "{'from': 5} is not a reference"),
        ({"argument": "my url"}, "'my url' is not the name of an argument"),
        ({"argument": None}, "None is not the name of an argument"),
        ([{"from": "get.dataset"}], "holds an output or argument inside a list or dict"),
        ({"a": [{"b": {"argument": "url"}}]}, "holds an output or argument inside a list or dict"),
    ],
)
@pytest.mark.parametrize("field", ["inputs", "parameters"])
def test_a_wrong_reference_is_refused_with_its_place(field, value, expected):
    with pytest.raises(StepError) as caught:
        pipeline_from_steps([GET, {"name": "use", "function": "f", field: {"di": value}}], name="p")

    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"step 'use', {field}['di']: ")


@pytest.mark.parametrize(
    "value",
    [
        {"argumnt": "url"},
        {"arguments": "url"},
        {"Argument": "url"},
        {"From": "z.t"},
        {"form": "get.dataset"},
        {"from": "get.dataset", "default": 1},
        {"argument": "url", "default": 1},
    ],
)
def test_what_was_probably_meant_as_a_reference_is_no_constant(value):
    with pytest.raises(StepError) as caught:
        pipeline_from_steps([GET, {"name": "use", "function": "f", "inputs": {"di": value}}], name="p")

    assert str(caught.value) == (
        f"step 'use', inputs['di']: {value!r} is not a reference. "
        'Allowed: {"from": "step.output"}, {"argument": "name"}'
    )


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"from": "x", "to": "y"},
        {"from": 1, "to": 2},
        {"form": "round"},
        {"arguments": ["-v"]},
        {"augment": "flip"},
        {"url": "get.dataset"},
        {1: "get.dataset"},
    ],
)
def test_an_ordinary_mapping_is_a_constant(value):
    pipeline = pipeline_from_steps([GET, {"name": "use", "function": "f", "inputs": {"di": value}}], name="p")

    assert pipeline.steps[1].inputs["di"] == value


@pytest.mark.parametrize("value", ["get.dataset", {"from": "get"}, {"from": "get.dataset", "to": "x"}, None])
def test_an_output_of_the_pipeline_is_a_reference(value):
    with pytest.raises(StepError, match=r"outputs\['best'\]: .* is not a reference"):
        pipeline_from_steps([GET], name="p", outputs={"best": value})


def test_settings_refer_to_arguments_and_to_outputs_of_steps_further_down():
    pipeline = pipeline_from_steps(
        [
            {
                "name": "use",
                "function": "f",
                "inputs": {"n": {"argument": "cpu"}},
                "resources": {"cpu": {"limits": {"argument": "cpu"}}},
                "nodeSelector": {"argument": "nodes"},
                "secrets": [{"name": {"from": "make.secret.name"}, "keys": ["TOKEN"]}],
                "labels": {"argument": "a-label"},
            },
            {"name": "make.secret", "function": "f", "outputs": {"name": "name"}},
        ],
        name="p",
    )

    use, make = pipeline.steps
    assert [argument.name for argument in pipeline.arguments] == ["cpu", "nodes"]
    assert use.settings.resources.cpu_limit is pipeline.arguments[0]
    assert use.settings.node_selector is pipeline.arguments[1]
    assert use.settings.envs["TOKEN"].secret.step is make
    assert use.settings.labels == {"argument": "a-label"}
    assert make.settings is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"node_selector": {"from": "gte.labels"}}, "step 'use', node_selector: there is no step 'gte'"),
        (
            {"tolerations": [{"from": "get.x"}]},
            "step 'use', tolerations[0]: 'x' is not an output of step 'get'",
        ),
        (
            {"resources": {"cpu": {"argument": "a b"}}},
            "step 'use', resources.cpu: 'a b' is not the name of an",
        ),
        ({"timeout": {"argument": "t"}}, "step 'use', timeout: is known only while the pipeline runs"),
        ({"env": {"A": {"argument": "a"}}}, "step 'use', env.A: is known only while the pipeline runs"),
        ({"resources": {"cpu": 0}}, "step 'use', resources.cpu: '0' is not more than zero"),
        (
            {"resorces": {}},
            "step 'use', resorces: 'resorces' is not a parameter of a step. Allowed: resources",
        ),
    ],
)
def test_wrong_settings_are_refused_with_their_place(settings, expected):
    with pytest.raises(DefinitionError) as caught:
        pipeline_from_steps([GET, {"name": "use", "function": "f", **settings}], name="p")

    assert str(caught.value).startswith(expected)
