"""Runs in an environment with the kfp SDK: pipelines with blocks, and what it says of this package's.

Reads ``{name: YAML of a pipeline}`` from standard input and writes to standard output
``{"compiled": {name: IR}, "accepted": {name: interface as the SDK read it}}``. The same pipelines are in
``test_compiler_control_flow_sdk.py``.
"""

import json
import sys
import tempfile
from typing import Dict, List, NamedTuple  # noqa: UP035

import yaml
from kfp import dsl
from kfp_sdk_functions import FUNCTIONS, IMAGE
from kfp_sdk_pipelines import accepted, compiled

STEPS = {name: dsl.component(function, base_image=IMAGE) for name, function in FUNCTIONS.items()}
fetch, clean, fit, say = STEPS["fetch"], STEPS["clean"], STEPS["fit"], STEPS["say"]
take, count, add, merge = STEPS["take"], STEPS["count"], STEPS["add"], STEPS["merge"]


@dsl.pipeline(name="conditions")
def conditions(url: str = "x", flag: bool = True, rate: float = 0.5, epochs: int = 3):
    fetched = fetch(url=url)
    with dsl.If(fetched.outputs["Output"] > 3):
        say(text=url, count=fetched.outputs["Output"])
    with dsl.If(flag == True):  # noqa: E712
        say(text="flagged")
    with dsl.If(url != "daily"):
        say(text="not daily")
    with dsl.If(rate <= 1):
        say(text="low")
    with dsl.If(epochs >= 0.5):
        say(text="some")
    with dsl.If(fetched.outputs["Output"] == epochs):
        say(text="equal")


class Results(NamedTuple):
    rows: int
    table: dsl.Dataset


@dsl.pipeline(name="branches")
def branches(url: str) -> Results:
    fetched = fetch(url=url)
    with dsl.If(fetched.outputs["Output"] > 3.5):
        first = fetch(url="first")
    with dsl.Elif(fetched.outputs["Output"] < 1):
        second = fetch(url="second")
    with dsl.Else():
        third = fetch(url="third")
    rows = dsl.OneOf(first.outputs["Output"], second.outputs["Output"], third.outputs["Output"])
    table = dsl.OneOf(first.outputs["dataset"], second.outputs["dataset"], third.outputs["dataset"])
    clean(table=table)
    with dsl.If(url == "again"):
        fetch(url="again", rows=rows)
    return Results(rows, table)


@dsl.pipeline(name="nested-branches")
def nested_branches(url: str, epochs: int):
    with dsl.If(url == "a"):
        with dsl.If(epochs > 3):
            fetched = fetch(url=url)
            clean(table=fetched.outputs["dataset"])
        with dsl.Else():
            say(text="few")
    with dsl.Else():
        say(text=url)


@dsl.pipeline(name="loops")
def loops(names: List[str], tables: List[Dict[str, int]]):  # noqa: UP006
    with dsl.ParallelFor([1, 2, 3]) as number:
        say(text=f"number {number}", count=number)
    with dsl.ParallelFor([{"a": 1, "b": 10}, {"a": 2, "b": 20}], parallelism=2) as item:
        fetched = fetch(url="x", rows=item.a)
        fit(table=fetched.outputs["dataset"], epochs=item.b)
    with dsl.ParallelFor(names, parallelism=1) as name:
        say(text=name)
    with dsl.ParallelFor(tables) as table:
        say(text="table", count=table.size)
    counted = count()
    with dsl.ParallelFor(counted.output) as position:
        say(text=f"position {position}", count=position)


@dsl.pipeline(name="conditions-in-loops")
def conditions_in_loops(names: List[str], url: str):  # noqa: UP006
    with dsl.ParallelFor([1, 2]) as number:
        fetched = fetch(url=url, rows=number)
        with dsl.If(number == 1):
            say(text=f"first of {url}", count=number)
        with dsl.If(fetched.outputs["Output"] > 5):
            clean(table=fetched.outputs["dataset"])
    with dsl.ParallelFor(names) as name:
        with dsl.If(name == "north"):
            say(text=name)
        with dsl.Else():
            say(text="elsewhere")


@dsl.pipeline(name="collected")
def collected() -> List[int]:  # noqa: UP006
    with dsl.ParallelFor([1, 2]) as number:
        fetched = fetch(url="x", rows=number)
        fitted = fit(table=fetched.outputs["dataset"])
    added = add(numbers=dsl.Collected(fetched.outputs["Output"]))
    merge(models=dsl.Collected(fitted.outputs["model"]))
    with dsl.If(added.output > 3):
        add(numbers=dsl.Collected(fetched.outputs["Output"]))
    return dsl.Collected(fetched.outputs["Output"])


@dsl.pipeline(name="nested-loops")
def nested_loops(names: List[str]):  # noqa: UP006
    with dsl.ParallelFor(names) as name:
        with dsl.ParallelFor([3, 4], parallelism=1) as number:
            fetched = fetch(url=f"{name}/{number}", rows=number)
            with dsl.If(name == "north"):
                say(text=name, count=number)
        added = add(numbers=dsl.Collected(fetched.outputs["Output"]))
    add(numbers=dsl.Collected(added.output))
    add(numbers=dsl.Collected(fetched.outputs["Output"]))


@dsl.pipeline(name="exit-handler")
def exit_handler(url: str):
    last = say(text=f"done with {url}")
    with dsl.ExitHandler(last):
        fetched = fetch(url=url)
        with dsl.If(fetched.outputs["Output"] > 3):
            clean(table=fetched.outputs["dataset"])


@dsl.pipeline(name="after-loops")
def after_loops():
    with dsl.ParallelFor(["a", "b"]) as letter:
        said = say(text=letter)
    later = say(text="later").after(said)
    with dsl.ParallelFor([1]) as number:
        say(text="last", count=number).after(later)


PIPELINES = (
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


def main():
    """Compile all, and load what this package has compiled."""
    packages = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        answer = {
            "compiled": {pipeline.name: yaml.safe_load(compiled(pipeline, folder)) for pipeline in PIPELINES},
            "accepted": {name: accepted(text, folder) for name, text in packages.items()},
        }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
