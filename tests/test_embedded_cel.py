"""Conditions and selectors give what cel-go gives in KFP's driver, and what they cannot do is said."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_kfp_runtime.embedded.engine.cel import CelError, holds, read_condition, read_selector, select
from airflow_kfp_runtime.embedded.engine.cel.evaluation import _go_text

X = "inputs.parameter_values['x']"


def true_for(text, x=None):
    return holds(read_condition(text), {"x": x})


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        # What the SDK compiles comparisons to (KFP 2.17, compiler/pipeline_spec_builder.py).
        (f"{X} == 'heads'", "heads", True),
        (f"!({X} == 'heads')", "heads", False),
        (f"!({X} == 'heads') && {X} == 'tails'", "tails", True),
        (f"int({X}) > 5", 6, True),
        (f"int({X}) > 5", 5.0, False),
        (f"double(int({X})) >= 0.9", 1, True),
        (f"{X} > 0.9", 0.95, True),
        (f"{X} <= -1e-05", -0.5, True),
        (f"{X} == true", True, True),
        # Numbers compare by their value, whatever the type; other types are unequal.
        (f"{X} == 5", 5, True),
        (f"5 == {X}", 5.5, False),
        (f"{X} == '5'", 5, False),
        (f"{X} != '5'", 5, True),
        (f"{X} == 1", True, False),
        (f"{X} < 5", 4.5, True),
        (f"{X} < 'b'", "a", True),
        (f"{X} == null", None, True),
        ("parseJson('9223372036854775808') == 9223372036854775807", None, True),
        # Conversions.
        (f"int({X}) == 2", 2.9, True),
        (f"int({X}) == -7", "-7", True),
        (f"int('0x10' == {X} ? '1' : '2')", "", CelError),
        (f"double({X}) == 0.5", "0.5", True),
        (f"string({X}) == '2'", 2, True),
        (f"string({X}) == '1e+06'", 1000000, True),
        (f"string({X}) == 'true'", True, True),
        (f"bool({X})", "True", True),
        # Members.
        (f"{X}['a'].b[1] == 'c'", {"a": {"b": [0, "c"]}}, True),
        (f"parseJson({X}).a == 1", '{"a": 1}', True),
        (f"{X} == parseJson('[1, {{\"a\": true}}]')", [1, {"a": True}], True),
        # Text.
        (r"'\u00e9\x41\101\'' == " + '"éAA' + "'" + '"', "", True),
        (r"r'\n' == '\\n'", "", True),
        ("'''it's''' == \"it's\"", "", True),
        (f"{X} == ''", "", True),
    ],
)
def test_an_expression_has_the_value_that_cel_gives_it(text, x, expected):
    if expected is CelError:
        with pytest.raises(CelError):
            true_for(text, x)
    else:
        assert true_for(text, x) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("false && int('x') == 1", False),
        ("int('x') == 1 && false", False),
        ("int('x') == 1 || true", True),
        ("true || inputs.parameter_values['none'] == 1", True),
    ],
)
def test_the_side_that_decides_is_enough_whatever_becomes_of_the_other(text, expected):
    assert true_for(text) is expected


@pytest.mark.parametrize(
    ("text", "x", "message"),
    [
        (f"{X} > 5", "6", '> cannot compare the string "6" with the int 5'),
        (f"{X} < true", None, "< cannot compare the null null"),
        (f"{X} && true", "yes", '&& is not for the string "yes"'),
        (f"!{X}", 1, "! is not for the double 1.0"),
        (X, "yes", 'it is the string "yes", and a condition is true or false'),
        ("inputs.parameter_values['y'] == 1", 1, "there is no 'y', only 'x'"),
        ("inputs.artifacts['y'] == 1", 1, "there is no 'artifacts'"),
        (f"int({X}) == 1", "1.5", r'int\(\) cannot convert the string "1.5"'),
        (f"int({X}) == 1", True, r"int\(\) cannot convert the bool true"),
        (f"int({X}) == 1", 1e300, "does not fit into an integer of 64 bits"),
        (f"double({X}) == 1.0", "1_0", r"double\(\) cannot convert"),
        (f"bool({X})", "yes", r"bool\(\) cannot convert"),
        (f"string({X}) == ''", [], r"string\(\) cannot convert the list \[\]"),
        (f"parseJson({X}) == 1", "{", "which is not JSON"),
        (f"parseJson({X}) == 1", "NaN", "which is not JSON"),
        ("int(null) == 1", None, r"int\(\) cannot convert the null null"),
        (f"{X}[3] == 1", [1], "no item 3 in a list of 1"),
        (f"{X}.a == 1", "text", "has no member 'a'"),
        ("inputs.parameter_values['x'] > 1.0", 10**400, "larger than a double can be"),
    ],
)
def test_what_cannot_be_evaluated_says_why(text, x, message):
    condition = read_condition(text)

    with pytest.raises(CelError, match=message):
        holds(condition, {"x": x})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'its end' is not expected"),
        ("true false", "'false' is not expected"),
        ("(true", r"'its end' is not expected where '\)' should be"),
        ("inputs.", "'its end' is not expected"),
        ("'open", "cannot be read at"),
        ("true # x", "cannot be read at '# x'"),
        ("y == 1", "there is no 'y' here, only 'inputs'"),
        ("1 == null", "== cannot compare int with null"),
        ("bool(1)", r"bool\(\) is not for the type int"),
        ("double(true) > 1.0", r"double\(\) is not for the type bool"),
        ("1 == '1'", "== cannot compare int with string: convert one of them"),
        (f"int({X}) > 0.5", "> cannot compare int with double"),
        ("!1", "! is not for the type int"),
        ("'a' && true", "&& is not for the type string"),
        ("1", "is of type int, and a condition is true or false"),
        ("9223372036854775808 == 1", "larger than an integer of 64 bits"),
        (f"size({X}) > 1", "the function 'size' of CEL is not supported by the embedded server, only"),
        (f"{X}.startsWith('a')", "the function 'startsWith' of CEL is not supported"),
        (f"{X} + 1 > 2", "'\\+' of CEL is not supported"),
        (f"{X} ? true : false", "'\\?' of CEL is not supported"),
        (r"'\q' == ''", r"stands for no character"),
        ("!" * 5000 + "true", "nested more deeply than 100"),
        ("(" * 5000 + "true", "nested more deeply than 100"),
    ],
)
def test_what_is_no_condition_is_refused_when_it_is_read(text, message):
    with pytest.raises(CelError, match=message):
        read_condition(text)


def test_the_smallest_integer_is_a_literal():
    assert true_for("int('-9223372036854775808') == -9223372036854775808")


def test_a_selector_takes_a_member_of_an_item_by_the_text_of_its_json():
    selector = read_selector('parseJson(string_value)["a"]')

    assert select(selector, {"a": {"b": 1}}) == {"b": 1.0}
    assert select(selector, '{"a": "text"}') == "text"
    with pytest.raises(CelError, match="there is no 'a', only 'b'"):
        select(selector, {"b": 1})


def test_a_selector_may_name_the_value_by_its_kind():
    assert select(read_selector("struct_value.a"), {"a": 1}) == 1
    assert select(read_selector("list_value[0]"), [2]) == 2
    assert select(read_selector("number_value"), 3) == 3
    with pytest.raises(CelError, match="the value has no list_value"):
        select(read_selector("list_value[0]"), "text")


doubles = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | doubles | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(values)
def test_a_value_equals_itself_and_no_value_is_less_than_itself(x):
    assert true_for(f"{X} == {X}", x)
    assert not true_for(f"{X} != {X}", x)
    if isinstance(x, bool | float | str):
        assert true_for(f"{X} <= {X} && !({X} < {X})", x)


@given(doubles | st.text() | st.booleans(), doubles | st.text())
def test_a_literal_is_the_value_that_it_shows(x, other):
    literal = json.dumps(other, ensure_ascii=False) if isinstance(other, str) else repr(other)

    assert true_for(f"{X} == {literal}", x) is (type(x) is type(other) and x == other)


@given(st.booleans(), st.booleans(), st.booleans())
def test_and_binds_tighter_than_or(a, b, c):
    shown = [str(value).lower() for value in (a, b, c)]

    assert true_for("{} || {} && !{}".format(*shown)) is (a or (b and not c))


@given(doubles)
@example(5e-324)
@example(123456.0)
@example(-1234567.5)
def test_a_double_as_text_is_its_shortest_digits(number):
    text = _go_text(number)

    assert float(text) == number
    assert ("e" in text) is (number != 0 and not 1e-4 <= abs(number) < 999999.9999999999)


@given(st.text())
def test_any_text_is_read_or_refused_and_nothing_else(text):
    with contextlib.suppress(CelError):
        holds(read_condition(text), {"x": 1})
