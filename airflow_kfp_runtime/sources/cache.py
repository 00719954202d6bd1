"""Keeps what was fetched in a folder of limited size, so that the next task need not fetch it again.

Parallel tasks, in processes of one machine, share it: whoever comes first makes an entry, and the others
wait for that. An entry is there as a whole or not at all, whatever was killed meanwhile. Per key, of which
the names are a hash, the folder holds::

    <hash>            what was made for the key
    <hash>.size       its bytes; the time of this file is when it was last used
    <hash>.lock       shared while it is in use, exclusive while it is made or removed
    <hash>.making     what a process is making, or what a killed one has left
    <hash>.note       what is known of the key, as JSON
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.disk import words_of_system
from airflow_kfp_runtime.sources.file_lock import file_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_GIB = 1024**3
#: Notes are some hundred bytes each; above this many those go that were written first.
_MOST_NOTES = 1000


@dataclass(frozen=True)
class Cache:
    """A folder of what was fetched.

    :param folder: holds it; created when something is put into it, with access for this user alone.
    :param largest: bytes of all entries together. Above it those go that were not used for longest; one that
        is in use stays, and so does the newest, however large.
    """

    folder: Path
    largest: int = _GIB
    _held: ExitStack | None = field(default=None, repr=False, compare=False)

    @classmethod
    def default(cls) -> Cache:
        """Return the user's cache: ``airflow-kfp-runtime/sources`` in ``XDG_CACHE_HOME`` or ``~/.cache``."""
        # The base directory specification has relative paths ignored.
        chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
        try:
            base = chosen if chosen.is_absolute() else Path.home() / ".cache"
        except RuntimeError:
            # A container's user may have no home: keeping something there then fails with what to set.
            base = Path("/nonexistent/.cache")
        return cls(base / "airflow-kfp-runtime" / "sources")

    @contextmanager
    def held(self) -> Iterator[Cache]:
        """Yield this cache; what it gives within the block is not removed before the block has ended."""
        with ExitStack() as stack:
            yield replace(self, _held=stack)

    def entry(self, key: str, make: Callable[[Path], None]) -> Path:
        """Return the folder of a key, which must not be changed, making it where there is none.

        :param key: tells content from other content: an address with a commit, a hash.
        :param make: fills the empty folder that it is given; if it raises, nothing is kept.
        :return: a folder that stays until the end of the block of :meth:`held`; outside of one another
            process may remove it at any time.
        :raises SourceError: the cache cannot be written.
        """
        name = _hash(key)
        with self._explained():
            self._create()
            while (found := self._use(name)) is None:
                self._make(name, make)
        return found

    def find(self, key: str) -> Path | None:
        """Return the folder of a key as :meth:`entry` does, or ``None`` where there is none."""
        name = _hash(key)
        if not self._path(name).is_dir():
            return None
        with self._explained():
            return self._use(name)

    def note(self, key: str) -> dict[str, Any] | None:
        """Return what was kept for a key with :meth:`keep_note`; ``None`` where there is nothing."""
        try:
            known = json.loads(self._path(_hash(key), ".note").read_bytes())
        except (OSError, ValueError):
            # Whatever has become of the file: that nothing is known is always right.
            return None
        return known if isinstance(known, dict) else None

    def keep_note(self, key: str, facts: Mapping[str, Any]) -> None:
        """Keep some facts for a key, in place of those before; later notes may drive it out.

        :param facts: as JSON.
        :raises SourceError: the cache cannot be written.
        """
        with self._explained():
            self._create()
            note = self._path(_hash(key), ".note")
            written = note.with_suffix(f".{os.urandom(8).hex()}.writing")
            written.write_text(json.dumps(dict(facts)))
            written.replace(note)

    def _use(self, name: str) -> Path | None:
        """Return the folder of an entry if there is one, and mark it as used now."""
        with ExitStack() as stack:
            stack.enter_context(file_lock(self._path(name, ".lock"), shared=True))
            folder = self._path(name)
            if not folder.is_dir():
                return None
            os.utime(self._path(name, ".size"))
            if self._held is not None:
                self._held.enter_context(stack.pop_all())
            return folder

    def _make(self, name: str, make: Callable[[Path], None]) -> None:
        with file_lock(self._path(name, ".lock")):
            folder, making = self._path(name), self._path(name, ".making")
            if folder.is_dir():
                return
            # Of a process that was killed while it had the lock.
            shutil.rmtree(making, ignore_errors=True)
            try:
                making.mkdir()
                make(making)
                self._path(name, ".size").write_text(str(_size(making)))
            except BaseException:
                self._remove(name)
                raise
            making.rename(folder)
            self._evict()

    def _evict(self) -> None:
        """Remove what is too much; locks keep the entry that was just made, and those in use."""
        for left in self.folder.glob("*.making"):
            self._remove_unless_used(left.stem)
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, name in entries:
            if total <= self.largest:
                break
            if self._remove_unless_used(name):
                total -= size
        notes = sorted(self.folder.glob("*.note"), key=_written, reverse=True)
        for note in notes[_MOST_NOTES:]:
            note.unlink(missing_ok=True)

    def _entries(self) -> Iterator[tuple[int, int, str]]:
        for file in self.folder.glob("*.size"):
            # Another process may be removing or writing it.
            with suppress(FileNotFoundError, ValueError):
                yield _written(file), int(file.read_text()), file.stem

    def _remove_unless_used(self, name: str) -> bool:
        with file_lock(self._path(name, ".lock"), wait=False) as free:
            if free:
                self._remove(name)
        return free

    def _remove(self, name: str) -> None:
        """Remove an entry and what belongs to it, the lock last, which is held meanwhile."""
        making = self._path(name, ".making")
        with suppress(FileNotFoundError):
            self._path(name).rename(making)
        shutil.rmtree(making, ignore_errors=True)
        self._path(name, ".size").unlink(missing_ok=True)
        self._path(name, ".lock").unlink(missing_ok=True)

    def _path(self, name: str, suffix: str = "") -> Path:
        return self.folder / f"{name}{suffix}"

    def _create(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SourceError(
                f"the cache of sources cannot be written: {words_of_system(error)}; free space in it or "
                "give it another place, by [kfp] source_cache in Airflow's configuration or XDG_CACHE_HOME",
                field=str(self.folder),
            ) from error


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _written(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _size(folder: Path) -> int:
    """Return the bytes of all files in a folder, and of the folders themselves."""
    return sum(
        os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - a Path per file would double the time
        for parent, folders, files in os.walk(folder)
        for name in (*folders, *files)
    )
