"""The text of a function that is given as a callable: it travels without the module around it."""

from __future__ import annotations

import ast
import builtins
import inspect
import symtable
import typing
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.types import ARTIFACT_CLASSES
from airflow_kfp_runtime.errors import FunctionError
from airflow_kfp_runtime.runtimes.python.text import FunctionSource, definitions

if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterator, Sequence

#: What the executor puts into the namespace of a source.
PROVIDED = frozenset(
    {*dir(builtins), *typing.__all__, *ARTIFACT_CLASSES, "Input", "Output", "InputPath", "OutputPath"}
    | {"dsl", "kfp", "airflow_kfp_runtime", "__file__"}
)


def callable_source(handler: Callable[..., Any]) -> FunctionSource:
    """Return the source of a function that was given itself.

    :raises FunctionError: it has no text, or needs what would stay behind.
    """
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
    definition = next(definitions(ast.parse(block + text)), None) if function.__name__ != "<lambda>" else None
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
