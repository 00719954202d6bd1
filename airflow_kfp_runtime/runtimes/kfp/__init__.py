"""The kind ``kfp``: a component or pipeline that is written with the kfp SDK.

Where the SDK is installed beside this package, in process::

    @dsl.component(base_image="python:3.12")
    def train(epochs: int, model: dsl.Output[dsl.Model]): ...

    project.new_function("train", kind="kfp", handler=train)

Where it cannot be (it holds ``kubernetes`` and ``urllib3`` at versions that Airflow's providers do not take),
in an environment of its own::

    project.new_function(
        "train", kind="kfp", source="components.py", handler="train", kfp_requirements=["kfp==2.14.6"]
    )

A component becomes a container with the step's settings. A pipeline becomes a task with tasks of its own
inside, which have the settings that they were written with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.runtimes.compiled import component_of, placed
from airflow_kfp_runtime.runtimes.component import FunctionKind
from airflow_kfp_runtime.runtimes.kfp.compilation import compile_function
from airflow_kfp_runtime.runtimes.kfp.specification import KfpFunction
from airflow_kfp_runtime.runtimes.kfp_component.version_2 import read_version_2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_kfp_runtime.runtimes.component import Component, ComponentRequest


def build(request: ComponentRequest) -> Component:
    """Make the component of a step whose function is written with the kfp SDK.

    :raises SourceError: its source cannot be had or fails, or there is no kfp to compile it.
    :raises FunctionError: it is nothing that kfp compiles.
    :raises StepError: step and component do not fit.
    """
    function = request.function
    if not isinstance(function, KfpFunction):
        raise TypeError(f"a KfpFunction is needed, not {type(function).__name__}")
    title = f"function {request.function_name!r}"
    with placed(title, request):
        compiled = read_version_2(compile_function(function, request.sources), title)
    return component_of(compiled, request)


@hookimpl
def function_kinds() -> Sequence[FunctionKind]:
    """Add the kind ``kfp``."""
    return [FunctionKind("kfp", KfpFunction, ("job",), build)]
