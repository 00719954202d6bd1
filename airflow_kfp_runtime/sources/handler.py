"""Finds a handler in a source that is at hand: a text, or a file on this machine."""

from __future__ import annotations

import hashlib
import linecache
import sys
import tokenize
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def source_handler(
    handler: str,
    *,
    path: str | None = None,
    code: str | None = None,
    folder: Path | None = None,
    field: str = "code_src",
) -> Callable[..., Any]:
    """Execute a source as a module and return the function that it names.

    :param handler: the function's name; in ``module:function`` the module is the source itself.
    :param path: a local ``.py`` file; modules beside it can be imported while it is executed.
    :param code: the source as text; wins over ``path``.
    :param folder: where a relative ``path`` is; by default the current folder.
    :param field: what the user calls ``path``, for errors.
    :raises SourceError: the file is missing or no ``.py``, its code fails, or it has no such function.
    """
    file = None if code is not None else _file(path, folder, field)
    text = _text(file) if file is not None else code or ""
    # Each text has an origin of its own: inspect.getsource finds its functions by that, through linecache.
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
    origin = f"<code {digest}>" if file is None else str(file)
    linecache.cache[origin] = (len(text), None, text.splitlines(keepends=True), origin)
    module = ModuleType(f"workflow_{digest}")
    module.__file__ = origin
    name = handler.rpartition(":")[2]
    with _importable(file.parent if file else None), _registered(module):
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
            allowed=sorted(key for key, value in vars(module).items() if _is_own_function(value, module))
            or ["none: it defines no function"],
        )
    return function  # type: ignore[no-any-return]


def _file(path: str | None, folder: Path | None, field: str) -> Path:
    if path is None:
        raise SourceError("there is none", field="source", allowed=["code", "code_src"])
    if "://" in path:
        raise SourceError(f"{path!r} is not a local file", field=field, allowed=["path/to/file.py"])
    file = (folder or Path()) / path
    if file.suffix != ".py":
        raise SourceError(f"{path!r} is not a Python file", field=field, allowed=["path/to/file.py"])
    if not file.is_file():
        raise SourceError(f"there is no file {str(file)!r}", field=field)
    return file.resolve()


def _text(file: Path) -> str:
    try:
        with tokenize.open(file) as source:
            return source.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot be read: {error}", field=str(file)) from None


@contextmanager
def _registered(module: ModuleType) -> Iterator[None]:
    """Let a class find its module by name while its body is executed, as ``dataclass`` does."""
    sys.modules[module.__name__] = module
    try:
        yield
    finally:
        sys.modules.pop(module.__name__, None)


@contextmanager
def _importable(folder: Path | None) -> Iterator[None]:
    if folder is None:
        yield
        return
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _is_own_function(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__
