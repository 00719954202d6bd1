"""Functions and settings that leave a process: what comes back is the same, or an error says what cannot."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import BaseModel, ConfigDict

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import Input, Model, Output, pipeline_context
from airflow_kfp_runtime.dsl.references import PipelineArgument
from airflow_kfp_runtime.errors import FunctionError, SettingError
from airflow_kfp_runtime.project import Function, TaskSettings, new_function
from airflow_kfp_runtime.project.portable import (
    function_as_data,
    function_from_data,
    settings_as_data,
    settings_from_data,
)
from airflow_kfp_runtime.runtimes.component import FunctionKind
from tests.settings_strategies import ARGUMENTS, task_settings


def travelled(function):
    """Return what arrives of a function, by way of a text."""
    return function_from_data(json.loads(json.dumps(function_as_data(function))))


def train(previous: Input[Model], model: Output[Model], epochs: int = 3) -> float:
    """Train."""
    import math

    Path = math.floor  # noqa: N806
    return float(Path(epochs))


@settings(max_examples=150, deadline=None)
@given(task_settings())
def test_settings_come_back_equal_with_their_run_time_values(one):
    written = settings_as_data(one, encode=lambda argument: argument.name)
    by_name = {argument.name: argument for argument in ARGUMENTS}

    assert settings_from_data(json.loads(json.dumps(written)), decode=by_name.__getitem__) == one


def test_what_kfp_cannot_express_travels_too():
    one = TaskSettings.read({"runtime_class": "nvidia", "node_selector": {"reference": "a"}})

    assert one.inexpressible
    assert settings_from_data(settings_as_data(one)) == one
    assert settings_as_data(None) is None
    assert settings_from_data(None) is None


@pytest.mark.parametrize(
    ("kind", "specification"),
    [
        ("container", {"image": "alpine", "command": ["cat", {"inputValue": "x"}], "env": {"A": "b"}}),
        ("container", {"image": "alpine", "command": "true", "outputs": {"n": "int"}, "settings": {}}),
        ("python", {"handler": "f", "code": "def f(): 0", "requirements": ["pandas>=2"]}),
        ("python", {"handler": "f", "source": Path("a/train.py"), "python_version": "3.11"}),
        ("python", {"source": {"base64": "ZGVmIGYoKTogMA==", "handler": "f"}}),
        (
            "container",
            {"image": "i", "command": ["x"], "settings": {"resources": {"cpu": "2"}, "timeout": 60}},
        ),
        (
            "container",
            {
                "image": "i",
                "command": ["x"],
                "description": "d",
                "labels": ["a"],
                "embedded": False,
                "uuid": "2a5c9a4e91d54f7c9a340c7a4a1f2b3c",
            },
        ),
    ],
)
def test_a_function_comes_back_equal(kind, specification):
    function = new_function("f", kind=kind, **specification)

    assert travelled(function) == function


def test_a_callable_travels_as_its_text_and_compiles_to_the_same():
    function = new_function("t", handler=train, image="trainer:1", requirements=["numpy"])

    start = new_function(
        "s", kind="container", image="i", command=["x", "$(outputs.m)"], outputs={"m": "Model"}
    )

    def compiled(chosen):
        def handler():
            with pipeline_context() as pc:
                first = pc.step("a", function=start, outputs={"m": "m"})
                pc.step("b", function=chosen, inputs={"previous": first.outputs["m"]}, outputs={"model": "m"})

        return compile_handler(handler).to_yaml()

    assert compiled(travelled(function)) == compiled(function)
    assert travelled(function).specification.handler == "train"
    assert "trainer:1" in compiled(function)


def test_a_nested_function_travels_without_what_is_around_it():
    def nested(n: int) -> int:
        text = """
    kept as it is"""
        return n + len(text)

    arrived = travelled(new_function("n", handler=nested))
    again = travelled(arrived)

    assert again == arrived
    assert '"""\n    kept as it is"""' in again.specification.code


class _Odd(BaseModel):
    model_config = ConfigDict(extra="forbid")

    values: dict[str, Any] = {}
    hook: Callable[..., Any] | None = None


_ODD = FunctionKind("odd", _Odd, ("job",), lambda request: None)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            Function("o", _ODD, _Odd(hook=print)),
            "function 'o', hook: a builtin_function_or_method cannot leave the process of the handler",
        ),
        (Function("o", _ODD, _Odd(values={"a": object()})), "function 'o', values: a dict cannot leave"),
        (Function("o", _ODD, _Odd(values={"a": float("nan")})), "function 'o', values: a dict cannot leave"),
        (new_function("f", handler=lambda: 0), "function 'f', handler: '<lambda>' is not written with def"),
    ],
)
def test_what_cannot_travel_is_refused_by_name(function, expected):
    with pytest.raises(FunctionError) as caught:
        function_as_data(function)

    assert str(caught.value).startswith(expected)


def test_a_kind_that_this_process_does_not_have_is_refused():
    data = function_as_data(Function("o", _ODD, _Odd()))

    with pytest.raises(FunctionError, match=r"'odd' is not a kind of function. Allowed: "):
        function_from_data(data)


def test_run_time_values_and_broken_settings_are_refused():
    late = TaskSettings.read({"resources": {"cpu": PipelineArgument("cpu")}})

    with pytest.raises(SettingError, match="argument 'cpu' is known only while one pipeline runs"):
        settings_as_data(late)
    with pytest.raises(SettingError, match="timeout: 0 is less than 1"):
        settings_from_data({"timeout": 0})
