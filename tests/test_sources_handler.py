"""Handlers from texts and files: found, executed as ordinary modules, and every failure explained."""

import inspect
import sys

import pytest

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.handler import source_handler


def refused(handler, **source):
    with pytest.raises(SourceError) as caught:
        source_handler(handler, **source)
    return str(caught.value)


@pytest.mark.parametrize("name", ["handler", "pipeline:handler"])
def test_a_handler_is_found_in_a_text_or_a_file(tmp_path, name):
    (tmp_path / "pipeline.py").write_text("def handler(url): return url\n")

    assert source_handler(name, code="def handler(url): return url")("u") == "u"
    assert source_handler(name, path=str(tmp_path / "pipeline.py"))("u") == "u"
    assert source_handler(name, path="pipeline.py", folder=tmp_path)("u") == "u"


def test_a_text_wins_over_a_file():
    assert source_handler("f", code="def f(): return 1", path="missing.py")() == 1


def test_the_source_of_each_text_can_be_read_again():
    first = source_handler("f", code="def f():\n    return 1\n")
    second = source_handler("f", code="def f():\n    return 2\n")

    assert inspect.getsource(first) == "def f():\n    return 1\n"
    assert inspect.getsource(second) == "def f():\n    return 2\n"


def test_a_source_may_hold_what_modules_hold():
    code = (
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Options:\n"
        "    n: int = 3\n"
        "def handler(): return Options().n\n"
    )
    before = set(sys.modules)

    assert source_handler("handler", code=code)() == 3
    assert not {name for name in set(sys.modules) - before if name.startswith("workflow")}


def test_modules_beside_the_file_can_be_imported(tmp_path):
    (tmp_path / "beside_the_pipeline.py").write_text("N = 5\n")
    (tmp_path / "pipeline.py").write_text("from beside_the_pipeline import N\ndef handler(): return N\n")
    before = list(sys.path)

    assert source_handler("handler", path="pipeline.py", folder=tmp_path)() == 5
    assert sys.path == before


def test_a_file_is_read_in_the_encoding_that_it_declares(tmp_path):
    (tmp_path / "latin.py").write_bytes("# -*- coding: latin-1 -*-\ndef f(): return 'ä'\n".encode("latin-1"))
    (tmp_path / "utf8.py").write_text("def f(): return 'ä'\n", encoding="utf-8")

    assert source_handler("f", path="latin.py", folder=tmp_path)() == "ä"
    assert source_handler("f", path="utf8.py", folder=tmp_path)() == "ä"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({}, "source: there is none. Allowed: code, code_src"),
        (
            {"path": "https://x/f.py"},
            "code_src: 'https://x/f.py' is not a local file. Allowed: path/to/file.py",
        ),
        ({"path": "pipeline.txt"}, "code_src: 'pipeline.txt' is not a Python file"),
        ({"path": "missing.py"}, "code_src: there is no file "),
        ({"path": "broken.py"}, "cannot be read: "),
        ({"code": "def f(:"}, "the source fails: SyntaxError: "),
        ({"code": "raise KeyError('own')"}, "the source fails: KeyError: 'own'"),
        (
            {"code": "import no_such_module_here"},
            "ModuleNotFoundError: No module named 'no_such_module_here'",
        ),
        ({"code": "def g(): 0\ndef f2(): 0\nf = 5"}, "the source has no function 'f'. Allowed: f2, g"),
        ({"code": "from os.path import join"}, "has no function 'f'. Allowed: none: it defines no function"),
    ],
)
def test_a_failure_names_the_source_and_what_is_wrong(tmp_path, source, expected):
    (tmp_path / "broken.py").write_bytes(b"def f(): return '\xff'\n")

    assert expected in refused("f", folder=tmp_path, **source)


def test_the_users_error_is_the_cause():
    with pytest.raises(SourceError) as caught:
        source_handler("f", code="1 / 0")

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_source_that_fails_leaves_nothing_behind(tmp_path):
    (tmp_path / "pipeline.py").write_text("raise ValueError\n")
    path, modules = list(sys.path), set(sys.modules)

    refused("f", path="pipeline.py", folder=tmp_path)

    assert sys.path == path
    assert set(sys.modules) == modules
