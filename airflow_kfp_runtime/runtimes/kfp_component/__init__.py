"""The kind ``component``: a component or pipeline of KFP that is a YAML file.

The file is a component of KFP v1 (``name``, ``inputs``, ``outputs``, ``implementation``), or what KFP v2
compiles: a component or a whole pipeline::

    project.new_function("train", kind="component", source="components/train.yaml")
    project.new_function("etl", kind="component", source="https://example.org/etl/pipeline.yaml")

A component becomes a container with the step's settings. A pipeline becomes a task with tasks of its own
inside, which have the settings that they were compiled with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.runtimes.compiled import component_of, placed
from airflow_kfp_runtime.runtimes.component import FunctionKind
from airflow_kfp_runtime.runtimes.kfp_component.definition import ComponentFunction, read_documents
from airflow_kfp_runtime.runtimes.kfp_component.version_1 import is_version_1, read_version_1
from airflow_kfp_runtime.runtimes.kfp_component.version_2 import read_version_2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_kfp_runtime.runtimes.component import Component, ComponentRequest


def build(request: ComponentRequest) -> Component:
    """Make the component of a step whose function is a YAML file of KFP.

    :raises SourceError: the file cannot be had, or is no YAML.
    :raises FunctionError: it is no component that can be a step.
    :raises StepError: step and component do not fit.
    """
    function = request.function
    if not isinstance(function, ComponentFunction):
        raise TypeError(f"a ComponentFunction is needed, not {type(function).__name__}")
    title = f"function {request.function_name!r}"
    with placed(title, request):
        documents = read_documents(function, request.sources)
        compiled = (
            read_version_1(documents[0], title)
            if is_version_1(documents[0])
            else read_version_2(documents, title)
        )
    return component_of(compiled, request)


@hookimpl
def function_kinds() -> Sequence[FunctionKind]:
    """Add the kind ``component``."""
    return [FunctionKind("component", ComponentFunction, ("job",), build)]
