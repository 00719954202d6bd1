"""A task's inputs and a dag's outputs are resolved as KFP's driver does it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_kfp_runtime.embedded.engine.graph import Outcome
from airflow_kfp_runtime.embedded.engine.resolve import (
    Producer,
    ResolveError,
    Surroundings,
    resolve_inputs,
    resolve_outputs,
    will_run,
    with_defaults,
)
from airflow_kfp_runtime.embedded.engine.values import Values

ARTIFACT = {"id": "1", "name": "data", "type": "system.Dataset", "uri": "file:///x", "metadata": {}}
NAMES = {"pipeline_job_uuid": "run-1", "pipeline_job_resource_name": "workflow"}
AROUND = Surroundings(
    inputs=Values({"a": "x"}, {"data": [ARTIFACT]}),
    producers={
        "done": Producer(Outcome.SUCCEEDED, Values({"n": 4}, {"data": [ARTIFACT]})),
        "other": Producer(Outcome.SUCCEEDED, Values({"n": 5}, {"data": []})),
        "skipped": Producer(Outcome.SKIPPED, Values()),
        "broken": Producer(Outcome.FAILED, Values(), "why"),
    },
    names=NAMES,
)


def resolved(sources, definitions, around=AROUND, **task):
    task = {"inputs": {"parameters": sources}, **task}
    return resolve_inputs(task, {"parameters": definitions}, around)


def test_inputs_come_from_the_parent_from_tasks_and_from_constants():
    inputs, provided = resolved(
        {
            "parent": {"componentInputParameter": "a"},
            "output": {"taskOutputParameter": {"producerTask": "done", "outputParameterKey": "n"}},
            "constant": {"runtimeValue": {"constant": [1]}},
        },
        {
            "parent": {"parameterType": "STRING"},
            "output": {"parameterType": "NUMBER_INTEGER"},
            "constant": {"parameterType": "LIST"},
            "default": {"parameterType": "BOOLEAN", "defaultValue": False, "isOptional": True},
            "absent": {"parameterType": "STRING", "isOptional": True},
        },
    )

    assert inputs.parameters == {"parent": "x", "output": 4, "constant": [1], "default": False}
    assert provided == {"parent", "output", "constant"}


def test_a_constant_may_refer_to_other_inputs_and_to_the_run():
    inputs, _ = resolved(
        {
            "pipelinechannel--a": {"componentInputParameter": "a"},
            "text": {
                "runtimeValue": {
                    "constant": "{{$.inputs.parameters['pipelinechannel--a']}}/{{$.pipeline_job_uuid}}"
                }
            },
        },
        {"text": {"parameterType": "STRING"}},
    )

    assert inputs.parameters["text"] == "x/run-1"


def test_a_constant_that_refers_to_an_input_without_a_value_is_an_error():
    with pytest.raises(ResolveError, match="'pipelinechannel--z'"):
        resolved(
            {
                "pipelinechannel--z": {"componentInputParameter": "z"},
                "text": {"runtimeValue": {"constant": "{{$.inputs.parameters['pipelinechannel--z']}}"}},
            },
            {"text": {"parameterType": "STRING"}},
        )


def test_a_missing_value_is_left_out_or_defaulted_and_an_error_where_it_is_needed():
    source = {"x": {"componentInputParameter": "nothing"}}

    assert resolved(source, {"x": {"isOptional": True}})[0].parameters == {}
    assert resolved(source, {"x": {"isOptional": True, "defaultValue": 1}})[0].parameters == {"x": 1}
    with pytest.raises(ResolveError, match="'x' has neither a value nor a default"):
        resolved(source, {"x": {"parameterType": "STRING"}})


@pytest.mark.parametrize(
    ("producer", "state", "error"),
    [("done", "COMPLETE", {}), ("broken", "FAILED", {"message": "why"}), ("skipped", "CANCELED", {})],
)
def test_a_final_status_tells_what_became_of_a_task(producer, state, error):
    inputs, _ = resolved(
        {"status": {"taskFinalStatus": {"producerTask": producer}}},
        {"status": {"parameterType": "TASK_FINAL_STATUS", "isOptional": True}},
    )

    assert inputs.parameters["status"] == {
        "state": state,
        "pipelineTaskName": producer,
        "pipelineJobResourceName": "workflow",
        "error": error,
    }


def test_artifacts_come_from_the_parent_and_from_tasks():
    sources = {
        "one": {"componentInputArtifact": "data"},
        "two": {"taskOutputArtifact": {"producerTask": "done", "outputArtifactKey": "data"}},
        "none": {"componentInputArtifact": "nothing"},
    }

    inputs, provided = resolve_inputs(
        {"inputs": {"artifacts": sources}}, {"artifacts": {"none": {"isOptional": True}}}, AROUND
    )

    assert inputs.artifacts == {"one": [ARTIFACT], "two": [ARTIFACT]}
    assert provided == {"one", "two"}
    with pytest.raises(ResolveError, match="'none' was not produced"):
        resolve_inputs({"inputs": {"artifacts": sources}}, {}, AROUND)


def test_arguments_are_checked_against_their_types():
    definitions = {"parameters": {"n": {"parameterType": "NUMBER_INTEGER"}}}

    assert with_defaults({"n": 3.0}, definitions) == {"n": 3}
    with pytest.raises(ResolveError, match=r"'n'.*'three' is not of type NUMBER_INTEGER"):
        with_defaults({"n": "three"}, definitions)


def test_the_outputs_of_a_dag_are_those_of_its_tasks():
    parameter = {"valueFromParameter": {"producerSubtask": "done", "outputParameterKey": "n"}}
    artifact = {"artifactSelectors": [{"producerSubtask": "done", "outputArtifactKey": "data"}]}
    definitions = {"parameters": {"x": {"parameterType": "NUMBER_DOUBLE"}}}
    dag = {"outputs": {"parameters": {"x": parameter}, "artifacts": {"d": artifact}}}

    outputs = resolve_outputs(dag, definitions, AROUND.producers)

    assert outputs == Values({"x": 4.0}, {"d": [ARTIFACT]})


def test_an_output_of_a_task_that_was_skipped_is_left_out():
    source = {"valueFromParameter": {"producerSubtask": "skipped", "outputParameterKey": "n"}}

    assert resolve_outputs({"outputs": {"parameters": {"x": source}}}, {}, AROUND.producers) == Values()


def test_one_of_several_outputs_is_the_first_that_was_produced():
    def one_of(*tasks):
        chosen = [{"producerSubtask": task, "outputParameterKey": "n"} for task in tasks]
        artifacts = [{"producerSubtask": task, "outputArtifactKey": "data"} for task in tasks]
        outputs = {
            "parameters": {"x": {"valueFromOneof": {"parameterSelectors": chosen}}},
            "artifacts": {"d": {"artifactSelectors": artifacts}},
        }
        return resolve_outputs({"outputs": outputs}, {}, AROUND.producers)

    assert one_of("skipped", "done", "other") == Values({"x": 4}, {"d": [ARTIFACT]})
    assert one_of("other", "done") == Values({"x": 5}, {"d": []})
    assert one_of("skipped", "broken") == Values()


@pytest.mark.parametrize(
    ("task", "clause"),
    [("broken", " by task 'broken', which has failed"), ("skipped", ": task 'skipped' was skipped")],
)
def test_a_missing_input_names_the_task_that_has_not_produced_it(task, clause):
    parameter = {"taskOutputParameter": {"producerTask": task, "outputParameterKey": "n"}}
    artifact = {"taskOutputArtifact": {"producerTask": task, "outputArtifactKey": "d"}}

    with pytest.raises(ResolveError, match=f"Input parameter 'x' was not produced{clause}"):
        resolved({"x": parameter}, {"x": {"parameterType": "STRING"}})
    assert resolved({"x": parameter}, {"x": {"isOptional": True}})[0] == Values()
    with pytest.raises(ResolveError, match=f"Input artifact 'd' was not produced{clause}"):
        resolve_inputs({"inputs": {"artifacts": {"d": artifact}}}, {}, AROUND)


def test_a_selector_takes_a_part_of_a_value_before_its_type_is_checked():
    def selected(expression):
        source = {"componentInputParameter": "item", "parameterExpressionSelector": expression}
        around = replace(AROUND, inputs=Values({"item": {"a": 1, "b": "x"}}))
        return resolved({"x": source}, {"x": {"parameterType": "NUMBER_INTEGER"}}, around)[0].parameters["x"]

    assert repr(selected('parseJson(string_value)["a"]')) == "1"
    with pytest.raises(ResolveError, match=r"'x': .* selects nothing: there is no 'c', only 'a', 'b'"):
        selected('parseJson(string_value)["c"]')


def test_a_condition_decides_whether_a_task_runs():
    task = {"triggerPolicy": {"condition": "int(inputs.parameter_values['n']) > 3"}}

    assert will_run({}, Values())
    assert will_run(task, Values({"n": 4}))
    assert not will_run(task, Values({"n": 3}))
    with pytest.raises(
        ResolveError, match=r"The condition .* cannot be evaluated: there is no 'n', only nothing"
    ):
        will_run(task, Values())
