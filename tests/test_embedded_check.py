"""What the engine cannot run is refused at submission, naming the task and the construct."""

from __future__ import annotations

import pytest

from airflow_kfp_runtime.embedded.engine.check import UnsupportedPipelineError, check
from tests.embedded_engine import loop, nested, output_of, pipeline, step

RAW = {"itemInput": "x", "items": {"raw": "[1]"}}


def refused(spec, message, platform_spec=None):
    with pytest.raises(UnsupportedPipelineError, match=message):
        check(spec, platform_spec)


def test_what_can_run_passes():
    check(
        pipeline(
            {
                "a": step(outputs={"x": "STRING"}),
                "b": nested({"c": step()}, inputs={"x": ("STRING", output_of("a", "x"))}),
            },
            outputs={"x": ("STRING", output_of("a", "x"))},
        ),
        {
            "platforms": {
                "kubernetes": {"deploymentSpec": {"executors": {"exec-a": {"imagePullPolicy": "x"}}}}
            }
        },
    )


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"triggerPolicy": {"condition": "size('x') > 1"}}, "'outer/one': condition: .*'size' of CEL is not"),
        ({"parameterIterator": RAW}, "'outer/one': it is a loop over a single component"),
        ({"parameterIterator": RAW, "artifactIterator": RAW}, "'outer/one': it has both a parameterIterator"),
        ({"dependentTasks": ["nobody"]}, "'outer/one' depends on 'nobody'"),
        ({"dependentTasks": ["two"]}, "'one'.*depend on each other in a cycle"),
        ({"componentRef": {"name": "comp-none"}}, "'outer/one': its component 'comp-none'"),
        ({"componentRef": {"name": "comp-outer"}}, "'outer/one': its component 'comp-outer' contains itself"),
    ],
)
def test_a_task_that_is_more_or_less_than_a_step_is_refused(task, message):
    steps = {"one": step(**task), "two": step(dependentTasks=["one"])}

    refused(pipeline({"outer": nested(steps)}), message)


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        ({"importer": {"downloadToWorkspace": True}}, "'one': importers that download to the workspace"),
        ({"customJob": {}}, "'one': executors of the kind customJob"),
        ({"resolver": {}}, "'one': executors of the kind resolver"),
    ],
)
def test_an_executor_that_is_no_container_is_refused(executor, message):
    spec = pipeline({"one": step()})
    spec["deploymentSpec"]["executors"]["exec-one"] = executor

    refused(spec, message)


def test_an_executor_that_is_missing_is_refused():
    spec = pipeline({"one": step()})
    spec["deploymentSpec"] = {}

    refused(spec, "'one': its executor 'exec-one'")


def test_items_that_are_no_list_are_refused():
    spec = pipeline({"each": loop({"one": step()}, [1])})
    spec["root"]["dag"]["tasks"]["each"]["parameterIterator"]["items"]["raw"] = '{"a": 1}'

    refused(spec, r"Task 'each': The items of the loop \(item\) are no list: '{\"a\": 1}'")


def test_an_output_that_comes_from_nowhere_is_refused():
    spec = pipeline({"one": step(outputs={"x": "STRING"})})
    spec["root"]["dag"]["outputs"] = {"parameters": {"out": {"valueFromOneof": {}}}}

    refused(spec, "The pipeline: output 'out' comes from no task")


def test_an_output_of_a_task_that_is_not_there_is_refused():
    refused(
        pipeline({"one": step()}, outputs={"x": ("STRING", output_of("two", "x"))}), "output 'x' comes from"
    )
    refused(
        pipeline({"one": step()}, outputs={"x": ("system.Model", output_of("two", "x"))}),
        "output 'x' comes from",
    )


def test_other_constructs_are_refused():
    selector = {"componentInputParameter": "x", "parameterExpressionSelector": "value.a"}
    refused(
        pipeline({"one": step(inputs={"x": ("STRING", {"raw": selector})})}),
        "'one': input 'x': 'value.a': there is no 'value' here, only 'string_value'",
    )
    refused(
        pipeline({"one": step(inputs={"x": ("STRING", "{{$.workspace_path}}/a")})}), "asks for no workspace"
    )
    refused(pipeline({"one": step()}, inputs={"data": "system.Dataset"}), "input artifact 'data'")
    listed = pipeline({"one": step(outputs={"all": "system.Dataset"})})
    listed["components"]["comp-one"]["outputDefinitions"]["artifacts"]["all"]["isArtifactList"] = True
    refused(listed, "'one': output 'all': a list of artifacts")


def test_a_workspace_that_is_asked_for_can_be_used():
    platform_spec = {"platforms": {"kubernetes": {"pipelineConfig": {"workspace": {"size": "1Gi"}}}}}

    check(pipeline({"one": step(inputs={"x": ("STRING", "{{$.workspace_path}}/a")})}), platform_spec)


@pytest.mark.parametrize(
    "spec", [{}, {"root": {}}, {"root": {"dag": {}}}, {"root": {"dag": {"tasks": {"a": 1}}}}]
)
def test_what_is_no_ir_is_refused(spec):
    with pytest.raises(UnsupportedPipelineError):
        check(spec)


def test_init_containers_are_refused():
    executors = {"exec-one": {"initContainers": [{"name": "first", "image": "alpine"}]}}
    platform_spec = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}

    refused(pipeline({"one": step()}), "Executor 'exec-one': init containers", platform_spec)
