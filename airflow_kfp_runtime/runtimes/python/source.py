"""Reads the source of a Python function, from wherever it is, without running it."""

from __future__ import annotations

import textwrap
import tokenize
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.runtimes.python.archive import files_of, package_name, unpacking_program
from airflow_kfp_runtime.runtimes.python.callables import callable_source
from airflow_kfp_runtime.runtimes.python.text import FunctionSource

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_kfp_runtime.runtimes.python.specification import PythonFunction
    from airflow_kfp_runtime.sources.scheme import Fetched
    from airflow_kfp_runtime.sources.sources import Sources


def read_source(function: PythonFunction, sources: Sources | None = None) -> FunctionSource:
    """Return the source of a function, fetching it where it is not on this machine.

    A single file travels by itself; of a folder, an archive or a repository all that :func:`files_of` names.

    :param sources: where addresses are fetched from, and relative paths begin; by default those without
        credentials and the working directory.
    :raises FunctionError: a callable has no text that could travel.
    :raises SourceError: the source cannot be fetched or read, or does not have the handler's module.
    """
    if not isinstance(function.handler, str):
        return callable_source(function.handler)
    if function.code is not None:
        return _inline(textwrap.dedent(function.code), function.handler)
    if function.base64 is not None:
        from airflow_kfp_runtime.sources.inline import decoded

        return _inline(decoded(function.base64), function.handler)
    from airflow_kfp_runtime.sources import Sources

    location = function.source or ""
    sources = sources or Sources()
    with sources.open(location, field="source") as fetched:
        file, name = _located(fetched, function.handler)
        text = _text(fetched.folder / file)
        program = ""
        if function.fetch == "pod":
            from airflow_kfp_runtime.runtimes.python.fetching import fetching_program

            program = fetching_program(location, fetched, file, name, sources.limits)
        elif fetched.file is None:
            files = files_of(fetched.folder, field="source", file=file)
            contents = {path: found.read_bytes() for path, found in files.items()}
            program = unpacking_program(contents, file, name, package_name(fetched.folder))
        return FunctionSource(text, name, file, program)


def _located(fetched: Fetched, handler: str) -> tuple[str, str]:
    """Return the function's file, relative to the source's folder with ``/``, and its name."""
    from airflow_kfp_runtime.sources.handlers.location import Source, locate

    try:
        found = locate(Source(fetched.folder, fetched.file), handler)
    except SourceError as error:
        raise SourceError(error.problem, field="handler", allowed=error.allowed) from None
    return found.file.relative_to(fetched.folder).as_posix(), found.function


def _inline(text: str, handler: str) -> FunctionSource:
    name = handler.rpartition(":" if ":" in handler else ".")[2]
    return FunctionSource(text, name, f"<{name}>")


def _text(file: Path) -> str:
    try:
        with tokenize.open(file) as opened:
            return opened.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise SourceError(f"{file.name!r} cannot be read: {error}", field="source") from error
