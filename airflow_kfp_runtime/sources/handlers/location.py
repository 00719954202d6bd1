"""Finds the file that a handler is in; nothing is imported for that."""

from __future__ import annotations

import ast
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a handler is written as.
SPELLINGS = ("function", "module:function", "dotted.path:function", "dotted.path.function")

#: How many files of a tree are looked through for a function.
_MOST_FILES = 2000


@dataclass(frozen=True)
class Source:
    """A folder with a user's modules.

    :param folder: holds them.
    :param file: the one that is meant, relative to it; ``None`` where the handler says it.
    :param label: what messages call ``file``, where it is no file of the user's.
    """

    folder: Path
    file: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Location:
    """Where a handler is.

    :param file: its module's file.
    :param beside: the folder from which the module's siblings are imported.
    :param folder: the source's folder, around that one or the same.
    :param function: its name in the module.
    """

    file: Path
    beside: Path
    folder: Path
    function: str


def locate(source: Source, handler: str) -> Location:
    """Return the file that a handler is in.

    :param handler: in one of :data:`SPELLINGS`.
    :raises SourceError: it is spelt wrong, or the source has no such module; the message lists what it has.
    """
    module, _, function = handler.rpartition(":" if ":" in handler else ".")
    if not all(part.isidentifier() for part in [*(module.split(".") if module else []), function]):
        raise SourceError(f"{handler!r} is not the name of a function", allowed=SPELLINGS)
    named = source.folder / source.file if source.file is not None else None
    if named is not None and (not module or source.label or module in _names_of(source)):
        return Location(named, named.parent, source.folder, function)
    if module:
        found = _in_tree(source.folder, module)
        problem = f"the source has no module {module!r} ({module.replace('.', '/')}.py)"
    else:
        files = sorted(source.folder.glob("*.py"))
        found = files[0] if len(files) == 1 else None
        problem = f"does not say its module, and the source has {len(files) or 'no'} Python files at its top"
    if found is None:
        raise _not_found(problem, source.folder, function)
    return Location(found, source.folder, source.folder, function)


def _names_of(source: Source) -> tuple[str, str]:
    """Return the names by which a handler may call the one file of a source."""
    file = Path(source.file or "").with_suffix("")
    return file.name, ".".join(file.parts)


def _in_tree(folder: Path, module: str) -> Path | None:
    path = folder.joinpath(*module.split("."))
    candidates = [path / "__init__.py", path.with_name(f"{path.name}.py")]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def modules_of(folder: Path) -> dict[str, Path]:
    """Return the files of the modules in a folder and its folders, by the names that they are imported by."""
    return dict(itertools.islice(_modules(folder), _MOST_FILES))


def _not_found(problem: str, folder: Path, function: str) -> SourceError:
    """Return the error that lists the modules that define a function, else those that there are."""
    modules = modules_of(folder)
    defining = [name for name, file in modules.items() if _defines(file, function)]
    if defining:
        return SourceError(problem, allowed=[f"{name}:{function}" for name in defining])
    return SourceError(
        f"{problem}; none defines {function!r}",
        allowed=list(modules) or ["none: it has no Python file"],
    )


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name.isidentifier() and name != "__pycache__")
        for name in sorted(files):
            file = Path(at, name)
            parts = file.relative_to(folder).with_suffix("").parts
            if file.suffix == ".py" and file.stem.isidentifier():
                module = parts[:-1] if parts[-1] == "__init__" else parts
                if module:
                    yield ".".join(module), file


def _defines(file: Path, function: str) -> bool:
    try:
        statements = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(
        isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) and statement.name == function
        for statement in statements
    )
