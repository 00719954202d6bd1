"""The packages of the embedded server import each other one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import airflow_kfp_runtime.embedded

ROOT = Path(airflow_kfp_runtime.embedded.__file__).parent
NAME = airflow_kfp_runtime.embedded.__name__


def imported(package):
    """The packages of the embedded server that the modules of one import."""
    found = set()
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{NAME}."):
                found.add(node.module.removeprefix(f"{NAME}.").partition(".")[0])
    return found - {package}


@pytest.mark.parametrize(
    ("package", "others"), [("api", {"engine", "state"}), ("engine", {"state"}), ("state", set())]
)
def test_a_package_imports_only_those_below_it(package, others):
    assert imported(package) == others
