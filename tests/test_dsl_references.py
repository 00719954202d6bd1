"""Values that are known only while a pipeline runs: they go into texts, and nobody decides by them."""

import operator

import pytest

from airflow_kfp_runtime.dsl import PipelineArgument, pipeline_context
from airflow_kfp_runtime.dsl.references import REFERENCE_IN_TEXT, is_name
from airflow_kfp_runtime.errors import StepError

ARGUMENT = PipelineArgument("epochs")
OUTPUT = pipeline_context().step(name="get_data", function="f", values=["rows"]).outputs["rows"]


@pytest.mark.parametrize("value", [ARGUMENT, OUTPUT])
@pytest.mark.parametrize(
    "decide",
    [
        bool,
        len,
        list,
        operator.not_,
        lambda value: value in (1, 2),
        lambda value: 1 if value == 3 else 2,
        lambda value: 2 if value != 3 else 1,
        lambda value: 1 < value < 3,
        lambda value: value > 3 and value < 5,
        lambda value: value == 3 or value == 4,
        sorted,
    ],
)
def test_a_handler_cannot_decide_by_a_value_that_the_run_will_have(value, decide):
    with pytest.raises(StepError, match="is known only while the pipeline runs") as caught:
        decide(value)

    assert repr(value) in str(caught.value)
    assert "inside a step, or" in str(caught.value)
    assert "pc." in str(caught.value)


@pytest.mark.parametrize("value", [ARGUMENT, OUTPUT])
@pytest.mark.parametrize(
    "compute",
    [
        int,
        float,
        range,
        round,
        operator.neg,
        operator.index,
        lambda value: value + 1,
        lambda value: 1 + value,
        lambda value: value - 1,
        lambda value: 2 * value,
        lambda value: "ab" * value,
        lambda value: [1, 2][value],
        lambda value: 1 / value,
        lambda value: value % 2,
    ],
)
def test_a_handler_cannot_compute_with_a_value_that_the_run_will_have(value, compute):
    with pytest.raises(StepError) as caught:
        compute(value)

    assert str(caught.value) == (
        f"{value!r} is known only while the pipeline runs, so a handler cannot compute with it. "
        "Give it to a step as it is, and compute inside the step"
    )


@pytest.mark.parametrize(
    ("join", "instead"),
    [
        (lambda: ARGUMENT + "/x", 'f"{epochs}/x"'),
        (lambda: "x/" + ARGUMENT, 'f"x/{epochs}"'),
        (lambda: ARGUMENT + ' "{a}"\n', 'f"{epochs} \\"{{a}}\\"\\n"'),
        (lambda: OUTPUT + "/x", 'f"{output}/x"'),
        (lambda: ARGUMENT + OUTPUT, 'f"{epochs}{output}"'),
    ],
)
def test_a_text_is_not_made_by_adding(join, instead):
    with pytest.raises(StepError) as caught:
        join()

    assert str(caught.value).endswith(f"so a handler cannot add to it: use {instead}")


@pytest.mark.parametrize("value", [ARGUMENT, OUTPUT])
def test_a_value_cannot_be_formatted_but_stands_in_a_text(value):
    with pytest.raises(StepError, match="cannot be formatted"):
        f"{value:03d}"

    assert REFERENCE_IN_TEXT.fullmatch(f"{value}")
    assert f"{value}" == str(value)


def test_a_text_tells_arguments_from_outputs():
    nothing = dict.fromkeys(REFERENCE_IN_TEXT.groupindex)
    found = [match.groupdict() for match in REFERENCE_IN_TEXT.finditer(f"s3://{ARGUMENT}/{OUTPUT}.csv")]

    assert found == [
        {**nothing, "argument": "epochs"},
        {**nothing, "form": "output", "task": "get-data", "key": "rows"},
    ]


def test_values_are_themselves_only_and_can_be_keys():
    twin = PipelineArgument("epochs")

    assert {ARGUMENT: 1, twin: 2}[twin] == 2


@pytest.mark.parametrize("name", ["a", "_a", "data-set", "x1"])
def test_a_name_has_letters_digits_and_dashes(name):
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "1a", "-a", "a b", "a.b", "ä", "a\n", None, 5])
def test_what_kfp_could_not_refer_to_is_no_name(name):
    assert not is_name(name)
