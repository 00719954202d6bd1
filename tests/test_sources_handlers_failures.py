"""Handlers that fail, each in its way: one error with the user's own lines, and no process left."""

import re

import pytest

from airflow_kfp_runtime import errors
from airflow_kfp_runtime.errors import ArgumentError, FunctionError, SettingError, SourceError, StepError
from airflow_kfp_runtime.sources.handlers import process, write_pipeline
from airflow_kfp_runtime.sources.limits import Limits
from airflow_kfp_runtime.sources.scheme import Fetched

DSL = "from airflow_kfp_runtime.dsl import pipeline_context\n"
STEPS = DSL + "def handler(a: str = ''):\n    with pipeline_context() as pc:\n"


def refused(source, handler="handler", **limits):
    with pytest.raises(errors.DefinitionError) as caught:
        write_pipeline(source, handler, name="n", limits=Limits(**limits), place="workflow 'w'")
    return caught.value


def tree(folder, files, file=None):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return Fetched(folder, file, "1")


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        (
            "def handler(:\n    pass\n",
            SourceError,
            'SyntaxError: invalid syntax\n  File "<code>", line 1\n    def handler(:\n',
        ),
        (
            "raise KeyError('own')",
            SourceError,
            "KeyError: 'own'\n  File \"<code>\", line 1, in <module>\n    raise KeyError('own')",
        ),
        (
            "import no_such_module",
            SourceError,
            (
                "ModuleNotFoundError: No module named 'no_such_module'\n"
                '  File "<code>", line 1, in <module>\n'
                "    import no_such_module\n"
                "neither the source nor this Python has 'no_such_module': put it beside the handler, "
            ),
        ),
        (
            STEPS + "        return {}['mistake']",
            SourceError,
            "KeyError: 'mistake'\n  File \"<code>\", line 4, in handler\n    return {}['mistake']",
        ),
        (
            STEPS + "        import json\n        json.loads('x')",
            SourceError,
            (
                "JSONDecodeError: Expecting value: line 1 column 1 (char 0)\n"
                "  File \"<code>\", line 5, in handler\n    json.loads('x')"
            ),
        ),
        (
            (
                "def handler():\n    try:\n        1 / 0\n    except ZeroDivisionError as error:\n"
                "        raise RuntimeError('wrapped') from error"
            ),
            SourceError,
            (
                'RuntimeError: wrapped\n  File "<code>", line 5, in handler\n'
                "    raise RuntimeError('wrapped') from error\n"
                "caused by ZeroDivisionError: division by zero\n"
                '  File "<code>", line 3, in handler\n    1 / 0\n'
                "a handler writes steps in a pipeline_context()"
            ),
        ),
        (
            "def handler():\n    raise SystemExit(3)",
            SourceError,
            'SystemExit: 3\n  File "<code>", line 2, in handler\n    raise SystemExit(3)',
        ),
        (
            "def handler():\n    raise KeyboardInterrupt",
            SourceError,
            'KeyboardInterrupt\n  File "<code>", line 2, in handler',
        ),
        (
            "def handler(): return handler()",
            SourceError,
            "RecursionError: maximum recursion depth exceeded\n",
        ),
        (
            "import os\nprint('bye')\nos._exit(4)",
            SourceError,
            "ended with status 4 before it had written its steps\nThe end of what it printed:\nbye",
        ),
        (
            "import os, signal\ndef handler():\n    os.kill(os.getpid(), signal.SIGSEGV)",
            SourceError,
            (
                "its process was ended by SIGSEGV before it had written its steps\n"
                '  File "<code>", line 3, in handler'
            ),
        ),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
            SourceError,
            "its process was ended by SIGKILL before it had written its steps",
        ),
        (
            "import os\nos.closerange(3, 99)\nos._exit(0)",
            SourceError,
            "its process ended with status 0 before it had written its steps",
        ),
        ("x = bytearray(2**40)", SourceError, 'MemoryError\n  File "<code>", line 1, in <module>\n    x = '),
        ("x = bytearray(2**40)", SourceError, "\nits process may take 2147483648 bytes"),
        (
            STEPS + "        pc.step(name='s', function='f', inputs={'a': object()})",
            StepError,
            "step 's', inputs['a']: ",
        ),
        (
            STEPS + "        pc.step(name='s', function='f', inputs={'a': 'x' * 40_000_000})",
            SourceError,
            f"writes a pipeline of more than {process.LARGEST_ANSWER} bytes; give large values to a step",
        ),
        (
            STEPS + "        pc.step(name='s', function='f', inptus={'a': a})",
            StepError,
            "step 's', inptus: 'inptus' is not a parameter of a step (<code>:4). Allowed: inputs",
        ),
        (
            STEPS + "        pc.step(name='s', function='f', timeout=0)",
            SettingError,
            "step 's', timeout: 0 is less than 1 (<code>:4)",
        ),
        (
            "from airflow_kfp_runtime.project import Project\nProject('p').new_function('f', kind='odd')",
            FunctionError,
            "kind: 'odd' is not a kind of function (<code>:2). Allowed: ",
        ),
        (
            "def handler(*all): 0",
            ArgumentError,
            "*all: a handler's parameters are the pipeline's arguments: each needs a name of its own (",
        ),
        (
            "\ndef handler(): 0",
            StepError,
            "writes no step: call pc.step() in a pipeline_context() (<code>:2)",
        ),
        (
            "def handler(a: int, b: int): return a > 5 if a else b",
            StepError,
            "a handler writes steps in a pipeline_context() (<code>:1)",
        ),
        (
            "def handler(path): return open(path)",
            SourceError,
            (
                "TypeError: expected str, bytes or os.PathLike object, not PipelineArgument\n"
                '  File "<code>", line 1, in handler\n    def handler(path): return open(path)\n'
                "a handler writes steps in a pipeline_context()"
            ),
        ),
        (
            "error = ValueError('first\\nsecond')\nraise error",
            SourceError,
            'ValueError: first\nsecond\n  File "<code>", line 2, in <module>\n    raise error',
        ),
        ("def hanlder(): 0\nx = 1", SourceError, "<code> has no function 'handler'. Allowed: hanlder"),
        (
            "def hanlder(): 0\n" + "".join(f"def part{n}(): 0\n" for n in range(30)),
            SourceError,
            "has no function 'handler'. Allowed: hanlder",
        ),
        ("from os.path import join\nhandler = 5", SourceError, "Allowed: none: it defines none"),
        ("x = '\ud800'", SourceError, "SyntaxError: (unicode error) 'utf-8' codec can't decode"),
    ],
)
def test_a_failure_is_one_error_with_the_users_lines(code, kind, expected):
    error = refused(code)

    assert type(error) is kind
    assert expected in str(error)
    assert "airflow_kfp_runtime/" not in str(error)
    if error.step is None:
        assert str(error).startswith("workflow 'w', handler 'handler'")


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (
            "import time\ndef inner():\n    time.sleep(60)\ndef handler():\n    inner()",
            ["line 5, in handler", "line 3, in inner"],
        ),
        ("def handler():\n    while True: pass", ["line 2, in handler"]),
        ("def handler():\n    while True: print('x' * 1000)", ["line 2, in handler"]),
        ("import os, time\nos.closerange(3, 99)\ntime.sleep(60)", []),
    ],
)
def test_a_handler_that_does_not_end_is_ended(code, line):
    message = str(refused(code, handler_timeout=0.7))

    assert "has not written its steps within 0.7 seconds" in message
    assert re.findall(r'^  File "<code>", (.*)$', message, re.MULTILINE) == line
    assert len(message) < 10_000


def test_only_the_users_own_files_are_shown_by_their_relative_names(tmp_path):
    source = tree(
        tmp_path,
        {
            "pipelines/etl.py": DSL
            + "from pipelines.steps import write\ndef handler():\n    with pipeline_context() as pc:\n"
            + "        write(pc)\n",
            "pipelines/steps.py": "def write(pc):\n    pc.step(name='s', function='f').after(5)\n",
            "broken.py": "import pipelines.broken_too",
            "pipelines/broken_too.py": "x = (\n",
        },
    )

    assert "after: 5 is not a step (pipelines/steps.py:2)" in str(refused(source, "pipelines.etl:handler"))
    assert (
        "SyntaxError: '(' was never closed\n"
        '  File "pipelines/broken_too.py", line 1\n    x = (\n        ^\n'
        '  File "broken.py", line 1, in <module>\n    import pipelines.broken_too'
    ) in str(refused(source, "broken:handler"))


def test_a_long_failure_is_cut():
    message = str(refused("def f(n):\n    return f(n - 1) if n else 1 / 0\ndef handler():\n    f(100)\n"))
    long_text = str(refused("raise ValueError('x' * 100_000)"))

    assert message.count("in f") == 11
    assert "  ... 90 further calls ..." in message
    assert len(long_text) < 7000


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (
            "handler",
            (
                "does not say its module, and the source has 2 Python files at its top. "
                "Allowed: b:handler, inner.c:handler"
            ),
        ),
        ("c:handler", "the source has no module 'c' (c.py). Allowed: b:handler, inner.c:handler"),
        ("inner.d.handler", "the source has no module 'inner.d' (inner/d.py). Allowed: b:handler"),
        ("c:nothing", "module 'c' (c.py); none defines 'nothing'. Allowed: a, b, inner.broken, inner.c"),
        ("a:handler", "a.py has no function 'handler'. Allowed: other"),
        ("inner:handler", "the source has no module 'inner' (inner.py)"),
        (
            "../a:handler",
            "'../a:handler' is not the name of a function. Allowed: function, module:function, ",
        ),
        ("a.py", "a.py has no function 'py'. Allowed: other"),
        ("", "'' is not the name of a function"),
        ("a:b:handler", "'a:b:handler' is not the name of a function"),
        ("eval('1')", "\"eval('1')\" is not the name of a function"),
    ],
)
def test_a_handler_that_is_not_there_names_those_that_are(tmp_path, handler, expected):
    source = tree(
        tmp_path,
        {
            "a.py": "raised = 1\ndef other(): 0\n",
            "b.py": "def handler(): 0\nraise ValueError('not imported')",
            "inner/c.py": "async def handler(): 0",
            "inner/broken.py": "def handler(",
            ".hidden/d.py": "def handler(): 0",
        },
    )

    assert expected in str(refused(source, handler))


def test_a_module_elsewhere_in_the_source_is_named_as_it_is_imported(tmp_path):
    source = tree(tmp_path, {"flows/etl.py": "import settings\n", "flows/settings.py": ""})

    problem = str(refused(source, "flows.etl:handler"))

    assert "ModuleNotFoundError: No module named 'settings'" in problem
    assert "\nthe source has it as 'flows.settings': import that, " in problem
    assert problem.endswith("or name the folder 'flows' as the source")


def test_the_one_file_of_a_source_is_the_only_module_but_for_its_siblings(tmp_path):
    source = tree(tmp_path, {"etl.py": "def handler(): 0", "other.py": "def handler(): {}['x']"}, "etl.py")

    assert "the source has no module 'third' (third.py). Allowed: etl:handler, other:handler" in str(
        refused(source, "third:handler")
    )
    assert "KeyError: 'x'\n  File \"other.py\", line 1" in str(refused(source, "other:handler"))


def test_a_source_without_python_says_so(tmp_path):
    assert "has no Python files at its top; none defines 'f'. Allowed: none: it has no Python file" in str(
        refused(tree(tmp_path, {"README.md": ""}), "f")
    )
    assert "FileNotFoundError" in str(refused(Fetched(tmp_path, "gone.py", "1"), "f"))


@pytest.mark.parametrize(
    "answer",
    [
        "[]",
        "not JSON",
        "[" * 100_000,
        '{"error": {}}',
        '{"error": {"class": "KeyError", "problem": "", "step": null, "field": null, "allowed": []}}',
        '{"error": {"class": "StepError", "problem": "", "step": null, "field": null, "allowed": 5}}',
        '{"projects": []}',
        '{"pipeline": {"steps": 5}, "projects": [{}]}',
    ],
)
def test_what_else_is_written_to_the_pipe_is_refused(answer):
    code = (
        "import os\n"
        "for number in range(3, 200):\n"
        "    try: os.write(number, ANSWER.encode())\n"
        "    except OSError: pass\n"
        "os.abort()\n"
    )

    assert "its process answers what is no pipeline (" in str(refused(f"ANSWER = {answer!r}\n{code}"))
