"""A source of several files, or a large one, packed so that it can travel in the task."""

from __future__ import annotations

import base64
import io
import os
import tarfile
import zlib
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.runtimes.python.pod import pod_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Folders that are left out wherever they are; so is what begins with a dot.
_LEFT_OUT = frozenset({"__pycache__", "__MACOSX", "node_modules", "venv"})
#: Folders that are left out at the top, unless the function is in one of them.
_LEFT_OUT_AT_THE_TOP = frozenset({"tests", "test", "docs"})
#: Bytes of a tree's files that are packed at most; far fewer fit into a task.
_LARGEST_TREE = 16 * 1024 * 1024


def files_of(folder: Path, *, field: str, file: str = "") -> dict[str, Path]:
    """Return the files of a tree that travel, by their paths in it with ``/``, in order.

    Left out are names that begin with a dot (``.git``, ``.venv``), compiled files, ``__pycache__``,
    ``node_modules``, ``venv``, ``*.egg-info``, and at the top ``tests``, ``test`` and ``docs``.

    :param file: that of the function.
    :raises SourceError: a link leads out of the tree or to a folder, the function's file does not travel, or
        there is far more than a task can carry.
    """
    root = folder.resolve()
    left_out_at_the_top = _LEFT_OUT_AT_THE_TOP - {file.partition("/")[0]}
    found: dict[str, Path] = {}
    size = 0
    for place, folders, names in os.walk(root):
        inside = os.path.relpath(place, root)
        left_out = left_out_at_the_top if inside == os.curdir else ()
        folders[:] = [name for name in folders if _travels(name) and name not in left_out]
        for name in folders:
            # What is behind it would not travel, and be missed in the pod.
            if (root / inside / name).is_symlink():
                raise SourceError(
                    f"its link {name!r} leads to a folder: put the folder itself there", field=field
                )
        for name in names:
            path = root / inside / name
            if not _travels(name) or not path.is_file():
                continue
            if not path.resolve().is_relative_to(root):
                raise SourceError(f"its link {name!r} leads out of its folder", field=field)
            size += path.stat().st_size
            found[path.relative_to(root).as_posix()] = path
            if size > _LARGEST_TREE:
                raise SourceError(
                    f"the folder has more than {_LARGEST_TREE} bytes, and far fewer fit into a task; name "
                    "the folder of the code alone, put the code into an image, or let the pod fetch it from "
                    "an address: fetch='pod'",
                    field=field,
                )
    if file and file not in found:
        raise SourceError(f"the function's file {file!r} has a name that does not travel", field=field)
    return dict(sorted(found.items()))


def packed(files: Mapping[str, bytes]) -> str:
    """Return files as a compressed archive in base64, always the same one for the same files.

    :param files: content by path.
    """
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in sorted(files.items()):
            # Of the time, the owner and the mode a new entry has what is the same everywhere.
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return base64.b64encode(zlib.compress(written.getvalue(), level=9)).decode("ascii")


def package_name(folder: Path) -> str:
    """Return the name of the folder for a source in the pod: its own where it is a package itself."""
    is_package = (folder / "__init__.py").is_file() and folder.name.isidentifier()
    return folder.name if is_package else "step_source"


def unpacking_program(
    files: Mapping[str, bytes], file: str, function: str, package: str = "step_source"
) -> str:
    """Return the text of a module that unpacks files in the pod and has the function of one of them.

    :param package: the name of their folder.
    """
    parts = pod_text("loading", "unpacking")
    unpack = f"unpacked({packed(files)!r}, new_folder({package!r}))"
    return f"{parts}{function} = function_of({unpack}, {file!r}, {function!r})\n"


def _travels(name: str) -> bool:
    return not name.startswith(".") and name not in _LEFT_OUT and not name.endswith((".pyc", ".egg-info"))
