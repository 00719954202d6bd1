"""Says what a user's handler failed with, and where in the user's own files."""

from __future__ import annotations

import linecache
import os
import re
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_kfp_runtime import __file__ as _package_file
from airflow_kfp_runtime.sources.handlers.location import modules_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, TracebackType

    from airflow_kfp_runtime.sources.handlers.location import Source

#: Files that are not the user's: this package, Python's library, and what is installed.
_OTHERS = tuple(
    os.path.join(folder, "")  # noqa: PTH118 -- a prefix of texts, with the separator at its end
    for folder in {
        str(Path(_package_file).parent),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    }
)

#: The most of an explanation that a message holds.
_LONGEST = 6000
_MOST_FRAMES = 12

_STACK_LINE = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)


def explanation(error: BaseException, source: Source) -> str:
    """Return what was raised and the user's lines that led to it, its causes included."""
    parts, seen = [], set[int]()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        parts.append("\n".join([*_summary(current, source), *_frames(current.__traceback__, source)]))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    text = "\ncaused by ".join(parts)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."


def place(error: BaseException, source: Source) -> str | None:
    """Return file and line of the user's innermost call that led to an error, or ``None`` without one."""
    calls = list(_own_calls(error.__traceback__, source))
    return f"{shown(calls[-1][0].co_filename, source)}:{calls[-1][1]}" if calls else None


def shown(file: str, source: Source) -> str:
    """Return what a message calls a file: relative where it is in the user's folder."""
    path = Path(file)
    if not path.is_relative_to(source.folder):
        return file
    relative = str(path.relative_to(source.folder))
    return source.label if source.label and relative == source.file else relative


def is_outside_context(error: BaseException, source: Source) -> bool:
    """Whether the user's functions that led to an error write no steps: then no handler may be meant."""
    codes = [code for code, _ in _own_calls(error.__traceback__, source)]
    return bool(codes) and not any("pipeline_context" in code.co_names for code in codes)


def missing_module(error: BaseException, source: Source) -> str | None:
    """Return what to do about a module that cannot be imported; ``None`` for any other error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    name = error.name
    elsewhere = [module for module in modules_of(source.folder) if module.endswith(f".{name}")]
    if elsewhere:
        folder = elsewhere[0].removesuffix(f".{name}")
        return (
            f"the source has it as {elsewhere[0]!r}: import that, since modules are found from the "
            f"source's top, or name the folder {folder.replace('.', '/')!r} as the source"
        )
    return (
        f"neither the source nor this Python has {name!r}: put it beside the handler, or install it where "
        "pipelines are compiled, on Airflow's workers; what only a step needs, its function imports"
    )


def stack_lines(stack: str, source: Source) -> str:
    """Return the user's lines of a stack that :mod:`faulthandler` wrote, the innermost last."""
    lines = [
        f'  File "{shown(found["file"], source)}", line {found["line"]}, in {found["function"]}'
        for found in _STACK_LINE.finditer(stack)
        if _is_own(found["file"], source)
    ]
    return "\n".join(reversed(lines[:_MOST_FRAMES]))


def _summary(error: BaseException, source: Source) -> list[str]:
    """Return the line that names an error first, and then the place that one of the syntax has."""
    parts = list(traceback.TracebackException.from_exception(error, limit=0).format_exception_only())
    if not isinstance(error, SyntaxError) or error.filename is None:
        return "".join(parts).rstrip("\n").splitlines()
    file = error.filename
    lines = "".join(sorted(parts, key=lambda part: part.startswith(" "))).rstrip("\n").splitlines()
    return [line.replace(f'"{file}"', f'"{shown(file, source)}"') for line in lines]


def _frames(trace: TracebackType | None, source: Source) -> list[str]:
    calls = list(_own_calls(trace, source))
    lines = []
    for position, (code, number) in enumerate(calls):
        if _MOST_FRAMES // 2 <= position < len(calls) - _MOST_FRAMES // 2:
            if position == _MOST_FRAMES // 2:
                lines.append(f"  ... {len(calls) - 2 * (_MOST_FRAMES // 2)} further calls ...")
            continue
        lines.append(f'  File "{shown(code.co_filename, source)}", line {number}, in {code.co_name}')
        text = linecache.getline(code.co_filename, number).strip()
        if text:
            lines.append(f"    {text}")
    return lines


def _own_calls(trace: TracebackType | None, source: Source) -> Iterator[tuple[CodeType, int]]:
    for frame, line in traceback.walk_tb(trace):
        if _is_own(frame.f_code.co_filename, source):
            yield frame.f_code, line


def _is_own(file: str, source: Source) -> bool:
    return Path(file).is_relative_to(source.folder) or not file.startswith(("<", *_OTHERS))
