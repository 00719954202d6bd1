"""The kind ``python``: a Python function that runs in a container of its own.

The step's container needs Python >= 3.8 and nothing else: an executor from the standard library alone
travels with the function's source. Types come from the annotations, which are read from the source's
syntax; user code is neither imported nor executed while a pipeline is compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import FunctionError, SourceError
from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.runtimes.component import Component, FunctionKind
from airflow_kfp_runtime.runtimes.python.binding import bind
from airflow_kfp_runtime.runtimes.python.command import container
from airflow_kfp_runtime.runtimes.python.signature import read_signature
from airflow_kfp_runtime.runtimes.python.source import read_source
from airflow_kfp_runtime.runtimes.python.specification import PythonFunction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_kfp_runtime.runtimes.component import ComponentRequest


def build(request: ComponentRequest) -> Component:
    """Make the component of a step whose function is written in Python.

    :raises FunctionError: the function cannot run in a step.
    :raises SourceError: its source cannot be read, does not hold it, or is too large.
    :raises StepError: step and function do not fit.
    """
    function = request.function
    if not isinstance(function, PythonFunction):
        raise TypeError(f"a PythonFunction is needed, not {type(function).__name__}")
    try:
        source = read_source(function, request.sources)
        binding = bind(read_signature(source), request)
        made = container(function.image, function.requirements, source, binding.interface)
    except (FunctionError, SourceError) as error:
        raise type(error)(
            error.problem,
            step=request.step,
            field=f"function {request.function_name!r}, {error.field}",
            allowed=error.allowed,
        ) from error.__cause__
    return Component(inputs=binding.inputs, outputs=binding.outputs, implementation=made)


@hookimpl
def function_kinds() -> Sequence[FunctionKind]:
    """Add the kind ``python``."""
    return [FunctionKind("python", PythonFunction, ("job",), build)]
