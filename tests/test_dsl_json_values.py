"""What KFP can carry: JSON's own types, exactly."""

import json
from datetime import date
from enum import Enum, IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.dsl.json_values import LARGEST_INTEGER, plain
from tests.strategies import json_values


class Color(str, Enum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


@given(json_values())
def test_json_passes_unchanged_as_a_copy(value):
    copy = plain(value)

    assert json.dumps(copy) == json.dumps(value)
    if isinstance(value, (list, dict)):
        assert copy is not value


@pytest.mark.parametrize(
    ("value", "expected"),
    [((1, (2,)), [1, [2]]), (Color.RED, "red"), (Size.SMALL, 1), ({"a": (Color.RED,)}, {"a": ["red"]})],
)
def test_what_json_would_write_alike_becomes_that(value, expected):
    copy = plain(value)

    assert copy == expected
    assert type(copy) is type(expected)


@given(st.integers(min_value=LARGEST_INTEGER + 1) | st.integers(max_value=-LARGEST_INTEGER - 1))
def test_an_integer_that_a_double_would_round_is_refused(value):
    with pytest.raises(ValueError, match="KFP would round"):
        plain({"n": [value]})


def circular():
    held = []
    held.append(held)
    return held


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(2026, 1, 1), "it is of type date"),
        ({"a": [1, {2}]}, "['a'][1] is of type set"),
        ({"a": {1: 2}}, "['a'] has the key 1"),
        (float("nan"), "it is nan"),
        ([float("-inf")], "[0] is -inf"),
        ("\ud800", "it is not valid Unicode text"),
        ({"\udfff": 1}, "it is not valid Unicode text"),
        (b"bytes", "it is of type bytes"),
        (circular(), "it holds itself"),
    ],
)
def test_anything_else_is_refused_with_its_place(value, expected):
    with pytest.raises(ValueError) as caught:
        plain(value)

    assert expected in str(caught.value)
