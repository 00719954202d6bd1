"""Functions of the steps that the SDK and this package compile alike; each reads them with its own names."""

from typing import Dict, List, NamedTuple, Optional  # noqa: UP035

try:
    from kfp.dsl import (
        HTML,
        Artifact,
        ClassificationMetrics,
        Dataset,
        Input,
        Markdown,
        Metrics,
        Model,
        Output,
    )
except ImportError:
    from airflow_kfp_runtime.dsl import (
        HTML,
        Artifact,
        ClassificationMetrics,
        Dataset,
        Input,
        Markdown,
        Metrics,
        Model,
        Output,
    )

IMAGE = "registry.example.org/python:3.12"


def fetch(url: str, dataset: Output[Dataset], rows: int = 10) -> int:
    return rows


def clean(table: Input[Dataset], cleaned: Output[Dataset], factor: float = 0.5, strict: bool = False):
    pass


def fit(table: Input[Dataset], model: Output[Model], metrics: Output[Metrics], epochs: int = 3) -> float:
    return 0.5


def choose(left: Input[Model], right: Input[Model], page: Output[HTML]) -> NamedTuple(
    "Chosen", [("best", str), ("scores", dict), ("order", list), ("sure", bool)]
):
    return ("left", {}, [], True)


def draw(
    plot: Output[ClassificationMetrics],
    page: Output[HTML],
    note: Output[Markdown],
    numbers: Output[Metrics],
    anything: Output[Artifact],
    model: Output[Model],
):
    pass


def look(
    plot: Input[ClassificationMetrics],
    page: Input[HTML],
    note: Input[Markdown],
    numbers: Input[Metrics],
    anything: Input[Artifact],
    model: Input[Artifact],
):
    pass


def take(text: str, count: int, rate: float, flag: bool, items: list, table: dict) -> dict:
    return table


def offer(
    text: str = "größer\nnext",
    count: int = -3,
    rate: float = 1e-05,
    flag: bool = True,
    items: List[str] = ["a", "b"],  # noqa: B006, UP006
    table: Dict[str, float] = {"a": 0.5},  # noqa: B006, UP006
    maybe: Optional[str] = None,  # noqa: UP045
    perhaps: Optional[int] = None,  # noqa: UP045
) -> list:
    return items


def say(text: str, count: int = 1):
    print(text * count)


def count(rows: int = 3) -> List[int]:  # noqa: UP006
    return list(range(rows))


def add(numbers: List[int]) -> int:  # noqa: UP006
    return sum(numbers)


def merge(models: Input[List[Model]]) -> int:  # noqa: UP006
    return len(models)


#: All of them by name.
FUNCTIONS = {
    function.__name__: function
    for function in (fetch, clean, fit, choose, draw, look, take, offer, say, count, add, merge)
}
