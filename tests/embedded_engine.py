"""What the tests of the embedded engine share: IRs made by hand, and an engine with its store."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from airflow_kfp_runtime.embedded.engine import Engine
from airflow_kfp_runtime.embedded.engine.artifacts import Places
from airflow_kfp_runtime.embedded.state.rows import END_STATES, ExperimentRow, RunRow, TaskRow, now
from airflow_kfp_runtime.embedded.state.store import Store


def eventually(condition, timeout=60.0):
    """Return what ``condition()`` gives as soon as it is true."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError("It has not come true in time.")
        time.sleep(0.01)
    return found


def alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def output_of(task, key):
    """The source of an input that comes from another task's output."""
    return {"task": task, "key": key}


def argument(name):
    """The source of an input that comes from the enclosing pipeline's input."""
    return {"argument": name}


def step(script="true", *, inputs=None, outputs=None, container=None, **task):
    """A step that runs a shell script.

    :param inputs: ``{name: (type, source)}``; a type that begins with ``system.`` is an artifact's; a source
        is :func:`output_of`, :func:`argument`, or a constant.
    :param outputs: ``{name: type}``.
    :param container: members of the container that replace the script's.
    :param task: members of the task in the IR.
    """
    container = {"image": "alpine", "command": ["sh", "-ec", script]} | (container or {})
    return {"inputs": inputs or {}, "outputs": outputs or {}, "container": container, "task": task}


def nested(steps, *, inputs=None, outputs=None, **task):
    """A pipeline as a step; its own inputs have the names and types of ``inputs``."""
    declared = {name: kind for name, (kind, _) in (inputs or {}).items()}
    return {"inputs": inputs or {}, "nested": (steps, declared, outputs or {}), "task": task}


def branch(condition, steps, *, inputs=None, outputs=None, **task):
    """A pipeline that runs where a condition is true, as a step."""
    return nested(steps, inputs=inputs, outputs=outputs, triggerPolicy={"condition": condition}, **task)


def loop(steps, items, *, kind="STRING", inputs=None, outputs=None, parallelism=0, **task):
    """A loop as a step; the steps in it have their item as ``argument("item")``.

    :param items: the list, or the source of an input with it; one whose ``kind`` is an artifact's has a
        source only.
    :param outputs: those of an iteration, ``{name: (type, output_of(...))}``.
    """
    artifacts = kind.startswith("system.")
    given = dict(inputs or {})
    if isinstance(items, list):
        iterator = {"items": {"raw": json.dumps(items)}, "itemInput": "item"}
    else:
        given["items"] = (kind if artifacts else "LIST", items)
        iterator = {
            "items": {"inputArtifact" if artifacts else "inputParameter": "items"},
            "itemInput": "item",
        }
    if parallelism:
        task["iteratorPolicy"] = {"parallelismLimit": parallelism}
    task["artifactIterator" if artifacts else "parameterIterator"] = iterator
    made = nested(steps, inputs=given, outputs=outputs, **task)
    made["nested"][1]["item"] = kind
    return made


def pipeline(steps, *, inputs=None, outputs=None, name="by-hand"):
    """An IR.

    :param steps: ``{task name: step(...) or nested(...)}``.
    :param inputs: ``{name: type}`` or ``{name: (type, default)}``; a default of ``None`` makes it optional.
    :param outputs: ``{name: (type, output_of(...))}``.
    """
    spec = {"pipelineInfo": {"name": name}, "components": {}, "deploymentSpec": {"executors": {}}}
    spec["root"] = _dag(steps, inputs or {}, outputs or {}, "", spec)
    return spec | {"schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0"}


def _dag(steps, inputs, outputs, prefix, spec):
    dag = {"tasks": {}}
    for name, what in steps.items():
        label = f"{prefix}{name}"
        if "nested" in what:
            component = _dag(*what["nested"], f"{label}-", spec)
        else:
            spec["deploymentSpec"]["executors"][f"exec-{label}"] = {"container": what["container"]}
            component = {
                "executorLabel": f"exec-{label}",
                "inputDefinitions": _definitions({key: kind for key, (kind, _) in what["inputs"].items()}),
                "outputDefinitions": _definitions(what["outputs"]),
            }
        spec["components"][f"comp-{label}"] = component
        dag["tasks"][name] = {
            "taskInfo": {"name": name},
            "componentRef": {"name": f"comp-{label}"},
            "inputs": _sources(what["inputs"]),
        } | what["task"]
    dag["outputs"] = _dag_outputs(outputs)
    definitions = _definitions({name: kind for name, (kind, _) in outputs.items()})
    return {"dag": dag, "inputDefinitions": _definitions(inputs), "outputDefinitions": definitions}


def _definitions(declared):
    definitions = {"parameters": {}, "artifacts": {}}
    for name, kind in declared.items():
        kind, *default = kind if isinstance(kind, tuple) else (kind,)
        if kind.startswith("system."):
            artifact_type = {"schemaTitle": kind, "schemaVersion": "0.0.1"}
            definitions["artifacts"][name] = {"artifactType": artifact_type}
        else:
            definitions["parameters"][name] = {"parameterType": kind}
            if default:
                definitions["parameters"][name]["isOptional"] = True
            if default and default[0] is not None:
                definitions["parameters"][name]["defaultValue"] = default[0]
    return {side: members for side, members in definitions.items() if members}


def _sources(inputs):
    sources = {"parameters": {}, "artifacts": {}}
    for name, (kind, source) in inputs.items():
        artifact = isinstance(kind, str) and kind.startswith("system.")
        match source:
            case {"task": task, "key": key} if artifact:
                value = {"taskOutputArtifact": {"producerTask": task, "outputArtifactKey": key}}
            case {"task": task, "key": key}:
                value = {"taskOutputParameter": {"producerTask": task, "outputParameterKey": key}}
            case {"argument": name_outside} if artifact:
                value = {"componentInputArtifact": name_outside}
            case {"argument": name_outside}:
                value = {"componentInputParameter": name_outside}
            case {"raw": value}:
                pass
            case constant:
                value = {"runtimeValue": {"constant": constant}}
        sources["artifacts" if artifact else "parameters"][name] = value
    return {side: members for side, members in sources.items() if members}


def _dag_outputs(outputs):
    made = {"parameters": {}, "artifacts": {}}
    for name, (kind, source) in outputs.items():
        if kind.startswith("system."):
            selector = {"producerSubtask": source["task"], "outputArtifactKey": source["key"]}
            made["artifacts"][name] = {"artifactSelectors": [selector]}
        else:
            selector = {"producerSubtask": source["task"], "outputParameterKey": source["key"]}
            made["parameters"][name] = {"valueFromParameter": selector}
    return {side: members for side, members in made.items() if members}


class Server:
    """An engine with its store, on a data directory that outlives it."""

    def __init__(self, data: Path, workers: int = 4, grace: float = 5.0) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.store = Store(data / "server.sqlite")
        self.places = Places(data.resolve())
        self.engine = Engine(self.store, data, workers, grace)
        self.engine.start()

    def submit(self, spec, parameters=None, platform_spec=None, **members) -> str:
        """Submit a run and return its id."""
        run_id = str(uuid4())
        experiment = ExperimentRow(run_id, run_id, now())
        self.store.insert(experiment)
        run = RunRow(
            run_id=run_id,
            display_name="a run",
            experiment_id=run_id,
            pipeline_spec=spec,
            platform_spec=platform_spec,
            parameters=parameters or {},
            created_at=now(),
            scheduled_at=now(),
            **members,
        )
        self.store.insert(run)
        self.engine.check(spec, platform_spec)
        self.engine.submit(run_id)
        return run_id

    def wait(self, run_id, state=None) -> RunRow:
        """Wait until a run has ended, or has come to ``state``."""
        wanted = {state} if state else END_STATES
        return eventually(lambda: self._in(run_id, wanted))

    def run(self, spec, parameters=None, platform_spec=None, **members) -> RunRow:
        """Submit a run and wait for its end."""
        return self.wait(self.submit(spec, parameters, platform_spec, **members))

    def tasks(self, run) -> dict[str, TaskRow]:
        """A run's tasks by their path."""
        run_id = run if isinstance(run, str) else run.run_id
        return {task.path: task for task in self.store.tasks_of(run_id)}

    def log(self, run, path) -> str:
        """The log of a task."""
        return self.places.log(run.run_id, self.tasks(run)[path].pod_name).read_text()

    def _in(self, run_id, states):
        run = self.store.get_run(run_id)
        return run if run.state in states else None


@contextmanager
def running_server(data: Path, **settings):
    """A :class:`Server` that is stopped at the end."""
    server = Server(data, **settings)
    try:
        yield server
    finally:
        server.engine.stop()
        server.store.close()
