"""Temporary places on this machine, and what the system says when it has none."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What the names of all temporary files and folders begin with.
PREFIX = "airflow-kfp-runtime-source-"


def words_of_system(error: OSError) -> str:
    """Return what the system says of a file.

    :raises OSError: the error itself, where the system has not raised it: a ``TimeoutError`` may come from a
        signal's handler, and is to end more than this.
    """
    if error.errno is None and not isinstance(error, shutil.Error):
        raise error
    return error.strerror or str(error)


def private_folder(*, field: str) -> tempfile.TemporaryDirectory[str]:
    """Return an empty folder of this user alone, which is removed at the end of its ``with`` block.

    :param field: what the user calls the source, for errors.
    :raises SourceError: there is no place for it.
    """
    with temporary_files_explained(field=field):
        return tempfile.TemporaryDirectory(prefix=PREFIX)


@contextmanager
def temporary_files_explained(*, field: str) -> Iterator[None]:
    """Have the errors of writing temporary files, and of nothing else, say what to do.

    :param field: what the user calls the source, for errors.
    """
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"cannot be written to a temporary folder: {words_of_system(error)}; free space there or set "
            "TMPDIR to another one",
            field=field,
        ) from error
