"""Imports the function from the folder into which its source was put; travels first."""
# ruff: noqa: PTH102, PTH110, PTH118, PTH119, PTH120
# pathlib would double the time that the imports take.

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from typing import Any

#: What the executor gives to every source: a module of a tree finds the same names as one that travels alone.
PROVIDED = {name: value for name, value in globals().items() if not name.startswith("__")}


def new_folder(name: str) -> str:
    """Return an empty folder of that name for the source, which is the package's where the source is one."""
    folder = os.path.join(tempfile.mkdtemp(), name)
    os.mkdir(folder)
    return folder


def function_of(folder: str, file: str, function: str) -> Any:
    """Return a function of a module in a folder, from which it can import the others.

    :param file: the module's, relative to the folder, with ``/``.
    """
    path = os.path.join(folder, *file.split("/"))
    parts = file[: -len(".py")].split("/")
    paths = [folder]
    if os.path.exists(os.path.join(folder, "__init__.py")):
        parts.insert(0, os.path.basename(folder))
        paths.append(os.path.dirname(folder))
    if parts[-1] == "__init__":
        parts.pop()
    sys.path[:0] = paths
    sys.argv[:] = [path]
    if parts[:-1]:
        importlib.import_module(".".join(parts[:-1]))
    name = ".".join(parts)
    module = sys.modules.get(name)
    if module is None or getattr(module, "__file__", None) != path:
        # Never in place of a module that the standard library, say, has under this name.
        name = name if module is None and parts[-1].isidentifier() else "step_function"
        spec: Any = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        vars(module).update({**PROVIDED, **vars(module)})
        sys.modules[name] = module
        spec.loader.exec_module(module)
    found = getattr(module, function)
    return getattr(found, "python_func", found)
