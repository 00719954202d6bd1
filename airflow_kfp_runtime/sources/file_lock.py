"""Locks between processes, on files that may be removed meanwhile."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def file_lock(file: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold a lock on a file, which is created where there is none; the system lets go of it with the process.

    :param shared: others may hold it as well, if they share it too.
    :param wait: until it can be had; otherwise the block is entered without it.
    :return: whether the lock is held; always true where ``wait``.
    """
    import fcntl

    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        # NFS, which has no flock of its own, shares a lock only for a reader and excludes only for a writer.
        with file.open("a+b") as opened:
            try:
                fcntl.flock(opened, operation)
            except BlockingIOError:
                yield False
                return
            if _is_at(opened, file):
                yield True
                return


def _is_at(opened: IO[bytes], file: Path) -> bool:
    """Whether a file is still the one of its path: who held the lock before may have removed it."""
    try:
        return os.path.samestat(os.fstat(opened.fileno()), file.stat())
    except FileNotFoundError:
        return False
