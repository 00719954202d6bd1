"""Runs in an environment with the kfp SDK: pipelines inside pipelines, and components from YAML.

Reads ``{name: YAML of a component}`` from standard input and writes to standard output::

    {"pipelines": {name: [IR, platform spec]}, "yaml": {name: text}, "components": {name: IR of one task}}
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import yaml
from kfp import compiler, components, dsl, kubernetes
from kfp_sdk_functions import FUNCTIONS, IMAGE

STEPS = {name: dsl.component(function, base_image=IMAGE) for name, function in FUNCTIONS.items()}


class Trained(NamedTuple):
    accuracy: float
    model: dsl.Model


@dsl.pipeline(name="train")
def train(url: str, epochs: int = 5) -> NamedTuple("Trained", [("accuracy", float), ("model", dsl.Model)]):
    fetched = STEPS["fetch"](url=url)
    kubernetes.use_secret_as_env(fetched, "hub", {"token": "TOKEN"})
    fitted = STEPS["fit"](table=fetched.outputs["dataset"], epochs=epochs).set_cpu_request("1")
    return Trained(accuracy=fitted.outputs["Output"], model=fitted.outputs["model"])


@dsl.pipeline(name="prepare")
def prepare(table: dsl.Input[dsl.Dataset]) -> dsl.Dataset:
    return STEPS["clean"](table=table, factor=0.25).outputs["cleaned"]


@dsl.pipeline(name="inside")
def inside(url: str):
    trained = train(url=url)
    STEPS["say"](text=f"accuracy {trained.outputs['accuracy']}")


@dsl.pipeline(name="twice")
def twice(url: str):
    left = train(url=url)
    right = train(url="other", epochs=7).after(left)
    STEPS["choose"](left=left.outputs["model"], right=right.outputs["model"])


@dsl.pipeline(name="artifacts-in")
def artifacts_in():
    fetched = STEPS["fetch"](url="u")
    prepared = prepare(table=fetched.outputs["dataset"])
    STEPS["fit"](table=prepared.output)


@dsl.pipeline(name="deep")
def deep(url: str):
    inside(url=url)
    train(url=url).set_caching_options(False)


PIPELINES = {pipeline.name: pipeline for pipeline in (train, prepare, inside, twice, artifacts_in, deep)}


def compiled(pipeline, folder):
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path.read_text()


def main():
    asked = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = {key: compiled(pipeline, folder) for key, pipeline in PIPELINES.items()}
        texts |= {key: compiled(step, folder) for key, step in STEPS.items()}
        answer = {
            "pipelines": {key: list(yaml.safe_load_all(texts[key])) for key in PIPELINES},
            "yaml": texts,
            "components": {
                key: yaml.safe_load(compiled(components.load_component_from_text(text), folder))
                for key, text in asked.items()
            },
        }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
