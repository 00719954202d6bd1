"""What every compiled pipeline has to keep, checked on the IR alone."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2


def check(spec: dict[str, Any]) -> None:
    """Raise an AssertionError where an IR is not what KFP's schema and driver need."""
    message = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert json_format.MessageToDict(message) == spec

    executors = spec["deploymentSpec"]["executors"]
    assert {part["executorLabel"] for part in spec["components"].values()} == set(executors)
    tasks = spec["root"]["dag"]["tasks"]
    assert {task["componentRef"]["name"] for task in tasks.values()} == set(spec["components"])
    outputs = {name: outputs_of(spec, name) for name in tasks}
    for name, task in tasks.items():
        assert task["taskInfo"]["name"] == name
        _check_task(spec, name, task, outputs)
    for source in _pipeline_outputs(spec):
        key = source.get("outputParameterKey") or source["outputArtifactKey"]
        assert key in outputs[source["producerSubtask"]]
    _check_acyclic(tasks)


def outputs_of(spec: dict[str, Any], task: str) -> dict[str, Any]:
    """Return the declared outputs of a task's component by name."""
    reference = spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]
    definitions = spec["components"][reference].get("outputDefinitions", {})
    return {**definitions.get("artifacts", {}), **definitions.get("parameters", {})}


def _check_task(
    spec: dict[str, Any], name: str, task: dict[str, Any], outputs: dict[str, dict[str, Any]]
) -> None:
    arguments = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    declared = spec["components"][task["componentRef"]["name"]].get("inputDefinitions", {})
    producers = set()
    given = task.get("inputs", {})
    for kind in ("parameters", "artifacts"):
        for key, value in given.get(kind, {}).items():
            (source,) = value.values()
            assert key in declared.get(kind, {}) or key.startswith("pipelinechannel--")
            if "producerTask" in source:
                producers.add(source["producerTask"])
                produced = source.get("outputParameterKey") or source["outputArtifactKey"]
                assert produced in outputs[source["producerTask"]]
            elif "componentInputParameter" in value:
                assert source in arguments
        for key, definition in declared.get(kind, {}).items():
            assert key in given.get(kind, {}) or definition.get("isOptional")
    before = task.get("dependentTasks", [])
    assert producers <= set(before) <= set(outputs) - {name}
    assert before == sorted(set(before))


def _pipeline_outputs(spec: dict[str, Any]) -> list[dict[str, str]]:
    declared = spec["root"].get("outputDefinitions", {})
    outputs = spec["root"]["dag"].get("outputs", {})
    for kind in ("parameters", "artifacts"):
        assert outputs.get(kind, {}).keys() == declared.get(kind, {}).keys()
    return [
        *(output["valueFromParameter"] for output in outputs.get("parameters", {}).values()),
        *(
            selected
            for output in outputs.get("artifacts", {}).values()
            for selected in output["artifactSelectors"]
        ),
    ]


def _check_acyclic(tasks: dict[str, Any]) -> None:
    left = {name: set(task.get("dependentTasks", [])) for name, task in tasks.items()}
    while left:
        free = {name for name, before in left.items() if not before & left.keys()}
        assert free
        left = {name: before for name, before in left.items() if name not in free}
