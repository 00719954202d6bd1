"""A project of a few functions, and handlers of it compiled or refused, for the tests of the compiler."""

import pytest

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import Dataset, Input, Metrics, Output, pipeline_context
from airflow_kfp_runtime.errors import StepError
from airflow_kfp_runtime.project import Project
from tests import kfp_ir


def download(url: str, dataset: Output[Dataset], rows: int = 10) -> int:
    """Write a table."""
    return rows


def train(di: Input[Dataset], metrics: Output[Metrics], epochs: int = 3, rate: float = 0.5) -> float:
    """Train on a table."""
    return 0.5


def report(accuracy: float, text: str = "", items: list = [], table: dict = {}, flag: bool = False):  # noqa: B006
    """Say how it went."""


PROJECT = Project("parking")
for function in (download, train, report):
    PROJECT.new_function(function.__name__, handler=function, image="python:3.12")
PROJECT.new_function("echo", kind="container", image="alpine", command=["echo", "$(inputs.x)"])
PROJECT.new_function("nothing", kind="container", image="alpine", command=["true"])


def compiled(handler, **options):
    package = compile_handler(handler, project=PROJECT, **options)
    kfp_ir.check(package.pipeline_spec)
    return package


def tasks(package):
    return package.pipeline_spec["root"]["dag"]["tasks"]


def steps_of(write):
    """Return a handler that calls ``write`` with its context."""

    def handler():
        with pipeline_context() as pc:
            return write(pc)

    return handler


def refusal(handler, kind=StepError, **options):
    with pytest.raises(kind) as caught:
        compile_handler(handler, **{"project": PROJECT, **options})
    return str(caught.value)
