"""A step joined with its Python function: inputs, the names of outputs, and what does not fit."""

import pytest

from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import FunctionError, SourceError, StepError
from airflow_kfp_runtime.plugins import function_kind
from airflow_kfp_runtime.runtimes.component import ComponentRequest, InputDeclaration

ANY = ArtifactType()
DATASET = ArtifactType("system.Dataset")
MODEL = ArtifactType("system.Model")
STRING, INTEGER, DOUBLE = ParameterType.STRING, ParameterType.INTEGER, ParameterType.DOUBLE


def component(code, *, inputs=None, outputs=None, values=(), action="job", name="f"):
    kind = function_kind("python")
    specification = kind.specification.model_validate({"handler": name, "code": code})
    return kind.build(
        ComponentRequest("train", "trainer", specification, action, inputs or {}, outputs or {}, list(values))
    )


def test_an_argument_without_annotation_takes_what_is_connected():
    made = component("def f(a, b, c=3, d=4): ...", inputs={"a": DATASET, "b": None, "c": STRING})

    assert made.inputs == {
        "a": InputDeclaration(DATASET),
        "b": InputDeclaration(None),
        "c": InputDeclaration(STRING, optional=True),
    }


def test_an_annotated_argument_keeps_its_type_and_default_when_nothing_is_connected():
    made = component("def f(a: int, b: float = 2.5): ...", inputs={"a": None})

    assert made.inputs == {
        "a": InputDeclaration(INTEGER),
        "b": InputDeclaration(DOUBLE, optional=True, default=2.5),
    }


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        ("float", INTEGER),
        ("Input[Artifact]", MODEL),
        ("Input[Model]", ANY),
        ("Input[Model]", MODEL),
        ("str", None),
    ],
)
def test_what_fits_may_be_connected(declared, given):
    assert component(f"def f(a: {declared}): ...", inputs={"a": given}).inputs["a"].type is not None


@pytest.mark.parametrize(
    ("code", "names", "expected"),
    [
        ("-> int", {}, {"Output": INTEGER}),
        ("-> int", {"outputs": {"n": "count.all"}}, {"count_all": INTEGER}),
        ("-> int", {"values": ["n"]}, {"n": INTEGER}),
        ("-> dict", {"outputs": {"result": "result"}}, {"result": ParameterType.STRUCT}),
        ("-> tuple[int, str]", {"outputs": {"n": "count"}, "values": ["s"]}, {"count": INTEGER, "s": STRING}),
        (
            "-> NamedTuple('O', [('a', int), ('b', str)])",
            {"outputs": {"b": "text"}},
            {"a": INTEGER, "text": STRING},
        ),
        ("-> None", {}, {}),
        ("", {}, {}),
    ],
)
def test_returned_values_get_the_workflows_names(code, names, expected):
    assert component(f"def f() {code}: ...", **names).outputs == expected


def test_output_arguments_keep_their_names_unless_the_step_maps_them():
    code = "def f(di, model: Output[Model], report: Output[HTML]) -> float: ..."

    made = component(code, inputs={"di": DATASET}, outputs={"model": "best", "accuracy": "accuracy"})

    assert made.outputs == {"best": MODEL, "report": ArtifactType("system.HTML"), "accuracy": DOUBLE}


@pytest.mark.parametrize(
    ("code", "step", "message"),
    [
        (
            "def f(url: str): ...",
            {"inputs": {"ulr": STRING}},
            "step 'train', inputs['ulr']: 'ulr' is not an input of function 'f'. Allowed: url",
        ),
        (
            "def f(m: Output[Model]): ...",
            {"inputs": {"m": MODEL}},
            "inputs['m']: 'm' is not an input of function 'f'. Allowed: none: it has none",
        ),
        (
            "def f(url: str): ...",
            {},
            "inputs['url']: function 'trainer' needs this input and has no default for it",
        ),
        ("def f(url): ...", {}, "inputs['url']: function 'trainer' needs this input"),
        (
            "def f(di: str): ...",
            {"inputs": {"di": DATASET}},
            "but the function declares str; annotate the argument as `di: Input[Dataset]`",
        ),
        (
            "def f(di: Input[Dataset]): ...",
            {"inputs": {"di": STRING}},
            "what is connected is a str, but the function declares Input[Dataset]",
        ),
        (
            "def f(di: Input[Dataset]): ...",
            {"inputs": {"di": None}},
            "what is connected is a plain value, but",
        ),
        (
            "def f(m: Input[Model]): ...",
            {"inputs": {"m": DATASET}},
            "inputs['m']: what is connected is a Dataset. Allowed: Model",
        ),
        ("def f(n: int): ...", {"inputs": {"n": DOUBLE}}, "what is connected is a float. Allowed: int"),
        ("def f(n: int): ...", {"inputs": {"n": ParameterType.BOOLEAN}}, "what is connected is a bool"),
        (
            "def f(m: Output[Model]): ...",
            {"outputs": {"data": "data"}},
            "outputs['data']: 'data' is not an Output argument of function 'f' (those are: m), and what",
        ),
        ("def f(): ...", {"values": ["n"]}, "values['n']: 'n' is not an Output argument"),
        (
            "def f() -> None: ...",
            {"values": ["n"]},
            "'n' must come from what function 'f' returns, which is no values without names",
        ),
        ("def f() -> int: ...", {"values": ["n", "m"]}, "'n', 'm' must come from what function 'f' returns"),
        (
            "def f() -> tuple[int, str]: ...",
            {"values": ["x"]},
            "function 'f' returns, which is 2 values without names; give 2 names, one for each value;",
        ),
        ("def f() -> tuple[int, int]: ...", {}, "returns 2 values without names: name them"),
        (
            "def f() -> NamedTuple('O', a=int): ...",
            {"outputs": {"b": "b"}},
            "outputs['b']: 'b' is not an output of function 'f'. Allowed: a",
        ),
        ("def f() -> NamedTuple('O', a=int): ...", {"values": ["b"]}, "values['b']: 'b' is not an output"),
        (
            "def f(m: Output[Model]) -> int: ...",
            {"outputs": {"n": "m"}},
            "outputs['n']: 'm' is already the name of output 'm'",
        ),
        ("def f(m: Output[Model]): ...", {"values": ["m"]}, "'m' is an artifact; name it in outputs instead"),
    ],
)
def test_what_does_not_fit_is_refused_with_step_field_and_what_is_allowed(code, step, message):
    with pytest.raises(StepError) as caught:
        component(code, **step)

    assert message in str(caught.value)
    assert caught.value.step == "train"


@pytest.mark.parametrize(
    ("kind_of_error", "code", "message"),
    [
        (
            SourceError,
            "def g(): ...",
            "function 'trainer', handler: 'f' is not a function in <f>. Allowed: g",
        ),
        (SourceError, "def f(:", "function 'trainer', source: <f> is not valid Python"),
        (FunctionError, "def f(*a): ...", "function 'trainer', argument *a of 'f': a step names every value"),
    ],
)
def test_an_error_in_the_function_names_the_step_and_the_function(kind_of_error, code, message):
    with pytest.raises(kind_of_error) as caught:
        component(code)

    assert str(caught.value).startswith(f"step 'train', {message}")
