"""Pipelines with control flow, for the SDK's interpreter: compiled, run on a server, and run by kfp.local.

Usage: ``python kfp_control_flow.py URL|local FOLDER``; the last line of standard output is JSON.
"""

# The SDK reads annotations as its documentation has them, and a component's source stands alone.
# ruff: noqa: UP006, UP035, UP045, PTH123

import json
import sys
import time
from pathlib import Path
from typing import List, NamedTuple, Optional

import kfp
from kfp import local
from kfp.dsl import (
    Collected,
    Dataset,
    Elif,
    Else,
    ExitHandler,
    If,
    Input,
    Model,
    OneOf,
    Output,
    ParallelFor,
    PipelineTaskFinalStatus,
    component,
    importer,
    pipeline,
)


class Looped(NamedTuple):
    total: float
    rates: list
    pairs: str


# kfp.local runs the components in this interpreter, which has the SDK.
component = component(base_image="python:3.11", install_kfp_package=sys.argv[1] != "local")


@component
def say(text: str) -> str:
    return text


@component
def both(number: int, text: str) -> str:
    return f"{number}{text}"


@component
def glue(first: str, last: str) -> str:
    return f"{first}{last}"


@component
def write(text: str, page: Output[Dataset]):
    with open(page.path, "w") as file:
        file.write(text)
    page.metadata["text"] = text


@component
def read(page: Input[Dataset]) -> str:
    with open(page.path) as file:
        return file.read()


@component
def numbers(count: int) -> List[int]:
    return list(range(count))


@component
def train(rate: int, model: Output[Model]) -> float:
    model.metadata["rate"] = rate
    with open(model.path, "w") as file:
        file.write(str(rate))
    return rate / 2


@component
def timed(item: str) -> NamedTuple("Times", [("start", float), ("end", float)]):
    import time

    start = time.time()
    time.sleep(0.1)
    return start, time.time()


@component
def join(texts: List[str]) -> str:
    return ",".join(str(text) for text in texts)


@component
def total(values: List[float]) -> float:
    return sum(values)


@component
def rates(models: Input[List[Model]]) -> list:
    return [open(model.path).read() for model in models]


@component
def rated(model: Input[Model]) -> str:
    return open(model.path).read()


@component
def optional(
    page: Optional[Input[Dataset]] = None,
    text: Optional[str] = None,
    count: int = 3,
) -> str:
    return f"{page} {text} {count}"


@component
def fail_at(item: int, bad: int):
    if item == bad:
        raise RuntimeError(f"item {item} is bad")


@component
def report(status: PipelineTaskFinalStatus) -> str:
    return f"{status.state} {status.pipeline_task_name}"


@pipeline(name="branches")
def branches(side: str) -> str:
    flipped = say(text=side)
    with If(flipped.output == "heads"):
        first = say(text="first")
    with Elif(flipped.output == "tails"):
        second = say(text="second")
    with Else():
        third = say(text="third")
    with If(flipped.output != side):
        say(text="never")
    return say(text=OneOf(first.output, second.output, third.output)).output


@pipeline(name="pages")
def pages(number: int, factor: float = 0.5) -> str:
    with If(number > factor):
        large = write(text="large")
    with Else():
        small = write(text="small")
    return read(page=OneOf(large.outputs["page"], small.outputs["page"])).output


@pipeline(name="loops")
def loops(items: List[int]) -> Looped:
    with ParallelFor(items) as item:
        trained = train(rate=item)
        with If(item > 1):
            say(text=f"large {item}")
    summed = total(values=Collected(trained.outputs["Output"]))
    listed = rates(models=Collected(trained.outputs["model"]))
    with ParallelFor([{"first": "a", "last": "x"}, {"first": "b", "last": "y"}]) as pair:
        paired = glue(first=pair.first, last=pair.last)
    joined = join(texts=Collected(paired.output))
    return Looped(summed.output, listed.output, joined.output)


@pipeline(name="nested")
def nested() -> str:
    made = numbers(count=2)
    with ParallelFor(made.output) as outer, ParallelFor(["a", "b"]) as inner:
        said = both(number=outer, text=inner)
    return join(texts=Collected(said.output)).output


@pipeline(name="nothing")
def nothing() -> float:
    made = numbers(count=0)
    with ParallelFor(made.output) as item:
        trained = train(rate=item)
    return total(values=Collected(trained.outputs["Output"])).output


@pipeline(name="one-by-one")
def one_by_one():
    with ParallelFor(["a", "b", "c"], parallelism=1) as item:
        timed(item=item)


@pipeline(name="part")
def many(count: int = 2) -> List[Model]:
    made = numbers(count=count)
    with ParallelFor(made.output) as item:
        trained = train(rate=item)
    return Collected(trained.outputs["model"])


@pipeline(name="artifacts")
def artifacts(path: str, page: Optional[Input[Dataset]] = None, text: Optional[str] = None) -> list:
    imported = importer(artifact_uri=path, artifact_class=Dataset, metadata={"by": "hand"})
    read(page=imported.output)
    importer(artifact_uri="s3://bucket/key", artifact_class=Model)
    optional(page=page, text=text)
    listed = many()
    with ParallelFor(listed.output) as model:
        rated(model=model)
    return rates(models=listed.output).output


@pipeline(name="ending")
def ending():
    with ExitHandler(report()), ParallelFor([0, 1, 2]) as item, If(item >= 0):
        fail_at(item=item, bad=1)


PIPELINES = {
    "heads": (branches, {"side": "heads"}),
    "tails": (branches, {"side": "tails"}),
    "edge": (branches, {"side": "edge"}),
    "pages": (pages, {"number": 1}),
    "loops": (loops, {"items": [3, 1, 2]}),
    "nested": (nested, {}),
    "nothing": (nothing, {}),
    "one-by-one": (one_by_one, {}),
    "artifacts": (artifacts, {}),
    "ending": (ending, {}),
}
#: What kfp.local 2.17 runs. It refuses one-of of artifacts, mixes up the items of loops in loops, and fails
#: where the outputs of no iterations are collected.
LOCAL = ("heads", "tails", "edge", "loops")


def on_server(url: str, folder: Path) -> dict:
    page = folder / "page.txt"
    page.write_text("on this machine")
    PIPELINES["artifacts"][1]["path"] = str(page)
    client = kfp.Client(host=url)
    runs = {
        name: client.create_run_from_pipeline_func(function, arguments, run_name=name).run_id
        for name, (function, arguments) in PIPELINES.items()
    }
    return {name: watched(client, run_id) for name, run_id in runs.items()}


def watched(client: kfp.Client, run_id: str) -> dict:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        run = client.get_run(run_id)
        if run.state in ("SUCCEEDED", "FAILED"):
            tasks = [(task.display_name, task.state) for task in run.run_details.task_details]
            return {"run_id": run_id, "state": run.state, "tasks": tasks}
        time.sleep(0.1)
    raise TimeoutError(run_id)


def run_locally(folder: Path) -> dict:
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "local"))
    results = {}
    for name in LOCAL:
        function, arguments = PIPELINES[name]
        results[name] = function(**arguments).outputs
    return results


if __name__ == "__main__":
    target, place = sys.argv[1], Path(sys.argv[2])
    print(json.dumps(run_locally(place) if target == "local" else on_server(target, place)))
