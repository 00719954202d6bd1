"""Reading a run's outputs from its workflow manifest, where nothing but the REST API can be reached.

A parameter is there if a task consumed it: that task's driver wrote the value into its node. The
``collect-outputs`` task of ``collect_outputs=True`` consumes all. An artifact's URI is in its own task's
node, its metadata again with whoever consumed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.client import reading
from airflow_kfp_runtime.client.artifact import artifact
from airflow_kfp_runtime.client.found_outputs import FoundOutputs
from airflow_kfp_runtime.client.graph import ROOT, Graph, Source, join
from airflow_kfp_runtime.client.manifest import get_workflow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.graph import Outputs, Task
    from airflow_kfp_runtime.client.manifest import Workflow

#: The task that the compiler adds for ``collect_outputs=True``; its inputs are named ``<task>--<output>``.
COLLECT_TASK = "collect-outputs"


def read_manifest_outputs(run_id: str, graph: Graph | None) -> Flow[FoundOutputs]:
    """Read what the manifest has of a run's outputs.

    :param graph: the run's IR; without it only what the ``collect-outputs`` task consumed can be named.
    :return: the outputs, and a sentence for each that the manifest lacks.

    Of a loop in a loop, whose outputs KFP collects into one flat list, the parameters are lacking.
    """
    workflow: Workflow = yield get_workflow(run_id)
    inputs = {node.path: node.executor_input for node in workflow.nodes if node.executor_input}
    outputs: Outputs = {}
    known = graph or Graph()
    for path, executor_input in inputs.items():
        # The driver plans the artifacts of a task that then fails, too.
        if path in workflow.succeeded:
            for name, item in _artifacts(reading.mapping(executor_input, "outputs")):
                outputs.setdefault(path, {})[name] = _artifact(known, Source(path, name), item)
    consumed: set[Source] = set()
    for path, executor_input in inputs.items():
        given = reading.mapping(executor_input, "inputs")
        for name, value in reading.mapping(given, "parameterValues").items():
            source = known.source(path, name) or _collected(path, name)
            if source:
                known.put(outputs, source, value)
        for name, item in _artifacts(given):
            source = known.source(path, name) or _collected(path, name)
            if source:
                found = _artifact(known, source, item)
                known.put(outputs, source, found)
                consumed |= set(_inside(known, source, found))
    outputs.pop(ROOT, None)
    iterations = {
        node.path: node.iteration_count for node in workflow.nodes if node.iteration_count is not None
    }
    unread = tuple(_unread(known, workflow, outputs, consumed))
    return FoundOutputs(outputs, iterations, unread, is_complete=False)


def _artifacts(part: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the artifacts of the inputs or the outputs of an executor input, by name."""
    lists = reading.mapping(part, "artifacts")
    return [
        (name, items) for name in lists if (items := reading.rows(reading.mapping(lists, name), "artifacts"))
    ]


def _artifact(graph: Graph, source: Source, items: list[dict[str, Any]]) -> Any:
    task = graph.task(source.path)
    declared = task.artifact_types.get(source.output, "") if task else ""
    found = []
    for item in items:
        metadata = reading.mapping(item, "metadata")
        given = reading.text(item, "name")
        # The driver names an artifact that it got from ML Metadata by its number.
        name = reading.text(metadata, "display_name") or ("" if given.isdecimal() else given)
        kind = declared or reading.text(reading.mapping(item, "type"), "schemaTitle")
        uri = reading.text(item, "uri")
        found.append(artifact(uri=uri, name=name or source.output, kind=kind, metadata=metadata))
    return found[0] if len(found) == 1 else found


def _collected(path: str, input_name: str) -> Source | None:
    """Return the output that an input of the collecting task has by its name, for want of a graph.

    In a nested graph the task is beside the others, but for those that have a nested graph of their own.
    """
    around, _, name = path.rpartition("/")
    task, separator, output = input_name.rpartition("--")
    return Source(join(around, task), output) if name == COLLECT_TASK and separator else None


def _inside(graph: Graph, source: Source, value: Any) -> list[Source]:
    """Return the output and, for a DAG's or a loop's, the outputs inside that were recorded with it."""
    found = [source]
    for inner, part in graph.parts(source, value):
        found += _inside(graph, inner, part)
    return found


def _unread(graph: Graph, workflow: Workflow, outputs: Outputs, consumed: set[Source]) -> list[str]:
    ran: dict[str, list[str]] = {}
    for path in workflow.succeeded:
        task = graph.task(path)
        if task is not None:
            ran.setdefault(task.path, []).append(path)
    return [
        sentence
        for task in graph.tasks.values()
        if task.path != ROOT and task.dag is None
        for path in sorted(ran.get(task.path, ()), key=_by_iteration)
        for sentence in _unread_of(path, task, outputs.get(path, {}), consumed)
    ]


def _by_iteration(path: str) -> list[int]:
    return [int(name) for name in path.split("/") if name.isdecimal()]


def _unread_of(path: str, task: Task, read: Mapping[str, Any], consumed: set[Source]) -> list[str]:
    sentences = [
        f"Output {name!r} of task {path!r}: no task that ran consumed it."
        for name in task.parameter_types
        if name not in read
    ]
    for name in task.artifact_types:
        if name not in read:
            sentences.append(f"Artifact {name!r} of task {path!r}: it was cached and no task consumed it.")
        elif Source(path, name) not in consumed:
            sentences.append(f"The metadata of artifact {name!r} of task {path!r}: no task consumed it.")
    return sentences
