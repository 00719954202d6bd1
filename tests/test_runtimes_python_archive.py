"""Sources of several files, and large ones: packed while compiling, unpacked and imported in the pod."""

import os
import random
import re
import zipfile
from pathlib import Path

import pytest

from airflow_kfp_runtime.compiler import compile_steps
from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.runtimes.python.archive import files_of, packed
from airflow_kfp_runtime.runtimes.python.command import LARGEST_CONTAINER
from airflow_kfp_runtime.sources import Sources
from tests.python_steps import Step

#: A package whose function needs its siblings: absolutely, relatively, and as data.
TREE = {
    "etl/__init__.py": "",
    "etl/steps.py": (
        "from pathlib import Path\n"
        "from etl.factors import FACTOR\n"
        "from .words import shout\n"
        "import helpers\n"
        "\n"
        "def train(n: int) -> str:\n"
        "    text = (Path(__file__).parent / 'data' / 'text.txt').read_text(encoding='utf-8')\n"
        "    return shout(text) * n * FACTOR + helpers.END\n"
    ),
    "etl/factors.py": "FACTOR = 2\n",
    "etl/words.py": "def shout(text):\n    return text.strip().upper()\n",
    "etl/data/text.txt": "né\n",
    "helpers.py": "END = '.'\n",
}


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def zipped(path, files, prefix=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(prefix + name, content)
    return path


def oldest_python():
    installed = sorted(Path("~/.pyenv/versions").expanduser().glob("3.[89].*/bin/python3"))
    return str(installed[0]) if installed else "python3"


@pytest.fixture
def tree(tmp_path):
    return write(tmp_path / "tree", TREE)


@pytest.mark.parametrize("handler", ["etl.steps:train", "etl.steps.train"])
def test_a_folder_travels_whole_and_its_modules_find_one_another(tmp_path, tree, handler):
    step = Step(tmp_path, {"handler": handler, "source": str(tree)}, inputs={"n": 2})

    assert step.output()["parameterValues"] == {"Output": "NÉNÉNÉNÉ."}


def test_the_oldest_python_that_this_machine_has_imports_the_tree(tmp_path, tree):
    step = Step(tmp_path, {"handler": "etl.steps:train", "source": str(tree)}, inputs={"n": 1})

    assert step.output(python=oldest_python())["parameterValues"] == {"Output": "NÉNÉ."}


def test_an_archive_travels_as_its_files_and_a_folder_around_them_all_is_left_out(tmp_path):
    archive = zipped(tmp_path / "etl.zip", TREE, prefix="etl-1.2/")
    step = Step(tmp_path, {"handler": "etl.steps:train", "source": archive}, inputs={"n": 1})

    assert step.output()["parameterValues"] == {"Output": "NÉNÉ."}


def test_a_folder_that_is_a_package_itself_is_one_in_the_pod(tmp_path):
    files = {
        "__init__.py": "SIGN = '!'\n",
        "steps.py": (
            "from . import SIGN\nfrom flows.words import hello\ndef f() -> str:\n    return hello() + SIGN\n"
        ),
        "words.py": "def hello():\n    return 'hello'\n",
    }
    folder = write(tmp_path / "flows", files)

    step = Step(tmp_path, {"handler": "steps:f", "source": str(folder)})

    assert step.output()["parameterValues"] == {"Output": "hello!"}


def test_the_function_may_be_a_packages_own(tmp_path):
    folder = write(
        tmp_path / "src",
        {
            "etl/__init__.py": "from .words import hi\ndef f() -> str:\n    return hi\n",
            "etl/words.py": "hi = 'hi'\n",
        },
    )

    assert Step(tmp_path, {"handler": "etl:f", "source": str(folder)}).output()["parameterValues"] == {
        "Output": "hi"
    }


@pytest.mark.parametrize("name", ["types", "json", "tarfile"])
def test_a_module_may_have_the_name_of_one_of_pythons(tmp_path, name):
    code = "import json, types\ndef f() -> str:\n    return json.dumps(types.SimpleNamespace(a=1).a)\n"
    folder = write(tmp_path / "src", {f"{name}.py": code, "other.py": ""})

    step = Step(tmp_path, {"handler": f"{name}:f", "source": str(folder)})

    assert step.output()["parameterValues"] == {"Output": "1"}


def test_modules_of_a_tree_find_the_names_that_a_single_file_finds(tmp_path):
    code = (
        "from kfp import dsl\n"
        "import other\n"
        "class Pair(NamedTuple):\n    a: int\n    b: List[int]\n"
        "@dsl.component\n"
        "def f(model: Output[Model]) -> int:\n"
        "    model.framework = type(model).__name__\n"
        "    return Pair(1, [2]).a\n"
    )
    folder = write(tmp_path / "src", {"main.py": code, "other.py": "from kfp.dsl import Dataset\n"})

    written = Step(tmp_path, {"handler": "main:f", "source": str(folder)}).output()

    assert written["parameterValues"] == {"Output": 1}
    assert written["artifacts"]["model"]["artifacts"][0]["metadata"] == {"framework": "Model"}


def test_a_large_file_travels_compressed_and_runs(tmp_path):
    table = "".join(f"def row_{n}():\n    return {n} < {n + 1}\n\n\n" for n in range(8000))
    source = write(
        tmp_path / "src", {"large.py": table + "def f() -> int:\n    return row_7999() + len(__name__)\n"}
    )
    assert (source / "large.py").stat().st_size > 300_000

    step = Step(tmp_path, {"handler": "f", "source": str(source / "large.py")})

    assert all(len(part.encode()) < LARGEST_CONTAINER for part in step.component.implementation.args)
    assert step.output()["parameterValues"] == {"Output": 1 + len("large")}


def test_a_large_text_travels_compressed_and_finds_what_a_small_one_finds(tmp_path):
    code = (
        "# "
        + "x" * 200_000
        + "\ndef f(m: Output[Metrics]) -> str:\n    m.log_metric('a', 1)\n    return __name__\n"
    )

    written = Step(tmp_path, {"handler": "f", "code": code}).output()

    assert written["parameterValues"] == {"Output": "f"}


def test_an_exception_shows_files_and_lines_of_the_tree_and_nothing_else(tmp_path):
    files = {
        "etl/steps.py": "from etl.inner import divide\n\n\ndef f(n: int):\n    return divide(n)\n",
        "etl/inner.py": "def divide(n):\n    return n / 0  # here\n",
    }
    folder = write(tmp_path / "src", files)

    told = Step(tmp_path, {"handler": "etl.steps:f", "source": str(folder)}, inputs={"n": 1}).failure()

    first, *rest = told.splitlines()
    assert first == "Traceback (most recent call last):"
    assert [line.rpartition("/step_source/")[2] for line in rest if line.startswith("  File")] == [
        'etl/steps.py", line 5, in f',
        'etl/inner.py", line 2, in divide',
    ]
    assert "    return n / 0  # here" in rest


def test_a_module_that_cannot_be_imported_shows_its_own_lines(tmp_path):
    folder = write(tmp_path / "src", {"a.py": "import b\ndef f(): ...\n", "b.py": "import no_such_module\n"})

    told = Step(tmp_path, {"handler": "a:f", "source": str(folder)}).failure()

    assert told.splitlines()[1].endswith('/step_source/a.py", line 1, in <module>')
    assert "<frozen" not in told
    assert "<string>" not in told
    assert "Add 'no_such_module' to the function's requirements" in told


def test_what_is_no_code_of_the_function_stays_behind(tmp_path):
    kept = {"a.py": "", "pkg/tests/b.py": "", "pkg/data.csv": "1"}
    left = (
        ".git/config",
        ".venv/x.py",
        "__pycache__/a.pyc",
        "pkg/__pycache__/b.pyc",
        "pkg/c.pyc",
        "tests/test_a.py",
        "test/x.py",
        "docs/index.md",
        "etl.egg-info/PKG-INFO",
        "node_modules/x.js",
        "__MACOSX/a",
        ".env",
    )
    folder = write(tmp_path / "src", {**kept, **dict.fromkeys(left, "x")})

    assert list(files_of(folder, field="source")) == ["a.py", "pkg/data.csv", "pkg/tests/b.py"]
    assert "tests/test_a.py" in files_of(folder, field="source", file="tests/test_a.py")


def test_a_link_within_the_tree_travels_as_what_it_leads_to_and_one_out_of_it_is_refused(tmp_path):
    folder = write(tmp_path / "src", {"a.py": "A = 1\n"})
    (folder / "b.py").symlink_to("a.py")
    assert files_of(folder, field="source")["b.py"].read_text() == "A = 1\n"

    (tmp_path / "outside.py").write_text("")
    (folder / "c.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(SourceError, match=r"source: its link 'c\.py' leads out of its folder"):
        files_of(folder, field="source")


def test_what_would_be_missed_in_the_pod_is_refused(tmp_path):
    folder = write(tmp_path / "src", {"a.py": "", "venv/b.py": ""})
    with pytest.raises(
        SourceError, match=r"source: the function's file 'venv/b\.py' has a name that does not"
    ):
        files_of(folder, field="source", file="venv/b.py")

    (folder / "shared").symlink_to("venv")
    with pytest.raises(
        SourceError, match="source: its link 'shared' leads to a folder: put the folder itself"
    ):
        files_of(folder, field="source", file="a.py")


def test_the_same_files_give_the_same_archive_whenever_and_in_whatever_order_they_were_written(tmp_path):
    first = write(tmp_path / "first", TREE)
    second = write(tmp_path / "second", dict(reversed(TREE.items())))
    for place, _, names in os.walk(second):
        for name in names:
            os.utime(Path(place, name), (1, 1))
            Path(place, name).chmod(0o600)
    made = [
        Step(tmp_path, {"handler": "etl.steps:train", "source": str(folder)}, inputs={"n": 1})
        for folder in (first, second, zipped(tmp_path / "etl.zip", TREE))
    ]

    assert made[0].component == made[1].component == made[2].component
    assert packed({"a": b"1", "b": b"2"}) == packed({"b": b"2", "a": b"1"}) != packed({"a": b"1", "b": b"3"})


NOISE = random.Random(7).randbytes(150_000)


@pytest.mark.parametrize(
    ("files", "function", "message"),
    [
        ({"a.py": "def f(): ..."}, {"source": "gone"}, "there is no file or folder 'gone'"),
        ({"a.py": "def f(): ..."}, {"source": "."}, None),
        ({"a.py": "def f(): ...", "b.py": "def f(): ..."}, {}, "does not say its module"),
        ({"a.py": "def f(): ...", "b.py": ""}, {"handler": "c:f"}, "the source has no module 'c'"),
        ({"p/a.py": "def f(): ..."}, {"handler": "p.b:f"}, "no module 'p.b' (p/b.py). Allowed: p.a:f"),
        ({"a.py": "def g(): ..."}, {"handler": "a:f"}, "handler: 'f' is not a function in a.py. Allowed: g"),
        ({"a.py": "def f(:"}, {"handler": "a:f"}, "source: a.py is not valid Python"),
        ({"a.py": b"\xff\xfe"}, {"handler": "a:f"}, "'a.py' cannot be read"),
        ({"a.py": "def f(): ..."}, {"handler": "a b:f"}, "'a b:f' is not the name of a function"),
        ({"a.py": "def f(): ..."}, {"handler": "../a:f"}, "'../a:f' is not the name of a function"),
        ({"a.py": "def f(): ..."}, {"source": "a.txt"}, "there is no file or folder 'a.txt'"),
        ({"a.py": "def f(): ...", "a.txt": ""}, {"source": "a.txt"}, "is a file that is no source"),
        (
            {"a.py": "def f(): ...", "n.bin": NOISE},
            {"handler": "a:f"},
            "large even compressed, and KFP takes",
        ),
        (
            {"a.py": "def f(): ...", "n.bin": b"0" * 17_000_000},
            {"handler": "a:f"},
            "more than 16777216 bytes",
        ),
        ({"a.py": "async def f(): ..."}, {"handler": "a:f"}, "is written with async def"),
        ({"x.zip": b"no zip"}, {"source": "x.zip", "handler": "a:f"}, "cannot be read as zip"),
        ({"a.py": ""}, {"source": "nosuch://a/b"}, "'nosuch' is not the scheme of a source"),
        ({"a.py": ""}, {"source": "file:///a.py"}, "begins with 'file://'"),
    ],
)
def test_a_source_that_cannot_travel_is_refused_with_step_function_and_field(
    tmp_path, files, function, message
):
    folder = write(tmp_path / "src", files)
    asked = {"handler": "f", "source": ".", **function}

    def compiled():
        return Step(tmp_path, asked, sources=Sources(folders=(folder,)))

    if message is None:
        assert compiled().output() == {"parameterValues": {}, "artifacts": {}}
        return
    with pytest.raises((SourceError, ValueError)) as caught:
        compiled()
    assert message in str(caught.value)
    assert str(caught.value).startswith("step 'train', function 'trainer', ")


def test_steps_that_are_too_much_for_a_cluster_together_are_told(tmp_path):
    noise = {f"a{n}.py": f"def f(): ...\n# {random.Random(n).randbytes(40_000).hex()}\n" for n in range(16)}
    write(tmp_path, noise)
    project = Project("acme")
    steps = []
    for name in noise:
        project.new_function(name, kind="python", source=str(tmp_path / name), handler="f")
        steps.append({"name": name.removesuffix(".py"), "function": name})

    [warning] = compile_steps(steps, name="p", project=project).warnings

    assert re.match(r"the components of the pipeline have 1\d{6} bytes together; Kubernetes holds", warning)
    assert compile_steps(steps[:4], name="p", project=project).warnings == ()
