"""The text of modules of this package as it travels to a step's container."""

from __future__ import annotations

import ast
import json
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PACKAGE = __name__.partition(".")[0]


@cache
def travelling_text(*files: Path) -> str:
    """Return modules as one: without docstrings, comments and blank lines, indented by one.

    Each step carries it, and what holds it is limited (``python/command.py``). What the modules import from
    one another is left out, since they are one.
    """
    texts = [_shortened(file.read_text(encoding="utf-8")) for file in files]
    return "from __future__ import annotations\n" + "".join(texts)


def json_argument(value: object) -> str:
    """Return JSON as an argument of a container.

    KFP and Argo look there for placeholders (``{{$}}``, ``{{workflow.name}}``), so double opening braces,
    which only a text in it can hold, are escaped.
    """
    return json.dumps(value, ensure_ascii=False).replace("{{", "{\\u007b")


def _shortened(text: str) -> str:
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in ("__future__", _PACKAGE):
                left_out.update(_lines(node))
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() if ast.get_docstring(node):
                docstring, *rest = node.body
                if rest:
                    left_out.update(_lines(docstring))
    lines = [
        (len(line) - len(line.lstrip()), line.lstrip())
        for number, line in enumerate(text.splitlines(keepends=True), start=1)
        if number not in left_out
    ]
    return "".join(" " * (indent // 4) + line for indent, line in lines if line and not line.startswith("#"))


def _lines(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)
