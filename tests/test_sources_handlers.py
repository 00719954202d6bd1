"""Handlers in processes of their own: what they may see, how they are found, and what comes back."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_kfp_runtime.dsl.references import MISSING, PipelineArgument
from airflow_kfp_runtime.sources.handlers import write_pipeline
from airflow_kfp_runtime.sources.limits import Limits
from airflow_kfp_runtime.sources.scheme import Fetched

#: One step that has what `found` is, for the tests to look at.
SHOW = """
from airflow_kfp_runtime.dsl import pipeline_context

def show(found):
    with pipeline_context() as pc:
        pc.step(name="show", function="f", inputs={"found": found})

"""


def written(source, handler="handler", **options):
    return write_pipeline(source, handler, **{"name": "shown", "limits": Limits(), **options})


def found(source, handler="handler", **options):
    """Return what a handler shows."""
    return written(source, handler, **options).pipeline.steps[0].inputs["found"]


def tree(folder, files, file=None):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return Fetched(folder, file, "1")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder in which everything temporary is made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_steps_arguments_and_outputs_come_back():
    code = """
from digitalhub_runtime_kfp.dsl import pipeline_context

def myhandler(url: str, epochs: int = 3, note=None):
    "Trains."
    with pipeline_context() as pc:
        step1 = pc.step(
            name="download", function="downloader", action="job", inputs={"url": url}, outputs={"d": "d"}
        )
        train = pc.step(name="train", function="train", inputs={"di": step1.outputs["d"]},
                        parameters={"epochs": epochs}, values=["accuracy"], timeout=60)
    return train.outputs["accuracy"]
"""
    pipeline = written(code, "myhandler").pipeline

    assert (pipeline.name, pipeline.description) == ("shown", "Trains.")
    assert [(one.name, one.default) for one in pipeline.arguments] == [
        ("url", MISSING),
        ("epochs", 3),
        ("note", None),
    ]
    download, train = pipeline.steps
    assert isinstance(download.inputs["url"], PipelineArgument)
    assert train.inputs["di"].step is download
    assert train.settings.timeout == 60
    assert pipeline.outputs["Output"].step is train


@pytest.mark.parametrize(
    ("module", "name"),
    [("digitalhub_runtime_kfp.dsl", "pipeline_context"), ("digitalhub_runtime_kfp", "dsl")],
)
def test_digitalhubs_dsl_is_there_in_the_handlers_process_alone(module, name):
    code = f"from {module} import {name} as it\n{SHOW}\ndef handler(): return show(it.__name__)"

    assert found(code) in {"pipeline_context", "airflow_kfp_runtime.dsl"}
    with pytest.raises(ModuleNotFoundError):
        __import__(module)


def test_neither_secrets_nor_airflow_reach_the_handler(monkeypatch):
    monkeypatch.setenv("GIT_TOKEN", "a-secret")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "a-secret")
    monkeypatch.setenv("AIRFLOW_HOME", "/opt/airflow")
    monkeypatch.setenv("PYTHONSTARTUP", "/a-secret")
    monkeypatch.setenv("LC_TIME", "C.UTF-8")
    monkeypatch.setenv("TZ", "Europe/Rome")
    code = SHOW + (
        "import os, sys\n"
        "def handler():\n"
        "    return show({'env': dict(os.environ), 'cwd': os.listdir(), 'arguments': sys.argv,\n"
        "                 'stdin': sys.stdin.read(), 'modules': sorted(sys.modules)})\n"
    )
    seen = found(code)

    assert "a-secret" not in json.dumps(seen)
    assert not [name for name in seen["env"] if name.startswith("AIRFLOW")]
    assert set(seen["env"]) <= {
        *("PATH", "LD_LIBRARY_PATH", "LANG", "LANGUAGE", "LC_TIME", "LC_ALL", "LC_CTYPE", "TZ"),
        *("HOME", "TMPDIR", "PYTHONPATH", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONUTF8"),
        "PYTHONDONTWRITEBYTECODE",
    }
    assert seen["env"]["TZ"] == "Europe/Rome"
    assert seen["env"]["HOME"] != os.environ["HOME"]
    assert (seen["cwd"], seen["stdin"]) == ([], "")
    assert [Path(argument).name for argument in seen["arguments"]] == ["workflow.py"]
    heavy = {"airflow", "pydantic", "httpx", "yaml", "git", "boto3", "kfp", "kubernetes"}
    assert not heavy & set(seen["modules"])


def test_what_this_process_can_import_the_handler_can(tmp_path, monkeypatch):
    tree(tmp_path, {"only_on_this_path.py": "N = 7"})
    monkeypatch.syspath_prepend(tmp_path)
    code = SHOW + "from only_on_this_path import N\nimport packaging\ndef handler(): return show(N)"

    assert found(code) == 7


FILES = {
    "pipelines/etl.py": SHOW
    + "from pipelines import shared\nfrom helpers import HELP\n"
    + "def handler(): return show([__name__, __file__, shared.N, HELP])",
    "pipelines/shared.py": "N = 1",
    "helpers.py": "HELP = 'help'",
    "package/__init__.py": "from .inner import handler",
    "package/inner.py": SHOW
    + "from . import beside\nCOUNT = []\n"
    + "def handler(): return show([__name__, beside.N, __package__])",
    "package/beside.py": "N = 2",
    "not-a-module.py": "",
}


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        ("pipelines.etl:handler", ["pipelines.etl", "pipelines/etl.py", 1, "help"]),
        ("pipelines.etl.handler", ["pipelines.etl", "pipelines/etl.py", 1, "help"]),
        ("package.inner:handler", ["package.inner", 2, "package"]),
        ("package:handler", ["package.inner", 2, "package"]),
    ],
)
def test_a_handler_is_found_in_a_tree_with_its_siblings(tmp_path, handler, expected):
    seen = found(tree(tmp_path, FILES), handler)

    assert [str(part).replace(f"{tmp_path}/", "") for part in seen] == list(map(str, expected))


@pytest.mark.parametrize("handler", ["handler", "etl:handler", "pipelines.etl:handler", "etl.handler"])
def test_the_one_file_of_a_source_needs_no_module(tmp_path, handler):
    files = {
        "pipelines/etl.py": SHOW + "from beside import N\ndef handler(): return show([__name__, N])",
        "pipelines/beside.py": "N = 5",
    }

    assert found(tree(tmp_path, files, "pipelines/etl.py"), handler) == ["etl", 5]


def test_a_file_in_a_package_may_import_relatively(tmp_path):
    files = {
        "flows/__init__.py": "",
        "flows/etl.py": SHOW + "from .beside import N\nimport beside as b\n"
        "def handler(): return show([__name__, N, b.N])",
        "flows/beside.py": "N = 6",
    }
    fetched = tree(tmp_path, files)

    assert found(Fetched(tmp_path / "flows", "etl.py", "1")) == ["flows.etl", 6, 6]
    assert found(Fetched(tmp_path / "flows", None, "1"), "etl:handler") == ["flows.etl", 6, 6]
    assert found(replace(fetched, file="flows/etl.py")) == ["flows.etl", 6, 6]


def test_a_module_may_have_the_name_of_one_of_pythons(tmp_path):
    files = {"types.py": SHOW + "import enum\ndef handler(): return show([__name__, __file__])"}

    assert found(tree(tmp_path, files)) == ["types", str(tmp_path / "types.py")]


def test_the_only_file_at_the_top_is_the_module(tmp_path):
    files = {"etl.py": SHOW + "def handler(): return show(__name__)", "inner/other.py": ""}

    assert found(tree(tmp_path, files)) == "etl"


def test_equal_names_in_two_trees_do_not_mix(tmp_path):
    trees = [
        tree(
            tmp_path / str(n),
            {"etl.py": SHOW + "import own\ndef handler(): return show(own.N)", "own.py": f"N = {n}"},
        )
        for n in (1, 2)
    ]

    assert [found(one, "etl:handler") for one in trees] == [1, 2]
    assert "etl" not in sys.modules


def test_a_source_may_hold_what_modules_hold(tmp_path):
    (tmp_path / "latin.py").write_bytes(
        ("# -*- coding: latin-1 -*-\n" + SHOW + "def handler(): return show('ä')").encode("latin-1")
    )
    code = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport inspect\n"
        f"{SHOW}\n"
        "@dataclass\nclass Options:\n    n: int = 3\n"
        "def handler(): return show([Options().n, inspect.getsource(Options)])"
    )

    assert found(Fetched(tmp_path, "latin.py", "1")) == "ä"
    assert found(code) == [3, "@dataclass\nclass Options:\n    n: int = 3\n"]


def test_the_same_source_gives_the_same_pipeline():
    code = SHOW + "def handler(): return show(list({str(n) for n in range(50)}))"

    assert found(code) == found(code)


def test_what_a_handler_prints_is_logged_and_bounded(caplog):
    code = SHOW + "def handler():\n    print('x' * 10**7 + 'the end')\n    return show(1)"
    with caplog.at_level(logging.INFO):
        assert found(code, place="workflow 'w'") == 1

    (record,) = caplog.records
    assert record.message.startswith("workflow 'w', handler 'handler' printed:\nxxx")
    assert record.message.endswith("the end")
    assert len(record.message) < 10_000


def test_nothing_is_left_behind(tmp_path, temporary):
    marker = tmp_path / "started"
    start = (
        "import os, subprocess, sys, tempfile, pathlib\n"
        "tempfile.mkdtemp()\npathlib.Path.home().joinpath('x').write_text('x')\n"
        "pathlib.Path('here').write_text('x')\n"
        "for own_session, environment in (False, None), (True, None), (True, {}):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],\n"
        "                             start_new_session=own_session, env=environment)\n"
        f"    open({str(marker)!r}, 'a').write(f'{{child.pid}}\\n')\n"
    )
    source = tree(tmp_path / "tree", {"etl.py": SHOW + start + "def handler(): return show(1)", "b.py": ""})

    before = time.monotonic()
    assert found(source, "etl:handler") == 1
    assert time.monotonic() - before < 30
    assert list(temporary.iterdir()) == []
    assert sorted(path.name for path in source.folder.rglob("*")) == ["b.py", "etl.py"]
    pids = marker.read_text().split()
    assert len(pids) == 3
    assert not [pid for pid in pids if _is_alive(pid)]


def _is_alive(pid):
    """Whether a process still runs: one that has ended may wait for its parent, as a zombie."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True)
    return listed.stdout.strip()[:1] not in {"", "Z"}


class StoppedError(Exception):
    """What Airflow raises in a task that is to stop."""


def test_a_task_that_is_stopped_leaves_nothing(tmp_path, temporary):
    marker = tmp_path / "started"
    code = (
        "import os, signal, time\n"
        f"open({str(marker)!r}, 'w').write(str(os.getpid()))\n"
        "os.kill(os.getppid(), signal.SIGUSR2)\n"
        "time.sleep(600)\n"
    )

    def stop(*_):
        raise StoppedError

    before = signal.signal(signal.SIGUSR2, stop)
    try:
        with pytest.raises(StoppedError):
            written(code)
    finally:
        signal.signal(signal.SIGUSR2, before)

    assert not _is_alive(marker.read_text())
    assert list(temporary.iterdir()) == []
