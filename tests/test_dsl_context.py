"""Steps in Python: what each parameter of a step does, and what every mistake is answered with."""

import pytest

from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.errors import StepError
from airflow_kfp_runtime.project.settings.model import Resources, TaskSettings


def one_step(**parameters):
    return pipeline_context().step(**{"name": "train", "function": "train", **parameters})


def message(error):
    return str(error.value)


def test_a_step_keeps_everything_of_the_parameter_table():
    with pipeline_context() as pc:
        first = pc.step(name="download", function="downloader-funct", outputs={"dataset": "dataset"})
        step = pc.step(
            name="train",
            function="train-funct",
            action="job",
            inputs={"di": first.outputs["dataset"]},
            outputs={"model": "trained.model"},
            parameters={"epochs": 3},
            values=["accuracy", "f1"],
            function_id="4f1c",
            workflow_id="77aa",
            node_selector=[{"key": "disk", "value": "ssd"}],
            resources={"cpu": "8"},
        )

    assert (step.name, step.function, step.action) == ("train", "train-funct", "job")
    assert (step.function_id, step.workflow_id) == ("4f1c", "77aa")
    assert step.inputs["di"].step is first
    assert step.parameters == {"epochs": 3}
    assert step.output_names == {"model": "trained_model"}
    assert list(step.outputs) == ["trained_model", "accuracy", "f1"]
    assert len(step.outputs) == 3
    assert step.settings == TaskSettings(node_selector={"disk": "ssd"}, resources=Resources(cpu_request="8"))
    assert pc.steps == [first, step]
    assert pc.find("train") is step
    assert pc.find("Train") is None


def test_the_name_may_be_given_by_position():
    assert pipeline_context().step("train", function="f").name == "train"


def test_the_task_has_the_name_as_kfp_allows_it():
    assert one_step(name="Download_Data.v2").task_name == "download-data-v2"


def test_function_wins_over_workflow():
    assert one_step(workflow="other").workflow is None
    assert pipeline_context().step(name="a", workflow="other").workflow == "other"


@pytest.mark.parametrize("written", [{"model": "best"}, ["best"]])
def test_step_outputs_is_the_newer_spelling_of_outputs(written):
    assert list(one_step(step_outputs=written).outputs) == ["best"]


def test_a_step_that_names_no_outputs_leaves_the_check_to_the_function():
    assert one_step().outputs["anything"].key == "anything"


def test_after_takes_several_steps_and_returns_the_step():
    with pipeline_context() as pc:
        first, second = pc.step(name="a", function="f"), pc.step(name="b", function="f")
        third = pc.step(name="c", function="f").after(first, second)

    assert third.predecessors == [first, second]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"inptus": {}}, "step 'train', inptus: 'inptus' is not a parameter of a step. Allowed: inputs"),
        ({"node_selecter": {}}, "step 'train', node_selecter: 'node_selecter' is not a parameter of a step"),
        ({"node_selecter": {}}, "Allowed: node_selector"),
        ({"zzz": 1}, "Allowed: name, function, function_id"),
        ({"name": ""}, "name: '' is not a name: it needs a letter or digit"),
        ({"name": "___"}, "name: '___' is not a name"),
        ({"name": 5}, "name: 5 is not a name"),
        ({"function": None}, "step 'train', function: names neither a function nor a workflow"),
        ({"inputs": ["url"]}, "step 'train', inputs: ['url'] is not a mapping of names to values"),
        ({"inputs": {"my url": 1}}, "step 'train', inputs: 'my url' is not a name"),
        ({"parameters": {5: 1}}, "step 'train', parameters: 5 is not a name"),
        ({"outputs": "dataset"}, "step 'train', outputs: 'dataset' is not a mapping of names to names"),
        ({"outputs": {"a": "b c"}}, "step 'train', outputs['a']: 'b c' is not a name"),
        ({"outputs": {"a": 5}}, "step 'train', outputs['a']: 5 is not a name"),
        ({"outputs": {"a": "x.y", "b": "x_y"}}, "step 'train', outputs: two outputs are named 'x_y'"),
        ({"outputs": {}, "step_outputs": ["a"]}, "step 'train', step_outputs: is another spelling of"),
        ({"step_outputs": {"a": "1"}}, "step 'train', step_outputs['a']: '1' is not a name"),
        ({"values": "accuracy"}, "step 'train', values: 'accuracy' is not a list of names"),
        ({"values": ["x", "y", "x"]}, "step 'train', values[2]: 'x' is there already"),
        (
            {"function": one_step},
            'is a plain Python function: add it with project.new_function("one_step", handler=one_step)',
        ),
        ({"values": ["ok", "not ok"]}, "step 'train', values[1]: 'not ok' is not a name"),
        ({"inputs": {"a": 1}, "parameters": {"a": 2}}, "step 'train', parameters['a']: 'a' is an input"),
    ],
)
def test_a_mistake_names_step_field_value_and_what_is_allowed(parameters, expected):
    with pytest.raises(StepError) as caught:
        one_step(**parameters)

    assert expected in message(caught)


def test_a_name_is_taken_once_and_so_is_the_task_that_it_becomes():
    with pipeline_context() as pc:
        pc.step(name="load data", function="f")
        with pytest.raises(StepError) as same:
            pc.step(name="load data", function="f")
        with pytest.raises(StepError) as alike:
            pc.step(name="load_data", function="f")

    assert message(same) == "step 'load data', name: another step has this name already"
    assert message(alike) == (
        "step 'load_data', name: becomes the KFP task 'load-data', as step 'load data' does: rename one"
    )
    assert pc.step_names == ["load data"]


@pytest.mark.parametrize("key", ["model", "a b", 5])
def test_an_output_that_the_step_does_not_name_is_refused(key):
    step = one_step(outputs={"a": "b"}, values=["c"])

    with pytest.raises(StepError) as caught:
        step.outputs[key]

    assert message(caught) == f"step 'train', outputs: {key!r} is not an output of the step. Allowed: b, c"


def test_after_refuses_what_is_no_step_and_steps_of_another_context():
    step = one_step()

    with pytest.raises(StepError) as text:
        step.after("download")
    with pytest.raises(StepError) as stranger:
        step.after(one_step(name="other"))

    assert message(text) == "step 'train', after: 'download' is not a step"
    assert message(stranger) == (
        "step 'train', after: step 'other' belongs to another pipeline_context(). Allowed: train"
    )


def test_an_exception_of_the_handler_leaves_the_context():
    with pytest.raises(KeyError), pipeline_context():
        raise KeyError("own")


def test_settings_may_be_named_in_camel_case():
    step = one_step(nodeSelector={"disk": "ssd"}, imagePullPolicy="Always")

    assert step.settings == TaskSettings(node_selector={"disk": "ssd"}, image_pull_policy="Always")


def test_a_step_without_settings_has_none():
    assert one_step().settings is None
