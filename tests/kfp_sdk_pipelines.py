"""Runs in an environment with the kfp SDK: what the SDK compiles, and what it says of other packages.

Reads ``{name: YAML of a pipeline}`` from standard input and writes to standard output::

    {"compiled": {name: IR}, "with_platform": YAML, "accepted": {name: interface as the SDK read it}}
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, Optional

import yaml
from kfp import compiler, components, dsl, kubernetes
from kfp_sdk_functions import FUNCTIONS, IMAGE

STEPS = {name: dsl.component(function, base_image=IMAGE) for name, function in FUNCTIONS.items()}


@dsl.container_component
def convert(
    url: str,
    factor: float,
    table: dsl.Input[dsl.Dataset],
    out: dsl.Output[dsl.Dataset],
    rows: dsl.OutputPath(int),
):
    return dsl.ContainerSpec(
        image="alpine:3.20",
        command=["sh", "-c", 'cp "$1" "$2"', "sh"],
        args=[table.path, out.path, "--url", url, factor, rows, table.uri],
    )


@dsl.pipeline(name="linear", description="One after the other.")
def linear(url: str):
    fetched = STEPS["fetch"](url=url)
    cleaned = STEPS["clean"](table=fetched.outputs["dataset"], factor=0.25)
    STEPS["fit"](table=cleaned.outputs["cleaned"], epochs=fetched.outputs["Output"])


@dsl.pipeline(name="diamond")
def diamond(url: str = "http://example.org", epochs: int = 5):
    fetched = STEPS["fetch"](url=url, rows=100)
    left = STEPS["fit"](table=fetched.outputs["dataset"], epochs=epochs)
    right = STEPS["fit"](table=fetched.outputs["dataset"])
    STEPS["choose"](left=left.outputs["model"], right=right.outputs["model"])


@dsl.pipeline(name="parallel")
def parallel():
    STEPS["say"](text="one")
    STEPS["say"](text="two", count=2)
    STEPS["say"](text="three")


@dsl.pipeline(name="after")
def after():
    first = STEPS["say"](text="first")
    second = STEPS["say"](text="second").after(first)
    fetched = STEPS["fetch"](url="u").after(first, second)
    STEPS["clean"](table=fetched.outputs["dataset"]).after(second)


@dsl.pipeline(name="artifacts")
def artifacts():
    drawn = STEPS["draw"]()
    STEPS["look"](**{name: drawn.outputs[name] for name in drawn.outputs})


@dsl.pipeline(name="arguments")
def arguments(
    text: str,
    count: int,
    rate: float,
    flag: bool,
    items: list,
    table: dict,
    d_text: str = "t",
    d_count: int = 3,
    d_rate: float = 0.5,
    d_flag: bool = False,
    d_items: list = [1, "a", {"b": True}],  # noqa: B006
    d_table: dict = {"a": [1.5]},  # noqa: B006
):
    STEPS["take"](text=text, count=count, rate=rate, flag=flag, items=items, table=table)
    STEPS["take"](text=d_text, count=d_count, rate=d_rate, flag=d_flag, items=d_items, table=d_table)


@dsl.pipeline(name="constants")
def constants():
    STEPS["take"](text="1e3", count=3, rate=2.0, flag=True, items=[1, [2], "x"], table={"a": {"b": False}})
    STEPS["take"](text="", count=0, rate=-0.5, flag=False, items=[], table={})


@dsl.pipeline(name="optional")
def optional(maybe: Optional[str] = None, perhaps: Optional[int] = None):  # noqa: UP045
    STEPS["offer"]()
    STEPS["offer"](maybe=maybe, perhaps=perhaps, text="given")


@dsl.pipeline(name="texts")
def texts(bucket: str, day: int = 1):
    fetched = STEPS["fetch"](url=f"s3://{bucket}/{day}/data")
    STEPS["say"](text=f"{fetched.outputs['Output']} rows of {bucket}, day {day} of {bucket}")


@dsl.pipeline(name="containers")
def containers(url: str, factor: float = 1.5):
    fetched = STEPS["fetch"](url=url)
    converted = convert(url=url, factor=factor, table=fetched.outputs["dataset"])
    STEPS["clean"](table=converted.outputs["out"])
    STEPS["fetch"](url="again", rows=converted.outputs["rows"])


class Results(NamedTuple):
    accuracy: float
    model: dsl.Model
    rows: int


@dsl.pipeline(name="results")
def results(url: str) -> Results:
    fetched = STEPS["fetch"](url=url)
    fitted = STEPS["fit"](table=fetched.outputs["dataset"])
    return Results(fitted.outputs["Output"], fitted.outputs["model"], fetched.outputs["Output"])


@dsl.pipeline(name="single-parameter")
def single_parameter() -> int:
    return STEPS["fetch"](url="u").outputs["Output"]


@dsl.pipeline(name="single-artifact")
def single_artifact() -> dsl.Dataset:
    return STEPS["fetch"](url="u").outputs["dataset"]


@dsl.pipeline(name="uncached")
def uncached():
    STEPS["say"](text="again").set_caching_options(False)


@dsl.pipeline(name="platform")
def platform():
    kubernetes.use_secret_as_env(STEPS["say"](text="hello"), "my-secret", {"key": "KEY"})


PIPELINES = (
    linear,
    diamond,
    parallel,
    after,
    artifacts,
    arguments,
    constants,
    optional,
    texts,
    containers,
    results,
    single_parameter,
    single_artifact,
    uncached,
)

#: A value of each type, for the parameters that a pipeline must be given.
VALUES = {"String": "t", "Integer": 1, "Float": 0.5, "Boolean": True, "List": [1], "Dict": {"a": 1}}
VALUES.update(STRING="t", NUMBER_INTEGER=1, NUMBER_DOUBLE=0.5, BOOLEAN=True, LIST=[1], STRUCT={"a": 1})


def compiled(pipeline, folder):
    """Return the YAML that the SDK compiles."""
    path = Path(folder) / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path.read_text()


def accepted(text, folder):
    """Load a package as the SDK does, run it as a step of a pipeline, and return its interface."""
    component = components.load_component_from_text(text)
    specification = component.component_spec
    inputs = specification.inputs or {}
    needed = {name: VALUES[given.type] for name, given in inputs.items() if not given.optional}

    @dsl.pipeline(name="around")
    def around():
        component(**needed)

    compiled(around, folder)
    return {
        "name": component.name,
        "inputs": {name: [given.type, given.optional] for name, given in inputs.items()},
        "outputs": {name: given.type for name, given in (specification.outputs or {}).items()},
        "platform": bool(component.platform_spec.platforms),
    }


def main():
    """Answer for every package."""
    packages = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        answer = {
            "compiled": {pipeline.name: yaml.safe_load(compiled(pipeline, folder)) for pipeline in PIPELINES},
            "with_platform": compiled(platform, folder),
            "accepted": {name: accepted(text, folder) for name, text in packages.items()},
        }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
