"""The environment of a handler's process: what Python needs to start, and nothing of this process's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What is taken over: where programs and shared libraries are, the language, the time zone.
_TAKEN_OVER = ("PATH", "LD_LIBRARY_PATH", "LANG", "LANGUAGE", "TZ")

#: What makes the same source give the same pipeline on every machine, and leaves nothing beside it.
_FIXED = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
}


def clean_environment(private: Path, *, shares_imports: bool = True) -> dict[str, str]:
    """Return the environment variables of a process that runs a user's handler.

    No setting of Airflow and no secret is among them.

    :param private: a folder of its own; ``HOME`` and ``TMPDIR`` are in it.
    :param shares_imports: whether it can import what this process can; not if it has another interpreter.
    """
    taken_over = {
        name: value for name, value in os.environ.items() if name in _TAKEN_OVER or name.startswith("LC_")
    }
    variables = {**taken_over, **_FIXED, **homes(private)}
    if shares_imports:
        importable = dict.fromkeys(sys.path)
        variables["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in importable)
    return variables


def homes(private: Path) -> Mapping[str, str]:
    """Return the variables that no other process has, with the folders that they name."""
    return {"HOME": str(private / "home"), "TMPDIR": str(private / "tmp")}
