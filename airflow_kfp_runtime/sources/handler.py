"""Finds a handler in a source that is at hand: a text, or a file on this machine."""

from __future__ import annotations

import linecache
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def source_handler(
    handler: str, *, path: str | None = None, code: str | None = None, folder: Path | None = None
) -> Callable[..., Any]:
    """Execute a source as a module and return the function that it names.

    :param handler: the function's name; in ``module:function`` the module is the source itself.
    :param path: a local ``.py`` file; modules beside it can be imported while it is executed.
    :param code: the source as text; wins over ``path``.
    :param folder: where a relative ``path`` is; by default the current folder.
    :raises SourceError: the file is missing or no ``.py``, its code fails, or it has no such function.
    """
    file = None if code is not None else _file(path, folder)
    text = code or "" if file is None else file.read_text()
    origin = "<code>" if file is None else str(file)
    module = ModuleType("workflow" if file is None else file.stem)
    module.__file__ = origin
    name = handler.rpartition(":")[2]
    # inspect.getsource finds the functions of a text, too, by way of linecache.
    linecache.cache[origin] = (len(text), None, text.splitlines(keepends=True), origin)
    with _importable(file.parent if file else None):
        try:
            exec(compile(text, origin, "exec"), module.__dict__)  # noqa: S102
        except Exception as error:
            # The source is the user's: whatever it raises belongs in the message, with its cause.
            raise SourceError(f"the source fails: {type(error).__name__}: {error}", field=origin) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise SourceError(
            f"the source has no function {name!r}",
            field=origin,
            allowed=sorted(key for key, value in vars(module).items() if _is_own_function(value, module)),
        )
    return function  # type: ignore[no-any-return]


def _file(path: str | None, folder: Path | None) -> Path:
    if path is None:
        raise SourceError("there is none", field="source", allowed=["code", "code_src"])
    if "://" in path:
        raise SourceError(f"{path!r} is not a local file", field="code_src", allowed=["path/to/file.py"])
    file = (folder or Path()) / path
    if file.suffix != ".py":
        raise SourceError(f"{path!r} is not a Python file", field="code_src", allowed=["path/to/file.py"])
    if not file.is_file():
        raise SourceError(f"there is no file {str(file)!r}", field="code_src")
    return file.resolve()


@contextmanager
def _importable(folder: Path | None) -> Iterator[None]:
    if folder is None:
        yield
        return
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _is_own_function(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__
