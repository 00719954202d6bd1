"""The kfp SDK as the oracle for pipelines inside pipelines and for components from YAML."""

import json
import subprocess
from pathlib import Path

import pytest

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.project import Project
from tests import kfp_components, kfp_graph, kfp_ir
from tests.environments import KFP_SDK, environment
from tests.kfp_sdk_functions import FUNCTIONS, IMAGE

SCRIPT = Path(__file__).with_name("kfp_sdk_nested.py")


@pytest.fixture(scope="module")
def sdk():
    """What the SDK compiles, and how it reads components of KFP v1; one process for all."""
    done = subprocess.run(
        [str(environment("kfp", KFP_SDK)), str(SCRIPT)],
        input=json.dumps(kfp_components.ALIKE),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def components(sdk):
    """A project whose functions are the SDK's components and pipelines, from their YAML."""
    project = Project("oracle")
    for name, text in sdk["yaml"].items():
        project.new_function(name, kind="component", text=text)
    return project


def handlers(nested):
    """Return the SDK's pipelines as handlers.

    :param nested: whether those inside are a ``function`` or a ``workflow``.
    """

    def inside(url: str):
        with pipeline_context() as pc:
            trained = pc.step(name="train", **{nested: "train"}, inputs={"url": url})
            pc.step(name="say", function="say", inputs={"text": f"accuracy {trained.outputs['accuracy']}"})

    def twice(url: str):
        with pipeline_context() as pc:
            left = pc.step(name="train", **{nested: "train"}, inputs={"url": url})
            given = {"url": "other", "epochs": 7}
            right = pc.step(name="train-2", **{nested: "train"}, inputs=given).after(left)
            models = {"left": left.outputs["model"], "right": right.outputs["model"]}
            pc.step(name="choose", function="choose", inputs=models)

    def artifacts_in():
        with pipeline_context() as pc:
            fetched = pc.step(name="fetch", function="fetch", inputs={"url": "u"})
            given = {"table": fetched.outputs["dataset"]}
            prepared = pc.step(name="prepare", **{nested: "prepare"}, inputs=given)
            pc.step(name="fit", function="fit", inputs={"table": prepared.outputs["Output"]})

    def deep(url: str):
        with pipeline_context() as pc:
            pc.step(name="inside", **{nested: "inside"}, inputs={"url": url})
            pc.step(name="train", **{nested: "train"}, inputs={"url": url}, caching=False)

    return {"inside": inside, "twice": twice, "artifacts-in": artifacts_in, "deep": deep}


def train(url: str, epochs: int = 5):
    with pipeline_context() as pc:
        fetched = pc.step(name="fetch", function="fetch", inputs={"url": url}, secrets=[SECRET])
        given = {"table": fetched.outputs["dataset"], "epochs": epochs}
        fitted = pc.step(name="fit", function="fit", inputs=given, resources={"cpu": "1"})
    return {"accuracy": fitted.outputs["Output"], "model": fitted.outputs["model"]}


def prepare(table):
    with pipeline_context() as pc:
        given = {"table": table, "factor": 0.25}
        return pc.step(name="clean", function="clean", inputs=given).outputs["cleaned"]


SECRET = {"name": "hub", "keys": {"token": "TOKEN"}}
PIPELINES = ("inside", "twice", "artifacts-in", "deep")


def alike(spec, platform=None):
    """Return the graph, where the caching of a graph's tasks counts alone: the server reads no other."""
    graph = kfp_graph.expanded(spec, platform)
    without_graph_caching(graph)
    return graph


def without_graph_caching(graph):
    for task in graph["dag"]["tasks"].values():
        if "dag" in task["component"]:
            del task["cachingOptions"]
            without_graph_caching(task["component"])


def expected(sdk, name):
    """Return the SDK's graph; a step without caching means all tasks inside, to which the SDK has no way."""
    graph = alike(*sdk["pipelines"][name])
    if name == "deep":
        for task in graph["dag"]["tasks"]["train"]["component"]["dag"]["tasks"].values():
            task["cachingOptions"] = {}
    return graph


@pytest.mark.parametrize("name", PIPELINES)
def test_a_compiled_pipeline_as_a_step_is_the_graph_that_the_sdk_compiles(sdk, components, name):
    package = compile_handler(handlers("function")[name], project=components)

    assert alike(package.pipeline_spec, package.platform_spec) == expected(sdk, name)
    kfp_ir.check(as_floats(package.pipeline_spec), package.platform_spec)


def as_floats(value):
    """Return JSON as protobuf gives it back: the SDK's parts have floats already, the others integers."""
    return json.loads(json.dumps(value), parse_int=float)


def test_settings_of_the_tasks_inside_move_along(components):
    package = compile_handler(handlers("function")["twice"], project=components)

    labels = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(labels) == {"exec-train--fetch"}
    container = package.pipeline_spec["deploymentSpec"]["executors"]["exec-train--fit"]["container"]
    assert container["resources"]["resourceCpuRequest"] == "1"


@pytest.mark.parametrize("name", PIPELINES)
def test_a_workflow_as_a_step_is_the_graph_that_the_sdk_compiles(sdk, name):
    project = Project("oracle")
    for function in FUNCTIONS.values():
        project.new_function(function.__name__, kind="python", handler=function, image=IMAGE)
    for handler in (train, prepare, handlers("workflow")["inside"]):
        project.new_workflow(handler.__name__, handler=handler)

    package = compile_handler(handlers("workflow")[name], project=project)

    ours = alike(package.pipeline_spec, package.platform_spec)
    assert without_programs(ours) == without_programs(expected(sdk, name))
    kfp_ir.check(package.pipeline_spec, package.platform_spec)


def without_programs(graph):
    """Return a graph whose steps have image and resources alone: each compiler has a program of its own."""
    for task in graph["dag"]["tasks"].values():
        part = task["component"]
        if "dag" in part:
            without_programs(part)
        else:
            container = part["executor"]["container"]
            part["executor"] = {key: container[key] for key in ("image", "resources") if key in container}
    return graph


@pytest.mark.parametrize("name", kfp_components.ALIKE)
def test_a_component_of_version_1_is_what_the_sdk_makes_of_it(sdk, name):
    theirs = sdk["components"][name]
    (task,) = theirs["root"]["dag"]["tasks"]
    wanted = kfp_graph.component(theirs, task)
    artifacts = wanted.get("inputDefinitions", {}).get("artifacts", {})
    project = Project("oracle")
    project.new_function("it", kind="component", text=kfp_components.ALIKE[name])
    project.new_function("maker", kind="component", spec=maker(artifacts))

    def handler():
        with pipeline_context() as pc:
            made = pc.step(name="make", function="maker")
            pc.step(name="it", function="it", inputs={key: made.outputs[key] for key in artifacts})

    package = compile_handler(handler, project=project)

    assert kfp_graph.component(package.pipeline_spec, "it") == wanted
    kfp_ir.check(as_floats(package.pipeline_spec))


def maker(artifacts):
    """Return a component that makes artifacts of these types."""
    types = {name: given["artifactType"]["schemaTitle"] for name, given in artifacts.items()}
    container = {"image": "i", "command": ["make", *({"outputPath": name} for name in types)]}
    outputs = [{"name": name, "type": title.removeprefix("system.")} for name, title in types.items()]
    return {"outputs": outputs, "implementation": {"container": container}}
