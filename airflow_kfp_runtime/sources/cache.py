"""Keeps what was fetched, so that the next task need not fetch it again.

Parallel tasks, in processes of one machine, share a cache: whoever comes first makes an entry, and the others
wait for it. An entry is there as a whole or not at all, whatever was killed meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from filelock import BaseFileLock

_GIB = 1024**3

#: Entries share this many lock files, so that locks do not pile up as entries come and go.
_LOCKS = 256

#: Seconds after which a note that nobody has renewed is forgotten.
_NOTES_LAST = 90 * 24 * 3600.0


@dataclass(frozen=True)
class Cache:
    """A folder of entries, each made once, with a bound for all together.

    :param folder: where they are; made with access for this user alone.
    :param largest: bytes of all entries together. Above it those that were not used for the longest time
        go; one that is in use stays, and so does the newest, however large.
    """

    folder: Path
    largest: int = _GIB

    @classmethod
    def default(cls) -> Cache:
        """Return the user's cache: ``airflow-kfp-runtime/sources`` in ``XDG_CACHE_HOME`` or ``~/.cache``."""
        home = os.environ.get("XDG_CACHE_HOME")
        base = Path(home) if home else Path("~/.cache").expanduser()
        return cls(base / "airflow-kfp-runtime" / "sources")

    def entry(self, key: str, make: Callable[[Path], None]) -> Path:
        """Return the folder of an entry, made if it is not there.

        :param key: what tells it from all others: an address and a version.
        :param make: fills the empty folder that it is given; if it raises, nothing is kept.
        :raises SourceError: the cache's folder cannot be used.
        """
        folder = self._entries / _name(key)
        with self._lock(folder.name):
            if not folder.is_dir():
                self._make(folder, make)
            os.utime(folder)
        self._evict(newest=folder)
        return folder

    @contextmanager
    def reading(self, folder: Path) -> Iterator[None]:
        """Keep an entry from being evicted while the block lasts.

        :raises FileNotFoundError: it was evicted already.
        """
        with self._lock(folder.name):
            if not folder.is_dir():
                raise FileNotFoundError(folder)
            yield

    def note(self, key: str) -> dict[str, Any] | None:
        """Return what :meth:`keep_note` has kept under a key, or ``None``."""
        try:
            noted = json.loads(self._note(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return noted if isinstance(noted, dict) else None

    def keep_note(self, key: str, noted: dict[str, Any]) -> None:
        """Keep a few facts, such as the ETag that an address had, in place of those that were there.

        :raises SourceError: the cache's folder cannot be used.
        """
        file = self._note(key)
        beside = file.with_suffix(f".{os.getpid()}")
        with self._usable():
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside.write_text(json.dumps(noted), encoding="utf-8")
            beside.replace(file)

    @property
    def _entries(self) -> Path:
        return self.folder / "entries"

    def _note(self, key: str) -> Path:
        return self.folder / "notes" / f"{_name(key)}.json"

    def _make(self, folder: Path, make: Callable[[Path], None]) -> None:
        making = folder.with_suffix(".making")
        with self._usable():
            # Of a process that was killed: this one has its lock.
            _remove(making)
            making.mkdir(parents=True, mode=0o700)
        try:
            make(making)
            making.rename(folder)
        finally:
            _remove(making)

    def _lock(self, name: str, timeout: float = -1) -> BaseFileLock:
        from filelock import FileLock

        locks = self.folder / "locks"
        with self._usable():
            locks.mkdir(parents=True, exist_ok=True, mode=0o700)
        return FileLock(locks / f"{int(name[:8], 16) % _LOCKS:02x}", timeout=timeout)

    def _evict(self, newest: Path) -> None:
        """Remove what is too much, and what processes that were killed have left."""
        from filelock import Timeout

        by_age = sorted((path for path in self._entries.iterdir() if path != newest), key=_last_use)
        sizes = {path: _size(path) for path in [*by_age, newest]}
        total = sum(sizes.values())
        for path in by_age:
            if total <= self.largest and path.suffix != ".making":
                continue
            try:
                with self._lock(path.stem, timeout=0):
                    _remove(path)
            except Timeout:
                continue
            total -= sizes[path]
        for file in self.folder.glob("notes/*"):
            if time.time() - _last_use(file) > _NOTES_LAST:
                file.unlink(missing_ok=True)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SourceError(
                f"the cache of sources cannot be used: {error.strerror}; give it a folder that can be "
                "written ([kfp] source_cache in Airflow's configuration, XDG_CACHE_HOME elsewhere)",
                field=str(self.folder),
            ) from None


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(folder: Path) -> int:
    """Return the bytes of all files in a folder, of which some may vanish meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(place, name).lstat().st_size
            except FileNotFoundError:  # noqa: PERF203 - another process has evicted it
                continue
    return total


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
