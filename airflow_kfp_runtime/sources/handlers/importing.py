"""Imports the module that a handler is in, within the handler's process."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import SourceError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from airflow_kfp_runtime.sources.handlers.location import Location


@dataclass(frozen=True)
class ModulePlace:
    """How Python's import would find a module.

    :param folders: what has to be first on ``sys.path`` for its siblings.
    :param name: its whole name.
    """

    folders: tuple[Path, ...]
    name: str


def module_place(location: Location) -> ModulePlace:
    """Return how Python's import would find the module of a handler."""
    root, packages = _packages(location.beside)
    folders = [location.beside, location.folder, *([root] if packages else [])]
    inside = location.file.relative_to(location.beside).with_suffix("").parts
    name = ".".join([*packages, *(inside[:-1] if inside[-1] == "__init__" else inside)])
    return ModulePlace(tuple(dict.fromkeys(folders)), name or location.file.stem)


def imported(location: Location) -> ModuleType:
    """Import a module under the name that Python's import would give it.

    The folders from which its siblings come stand first on ``sys.path`` from then on. What the module raises
    comes through.
    """
    place = module_place(location)
    sys.path[:0] = [str(folder) for folder in place.folders]
    name = place.name
    package, _, own_name = name.rpartition(".")
    # A package may import the module by itself: it must not be there twice.
    parent = importlib.import_module(package) if package else None
    there = sys.modules.get(name)
    if there is not None and getattr(there, "__file__", None) == str(location.file):
        return there
    within = [str(location.file.parent)] if location.file.stem == "__init__" else None
    spec = importlib.util.spec_from_file_location(name, location.file, submodule_search_locations=within)
    if spec is None or spec.loader is None:
        raise SourceError(f"{location.file.name!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # One of Python's own may have the name, as `types` has: others go on using that.
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    if parent is not None:
        setattr(parent, own_name, module)
    return module


def function_of(module: ModuleType, name: str, shown: str) -> Callable[..., Any]:
    """Return a module's function.

    :param shown: what messages call the module's file.
    :raises SourceError: it has none of that name; the message lists its own, of many the closest.
    """
    function = getattr(module, name, None)
    if not callable(function):
        own = sorted(key for key, value in vars(module).items() if _is_own_function(value, module))
        raise SourceError(
            f"{shown} has no function {name!r}", allowed=nearest(name, own) or ["none: it defines none"]
        )
    return function  # type: ignore[no-any-return]


def _is_own_function(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _packages(folder: Path) -> tuple[Path, list[str]]:
    """Return the folder that holds the outermost package around a folder, and the packages down to there."""
    names: list[str] = []
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, names
