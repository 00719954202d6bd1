"""Handlers: their signature becomes the pipeline's arguments, what they return its outputs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Union  # noqa: UP035

import pytest

from airflow_kfp_runtime.dsl import StepOutput, pipeline_context, trace
from airflow_kfp_runtime.dsl.references import MISSING
from airflow_kfp_runtime.dsl.types import ParameterType
from airflow_kfp_runtime.errors import ArgumentError, StepError

if TYPE_CHECKING:
    from somewhere import Report


def arguments(handler):
    return {argument.name: (argument.type, argument.default) for argument in trace(handler).arguments}


def write_a_step():
    with pipeline_context() as pc:
        return pc.step(name="a", function="f", values=["x", "y"])


def test_types_come_from_annotations_and_defaults():
    def handler(
        text: str,
        count: int = 3,
        rate: float = 1,
        flag: bool = False,
        items: list = (1, 2),
        table: dict[str, int] | None = None,
        old: Optional[int] = 5,  # noqa: UP045
        older: Dict[str, Any] = {"a": [1]},  # noqa: B006, UP006
        names: List[str] = ["b"],  # noqa: B006, UP006
        united: Union[str, None] = None,  # noqa: UP007
        anything: Any = None,
        by_default=2.5,
        open_type=None,
    ):
        write_a_step()

    assert arguments(handler) == {
        "text": (ParameterType.STRING, MISSING),
        "count": (ParameterType.INTEGER, 3),
        "rate": (ParameterType.DOUBLE, 1.0),
        "flag": (ParameterType.BOOLEAN, False),
        "items": (ParameterType.LIST, [1, 2]),
        "table": (ParameterType.STRUCT, None),
        "old": (ParameterType.INTEGER, 5),
        "older": (ParameterType.STRUCT, {"a": [1]}),
        "names": (ParameterType.LIST, ["b"]),
        "united": (ParameterType.STRING, None),
        "anything": (None, None),
        "by_default": (ParameterType.DOUBLE, 2.5),
        "open_type": (None, None),
    }


def test_an_annotation_for_type_checkers_alone_does_not_hide_the_others():
    def handler(count: int | None, text: Optional[str] = None) -> Report:  # noqa: UP045
        write_a_step()

    assert arguments(handler) == {
        "count": (ParameterType.INTEGER, MISSING),
        "text": (ParameterType.STRING, None),
    }


def test_a_decorated_handler_has_the_signature_of_the_function_inside():
    def decorator(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    @decorator
    def handler(count: int = 3):
        write_a_step()

    assert arguments(handler) == {"count": (ParameterType.INTEGER, 3)}
    assert trace(handler).name == "handler"


def with_parameter(**parameter):
    """Return a handler with one parameter ``x``, of that annotation and default."""

    def handler(x):
        write_a_step()

    handler.__annotations__ = {"x": parameter["annotation"]} if "annotation" in parameter else {}
    handler.__defaults__ = (parameter["default"],) if "default" in parameter else None
    return handler


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ({"annotation": bytes}, "argument 'x': <class 'bytes'> cannot be the type of a pipeline's argument"),
        ({"annotation": int | str}, "argument 'x': int | str cannot be the type"),
        ({"annotation": "Report"}, "argument 'x': 'Report' cannot be the type"),
        ({"annotation": [1]}, "argument 'x': [1] cannot be the type"),
        ({"annotation": tuple}, "Allowed: bool, int, float, str, list, dict"),
        ({"annotation": int, "default": "a"}, "argument 'x': the default 'a' is not of the annotated type"),
        ({"annotation": int, "default": "a"}, "Allowed: int"),
        ({"annotation": int, "default": True}, "the default True is not of the annotated type"),
        ({"annotation": int, "default": 1.5}, "the default 1.5 is not of the annotated type"),
        ({"default": {1, 2}}, "argument 'x': the default {1, 2} cannot be passed: it is of type set"),
        ({"default": [float("nan")]}, "the default [nan] cannot be passed: [0] is nan"),
        ({"default": 2**60}, "which KFP would round"),
    ],
)
def test_a_parameter_that_cannot_be_an_argument_is_refused(parameter, expected):
    with pytest.raises(ArgumentError) as caught:
        trace(with_parameter(**parameter))

    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("handler", "named"),
    [(lambda *urls: 0, "*urls"), (lambda **urls: 0, "**urls"), (lambda url, /: 0, "url")],
)
def test_arguments_have_names(handler, named):
    with pytest.raises(ArgumentError) as caught:
        trace(handler)

    assert str(caught.value).startswith(f"{named}: a handler's parameters are the pipeline's arguments")


def test_name_and_description_are_the_handlers_unless_they_are_given():
    def handler():
        """Train on what was downloaded.

        Every day.
        """
        write_a_step()

    assert trace(handler).name == "handler"
    assert trace(handler).description == "Train on what was downloaded.\n\nEvery day."
    assert trace(handler, name="n", description="d").name == "n"
    assert trace(handler, name="n", description="d").description == "d"


def test_a_handler_without_steps_is_refused():
    def handler():
        pipeline_context()

    with pytest.raises(StepError, match=r"handler 'handler' writes no step: call pc\.step\(\)"):
        trace(handler)


def test_a_handler_with_two_contexts_is_refused():
    def handler():
        write_a_step()
        write_a_step()

    with pytest.raises(StepError, match="handler 'handler' writes steps in 2 contexts: use one"):
        trace(handler)


def test_a_second_context_without_steps_does_no_harm():
    def handler():
        pipeline_context()
        write_a_step()

    assert len(trace(handler).steps) == 1


def outputs(result):
    """Return the outputs of a handler that returns what ``result`` makes of its step."""
    return trace(lambda: result(write_a_step())).outputs


class Pair(NamedTuple):
    """Two outputs by name."""

    first: StepOutput
    second: StepOutput


def test_what_a_handler_returns_are_the_pipelines_outputs():
    assert outputs(lambda step: None) == {}
    assert outputs(lambda step: step.outputs["x"])["Output"].key == "x"
    assert outputs(lambda step: {"best": step.outputs["y"]})["best"].key == "y"
    assert {
        name: output.key for name, output in outputs(lambda step: Pair(*step.outputs.values())).items()
    } == {
        "first": "x",
        "second": "y",
    }


def test_a_handler_may_return_its_context():
    def handler():
        with pipeline_context() as pc:
            pc.step(name="a", function="f")
        return pc

    assert trace(handler).outputs == {}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda step: step, "return: the handler returns Step("),
        (lambda step: 5, "return: the handler returns 5. Allowed: a step's output, a mapping"),
        (lambda step: {"a": 5}, "return['a']: 5 is not an output of a step of this pipeline"),
        (lambda step: {"a b": step.outputs["x"]}, "return: 'a b' cannot be the name of a pipeline's output"),
        (
            lambda step: {"a": write_elsewhere.outputs["x"]},
            "return['a']: step 'a', output 'x' is not an output",
        ),
    ],
)
def test_what_cannot_be_an_output_is_refused(result, expected):
    with pytest.raises(StepError) as caught:
        outputs(result)

    assert expected in str(caught.value)


write_elsewhere = write_a_step()


def test_a_failing_handler_leaves_nothing_behind():
    def fails():
        pipeline_context()
        raise KeyError("own")

    with pytest.raises(KeyError):
        trace(fails)
    with pytest.raises(StepError, match="writes no step"):
        trace(lambda: None)
