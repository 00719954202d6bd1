"""Arguments against what a pipeline declares: what fits passes, texts are read, the rest is refused."""

import json
import math
from datetime import date
from enum import Enum

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_kfp_runtime.compiler import PipelinePackage
from airflow_kfp_runtime.compiler.arguments import checked_arguments
from airflow_kfp_runtime.errors import ArgumentError
from tests.strategies import FLOATS, INTEGERS, TEXTS, json_values

VALUES = {
    "STRING": TEXTS,
    "NUMBER_INTEGER": INTEGERS,
    "NUMBER_DOUBLE": FLOATS,
    "BOOLEAN": st.booleans(),
    "LIST": st.lists(json_values(), max_size=3),
    "STRUCT": st.dictionaries(TEXTS, json_values(), max_size=3),
}
TYPES = st.sampled_from(sorted(VALUES))


def check(parameter_type, value):
    return checked_arguments({"x": {"parameterType": parameter_type}}, {"x": value})["x"]


@given(TYPES.flatmap(lambda name: st.tuples(st.just(name), VALUES[name])))
def test_a_value_of_the_declared_type_passes_unchanged(typed):
    parameter_type, value = typed

    passed = check(parameter_type, value)

    assert type(passed) is type(value)
    assert json.dumps(passed) == json.dumps(value)


@given(TYPES.flatmap(lambda name: st.tuples(st.just(name), VALUES[name])))
def test_its_text_stands_for_it(typed):
    parameter_type, value = typed
    assume(parameter_type != "STRING")

    assert check(parameter_type, f" {json.dumps(value)} ") == value


@given(st.booleans())
def test_the_text_that_python_writes_for_a_boolean_is_read(value):
    assert check("BOOLEAN", str(value)) is value


@given(INTEGERS)
def test_an_integer_is_a_float_where_one_is_declared(value):
    passed = check("NUMBER_DOUBLE", value)

    assert passed == value
    assert isinstance(passed, float)


@given(TYPES, TYPES, st.data())
def test_a_value_of_another_type_is_refused(declared, other, data):
    value = data.draw(VALUES[other])
    assume(declared != other)
    assume((declared, other) != ("NUMBER_DOUBLE", "NUMBER_INTEGER"))
    assume(not isinstance(value, str))

    with pytest.raises(ArgumentError, match=r"^arguments\['x'\]: "):
        check(declared, value)


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        ("NUMBER_INTEGER", "five", "arguments['x']: 'five' is of type str. Allowed: int"),
        ("NUMBER_INTEGER", "5.5", "arguments['x']: '5.5' is of type str. Allowed: int"),
        ("NUMBER_INTEGER", True, "arguments['x']: True is of type bool. Allowed: int"),
        ("NUMBER_INTEGER", "true", "arguments['x']: 'true' is of type str. Allowed: int"),
        ("NUMBER_INTEGER", 2**53 + 1, "which KFP would round"),
        ("NUMBER_DOUBLE", 10**400, "which KFP would round"),
        ("NUMBER_DOUBLE", math.inf, "arguments['x']: inf cannot be passed: it is inf"),
        ("NUMBER_DOUBLE", "NaN", "arguments['x']: 'NaN' cannot be passed: it is nan"),
        ("BOOLEAN", 1, "arguments['x']: 1 is of type int. Allowed: bool"),
        ("BOOLEAN", "yes", "arguments['x']: 'yes' is of type str. Allowed: bool"),
        ("STRING", 5, "arguments['x']: 5 is of type int. Allowed: str"),
        ("STRING", date(2026, 1, 1), "cannot be passed: it is of type date. Allowed: str"),
        ("LIST", "a,b", "arguments['x']: 'a,b' is of type str. Allowed: list"),
        ("LIST", [{1}], "arguments['x']: [{1}] cannot be passed: [0] is of type set. Allowed: list"),
        ("LIST", "[" * 100_000, "is of type str. Allowed: list"),
        ("STRUCT", {1: 2}, "the keys of a JSON object are texts. Allowed: dict"),
        ("STRUCT", "[1]", "arguments['x']: '[1]' is of type str. Allowed: dict"),
    ],
)
def test_a_refusal_names_argument_value_and_what_is_allowed(declared, value, expected):
    with pytest.raises(ArgumentError) as caught:
        check(declared, value)

    assert expected in str(caught.value)
    assert len(str(caught.value)) < 400


class Color(str, Enum):
    RED = "red"


def test_what_json_writes_alike_passes_as_that():
    assert check("STRING", Color.RED) == "red"
    assert type(check("STRING", Color.RED)) is str
    assert check("LIST", (1, Color.RED)) == [1, "red"]


def test_unknown_and_missing_arguments_are_refused_by_name():
    declared = {"url": {"parameterType": "STRING"}, "n": {"parameterType": "NUMBER_INTEGER"}}

    with pytest.raises(ArgumentError) as unknown:
        checked_arguments(declared, {"ulr": 1})
    with pytest.raises(ArgumentError) as none:
        checked_arguments({}, {"ulr": 1})
    with pytest.raises(ArgumentError) as missing:
        checked_arguments(declared, {"url": "u", "n": None})

    assert str(unknown.value) == "arguments['ulr']: is not an argument of the pipeline. Allowed: n, url"
    assert str(none.value).endswith("Allowed: none: the pipeline has no arguments")
    assert str(missing.value) == "arguments['n']: the pipeline needs it, and it has no default. Allowed: int"


def test_optional_arguments_may_be_left_out_or_none():
    package = PipelinePackage(
        "p",
        {
            "root": {
                "inputDefinitions": {
                    "parameters": {
                        "a": {"parameterType": "STRING", "isOptional": True},
                        "b": {"parameterType": "STRING", "defaultValue": "b"},
                        "c": {"parameterType": "BOOLEAN"},
                    }
                }
            }
        },
    )

    assert package.check_arguments({"a": None, "c": "false"}) == {"c": False}


def test_a_type_of_another_compiler_is_left_to_the_server():
    assert check("TASK_FINAL_STATUS", {"state": "FAILED"}) == {"state": "FAILED"}
    assert check("TASK_FINAL_STATUS", "5") == "5"
