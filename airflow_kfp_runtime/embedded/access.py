"""The lock on a data directory: two servers on one would run each run twice."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class DataInUseError(Exception):
    """Another server has the data directory."""


@contextmanager
def exclusive(data: Path) -> Iterator[None]:
    """Hold a data directory, made where there is none; it is free again when the process ends, however.

    :raises DataInUseError: another process holds it; the message names that process.
    """
    data.mkdir(parents=True, exist_ok=True)
    with (data / "server.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise DataInUseError(
                f"{data} is in use by another embedded server (process {holder}). Stop that one, or give "
                "this one another directory with --data."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
