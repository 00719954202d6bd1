"""The text of a module that holds a step's function."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from airflow_kfp_runtime.errors import SourceError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class FunctionSource:
    """Where a step's function is written, and what brings it into the pod.

    :param text: the module that holds the function.
    :param function: the function's name in it.
    :param file: the name that tracebacks show.
    :param program: a module's text that gets the source in the pod and has the function; empty where the text
        itself travels.
    """

    text: str
    function: str
    file: str
    program: str = ""

    def module(self) -> ast.Module:
        """Return the parsed text.

        :raises SourceError: it is not Python.
        """
        try:
            return ast.parse(self.text, self.file)
        except (SyntaxError, ValueError) as error:
            raise SourceError(f"{self.file} is not valid Python: {error}", field="source") from error

    def definition(self) -> Definition:
        """Return the function's definition.

        :raises SourceError: the source has no such function.
        """
        found = {node.name: node for node in definitions(self.module())}
        if self.function in found:
            return found[self.function]
        raise SourceError(
            f"{self.function!r} is not a function in {self.file}",
            field="handler",
            allowed=nearest(self.function, found) or ["none: it defines no function"],
        )


def definitions(block: ast.AST) -> Iterator[Definition]:
    """Yield the functions that a module defines, those within its ``if`` and ``try`` included."""
    for node in ast.iter_child_nodes(block):
        if isinstance(node, Definition):
            yield node
        elif isinstance(node, ast.stmt | ast.ExceptHandler) and not isinstance(node, ast.ClassDef):
            yield from definitions(node)
