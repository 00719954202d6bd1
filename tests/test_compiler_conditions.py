"""Conditions become CEL that holds when they do, whatever is in their constants."""

import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_kfp_runtime.compiler import compile_pipeline
from airflow_kfp_runtime.compiler.conditions import expression
from airflow_kfp_runtime.dsl import pipeline_context, trace
from airflow_kfp_runtime.dsl.references import PipelineArgument
from airflow_kfp_runtime.dsl.types import ParameterType
from airflow_kfp_runtime.embedded.engine.cel import holds, read_condition
from airflow_kfp_runtime.errors import StepError
from tests.block_strategies import project
from tests.strategies import FLOATS, INTEGERS, TEXTS

PROJECT = project()
ARGUMENTS = {
    kind: PipelineArgument(kind.name.lower(), kind)
    for kind in (ParameterType.STRING, ParameterType.INTEGER, ParameterType.DOUBLE, ParameterType.BOOLEAN)
}
_TEXTS = TEXTS | st.sampled_from(
    ["it's", "\\", "\\'", "'", "\n", "\r\n", "a\tb", '"', "{{$.x}}", "'] || true"]
)
_VALUES = {
    ParameterType.STRING: _TEXTS,
    ParameterType.INTEGER: INTEGERS,
    ParameterType.DOUBLE: FLOATS,
    ParameterType.BOOLEAN: st.booleans(),
}
_ORDERED = (operator.lt, operator.le, operator.gt, operator.ge)
_EQUAL = (operator.eq, operator.ne)
_NUMBERS = (ParameterType.INTEGER, ParameterType.DOUBLE)


@st.composite
def conditions(draw, values, depth=4):
    """Return a condition, and whether it holds for these values of the arguments."""
    form = draw(st.sampled_from(["compare", "compare", "and", "or", "not"] if depth else ["compare"]))
    if form == "not":
        condition, held = draw(conditions(values, depth - 1))
        return ~condition, not held
    if form != "compare":
        (left, left_held), (right, right_held) = (
            draw(conditions(values, depth - 1)),
            draw(conditions(values, depth - 1)),
        )
        if form == "and":
            return left & right, left_held and right_held
        return left | right, left_held or right_held
    kind = draw(st.sampled_from(list(ARGUMENTS)))
    other = draw(st.sampled_from(_NUMBERS)) if kind in _NUMBERS else kind
    comparing = _EQUAL if kind is ParameterType.BOOLEAN else _EQUAL + _ORDERED
    compare = draw(st.sampled_from(comparing))
    if draw(st.booleans()):
        return compare(ARGUMENTS[kind], ARGUMENTS[other]), compare(values[kind], values[other])
    constant = draw(_VALUES[other] | st.just(values[other]))
    if draw(st.booleans()):
        return compare(constant, ARGUMENTS[kind]), compare(constant, values[kind])
    return compare(ARGUMENTS[kind], constant), compare(values[kind], constant)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_the_expression_holds_when_the_condition_does(data):
    values = {kind: data.draw(strategy, label=kind.name) for kind, strategy in _VALUES.items()}
    condition, held = data.draw(conditions(values))

    text = expression(condition, lambda reference: reference.name, lambda reference: reference.type)

    # A server has every number as a double.
    given_values = {
        ARGUMENTS[kind].name: float(value) if kind is ParameterType.INTEGER else value
        for kind, value in values.items()
    }
    assert holds(read_condition(text), given_values) is held


def text_of(condition):
    return expression(condition, lambda one: f"pipelinechannel--{one.name}", lambda one: one.type)


def test_parentheses_are_where_the_meaning_needs_them():
    text, integer = ARGUMENTS[ParameterType.STRING], ARGUMENTS[ParameterType.INTEGER]

    condition = (text == "a") & ((integer > 1) | ~(text != "b"))

    assert text_of(condition) == (
        "inputs.parameter_values['pipelinechannel--string'] == 'a' && "
        "(int(inputs.parameter_values['pipelinechannel--integer']) > 1 || "
        "!(inputs.parameter_values['pipelinechannel--string'] != 'b'))"
    )


def test_a_constant_may_be_on_either_side():
    assert text_of(1.5 < ARGUMENTS[ParameterType.INTEGER]) == text_of(ARGUMENTS[ParameterType.INTEGER] > 1.5)  # noqa: SIM300


def tasks_of(handler):
    return compile_pipeline(trace(handler, name="p"), project=PROJECT).pipeline_spec["root"]


def test_an_argument_has_the_type_of_what_it_is_compared_with():
    def handler(count, rate, flag, mode, other: float):
        with (
            pipeline_context() as pc,
            pc.when(
                (count > 3) & (rate < 0.5) & (flag == True) & (mode == "x") & (count < other)  # noqa: E712
            ),
        ):
            pc.step("a", function="number")

    declared = tasks_of(handler)["inputDefinitions"]["parameters"]

    assert {name: given["parameterType"] for name, given in declared.items()} == {
        "count": "NUMBER_INTEGER",
        "rate": "NUMBER_DOUBLE",
        "flag": "BOOLEAN",
        "mode": "STRING",
        "other": "NUMBER_DOUBLE",
    }


def test_an_item_has_the_type_of_what_it_is_compared_with():
    def handler(items):
        with pipeline_context() as pc, pc.for_each(items) as item, pc.when(item["size"] > 3):
            pc.step("a", function="number", inputs={"x": item["size"]})

    package = compile_pipeline(trace(handler, name="p"), project=PROJECT)
    root, components = package.pipeline_spec["root"], package.pipeline_spec["components"]

    assert root["inputDefinitions"]["parameters"]["items"]["parameterType"] == "LIST"
    assert components["comp-for-loop-1"]["dag"]["tasks"]["condition-2"] == {
        "taskInfo": {"name": "condition-2"},
        "componentRef": {"name": "comp-condition-2"},
        "inputs": {
            "parameters": {
                "pipelinechannel--items-loop-item-subvar-size": {
                    "componentInputParameter": "pipelinechannel--items-loop-item",
                    "parameterExpressionSelector": 'parseJson(string_value)["size"]',
                },
                "pipelinechannel--items-loop-item": {
                    "componentInputParameter": "pipelinechannel--items-loop-item"
                },
            }
        },
        "triggerPolicy": {
            "condition": "int(inputs.parameter_values['pipelinechannel--items-loop-item-subvar-size']) > 3"
        },
    }


def test_an_argument_that_is_looped_over_and_a_number_is_refused():
    def handler(items):
        with pipeline_context() as pc:
            with pc.for_each(items):
                pc.step("a", function="number")
            with pc.when(items > 3):
                pc.step("b", function="number")

    with pytest.raises(StepError) as caught:
        compile_pipeline(trace(handler, name="p"), project=PROJECT)
    assert str(caught.value).startswith(
        "when(argument 'items' > 3): argument 'items' is a list, and KFP compares"
    )
