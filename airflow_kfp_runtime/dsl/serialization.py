"""A pipeline as JSON and back, for a handler that runs in a process of its own.

Nothing is lost: what comes back compiles to the same package. A value is written as ``{"constant": ...}`` or
as what it refers to, so that no constant can be taken for a reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.constants import constant
from airflow_kfp_runtime.dsl.context import PipelineContext
from airflow_kfp_runtime.dsl.json_values import plain
from airflow_kfp_runtime.dsl.pipeline import Pipeline
from airflow_kfp_runtime.dsl.references import MISSING, PipelineArgument, StepOutput
from airflow_kfp_runtime.dsl.types import ParameterType
from airflow_kfp_runtime.errors import DefinitionError, StepError
from airflow_kfp_runtime.project.portable import (
    function_as_data,
    function_from_data,
    settings_as_data,
    settings_from_data,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.dsl.references import Reference
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.project.project import Function

#: The fields of a step that are texts or mappings and lists of texts.
_PLAIN_FIELDS = ("name", "function_id", "workflow", "workflow_id", "action", "output_names", "values")


def pipeline_as_data(pipeline: Pipeline) -> dict[str, Any]:
    """Return a pipeline as a JSON value that :func:`pipeline_from_data` reads.

    :raises StepError: a step is given a value that is not JSON.
    :raises DefinitionError: a function that a step was given itself cannot be written as data.
    """
    writer = _Writer()
    steps = [writer.step(step) for step in pipeline.steps]
    return {
        "name": pipeline.name,
        "description": pipeline.description,
        "arguments": [_argument(argument) for argument in pipeline.arguments],
        "functions": writer.functions,
        "steps": steps,
        "outputs": {name: _reference(output) for name, output in pipeline.outputs.items()},
        "written_as_data": pipeline.written_as_data,
    }


def pipeline_from_data(data: Mapping[str, Any]) -> Pipeline:
    """Return the pipeline that :func:`pipeline_as_data` wrote; its steps are in a context of their own.

    :raises DefinitionError: the data are not what that function writes, or hold a step that is wrong.
    """
    try:
        return _Reader(data).pipeline()
    except DefinitionError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DefinitionError(
            f"is not what pipeline_as_data() writes ({type(error).__name__}: {error})", field="pipeline"
        ) from None


class _Writer:
    """Writes steps, and each function that they were given once."""

    def __init__(self) -> None:
        self.functions: list[dict[str, Any]] = []
        self._numbers: dict[int, int] = {}

    def step(self, step: Step) -> dict[str, Any]:
        if not isinstance(step.workflow, str | None):
            raise StepError(
                "is a workflow itself, which cannot leave the process of the handler: give its name",
                step=step.name,
                field="workflow",
                allowed=["a workflow's name in the project"],
            )
        return {
            **{name: plain(getattr(step, name)) for name in _PLAIN_FIELDS},
            "function": self._function(step.function),
            "inputs": {name: _value(value, step, name) for name, value in step.inputs.items()},
            "parameters": {name: _value(value, step, name) for name, value in step.parameters.items()},
            "settings": settings_as_data(step.settings, encode=_reference),
            "after": [other.name for other in step.predecessors],
        }

    def _function(self, function: str | Function | None) -> str | dict[str, int] | None:
        if function is None or isinstance(function, str):
            return function
        if id(function) not in self._numbers:
            self._numbers[id(function)] = len(self.functions)
            self.functions.append(function_as_data(function))
        return {"number": self._numbers[id(function)]}


class _Reader:
    """Reads the steps, and then what connects them."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._context = PipelineContext()
        self._arguments = {
            written["name"]: PipelineArgument(
                written["name"],
                ParameterType(written["type"]) if written["type"] is not None else None,
                written.get("default", MISSING),
            )
            for written in data["arguments"]
        }
        self._functions = [function_from_data(written) for written in data["functions"]]

    def pipeline(self) -> Pipeline:
        steps = [self._step(written) for written in self._data["steps"]]
        for step, written in zip(steps, self._data["steps"], strict=True):
            self._connect(step, written)
        return Pipeline(
            name=self._data["name"],
            description=self._data["description"],
            arguments=tuple(self._arguments.values()),
            steps=tuple(steps),
            outputs={name: self._output(written) for name, written in self._data["outputs"].items()},
            written_as_data=self._data["written_as_data"],
        )

    def _step(self, written: Mapping[str, Any]) -> Step:
        function = written["function"]
        return self._context.step(
            written["name"],
            function=self._functions[function["number"]] if isinstance(function, dict) else function,
            function_id=written["function_id"],
            workflow=written["workflow"],
            workflow_id=written["workflow_id"],
            action=written["action"],
            outputs=written["output_names"],
            values=written["values"],
        )

    def _connect(self, step: Step, written: Mapping[str, Any]) -> None:
        step.inputs = {name: self._value(value) for name, value in written["inputs"].items()}
        step.parameters = {name: self._value(value) for name, value in written["parameters"].items()}
        step.settings = settings_from_data(written["settings"], decode=self._reference)
        step.after(*(self._found(name) for name in written["after"]))

    def _value(self, written: Mapping[str, Any]) -> Any:
        return written["constant"] if "constant" in written else self._reference(written)

    def _reference(self, written: Mapping[str, Any]) -> Reference:
        if "argument" in written:
            return self._arguments[written["argument"]]
        return self._output(written)

    def _output(self, written: Mapping[str, Any]) -> StepOutput:
        step, key = written["output"]
        return self._found(step).outputs[key]

    def _found(self, name: str) -> Step:
        step = self._context.find(name)
        if step is None:
            raise KeyError(name)
        return step


def _argument(argument: PipelineArgument) -> dict[str, Any]:
    written = {"name": argument.name, "type": None if argument.type is None else argument.type.value}
    return written if argument.default is MISSING else {**written, "default": argument.default}


def _value(value: Any, step: Step, argument: str) -> dict[str, Any]:
    if isinstance(value, (PipelineArgument, StepOutput)):
        return _reference(value)
    return {"constant": constant(value, step=step.name, field=step.field_of(argument))}


def _reference(reference: Reference) -> dict[str, Any]:
    match reference:
        case PipelineArgument():
            return {"argument": reference.name}
        case StepOutput():
            return {"output": [reference.step.name, reference.key]}
