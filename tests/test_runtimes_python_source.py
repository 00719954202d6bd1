"""Where a Python function's text comes from, and which functions cannot travel."""

import base64
import functools
import json
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_kfp_runtime.dsl.types import Dataset, Input
from airflow_kfp_runtime.errors import FunctionError, SourceError
from airflow_kfp_runtime.runtimes.python.command import LARGEST_CONTAINER, container
from airflow_kfp_runtime.runtimes.python.signature import read_signature
from airflow_kfp_runtime.runtimes.python.source import read_source
from airflow_kfp_runtime.runtimes.python.specification import PythonFunction
from airflow_kfp_runtime.runtimes.python.text import FunctionSource

CODE = "def train(n: int): ...\n"
LIMIT = 3


def specification(**fields):
    return PythonFunction.model_validate(fields)


def decorated(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


@decorated
def nested_names(di: Input[Dataset], n: int = -1) -> str:
    """Use every way to bind a name."""
    import os.path as where
    from json import dumps

    class Box:
        size: math = n

        def grow(self) -> Path:
            return self.size + len(__name__)

    def helper(rows):
        return [row for row in rows if (last := row)] + [last]

    try:
        total: Path = sum(x for x in helper([1]))
    except ValueError as error:
        total = str(error)
    return nested_names.__name__ + dumps([where.sep, total, Box().grow(), NamedTuple, dsl])  # noqa: F821


def uses_the_module():
    return [LIMIT, math.pi, (lambda: Path)()]


def takes_a_default_from_the_module(n: int = LIMIT): ...


def test_a_callable_without_its_decorators_travels_with_annotations_unevaluated():
    source = read_source(specification(handler=nested_names))

    assert source.text.startswith("from __future__ import annotations\n\ndef nested_names(di: Input[Dataset]")
    assert read_signature(source).arguments["n"].default == -1
    assert source.file == "<nested_names>"


def test_a_function_that_kfp_decorated_travels_as_the_function():
    class Component:
        python_func = staticmethod(nested_names)

        def __call__(self): ...

    assert read_source(specification(handler=Component())).function == "nested_names"


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (
            uses_the_module,
            "import a module inside the function, pass a value as an input, or give the whole module as",
        ),
        (takes_a_default_from_the_module, "uses 'LIMIT' from the module around it"),
        (lambda n: n, "'<lambda>' is not written with def, so it cannot travel"),
        (len, "is not a function that is written with def"),
        (functools.partial(uses_the_module), "is not a function that is written with def"),
        (eval("(lambda s: (exec('def made(): ...', s), s['made'])[1])({})"), "the source of 'made'"),
    ],
)
def test_a_callable_that_cannot_travel_is_refused(handler, message):
    with pytest.raises(FunctionError) as caught:
        read_source(specification(handler=handler))

    assert message in str(caught.value)


def test_a_closure_is_told_what_it_takes_from_around_it():
    threshold = LIMIT

    def inner(n: int) -> bool:
        return n > threshold

    with pytest.raises(
        FunctionError, match=r"uses 'threshold' from the function around it, .* pass a value as an input$"
    ):
        read_source(specification(handler=inner))


def test_a_nested_function_keeps_its_texts_as_they_are():
    def poem() -> str:
        """Return two lines.

        The second one is indented.
        """
        return """one
        two
"""

    source = read_source(specification(handler=poem))
    namespace = {}
    exec(source.text, namespace)

    assert namespace["poem"]() == poem() == "one\n        two\n"
    assert read_signature(source).function == "poem"


def test_a_function_may_be_defined_under_a_condition():
    text = "try:\n    import fast\nexcept ImportError:\n    if True:\n        def train(n: int): ...\n"

    assert FunctionSource(text, "train", "f.py").definition().name == "train"


def test_every_form_of_a_source_gives_the_same_text(tmp_path):
    file = tmp_path / "train.py"
    file.write_text(CODE)
    encoded = base64.b64encode(CODE.encode()).decode()

    forms = [
        {"handler": "train", "code": CODE},
        {"handler": "module:train", "base64": encoded},
        {"handler": "train:train", "source": file},
        {"handler": "train", "code_src": str(file)},
        {"source": {"source": str(file), "handler": "train", "lang": "python"}},
        {"source": {"code": CODE, "handler": "train"}},
        {"source": {"base64": encoded, "handler": "train"}},
    ]

    for form in forms:
        source = read_source(specification(**form))
        assert (source.text, source.function) == (CODE, "train")


def test_of_several_sources_the_first_of_code_base64_and_source_counts(tmp_path):
    encoded = base64.b64encode(b"def train(encoded): ...").decode()
    fields = {"handler": "train", "source": str(tmp_path / "no.py"), "base64": encoded}

    assert read_source(specification(**fields)).text == "def train(encoded): ..."
    assert read_source(specification(**fields, code=CODE)).text == CODE


def test_a_file_is_read_when_a_step_is_compiled_and_not_before(tmp_path):
    function = specification(handler="train", source=tmp_path / "later.py")

    with pytest.raises(SourceError, match=r"there is no file or folder .*later\.py"):
        read_source(function)

    (tmp_path / "later.py").write_text(CODE)
    assert read_source(function).file == "later.py"


def test_a_source_without_the_handler_names_the_functions_it_has():
    with pytest.raises(SourceError, match=r"'tain' is not a function in f\.py\. Allowed: train"):
        FunctionSource(CODE, "tain", "f.py").definition()


def test_a_source_that_is_not_python_is_told_with_its_line():
    with pytest.raises(SourceError, match=r"f\.py is not valid Python: .*line 2"):
        FunctionSource("\ndef f(:\n", "f", "f.py").definition()


def test_a_source_that_is_not_base64_is_told():
    with pytest.raises(SourceError, match="is not base64"):
        read_source(specification(handler="f", base64="???"))


def as_the_driver_gets_it(made):
    """The JSON of a container as KFP's server writes it, which its driver gets as one argument."""
    written = json.dumps(
        {"args": made.args, "command": made.command, "image": made.image},
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return written.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def test_a_text_that_kfps_driver_takes_as_an_argument_travels_and_one_byte_more_is_compressed():
    room = LARGEST_CONTAINER - len(
        as_the_driver_gets_it(container("p", [], FunctionSource("", "f", "f.py"), {}))
    )
    full = container("p", [], FunctionSource("#" * room, "f", "f.py"), {})
    over = container("p", [], FunctionSource("#" * (room + 1), "f", "f.py"), {})

    assert full.args[-1] == "#" * room
    assert len(over.args[-1]) < 5000
    done = subprocess.run(
        [sys.executable, "-c", "import sys; print(len(sys.argv[1]))", as_the_driver_gets_it(full)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == LARGEST_CONTAINER


def test_a_source_that_is_too_large_even_compressed_is_told_where_to_go():
    noise = base64.b64encode(random.Random(7).randbytes(120_000)).decode()

    with pytest.raises(
        SourceError, match=r"bytes large even compressed, .* put the code into an image .*'pod'"
    ):
        container("p", [], FunctionSource(f"noise = {noise!r}", "f", "f.py"), {})


@pytest.mark.parametrize(
    ("fields", "image"),
    [
        ({}, "python:3.12-slim"),
        ({"image": "mine:1"}, "mine:1"),
        ({"base_image": "mine:1"}, "mine:1"),
        ({"python_version": "PYTHON3_10"}, "python:3.10-slim"),
        ({"python_version": "3.11"}, "python:3.11-slim"),
        ({"python_version": "PYTHON3_10", "image": "mine:1"}, "mine:1"),
    ],
)
def test_the_image_is_the_one_that_is_named(fields, image):
    assert specification(handler="f", code=CODE, **fields).image == image


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"handler": "f"}, "handler 'f' needs one of code, base64 and source; there is none"),
        ({"handler": "f", "source": ""}, "is empty. Allowed: a path, an address such as git+https://"),
        ({"handler": len, "code": "x"}, "handler is a callable, so code is one source too many"),
        ({"code": "x"}, "handler"),
        ({"handler": "f", "source": "f.py", "fetch": "pod"}, "a pod cannot fetch 'f.py'. Allowed: http://"),
        ({"handler": "f", "source": "gist+x://1", "fetch": "pod"}, "a pod cannot fetch 'gist+x://1'"),
        ({"handler": "f", "code": "x", "fetch": "pod"}, "fetch='pod' needs an address as `source`"),
        ({"handler": len, "fetch": "pod"}, "fetch='pod' needs an address as `source`"),
        ({"handler": "f", "source": "https://h/f.py", "fetch": "task"}, "fetch"),
        ({"handler": "f", "source": {"sorce": "f.py"}}, "source['sorce'] is unknown. Allowed: source"),
        ({"handler": "f", "source": {"handler": "g", "code": "x"}}, "source['handler'] and handler differ"),
        ({"handler": "f", "code": "x", "image": "a", "base_image": "b"}, "base_image and image differ"),
        ({"handler": "f", "code": "x", "python_version": "2.7"}, "Allowed: 3.8 or later"),
        ({"handler": "f", "code": "x", "requirements": ["--pre"]}, "'--pre' is not a requirement"),
        ({"handler": "f", "code": "x", "requirements": ["pand as"]}, "'pand as' is not a requirement"),
        ({"handler": "f", "code": "x", "requirements": ["pandas=2"]}, "'pandas=2' is not a requirement"),
        ({"handler": "f", "code": "x", "requirements": [""]}, "'' is not a requirement"),
        ({"handler": "f", "code": "x", "requirments": ["six"]}, "requirments"),
    ],
)
def test_a_wrong_specification_is_refused(fields, message):
    with pytest.raises(ValidationError) as caught:
        specification(**fields)

    assert message in str(caught.value)


@given(st.text(alphabet=st.sampled_from("{}$ 'n\"\\u007b")) | st.text())
def test_any_text_travels_without_what_kfp_takes_for_a_placeholder(text):
    option, carried = container("python", [], FunctionSource(text, "f", "f.py"), {}).args[-2:]

    assert "{{" not in carried
    assert (json.loads(carried) if option == "--source-json" else carried) == text
