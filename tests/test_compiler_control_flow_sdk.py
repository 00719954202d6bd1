"""Blocks of steps in the kfp SDK's language and in ours are one graph."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.project import Project
from tests import kfp_ir
from tests.environments import KFP_SDK, environment
from tests.kfp_sdk_functions import FUNCTIONS, IMAGE

SCRIPT = Path(__file__).with_name("kfp_sdk_control_flow.py")

PROJECT = Project("oracle")
for function in FUNCTIONS.values():
    PROJECT.new_function(function.__name__, kind="python", handler=function, image=IMAGE)


class Steps:
    """Names steps as the SDK does: ``fetch``, ``fetch-2``."""

    def __init__(self, context):
        self.context = context
        self.used = dict.fromkeys(FUNCTIONS, 0)

    def __getattr__(self, function):
        def step(**inputs):
            self.used[function] += 1
            number = self.used[function]
            name = function if number == 1 else f"{function}-{number}"
            return self.context.step(name, function=function, inputs=inputs)

        return step


def conditions(url: str = "x", flag: bool = True, rate: float = 0.5, epochs: int = 3):
    with pipeline_context() as pc:
        steps = Steps(pc)
        fetched = steps.fetch(url=url)
        with pc.when(fetched.outputs["Output"] > 3):
            steps.say(text=url, count=fetched.outputs["Output"])
        with pc.when(flag == True):  # noqa: E712
            steps.say(text="flagged")
        with pc.when(url != "daily"):
            steps.say(text="not daily")
        with pc.when(rate <= 1):
            steps.say(text="low")
        with pc.when(epochs >= 0.5):
            steps.say(text="some")
        with pc.when(fetched.outputs["Output"] == epochs):
            steps.say(text="equal")


def branches(url: str):
    with pipeline_context() as pc:
        steps = Steps(pc)
        fetched = steps.fetch(url=url)
        with pc.when(fetched.outputs["Output"] > 3.5):
            first = steps.fetch(url="first")
        with pc.otherwise(fetched.outputs["Output"] < 1):
            second = steps.fetch(url="second")
        with pc.otherwise():
            third = steps.fetch(url="third")
        rows, table = (
            pc.one_of(first.outputs[key], second.outputs[key], third.outputs[key])
            for key in ("Output", "dataset")
        )
        steps.clean(table=table)
        with pc.when(url == "again"):
            steps.fetch(url="again", rows=rows)
        return {"rows": rows, "table": table}


def nested_branches(url: str, epochs: int):
    with pipeline_context() as pc:
        steps = Steps(pc)
        with pc.when(url == "a"):
            with pc.when(epochs > 3):
                fetched = steps.fetch(url=url)
                steps.clean(table=fetched.outputs["dataset"])
            with pc.otherwise():
                steps.say(text="few")
        with pc.otherwise():
            steps.say(text=url)


def loops(names: list[str], tables: list[dict[str, int]]):
    with pipeline_context() as pc:
        steps = Steps(pc)
        with pc.for_each([1, 2, 3]) as number:
            steps.say(text=f"number {number}", count=number)
        with pc.for_each([{"a": 1, "b": 10}, {"a": 2, "b": 20}], parallelism=2) as item:
            fetched = steps.fetch(url="x", rows=item["a"])
            steps.fit(table=fetched.outputs["dataset"], epochs=item["b"])
        with pc.for_each(names, parallelism=1) as name:
            steps.say(text=name)
        with pc.for_each(tables) as table:
            steps.say(text="table", count=table["size"])
        counted = steps.count()
        with pc.for_each(counted.outputs["Output"]) as position:
            steps.say(text=f"position {position}", count=position)


def conditions_in_loops(names: list[str], url: str):
    with pipeline_context() as pc:
        steps = Steps(pc)
        with pc.for_each([1, 2]) as number:
            fetched = steps.fetch(url=url, rows=number)
            with pc.when(number == 1):
                steps.say(text=f"first of {url}", count=number)
            with pc.when(fetched.outputs["Output"] > 5):
                steps.clean(table=fetched.outputs["dataset"])
        with pc.for_each(names) as name:
            with pc.when(name == "north"):
                steps.say(text=name)
            with pc.otherwise():
                steps.say(text="elsewhere")


def collected():
    with pipeline_context() as pc:
        steps = Steps(pc)
        with pc.for_each([1, 2]) as number:
            fetched = steps.fetch(url="x", rows=number)
            fitted = steps.fit(table=fetched.outputs["dataset"])
        rows, models = pc.collected(fetched.outputs["Output"]), pc.collected(fitted.outputs["model"])
        added = steps.add(numbers=rows)
        steps.merge(models=models)
        with pc.when(added.outputs["Output"] > 3):
            steps.add(numbers=rows)
        return rows


def nested_loops(names: list[str]):
    with pipeline_context() as pc:
        steps = Steps(pc)
        with pc.for_each(names) as name:
            with pc.for_each([3, 4], parallelism=1) as number:
                fetched = steps.fetch(url=f"{name}/{number}", rows=number)
                with pc.when(name == "north"):
                    steps.say(text=name, count=number)
            added = steps.add(numbers=pc.collected(fetched.outputs["Output"]))
        steps.add(numbers=pc.collected(added.outputs["Output"]))
        steps.add(numbers=pc.collected(fetched.outputs["Output"]))


def exit_handler(url: str):
    with pipeline_context() as pc:
        steps = Steps(pc)
        last = steps.say(text=f"done with {url}")
        with pc.on_exit(last):
            fetched = steps.fetch(url=url)
            with pc.when(fetched.outputs["Output"] > 3):
                steps.clean(table=fetched.outputs["dataset"])


def after_loops():
    with pipeline_context() as pc:
        steps = Steps(pc)
        with pc.for_each(["a", "b"]) as letter:
            said = steps.say(text=letter)
        later = steps.say(text="later").after(said)
        with pc.for_each([1]) as number:
            steps.say(text="last", count=number).after(later)


HANDLERS = (
    conditions,
    branches,
    nested_branches,
    loops,
    conditions_in_loops,
    collected,
    nested_loops,
    exit_handler,
    after_loops,
)
PACKAGES = {
    package.name: package for package in (compile_handler(handler, project=PROJECT) for handler in HANDLERS)
}


@pytest.fixture(scope="module")
def sdk():
    """What the SDK compiles, and what it says of this package's YAML."""
    done = subprocess.run(
        [str(environment("kfp", KFP_SDK)), str(SCRIPT)],
        input=json.dumps({name: package.to_yaml() for name, package in PACKAGES.items()}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def graph(spec):
    """Return what an IR says, with each component in its task and each block named after its steps.

    The SDK numbers blocks otherwise, and hands more into a block than what is used there.
    """
    names = {}
    for name, task in spec["root"]["dag"]["tasks"].items():
        names |= block_names(spec, name, task)
    pattern = re.compile("|".join(sorted(map(re.escape, names), key=len, reverse=True)) or "(?!)")
    renamed = json.loads(pattern.sub(lambda match: names[match[0]], json.dumps(spec)))
    return {"name": renamed["pipelineInfo"], **expanded(renamed, renamed["root"], {})}


def block_names(spec, name, task):
    """Return new names for a block and those in it, and for the items of its loop."""
    component = spec["components"][task["componentRef"]["name"]]
    if "dag" not in component:
        return {}
    inner = {}
    for key, one in component["dag"]["tasks"].items():
        inner |= block_names(spec, key, one)
    leaves = ",".join(sorted(leaves_of(spec, component)))
    depth = len(inner)
    names = {name: f"{name.rpartition('-')[0]}<{leaves}/{depth}>"}
    item = task.get("parameterIterator", {}).get("itemInput", "")
    if "loop-item-param" in item:
        names[item.removeprefix("pipelinechannel--")] = f"loop-item<{leaves}/{depth}>"
    return inner | names


def leaves_of(spec, component):
    for name, task in component["dag"]["tasks"].items():
        inner = spec["components"][task["componentRef"]["name"]]
        yield from leaves_of(spec, inner) if "dag" in inner else [name]


def expanded(spec, component, task):
    """Return the interface of a component and what implements it."""
    result = {
        "inputs": component.get("inputDefinitions", {}),
        "outputs": component.get("outputDefinitions", {}),
    }
    if "dag" not in component:
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        return {**result, "image": container["image"]}
    tasks = {name: expanded_task(spec, one) for name, one in component["dag"]["tasks"].items()}
    return {**result, "tasks": tasks, "selected": component["dag"].get("outputs", {})}


def expanded_task(spec, task):
    component = spec["components"][task["componentRef"]["name"]]
    inside = expanded(spec, component, task)
    fields = {key: value for key, value in task.items() if key not in {"componentRef", "cachingOptions"}}
    if "tasks" in inside:
        used = taken_inside(inside) | taken_by(fields)
        for kind in ("parameters", "artifacts"):
            for name in set(inside["inputs"].get(kind, {})) - used:
                del inside["inputs"][kind][name]
                fields["inputs"][kind].pop(name, None)
        for part in (inside["inputs"], fields.get("inputs", {})):
            for kind in [kind for kind, given in part.items() if not given]:
                del part[kind]
        if not fields.get("inputs", True):
            del fields["inputs"]
    return {"task": fields, "component": inside}


def taken_inside(component):
    """Return the inputs of a block that its tasks take."""
    return {
        source
        for task in component["tasks"].values()
        for given in task["task"].get("inputs", {}).values()
        for value in given.values()
        for kind, source in value.items()
        if kind.startswith("componentInput")
    }


def taken_by(task):
    """Return the inputs of a block that itself takes: for its condition, or for its items."""
    iterator = task.get("parameterIterator", {})
    named = {iterator.get("itemInput"), iterator.get("items", {}).get("inputParameter")}
    return named | set(re.findall(r"'([^']+)'", task.get("triggerPolicy", {}).get("condition", "")))


@pytest.mark.parametrize("name", PACKAGES)
def test_both_languages_compile_to_the_same_graph(sdk, name):
    assert graph(PACKAGES[name].pipeline_spec) == graph(sdk["compiled"][name])


def test_every_pipeline_of_the_sdk_is_written_here(sdk):
    assert set(PACKAGES) == set(sdk["compiled"])


@pytest.mark.parametrize("name", PACKAGES)
def test_the_sdk_accepts_what_this_package_writes(sdk, name):
    package = PACKAGES[name]

    kfp_ir.check(package.pipeline_spec)
    assert sdk["accepted"][name]["name"] == name
    assert set(sdk["accepted"][name]["inputs"]) == set(package.parameters)
