"""The command line of a Python step: the executor and the function's source, both as text."""

from __future__ import annotations

import ast
import json
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.runtimes.component import Container
from airflow_kfp_runtime.runtimes.python.source import LARGEST_SOURCE, too_large

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_kfp_runtime.runtimes.python.source import FunctionSource


def container(
    image: str, requirements: Sequence[str], source: FunctionSource, interface: Mapping[str, Any]
) -> Container:
    """Return the container that calls the function.

    :raises SourceError: the source does not fit into an argument.
    """
    option, text = _as_argument(source.text)
    size = len(text.encode())
    if size > LARGEST_SOURCE:
        raise too_large(source.file, size)
    return Container(
        image=image,
        command=(*_installation(requirements), "python3", "-c", executor_text()),
        args=(
            *("--executor-input", "{{$}}"),
            *("--interface", _as_json(interface)),
            *("--file", source.file),
            *(option, text),
        ),
    )


@cache
def executor_text() -> str:
    """Return the executor as it travels: without docstrings, comments and blank lines, indented by one.

    Each step carries it, and the Kubernetes object that holds a whole pipeline is limited to 1.5 MB.
    """
    text = Path(__file__).with_name("executor.py").read_text(encoding="utf-8")
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) or not ast.get_docstring(node):
            continue
        docstring, *rest = node.body
        if rest:
            left_out.update(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    lines = [
        (len(line) - len(line.lstrip()), line.lstrip())
        for number, line in enumerate(text.splitlines(keepends=True), start=1)
        if number not in left_out
    ]
    return "".join(" " * (indent // 4) + line for indent, line in lines if line and not line.startswith("#"))


def _as_argument(text: str) -> tuple[str, str]:
    """Return the option that carries a source, and its value.

    KFP and Argo look for placeholders in arguments (``{{$}}``, ``{{workflow.name}}``), so a source with
    double braces, which f-strings and templates have, travels as JSON in which they are escaped.
    """
    return ("--source-json", _as_json(text)) if "{{" in text else ("--source", text)


def _as_json(value: object) -> str:
    """Return JSON without double opening braces, which only a string can hold."""
    return json.dumps(value, ensure_ascii=False).replace("{{", "{\\u007b")


def _installation(requirements: Sequence[str]) -> tuple[str, ...]:
    """Return what installs the requirements before the rest of the command."""
    if not requirements:
        return ()
    packages = shlex.join(requirements)
    advice = (
        f"Cannot install the function's requirements ({', '.join(requirements)}): see pip's message above. "
        "Where the cluster reaches no package index, give the function an image that has them."
    )
    pip = "python3 -m pip install --quiet --disable-pip-version-check --no-input"
    return ("sh", "-c", f'{pip} -- {packages} && exec "$0" "$@"\necho {shlex.quote(advice)} >&2\nexit 1\n')
