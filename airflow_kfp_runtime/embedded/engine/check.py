"""Whether a pipeline can run here; what cannot is refused at submission, naming its task and construct."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.engine.cel import CelError, read_condition, read_selector
from airflow_kfp_runtime.embedded.engine.graph import CycleError, Graph
from airflow_kfp_runtime.embedded.engine.iterations import Loop, is_loop
from airflow_kfp_runtime.embedded.engine.notes import workspace_of
from airflow_kfp_runtime.embedded.engine.resolve import ResolveError, selectors
from airflow_kfp_runtime.embedded.engine.values import Values
from airflow_kfp_runtime.errors import KfpRuntimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Json = dict[str, Any]


class UnsupportedPipelineError(KfpRuntimeError, ValueError):
    """A pipeline that this server cannot run; the message names the task and what is not supported."""


def check(pipeline_spec: Mapping[str, Any], platform_spec: Mapping[str, Any] | None = None) -> None:
    """Refuse what the engine cannot run.

    :param pipeline_spec: the IR.
    :param platform_spec: with ``platforms``. What of its settings cannot be applied here is said in each
        task's log; init containers, without which a task would find something else, are refused.
    :raises UnsupportedPipelineError: a task uses a construct that is not supported (executors other than
        containers and importers, lists of artifacts that a container writes, importers that download to the
        workspace, more of CEL in a condition than the SDK compiles to), or the IR refers to what it does not
        hold.
    """
    try:
        problem = next(_problems(pipeline_spec, platform_spec or {}), None)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The IR is a client's document: one that is not built as an IR fails somewhere in the walk.
        raise UnsupportedPipelineError(
            f"The pipeline spec is not a valid IR: {type(error).__name__}: {error}. Compile it again."
        ) from error
    if problem:
        raise UnsupportedPipelineError(f"{problem}.")


def _problems(spec: Mapping[str, Any], platform_spec: Mapping[str, Any]) -> Iterator[str]:
    for settings in platform_spec.get("platforms", {}).values():
        for label, executor in settings.get("deploymentSpec", {}).get("executors", {}).items():
            if executor.get("initContainers"):
                yield f"Executor {label!r}: init containers are not supported by the embedded server"
    if not spec["pipelineInfo"]["name"]:
        yield "The pipeline has no name (pipelineInfo.name)"
    if "dag" not in spec["root"]:
        yield "The pipeline's root is not a dag"
    for name, definition in spec["root"].get("inputDefinitions", {}).get("artifacts", {}).items():
        if not definition.get("isOptional"):
            yield f"The pipeline has the input artifact {name!r}: a run can be given parameters only"
    yield from _dag_problems(spec["root"], "", spec, ())
    if workspace_of(platform_spec) is None:
        yield from _workspace_problems(spec)


def _workspace_problems(spec: Mapping[str, Any]) -> Iterator[str]:
    for component in (spec["root"], *spec.get("components", {}).values()):
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            for parameter, source in task.get("inputs", {}).get("parameters", {}).items():
                if "{{$.workspace_path}}" in str(source.get("runtimeValue", {}).get("constant")):
                    yield f"Task {name!r}: input {parameter!r}: the pipeline asks for no workspace"


def _dag_problems(
    component: Json, path: str, spec: Mapping[str, Any], enclosing: tuple[str, ...]
) -> Iterator[str]:
    dag = component["dag"]
    tasks = dag["tasks"]
    graph = Graph.of(tasks)
    for name, upstream in graph.dependencies.items():
        if missing := upstream - tasks.keys():
            yield f"Task {path + name!r} depends on {min(missing)!r}, which is not in its dag"
            return
    try:
        graph.order()
    except CycleError as error:
        yield f"The tasks {', '.join(map(repr, error.args[1]))} depend on each other in a cycle"
        return
    for name, task in tasks.items():
        for problem in _task_problems(task, spec):
            yield f"Task {path + name!r}: {problem}"
        reference = task["componentRef"]["name"]
        if reference in enclosing:
            yield f"Task {path + name!r}: its component {reference!r} contains itself"
        elif "dag" in (inner := spec.get("components", {}).get(reference, {})):
            yield from _dag_problems(inner, f"{path}{name}/", spec, (*enclosing, reference))
    yield from _output_problems(dag, path)


def _task_problems(task: Json, spec: Mapping[str, Any]) -> Iterator[str]:
    yield from _expression_problems(task)
    reference = task["componentRef"]["name"]
    component = spec.get("components", {}).get(reference)
    if component is None:
        yield f"its component {reference!r} is not among the components"
    elif "dag" not in component:
        yield from _component_problems(component, spec)
    if component is not None and is_loop(task):
        yield from _loop_problems(task, component)


def _expression_problems(task: Json) -> Iterator[str]:
    expressions: list[tuple[str, str, Callable[[str], object]]] = [
        ("condition", task.get("triggerPolicy", {}).get("condition", ""), read_condition)
    ]
    for name, source in task.get("inputs", {}).get("parameters", {}).items():
        expressions.append((f"input {name!r}", source.get("parameterExpressionSelector", ""), read_selector))
    for where, text, read in expressions:
        try:
            if text:
                read(text)
        except CelError as error:  # noqa: PERF203  each has a place of its own
            yield f"{where}: {error}"


def _loop_problems(task: Json, component: Json) -> Iterator[str]:
    if "parameterIterator" in task and "artifactIterator" in task:
        yield "it has both a parameterIterator and an artifactIterator"
    elif "dag" not in component:
        yield "it is a loop over a single component; the SDK compiles loops over dags"
    elif "artifactIterator" not in task and "raw" in task["parameterIterator"]["items"]:
        try:
            Loop.of(task, Values())
        except ResolveError as error:
            yield str(error).rstrip(".")


def _component_problems(component: Json, spec: Mapping[str, Any]) -> Iterator[str]:
    label = component.get("executorLabel")
    executor = spec.get("deploymentSpec", {}).get("executors", {}).get(label)
    for name, definition in component.get("outputDefinitions", {}).get("artifacts", {}).items():
        if definition.get("isArtifactList"):
            yield f"output {name!r}: a list of artifacts, which KFP lets a pipeline hand on but no step write"
    match executor:
        case None:
            yield f"its executor {label!r} is not in the deployment spec"
        case {"importer": {"downloadToWorkspace": True}}:
            yield "importers that download to the workspace are not supported by the embedded server"
        case {"container": _} | {"importer": _}:
            return
        case _:
            yield f"executors of the kind {', '.join(executor)} are not supported by the embedded server"


def _output_problems(dag: Json, path: str) -> Iterator[str]:
    where = f"Task {path.rstrip('/')!r}" if path else "The pipeline"
    outputs = dag.get("outputs", {})
    for name, output in (*outputs.get("parameters", {}).items(), *outputs.get("artifacts", {}).items()):
        sources = selectors(output)
        if not sources:
            yield f"{where}: output {name!r} comes from no task"
        elif any(source.task not in dag["tasks"] for source in sources):
            yield f"{where}: output {name!r} comes from a task that is not in its dag"
