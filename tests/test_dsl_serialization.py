"""Pipelines as JSON: what is read back compiles to the same bytes, and what is not one is refused."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_kfp_runtime.compiler import compile_pipeline
from airflow_kfp_runtime.dsl import Pipeline, pipeline_context, pipeline_from_steps, trace
from airflow_kfp_runtime.dsl.references import MISSING, PipelineArgument
from airflow_kfp_runtime.dsl.serialization import pipeline_as_data, pipeline_from_data
from airflow_kfp_runtime.errors import DefinitionError, SettingError, StepError
from airflow_kfp_runtime.project import new_function
from airflow_kfp_runtime.project.settings.model import TaskSettings
from tests.settings_strategies import task_settings
from tests.strategies import pipelines, project

PROJECT = project()


def copied(pipeline: Pipeline) -> Pipeline:
    """Return what comes back from another process."""
    return pipeline_from_data(json.loads(json.dumps(pipeline_as_data(pipeline), allow_nan=False)))


@given(pipelines(), st.booleans())
def test_a_copied_pipeline_compiles_to_the_same_bytes(written, as_data):
    pipeline = (
        pipeline_from_steps(written.steps, name="p", outputs=written.outputs)
        if as_data
        else trace(written.handler(), name="p", description="what it does")
    )

    copy = copied(pipeline)

    assert [step.name for step in copy.steps] == [step.name for step in pipeline.steps]
    assert pipeline_as_data(copy) == pipeline_as_data(pipeline)
    first, second = compile_pipeline(pipeline, project=PROJECT), compile_pipeline(copy, project=PROJECT)
    assert second.to_yaml() == first.to_yaml()
    assert second.step_names == first.step_names


@settings(max_examples=60, deadline=None)
@given(task_settings(arguments=st.nothing()))
def test_settings_come_back_equal(given_settings):
    pipeline = trace(one_step)
    pipeline.steps[0].settings = given_settings

    assert copied(pipeline).steps[0].settings == given_settings


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_settings_with_references_refer_to_the_copy(data):
    arguments = (PipelineArgument("one"), PipelineArgument("two"))
    pipeline = trace(one_step)
    outputs = [pipeline.steps[0].outputs[key] for key in ("n", "m")]
    given_settings = data.draw(task_settings(st.sampled_from([*arguments, *outputs])))
    pipeline.steps[0].settings = given_settings
    pipeline = replace(pipeline, arguments=arguments)

    copy = copied(pipeline)

    assert pipeline_as_data(copy) == pipeline_as_data(pipeline)
    assert repr(copy.steps[0].settings) == repr(given_settings)
    assert isinstance(copy.steps[0].settings, TaskSettings)


def one_step():
    with pipeline_context() as pc:
        pc.step("only", function="f", values=["n", "m"])


def test_what_kfp_cannot_express_is_still_refused():
    def handler():
        with pipeline_context() as pc:
            pc.step("only", function="plain", schedule="@daily")

    with pytest.raises(DefinitionError) as first:
        compile_pipeline(trace(handler), project=PROJECT)
    with pytest.raises(DefinitionError) as second:
        compile_pipeline(copied(trace(handler)), project=PROJECT)

    assert str(second.value) == str(first.value)


def test_arguments_keep_their_types_and_defaults():
    def handler(url, epochs: int = 3, rate: float = 1, name: str = None, tags: list = ("a",)):  # noqa: RUF013
        with pipeline_context() as pc:
            pc.step("only", function="f")

    before, after = trace(handler).arguments, copied(trace(handler)).arguments

    assert [(one.name, one.type, one.default) for one in after] == [
        (one.name, one.type, one.default) for one in before
    ]
    assert after[0].default is MISSING
    assert after[3].default is None


def test_every_field_of_a_step_comes_back():
    def handler(url):
        with pipeline_context() as pc:
            first = pc.step(
                "First step",
                function="f",
                function_id="1",
                action="job",
                outputs={"a.b": "c.d"},
                values=["n"],
                inputs={"path": f"s3://{url}/x", "nothing": None, "like": {"output": ["a", "b"]}},
                parameters={"tuple": (1, 2)},
            )
            pc.step("second", workflow="w", workflow_id="2", inputs={"c": first.outputs["c_d"]}).after(first)
            return {"result": first.outputs["n"]}

    copy = copied(trace(handler))

    first, second = copy.steps
    assert (first.name, first.function, first.function_id, first.action) == ("First step", "f", "1", "job")
    assert first.output_names == {"a.b": "c_d"}
    assert first.values == ["n"]
    assert first.inputs == {
        "path": "s3://{{argument:url}}/x",
        "nothing": None,
        "like": {"output": ["a", "b"]},
    }
    assert first.parameters == {"tuple": [1, 2]}
    assert (second.function, second.workflow, second.workflow_id) == (None, "w", "2")
    assert second.inputs["c"].step is first
    assert second.predecessors == [first]
    assert copy.outputs["result"].step is first


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({1, 2}, "step 'only', inputs['x']: {1, 2} cannot be passed: it is of type set. Allowed: an output"),
        ([float("nan")], "step 'only', inputs['x']: [nan] cannot be passed: [0] is nan, which JSON does not"),
        ([PipelineArgument("url")], "step 'only', inputs['x']: holds an output or argument inside a list"),
    ],
)
def test_a_value_that_is_not_json_is_refused_with_its_place(value, problem):
    def handler():
        with pipeline_context() as pc:
            pc.step("only", function="f", inputs={"x": value})

    with pytest.raises(StepError) as raised:
        pipeline_as_data(trace(handler))
    assert str(raised.value).startswith(problem)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": None},
        {"steps": [{"name": "only"}]},
        {"steps": [3]},
        {"outputs": {"a": {"output": ["other", "n"]}}},
        {"outputs": {"a": {"output": ["only"]}}},
        {"arguments": [{"name": "url", "type": "TEXT"}]},
    ],
)
def test_what_is_not_a_pipeline_is_refused(change):
    with pytest.raises(DefinitionError, match="is not what pipeline_as_data"):
        pipeline_from_data({**pipeline_as_data(trace(one_step)), **change})


def test_settings_that_are_none_are_refused():
    data = pipeline_as_data(trace(one_step))
    data["steps"][0]["settings"] = {"timeout": "long"}

    with pytest.raises(SettingError, match="timeout"):
        pipeline_from_data(data)


def test_a_function_that_two_steps_were_given_travels_once_with_its_settings():
    function = new_function("say", handler=say, settings={"timeout": 60})

    def handler():
        with pipeline_context() as pc:
            pc.step("one", function=function, inputs={"text": "1"})
            pc.step("two", function=function, inputs={"text": "2"})

    data = pipeline_as_data(trace(handler))
    copy = copied(trace(handler))

    assert len(data["functions"]) == 1
    assert copy.steps[0].function is copy.steps[1].function
    assert compile_pipeline(copy).to_yaml() == compile_pipeline(trace(handler)).to_yaml()


def say(text: str):
    print(text)
