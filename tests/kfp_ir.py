"""What every compiled pipeline has to keep, checked on the IR and its platform spec alone."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The inputs by which the SDK gives a task the resources that are known only at run time.
_RESOURCES = {f"{name}_{side}" for name in ("cpu", "memory") for side in ("request", "limit")} | {
    "accelerator_type",
    "accelerator_count",
}


#: Where a value may come from in a graph.
_SOURCES = ("componentInputParameter", "componentInputArtifact", "taskOutputParameter", "taskOutputArtifact")


def check(spec: dict[str, Any], platform_spec: dict[str, Any] | None = None) -> None:
    """Raise an AssertionError where an IR is not what KFP's schema and driver need."""
    message = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert json_format.MessageToDict(message) == spec
    platform = (platform_spec or {}).get("platforms", {}).get("kubernetes", {})
    configs = platform.get("deploymentSpec", {}).get("executors", {})

    executors = spec["deploymentSpec"]["executors"]
    labels = {part["executorLabel"] for part in spec["components"].values() if "executorLabel" in part}
    assert labels == set(executors)
    assert set(configs) <= labels
    used: set[str] = set()
    _check_dag(spec, spec["root"], configs, used)
    assert used == set(spec["components"])


def outputs_of(spec: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """Return the declared outputs of a task's component by name."""
    definitions = spec["components"][task["componentRef"]["name"]].get("outputDefinitions", {})
    return {**definitions.get("artifacts", {}), **definitions.get("parameters", {})}


def _check_dag(spec: dict[str, Any], dag: dict[str, Any], configs: dict[str, Any], used: set[str]) -> None:
    tasks = dag["dag"]["tasks"]
    outputs = {name: outputs_of(spec, task) for name, task in tasks.items()}
    for name, task in tasks.items():
        assert task["taskInfo"]["name"] == name
        _check_task(spec, dag, name, task, outputs)
        reference = task["componentRef"]["name"]
        component = spec["components"][reference]
        used.add(reference)
        if "dag" in component:
            _check_dag(spec, component, configs, used)
        for source in _sources(configs.get(component.get("executorLabel"), {})):
            _check_source(dag, source, outputs, task.get("dependentTasks", []))
    for source in _outputs(dag):
        key = source.get("outputParameterKey") or source["outputArtifactKey"]
        assert key in outputs[source["producerSubtask"]]
    for name, task in tasks.items():
        _check_end(tasks, name, task)
    _check_acyclic(tasks)


def _check_task(
    spec: dict[str, Any],
    dag: dict[str, Any],
    name: str,
    task: dict[str, Any],
    outputs: dict[str, dict[str, Any]],
) -> None:
    declared = spec["components"][task["componentRef"]["name"]].get("inputDefinitions", {})
    before = task.get("dependentTasks", [])
    given = task.get("inputs", {})
    item = _check_iterator(spec, task, declared)
    condition = task.get("triggerPolicy", {}).get("condition", "")
    for key in re.findall(r"inputs\.parameter_values\['([^']+)'\]", condition):
        assert key in given["parameters"]
    for kind in ("parameters", "artifacts"):
        for key, value in given.get(kind, {}).items():
            additional = key.startswith("pipelinechannel--") or key in _RESOURCES
            assert key in declared.get(kind, {}) or additional
            if "runtimeValue" not in value:
                _check_source(dag, value, outputs, before)
            if "parameterExpressionSelector" in value:
                # The server would apply it once for the loop and again in each iteration.
                assert "parameterIterator" not in task
        for key, definition in declared.get(kind, {}).items():
            assert key in given.get(kind, {}) or definition.get("isOptional") or key == item
    assert set(before) <= set(outputs) - {name}
    assert before == sorted(set(before))


def _check_iterator(spec: dict[str, Any], task: dict[str, Any], declared: dict[str, Any]) -> str | None:
    """Check a loop, and return the input that has its item."""
    if "parameterIterator" not in task:
        assert "iteratorPolicy" not in task
        return None
    iterator = task["parameterIterator"]
    items, item = iterator["items"], iterator["itemInput"]
    assert item in declared["parameters"]
    assert item not in task.get("inputs", {}).get("parameters", {})
    if "raw" in items:
        assert json.loads(items["raw"])
    else:
        given = items["inputParameter"]
        assert declared["parameters"][given]["parameterType"] == "LIST"
        assert given in task["inputs"]["parameters"]
        # The server takes the list away where the item is.
        component = spec["components"][task["componentRef"]["name"]]
        assert f'"componentInputParameter": "{given}"' not in json.dumps(component)
    assert task.get("iteratorPolicy", {}).get("parallelismLimit", 1) >= 1
    return str(item)


def _check_end(tasks: dict[str, Any], name: str, task: dict[str, Any]) -> None:
    """Check a task that runs however another has ended: nothing waits for it."""
    if "strategy" in task.get("triggerPolicy", {}):
        assert task["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
        assert all(name not in other.get("dependentTasks", []) for other in tasks.values())


def _check_source(
    dag: dict[str, Any], value: dict[str, Any], outputs: dict[str, dict[str, Any]], before: list[str]
) -> None:
    """Check that a value comes from an input of the graph, or from a task of it that has ended."""
    kind, source = next((kind, value[kind]) for kind in _SOURCES if kind in value)
    if kind in {"componentInputParameter", "componentInputArtifact"}:
        side = "parameters" if kind == "componentInputParameter" else "artifacts"
        assert source in dag.get("inputDefinitions", {}).get(side, {})
        return
    assert source["producerTask"] in before
    key = source.get("outputParameterKey") or source["outputArtifactKey"]
    assert key in outputs[source["producerTask"]]


def _sources(config: Any) -> Iterator[dict[str, Any]]:
    """Yield the run-time values in a Kubernetes executor config."""
    match config:
        case dict():
            for kind in ("componentInputParameter", "taskOutputParameter"):
                if kind in config:
                    yield {kind: config[kind]}
            for part in config.values():
                yield from _sources(part)
        case list():
            for part in config:
                yield from _sources(part)


def _outputs(dag: dict[str, Any]) -> list[dict[str, str]]:
    declared = dag.get("outputDefinitions", {})
    outputs = dag["dag"].get("outputs", {})
    for kind in ("parameters", "artifacts"):
        assert outputs.get(kind, {}).keys() == declared.get(kind, {}).keys()
    sources = []
    for output in outputs.get("parameters", {}).values():
        if "valueFromOneof" in output:
            sources += output["valueFromOneof"]["parameterSelectors"]
        else:
            sources.append(output["valueFromParameter"])
    for output in outputs.get("artifacts", {}).values():
        sources += output["artifactSelectors"]
    return sources


def _check_acyclic(tasks: dict[str, Any]) -> None:
    left = {name: set(task.get("dependentTasks", [])) for name, task in tasks.items()}
    while left:
        free = {name for name, before in left.items() if not before & left.keys()}
        assert free
        left = {name: before for name, before in left.items() if name not in free}
