"""The kind kfp: functions of the SDK, compiled in this process, in another interpreter, in an environment."""

import base64
import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.errors import DefinitionError, FunctionError, SourceError
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.runtimes.kfp import environment as kfp_environments
from airflow_kfp_runtime.runtimes.kfp.environment import kfp_environment
from airflow_kfp_runtime.sources import Sources
from airflow_kfp_runtime.sources.cache import Cache
from airflow_kfp_runtime.sources.limits import Limits
from tests import kfp_ir
from tests.environments import KFP_SDK, PROJECT, environment
from tests.http_server import HttpServer, stall

SOURCE = Path(__file__).with_name("kfp_sdk_source.py")
NAMES = ("add", "write", "written_twice")

#: What this package needs to compile, beside the SDK; Airflow is not among it.
ROOM = (*KFP_SDK, "pluggy", "pydantic>=2.7", "filelock", "packaging", "httpx", "PyYAML")

ARGUMENTS = {"add": {"a": 1}, "write": {"text": "t", "lines": 2}, "written_twice": {"text": "t"}}


@pytest.fixture(scope="module")
def python():
    return str(environment("kfp", KFP_SDK))


def compiled(name, function, *, sources=None, **step):
    project = Project("p")
    project.new_function("it", kind="kfp", **function)

    def handler():
        with pipeline_context() as pc:
            pc.step(**{"name": "run", "function": "it", "inputs": ARGUMENTS.get(name, {}), **step})

    return compile_handler(handler, project=project, sources=sources)


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_give_the_same_pipeline(python, name):
    package = compiled(name, {"handler": name, "source": str(SOURCE), "kfp_python": python})

    assert package.pipeline_spec == in_process()[name]
    kfp_ir.check(json.loads(json.dumps(package.pipeline_spec), parse_int=float))


def in_process(known={}):  # noqa: B006 - one process for all tests
    """Return what an environment with the SDK and this package compiles from the objects themselves."""
    if not known:
        done = subprocess.run(
            [str(environment("kfp-and-ring-2", ROOM)), str(Path(__file__).with_name("kfp_in_process.py"))],
            env={"PYTHONPATH": f"{PROJECT}:{SOURCE.parent}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        known.update(json.loads(done.stdout))
    return known


def test_a_component_is_a_container_with_the_settings_of_the_step(python):
    function = {"handler": "write", "source": str(SOURCE), "kfp_python": python}

    package = compiled("write", function, resources={"cpu": "1"}, outputs={"out": "table", "size": "n"})

    container = package.pipeline_spec["deploymentSpec"]["executors"]["exec-run"]["container"]
    assert container["resources"]["resourceCpuRequest"] == "1"
    assert container["args"][:2] == [
        "{{$.outputs.artifacts['table'].path}}",
        "{{$.outputs.parameters['n'].output_file}}",
    ]


def test_a_python_function_gets_the_names_of_the_step_and_else_its_command_stays(python):
    function = {"handler": "add", "source": str(SOURCE), "kfp_python": python}

    plain, renamed = compiled("add", function), compiled("add", function, values=["total"])

    commands = [
        package.pipeline_spec["deploymentSpec"]["executors"]["exec-run"]["container"]["command"]
        for package in (plain, renamed)
    ]
    changed = [after for before, after in zip(*commands, strict=True) if before != after]
    assert len(changed) == 1
    assert 'names = {"Output": "total"}' in changed[0]
    outputs = renamed.pipeline_spec["components"]["comp-run"]["outputDefinitions"]["parameters"]
    assert set(outputs) == {"total"}


TEXT = """
from kfp import dsl


@dsl.component(base_image="python:3.12")
def add(a: int) -> int:
    return a + 1
"""


@pytest.mark.parametrize(
    "function",
    [
        {"handler": "add", "code": TEXT},
        {"handler": "add", "base64": base64.b64encode(TEXT.encode()).decode()},
        {"handler": "add", "source": "flows/adding.py"},
        {"handler": "adding:add", "source": "flows/adding.py"},
        {"handler": "flows.adding:add", "source": "."},
        {"handler": "flows.adding.add", "code_src": "."},
        {"source": {"source": "flows/adding.py", "handler": "add", "lang": "python"}},
        {"source": {"code": TEXT, "handler": "add"}},
    ],
    ids=[
        *("code", "base64", "file", "module:function", "tree", "dotted", "DigitalHub's form"),
        "code in DigitalHub's form",
    ],
)
def test_it_comes_from_every_source(python, tmp_path, function):
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "adding.py").write_text(TEXT)

    package = compiled("add", {**function, "kfp_python": python}, sources=Sources((tmp_path,)))

    container = package.pipeline_spec["deploymentSpec"]["executors"]["exec-run"]["container"]
    assert container["image"] == "python:3.12"
    assert "return a + 1" in container["command"][-1]


def failing(body):
    return f"from kfp import dsl\n\n{body}"


#: A module's text, the handler, and what the error says.
FAILING = [
    (
        "import dsl_of_kfp\n",
        "add",
        "ModuleNotFoundError: No module named 'dsl_of_kfp'\n  File \"component.py\", line 1",
    ),
    ("raise SystemExit(3)\n", "add", "SystemExit: 3"),
    (
        failing("def add(a): pass\n"),
        "add",
        "'add' is nothing that kfp compiles: it is a function. Allowed: what @dsl",
    ),
    (failing("@dsl.component\ndef add(a: int): pass\n"), "sub", "the source has no 'sub'. Allowed: add"),
    (failing("x = 1\n"), "add", "the source has no 'add'. Allowed: none: it has no component"),
    (failing("@dsl.component\ndef add(a: int) -> object: pass\n"), "add", "TypeError"),
    (failing("@dsl.pipeline\ndef add(): pass\n"), "add", "ValueError: Task is missing from pipeline."),
    (
        "import os\nprint('so far')\nos._exit(7)\n",
        "add",
        "ended with status 7\nThe end of what it printed:\nso far",
    ),
    (failing("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"), "add", "ended with status -9"),
    ("while True: pass\n", "add", 'this takes more than 3 seconds\n  File "component.py", line 1'),
]


@pytest.mark.parametrize(
    ("text", "handler", "message"), FAILING, ids=[message[:30] for *_, message in FAILING]
)
def test_a_source_that_fails_is_refused_with_its_line(python, text, handler, message):
    sources = Sources(limits=Limits(handler_timeout=3.0 if "while" in text else 60.0))

    with pytest.raises(DefinitionError) as raised:
        compiled("add", {"handler": handler, "code": text, "kfp_python": python}, sources=sources)

    assert str(raised.value).startswith(
        f"step 'run', function 'it', handler: {handler!r} cannot be compiled: "
    )
    assert message in str(raised.value)


def test_the_process_gets_no_setting_of_airflow_and_no_secret(python, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    told = "import os\nraise ValueError(sorted(os.environ))\n"

    with pytest.raises(DefinitionError, match="PYTHONDONTWRITEBYTECODE") as raised:
        compiled("add", {"handler": "add", "code": told, "kfp_python": python})

    assert not any(name in str(raised.value) for name in ("AIRFLOW", "AWS", "PYTHONPATH"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            {"handler": "add", "code": TEXT, "kfp_python": "/nowhere/python"},
            "kfp_python: there is no interpreter",
        ),
        ({"handler": "add", "code": TEXT, "kfp_python": sys.executable}, "has no kfp: install it there"),
        (
            {"handler": "add", "code": TEXT},
            "handler: kfp is not installed beside this package. Allowed: the extra",
        ),
        (
            {"handler": len},
            "'len' is nothing that kfp compiles: it is a builtin_function_or_method; kfp is not",
        ),
        ({"handler": "gone:add", "source": "."}, "handler: the source has no module 'gone' (gone.py)"),
        ({"handler": "add", "source": "gone.py"}, "source: there is no file or folder 'gone.py'"),
        ({"handler": "add()", "code": TEXT}, "handler: 'add()' is not the name of a function"),
        ({"handler": "add", "base64": "?"}, "base64: is not base64"),
    ],
)
def test_what_cannot_be_compiled_is_refused(tmp_path, python, function, message):
    if "kfp_python" not in function and message.startswith(
        ("handler: the", "source", "handler: 'add()'", "base64")
    ):
        function = {**function, "kfp_python": python}

    with pytest.raises(DefinitionError) as raised:
        compiled("add", function, sources=Sources((tmp_path,)))

    assert "step 'run', function 'it', " in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ({}, "handler: is missing"),
        ({"handler": "add"}, "handler 'add' needs one of code, base64 and source; there is none"),
        ({"handler": len, "code": TEXT}, "handler is an object of this process, so that code has no meaning"),
        ({"handler": len, "kfp_python": "python"}, "so that kfp_python has no meaning"),
        (
            {"handler": "add", "code": TEXT, "kfp_python": "python", "kfp_requirements": ["kfp"]},
            "kfp_python and kfp_requirements are both given: give one of them",
        ),
        ({"handler": "add", "code": TEXT, "kfp_requirements": "kfp"}, "is a text, not a list"),
        ({"handler": "add", "code": TEXT, "kfp_requirements": []}, "kfp_requirements"),
        (
            {"handler": "add", "code": TEXT, "kfp_requirements": ["--index-url x"]},
            "is not a requirement such as",
        ),
        ({"handler": "add", "code": TEXT, "kfp_version": "2"}, "is not a field of this kind"),
        (
            {"source": {"source": "a.py", "handlr": "add"}},
            "is unknown. Allowed: source, handler, code, base64",
        ),
    ],
)
def test_a_wrong_function_is_refused_when_it_is_made(function, message):
    with pytest.raises(FunctionError, match=message):
        Project("p").new_function("it", kind="kfp", **function)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index of packages on this machine, with a kfp that is there alone."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    subprocess.run([sys.executable, "-c", WHEEL, str(wheels)], check=True)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return wheels


WHEEL = """
import sys, zipfile
name = "kfp-99.0"
with zipfile.ZipFile(f"{sys.argv[1]}/{name}-py3-none-any.whl", "w") as wheel:
    wheel.writestr("kfp/__init__.py", "name = 'stand-in'")
    wheel.writestr(f"{name}.dist-info/METADATA", "Metadata-Version: 2.1\\nName: kfp\\nVersion: 99.0\\n")
    tags = "Root-Is-Purelib: true\\nTag: py3-none-any\\n"
    wheel.writestr(f"{name}.dist-info/WHEEL", f"Wheel-Version: 1.0\\n{tags}")
    wheel.writestr(f"{name}.dist-info/RECORD", "")
"""


def test_an_environment_is_made_once_by_parallel_tasks(tmp_path, index, caplog):
    cache, found = Cache(tmp_path / "cache"), []
    caplog.set_level("INFO")

    def ask():
        with kfp_environment(["kfp==99.0"], cache) as python:
            found.append(python)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(found)) == 1
    assert len(found) == 3
    assert sum(text.startswith("Making the environment of kfp_requirements") for text in caplog.messages) == 1
    printed = subprocess.run([found[0], "-c", "import kfp; print(kfp.name)"], capture_output=True, text=True)
    assert printed.stdout == "stand-in\n"
    made = Path(found[0]).parent.parent.stat().st_ino
    with kfp_environment(["kfp==99.0"], cache) as again:
        assert Path(again).parent.parent.stat().st_ino == made


def test_what_pip_refuses_is_shown_and_nothing_is_kept(tmp_path, index):
    function = {"handler": "add", "code": TEXT, "kfp_requirements": ["kfp==98.0"]}
    sources = Sources(cache=Cache(tmp_path / "cache"))

    with pytest.raises(DefinitionError) as raised:
        compiled("add", function, sources=sources)

    assert str(raised.value).startswith(
        "step 'run', function 'it', kfp_requirements: pip failed (status 1):\n"
    )
    assert "No matching distribution found for kfp==98.0" in str(raised.value)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_pip_that_does_not_end_is_ended_with_all_that_it_started(tmp_path, monkeypatch):
    server = HttpServer(answers={"/simple/kfp/": stall})
    monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple"))
    # On a busy machine making the environment may take all of this, and then that is what is ended.
    monkeypatch.setattr(kfp_environments, "_TIMEOUT", 15.0)
    try:
        with (
            pytest.raises(
                SourceError, match=r"(pip|venv) has not ended within 15 seconds: name a Python that has kfp"
            ),
            kfp_environment(["kfp"], Cache(tmp_path / "cache")),
        ):
            pass
    finally:
        server.stop()
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert str(tmp_path).encode() not in b"".join(command_lines())


def command_lines():
    """Yield the command line of every process."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield file.read_bytes()


def test_a_real_environment_gives_the_same_pipeline(tmp_path, monkeypatch):
    # The packages are those of the tests' environment, so that nothing is downloaded twice.
    monkeypatch.setenv("PIP_CACHE_DIR", str(PROJECT / ".cache" / "pip"))
    function = {"handler": "written_twice", "source": str(SOURCE), "kfp_requirements": list(KFP_SDK)}

    package = compiled("written_twice", function, sources=Sources(cache=Cache(tmp_path / "cache")))

    assert package.pipeline_spec == in_process()["written_twice"]
