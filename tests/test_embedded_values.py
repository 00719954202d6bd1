"""Values keep their type on the way, and a value that does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.embedded.engine.values import (
    Values,
    ValueTypeError,
    as_json,
    as_text,
    check_type,
    convert,
    parse,
    path_of,
    uri_of,
)

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.none() | st.booleans() | numbers | st.text()
json_values = st.recursive(
    plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(st.lists(json_values))
def test_a_list_that_was_written_as_text_is_read_back(value):
    assert parse(as_text(value), "LIST") == value


@given(st.dictionaries(st.text(), json_values))
def test_a_struct_that_was_written_as_text_is_read_back(value):
    assert parse(as_text(value), "STRUCT") == value


@given(st.text())
def test_a_string_is_taken_as_it_is(value):
    assert parse(as_text(value), "STRING") == value == convert(value, "STRING")


@given(st.integers(-(2**53), 2**53))
def test_a_whole_number_is_an_integer_however_json_writes_it(value):
    assert check_type(float(value), "NUMBER_INTEGER") == value
    assert type(check_type(float(value), "NUMBER_INTEGER")) is int
    assert type(check_type(value, "NUMBER_DOUBLE")) is float


@given(json_values)
def test_what_a_step_is_given_equals_the_value_and_holds_no_whole_number_as_a_float(value):
    given_to_step = json.loads(json.dumps(as_json(value)))

    assert given_to_step == value
    assert as_json(given_to_step) == given_to_step


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("3", "NUMBER_INTEGER"),
        (3.5, "NUMBER_INTEGER"),
        (True, "NUMBER_INTEGER"),
        (float("inf"), "NUMBER_DOUBLE"),
        (True, "NUMBER_DOUBLE"),
        (1, "BOOLEAN"),
        ("true", "BOOLEAN"),
        ({}, "LIST"),
        ([], "STRUCT"),
        (5, "STRING"),
        (None, "STRING"),
    ],
)
def test_a_value_of_another_type_is_refused_with_value_and_type(value, kind):
    with pytest.raises(ValueTypeError) as caught:
        check_type(value, kind)

    assert repr(value) in str(caught.value)
    assert kind in str(caught.value)


def test_a_long_value_is_shortened_in_the_message():
    with pytest.raises(ValueTypeError) as caught:
        check_type("x" * 10_000, "LIST")

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1 2", "", "ten"])
def test_text_that_is_no_number_is_refused(text):
    with pytest.raises(ValueTypeError):
        parse(text, "NUMBER_DOUBLE")


@pytest.mark.parametrize(
    ("text", "value"), [("true\n", True), ("T", True), ("1", True), ("False", False), (" f ", False)]
)
def test_booleans_are_read_as_go_reads_them(text, value):
    assert parse(text, "BOOLEAN") is value


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (5.0, "5"), (0.25, "0.25"), ({"a": 1.0}, '{"a":1}'), ("x", "x"), ([None], "[null]")],
)
def test_a_string_parameter_takes_any_value_as_its_json_text(value, text):
    assert convert(value, "STRING") == text


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1))
def test_a_path_survives_the_way_through_its_uri(name):
    path = str(Path("/data") / name)

    assert path_of(uri_of(path)) == path


@pytest.mark.parametrize("uri", ["s3://bucket/key", "gs://b/k", "minio://m/x"])
def test_other_uris_stay_as_they_are(uri):
    assert uri_of(uri) == uri == path_of(uri)


def test_values_survive_the_store():
    values = Values({"a": 1}, {"b": [{"id": "1", "name": "b", "type": "t", "uri": "u", "metadata": {}}]})

    assert Values.from_stored(json.loads(json.dumps(values.stored()))) == values
