"""The source text of a Python function, read without running it."""

from __future__ import annotations

import ast
import base64
import builtins
import inspect
import symtable
import textwrap
import typing
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.types import ARTIFACT_CLASSES
from airflow_kfp_runtime.errors import FunctionError, SourceError

if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airflow_kfp_runtime.runtimes.python.specification import PythonFunction

#: Linux takes at most 128 KiB in one argument of a program (``MAX_ARG_STRLEN``, its final NUL included),
#: and KFP hands the source to the step's container as one.
LARGEST_SOURCE = 128 * 1024 - 1

#: What the executor puts into the namespace of a source.
PROVIDED = frozenset(
    {*dir(builtins), *typing.__all__, *ARTIFACT_CLASSES, "Input", "Output", "InputPath", "OutputPath"}
    | {"dsl", "kfp", "airflow_kfp_runtime", "__file__"}
)

Definition: typing.TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class FunctionSource:
    """The text that travels to the step.

    :param text: a module that holds the function.
    :param function: the function's name in it.
    :param file: the name that tracebacks show.
    """

    text: str
    function: str
    file: str

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
        found = list(_definitions(self.module()))
        for node in reversed(found):
            if node.name == self.function:
                return node
        raise SourceError(
            f"{self.function!r} is not a function in {self.file}",
            field="handler",
            allowed=[node.name for node in found] or ["none: it defines no function"],
        )


def read_source(function: PythonFunction) -> FunctionSource:
    """Return the source of a function, reading its file where it is in one.

    :raises FunctionError: a callable has no text that could travel.
    :raises SourceError: the file cannot be read, is too large, or is not text.
    """
    if not isinstance(function.handler, str):
        return _callable_source(function.handler)
    name = function.handler.rpartition(":")[2].rpartition(".")[2]
    if function.source is not None:
        return FunctionSource(_file_text(function.source), name, function.source.name)
    if function.base64 is not None:
        return FunctionSource(_decoded(function.base64), name, f"<{name}>")
    return FunctionSource(textwrap.dedent(function.code or ""), name, f"<{name}>")


def _file_text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_SOURCE:
            raise too_large(str(path), path.stat().st_size)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{str(path)!r} (working directory {str(path.cwd())!r}) cannot be read: {error}", field="source"
        ) from error


def too_large(what: str, size: int) -> SourceError:
    """Return the error for a source that does not fit into an argument.

    :param size: bytes.
    """
    return SourceError(
        f"{what} has {size} bytes, and KFP hands over at most {LARGEST_SOURCE}; put the code into an image "
        "and keep here only the function that imports it",
        field="source",
    )


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8")
    except ValueError as error:
        raise SourceError(f"is not base64 of UTF-8 text: {error}", field="base64") from error


def _callable_source(handler: Callable[..., Any]) -> FunctionSource:
    # kfp's decorator leaves an object that keeps the function as ``python_func``.
    function = inspect.unwrap(getattr(handler, "python_func", handler))
    if not inspect.isfunction(function):
        raise _no_text(f"{function!r} is not a function that is written with def")
    return _function_source(function)


@lru_cache(maxsize=256)
def _function_source(function: types.FunctionType) -> FunctionSource:
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError) as error:
        raise _no_text(f"the source of {function.__name__!r} cannot be found") from error
    # A nested function keeps its indentation: without it, texts over several lines in it would change.
    block = "if True:\n" if text[0].isspace() else ""
    definition = (
        next(_definitions(ast.parse(block + text)), None) if function.__name__ != "<lambda>" else None
    )
    if definition is None:
        raise _no_text(f"{function.__name__!r} is not written with def")
    lines = (block + text).splitlines(keepends=True)[definition.lineno - 1 : definition.end_lineno]
    text = block + "".join(lines).rstrip("\n") + "\n"
    missing = sorted(_free_names(text))
    if missing:
        raise _stays_behind(definition.name, missing, function.__code__.co_freevars)
    # Annotations name what is imported around the function: they are read here and not evaluated there.
    future = "from __future__ import annotations\n\n"
    return FunctionSource(future + text, definition.name, f"<{definition.name}>")


def _definitions(block: ast.AST) -> Iterator[Definition]:
    """Yield the functions that a module defines, those within its ``if`` and ``try`` included."""
    for node in ast.iter_child_nodes(block):
        if isinstance(node, Definition):
            yield node
        elif isinstance(node, ast.stmt | ast.ExceptHandler) and not isinstance(node, ast.ClassDef):
            yield from _definitions(node)


def _stays_behind(name: str, missing: Sequence[str], enclosed: Sequence[str]) -> FunctionError:
    """Return the error for names from around a function, of which some are an enclosing function's."""
    local = [used for used in missing if used in enclosed]
    around = "function" if local else "module"
    advice = "import a module inside the function, pass a value as an input"
    if not local:
        advice += ", or give the whole module as `source`"
    return FunctionError(
        f"function {name!r} uses {', '.join(map(repr, local or missing))} from the {around} around it, which "
        f"does not travel to the step: {advice}",
        field="handler",
    )


def _no_text(problem: str) -> FunctionError:
    return FunctionError(
        f"{problem}, so it cannot travel to a step", field="handler", allowed=["a function written with def"]
    )


class _WithoutAnnotations(ast.NodeTransformer):
    """Leaves what a function evaluates when it is defined and called."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(arg=node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(value=None)
        self.generic_visit(node)
        return node


def _free_names(text: str) -> set[str]:
    """Return the names that a function takes from around it and that the executor does not provide."""
    evaluated = ast.unparse(_WithoutAnnotations().visit(ast.parse(text)))
    module = symtable.symtable(evaluated, "<function>", "exec")
    used: set[str] = set()
    assigned: set[str] = set()
    for table in _tables(module):
        for symbol in table.get_symbols():
            if table is module or symbol.is_global():
                (assigned if symbol.is_assigned() else used).add(symbol.get_name())
                if symbol.is_imported() or symbol.is_namespace():
                    assigned.add(symbol.get_name())
    return used - assigned - PROVIDED


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)
