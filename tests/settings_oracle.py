"""Settings as JSON, compiled by this package and by the kfp SDK, and how the two are compared.

A setting known only at run time is ``{"argument": name}`` or ``{"output": name}``; see
``tests/kfp_sdk_settings.py``, which has the SDK's side.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from airflow_kfp_runtime.compiler import PipelinePackage, compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.project.settings import TaskSettings
from tests.environments import KFP_SDK, environment

IMAGE = "registry.example.org/python:3.12"
SCRIPT = Path(__file__).with_name("kfp_sdk_settings.py")


def make() -> NamedTuple("Made", [("name", str), ("table", dict), ("items", list)]):  # type: ignore[valid-type]
    """Give a value of each type that settings may have."""
    return ("a", {}, [])


def work(text: str) -> str:
    """Be given settings."""
    return text


PROJECT = Project("oracle")
for function in (make, work):
    PROJECT.new_function(function.__name__, handler=function, image=IMAGE)


class Sdk:
    """The SDK in a process of its own, which answers line by line."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [str(environment("kfp", KFP_SDK)), str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **question: Any) -> Any:
        """Return the answer to one question."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has no pipes")
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the SDK failed on {question}")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=30)


def compiled(
    settings: dict[str, Any], workspace: dict[str, Any] | None = None, **options: Any
) -> PipelinePackage:
    """Compile the pipeline of the two steps with these settings."""

    def handler(text: str, table: dict, items: list) -> None:  # type: ignore[type-arg]
        given = {"text": text, "table": table, "items": items}
        with pipeline_context() as pc:
            made = pc.step("make", function="make")
            step = pc.step("work", function="work", parameters={"text": "t"})
        step.settings = TaskSettings.model_validate(_in_python(settings, given, made.outputs))

    of_pipeline = {"workspace": workspace} if workspace else None
    return compile_handler(handler, name="settings", project=PROJECT, settings=of_pipeline, **options)


def _in_python(value: Any, arguments: Any, outputs: Any) -> Any:
    match value:
        case {"argument": name}:
            return arguments[name]
        case {"output": name}:
            return outputs[name]
        case dict():
            return {key: _in_python(part, arguments, outputs) for key, part in value.items()}
        case list():
            return tuple(_in_python(part, arguments, outputs) for part in value)
        case _:
            return value


def view(pipeline_spec: dict[str, Any], platform_spec: dict[str, Any] | None) -> dict[str, Any]:
    """Return what both documents say, without the names of components and how Python steps are started."""
    platform = (platform_spec or {}).get("platforms", {}).get("kubernetes", {})
    configs = platform.get("deploymentSpec", {}).get("executors", {})

    def graph(component: dict[str, Any]) -> dict[str, Any]:
        return {name: task_view(task) for name, task in component["dag"]["tasks"].items()}

    def task_view(task: dict[str, Any]) -> dict[str, Any]:
        component = pipeline_spec["components"][task["componentRef"]["name"]]
        inputs = component.get("inputDefinitions", {})
        for definitions in inputs.values():
            for definition in definitions.values():
                definition.pop("description", None)
        found = {"task": {k: v for k, v in task.items() if k != "componentRef"}, "inputs": inputs}
        found["outputs"] = component.get("outputDefinitions", {})
        if "dag" in component:
            return {**found, "tasks": graph(component), "from": component["dag"].get("outputs")}
        label = component["executorLabel"]
        container = pipeline_spec["deploymentSpec"]["executors"][label]["container"]
        runs = {k: v for k, v in container.items() if k not in {"command", "args"}}
        return {**found, "container": runs, "kubernetes": configs.get(label)}

    arguments = pipeline_spec["root"].get("inputDefinitions", {})
    config = platform.get("pipelineConfig")
    return {"tasks": graph(pipeline_spec["root"]), "arguments": arguments, "pipeline": config}


def reference(kind: str) -> st.SearchStrategy[dict[str, str]]:
    """An argument or an output of that type: ``text``, ``table`` or ``items``."""
    output = {"text": "name"}.get(kind, kind)
    return st.sampled_from([{"argument": kind}, {"output": output}])


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,4})?", fullmatch=True)
_KEYS = NAMES | NAMES.map(lambda name: f"example.org/{name}")
_LABEL_VALUES = st.just("") | NAMES
_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12).filter(
    lambda text: "{{" not in text
)
#: Quantities that the SDK takes as well; this package takes all that Kubernetes reads.
_CPU = st.sampled_from(["1", "2", "0.5", "1.25", "500m", "1500m"]) | reference("text")
_MEMORY = st.sampled_from(["2048", "64Mi", "3Ki", "512M", "7G", "2Gi", "3T", "1Ti"]) | reference("text")
_SIZES = st.sampled_from(["1Gi", "500Mi", "1.5Gi"])
_MODES = st.lists(st.sampled_from(["ReadWriteOnce", "ReadWriteMany"]), min_size=1, unique=True)


def _objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings that have any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


def _table(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(_KEYS, values, min_size=1, max_size=2)


@st.composite
def _resources(draw: st.DrawFn) -> dict[str, Any]:
    """Requests or limits of each: that limits reach requests is the model's law and not tested here."""
    found = {}
    for name, values in (("cpu", _CPU), ("memory", _MEMORY)):
        for side in draw(st.sampled_from([["request"], ["limit"], ["request", "limit"], []])):
            found[f"{name}_{side}"] = draw(values)
        if all(isinstance(found.get(f"{name}_{side}"), str) for side in ("request", "limit")):
            found[f"{name}_request"] = found[f"{name}_limit"]
    return found


@st.composite
def _requirement(draw: st.DrawFn) -> dict[str, Any]:
    operator = draw(st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt"]))
    found = {"key": draw(_KEYS), "operator": operator}
    if operator in {"In", "NotIn"}:
        found["values"] = draw(st.lists(NAMES, min_size=1, max_size=2))
    if operator == "Gt":
        found["values"] = [str(draw(st.integers(0, 9)))]
    return found


_TOLERATIONS = (
    st.fixed_dictionaries(
        {"key": _KEYS, "operator": st.just("Exists")},
        optional={"effect": st.sampled_from(["NoSchedule", "PreferNoSchedule"])},
    )
    | st.fixed_dictionaries(
        {"key": _KEYS, "effect": st.just("NoExecute")},
        optional={
            "operator": st.just("Equal"),
            "value": NAMES,
            "toleration_seconds": st.integers(0, 99),
        },
    )
    | reference("table")
    | reference("items")
)
_TERMS = st.fixed_dictionaries(
    {"match_expressions": st.lists(_requirement(), min_size=1, max_size=2)},
    optional={"match_fields": st.lists(_requirement(), max_size=1), "weight": st.integers(1, 100)},
)
#: The SDK keeps one run-time value alone; the server takes any number.
_AFFINITIES = st.tuples(st.lists(_TERMS, max_size=2), st.lists(reference("table"), max_size=1)).map(
    lambda parts: parts[0] + parts[1]
)


@st.composite
def _envs(draw: st.DrawFn) -> dict[str, Any]:
    """Values of all kinds; the SDK's mapping of keys to variables has each key once."""
    found: dict[str, Any] = {}
    kinds = st.sampled_from(["value", "secret", "config_map", "field"])
    for number, kind in enumerate(draw(st.lists(kinds, max_size=4))):
        match kind:
            case "value":
                found[f"V{number}"] = draw(_TEXTS)
            case "field":
                found[f"V{number}"] = {"path": draw(st.sampled_from(["metadata.name", "status.podIP"]))}
            case _:
                name = draw(st.sampled_from(["one", "two"]) | reference("text"))
                found[f"V{number}"] = {kind: name, "key": f"k{number}", "optional": draw(st.booleans())}
    return found


@st.composite
def _volumes(draw: st.DrawFn, kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    """Volumes of these kinds, at most one of each, with names, paths and objects of their own."""
    found = []
    for kind in draw(st.lists(st.sampled_from(kinds), unique=True, max_size=len(kinds))):
        name = kind.replace("_", "-")
        volume = {"kind": kind, "name": name, "mount_path": f"/{name}"}
        thing = st.just(f"{name}-object") | reference("text")
        size = {"size": _SIZES, "access_modes": _MODES, "annotations": _table(_TEXTS) | st.just({})}
        match kind:
            case "existing_claim":
                volume |= {"claim": draw(thing), **draw(_objects(sub_path=NAMES))}
            case "new_claim":
                source = st.fixed_dictionaries(
                    {"kind": st.just("VolumeSnapshot"), "name": NAMES},
                    optional={"api_group": st.just("snapshot.storage.k8s.io")},
                )
                volume |= draw(st.fixed_dictionaries({**size, "suffix": NAMES}))
                volume |= draw(
                    _objects(storage_class=st.just("") | NAMES, volume_name=NAMES, data_source=source)
                )
            case "empty_dir":
                volume |= draw(_objects(medium=st.just("Memory"), size_limit=_SIZES))
            case "ephemeral":
                volume |= draw(st.fixed_dictionaries({**size, "labels": _table(_LABEL_VALUES) | st.just({})}))
                volume |= draw(_objects(storage_class=st.just("") | NAMES))
            case _:
                volume |= {kind: draw(thing), "optional": draw(st.booleans())}
        found.append(volume)
    return found


_KINDS = ("existing_claim", "empty_dir", "ephemeral", "secret", "config_map")

SETTINGS = _objects(
    image=st.just("ghcr.io/team/train:1.4"),
    image_pull_policy=st.sampled_from(["Always", "Never", "IfNotPresent"]),
    image_pull_secrets=st.lists(NAMES | reference("text"), max_size=2),
    labels=_table(_LABEL_VALUES),
    annotations=_table(_TEXTS),
    node_selector=_table(_LABEL_VALUES) | reference("table"),
    tolerations=st.lists(_TOLERATIONS, max_size=3),
    node_affinity=_AFFINITIES,
    resources=_resources(),
    accelerator=st.fixed_dictionaries(
        {"type": _KEYS | reference("text"), "count": st.integers(0, 8) | reference("text")}
    ),
    envs=_envs(),
    volumes=_volumes(_KINDS) | _volumes((*_KINDS, "new_claim")),
    timeout=st.integers(1, 10**6),
    retries=st.fixed_dictionaries(
        {"count": st.integers(0, 5)},
        optional={
            "backoff": st.integers(0, 99).map(float),
            "factor": st.sampled_from([1.0, 2.0, 3.0]),
            "longest": st.integers(1, 9999).map(float),
        },
    ),
    caching=st.booleans(),
    security_context=st.fixed_dictionaries(
        {"run_as_user": st.integers(1, 65535)},
        optional={"run_as_group": st.integers(0, 65535), "run_as_non_root": st.booleans()},
    ),
)
WORKSPACES = st.none() | st.fixed_dictionaries(
    {"size": _SIZES}, optional={"access_modes": _MODES, "storage_class": NAMES}
)
