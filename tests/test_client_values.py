"""Numbers and their types, which KFP does not keep."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.client.values import typed, whole

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("parameter_type", "answered", "value"),
    [
        ("NUMBER_INTEGER", 3.0, 3),
        ("NUMBER_INTEGER", "3", 3),
        ("NUMBER_INTEGER", 2.5, 2.5),
        ("NUMBER_DOUBLE", 3, 3.0),
        ("NUMBER_DOUBLE", "0.5", 0.5),
        ("BOOLEAN", "true", True),
        ("BOOLEAN", True, True),
        ("NUMBER_DOUBLE", True, True),
        ("STRUCT", {"a": 1.0, "b": [2.0, 0.5]}, {"a": 1, "b": [2, 0.5]}),
        ("STRUCT", '{"a": 1.0}', {"a": 1}),
        ("LIST", [1.0], [1]),
        ("LIST", "not json", "not json"),
        ("STRING", "3", "3"),
        ("STRING", 3.0, 3.0),
        ("", 3.0, 3.0),
        ("NUMBER_INTEGER", None, None),
    ],
)
def test_a_value_is_returned_in_the_declared_type(parameter_type, answered, value):
    assert repr(typed(parameter_type, answered)) == repr(value)


@given(json_values)
def test_whole_numbers_change_their_type_and_never_their_value(value):
    assert whole(value) == value
    assert whole(whole(value)) == whole(value)


def test_what_is_no_number_is_no_whole_number():
    assert whole(math.inf) == math.inf
    assert math.isnan(whole(math.nan))
