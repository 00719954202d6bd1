"""A pipeline as JSON and back, for a handler that runs in a process of its own.

Nothing is lost: what comes back compiles to the same package. A value is written as ``{"constant": ...}`` or
as what it refers to, so that no constant can be taken for a reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.block_data import References, blocks_as_data, reference_as_data
from airflow_kfp_runtime.dsl.blocks import blocks_of
from airflow_kfp_runtime.dsl.constants import constant
from airflow_kfp_runtime.dsl.context import PipelineContext
from airflow_kfp_runtime.dsl.json_values import plain
from airflow_kfp_runtime.dsl.pipeline import Pipeline
from airflow_kfp_runtime.dsl.references import MISSING, OutputReference, PipelineArgument, Reference
from airflow_kfp_runtime.dsl.types import ParameterType
from airflow_kfp_runtime.errors import DefinitionError, StepError
from airflow_kfp_runtime.project.portable import (
    function_as_data,
    function_from_data,
    settings_as_data,
    settings_from_data,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_kfp_runtime.dsl.blocks import Block
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.project.project import Function

#: The fields of a step that are texts or mappings and lists of texts.
_PLAIN_FIELDS = ("name", "function_id", "workflow", "workflow_id", "action", "output_names", "values")


def pipeline_as_data(pipeline: Pipeline) -> dict[str, Any]:
    """Return a pipeline as a JSON value that :func:`pipeline_from_data` reads.

    :raises StepError: a step is given a value that is not JSON.
    :raises DefinitionError: a function that a step was given itself cannot be written as data.
    """
    blocks = blocks_of(pipeline.steps)
    writer = _Writer(blocks)
    steps = [writer.step(step) for step in pipeline.steps]
    return {
        "name": pipeline.name,
        "description": pipeline.description,
        "arguments": [_argument(argument) for argument in pipeline.arguments],
        "functions": writer.functions,
        "steps": steps,
        "blocks": blocks_as_data(blocks),
        "one_ofs": [
            [reference_as_data(output) for output in one_of.outputs]
            for one_of in (pipeline.steps[0].context.blocks.one_ofs if pipeline.steps else ())
        ],
        "outputs": {name: reference_as_data(output) for name, output in pipeline.outputs.items()},
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

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks
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
            "settings": settings_as_data(step.settings, encode=reference_as_data),
            "after": [other.name for other in step.predecessors],
            "block": None if step.block is None else self._blocks.index(step.block),
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
        self._arguments = {written["name"]: _argument_from(written) for written in data["arguments"]}
        self._references = References(self._context, self._arguments)
        self._functions = [function_from_data(written) for written in data["functions"]]

    def pipeline(self) -> Pipeline:
        steps = [self._step(written) for written in self._data["steps"]]
        if not steps:
            raise ValueError("it has no steps")
        blocks_of_steps = {written["name"]: written["block"] for written in self._data["steps"]}
        self._references.read_blocks(self._data["blocks"], self._data["one_ofs"], blocks_of_steps)
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
        step.settings = settings_from_data(written["settings"], decode=self._references.reference)
        step.after(*(self._references.step(name) for name in written["after"]))

    def _value(self, written: Mapping[str, Any]) -> Any:
        return written["constant"] if "constant" in written else self._references.reference(written)

    def _output(self, written: Mapping[str, Any]) -> OutputReference:
        output = self._references.reference(written)
        if not isinstance(output, OutputReference):
            raise TypeError(f"{output!r} is not an output")
        return output


def _argument(argument: PipelineArgument) -> dict[str, Any]:
    written = {
        "name": argument.name,
        "type": None if argument.type is None else argument.type.value,
        "item_type": None if argument.item_type is None else argument.item_type.value,
    }
    return written if argument.default is MISSING else {**written, "default": argument.default}


def _argument_from(written: Mapping[str, Any]) -> PipelineArgument:
    types = {
        name: None if written[name] is None else ParameterType(written[name])
        for name in ("type", "item_type")
    }
    return PipelineArgument(written["name"], default=written.get("default", MISSING), **types)


def _value(value: Any, step: Step, argument: str) -> dict[str, Any]:
    if isinstance(value, Reference):
        return reference_as_data(value)
    return {"constant": constant(value, step=step.name, field=step.field_of(argument))}
