"""The paths at which tasks see their volumes: symlinks, for as long as a task needs them.

In a cluster each pod has a file system of its own; here all tasks share the machine's. Two tasks that want
the same folder at a path share the symlink. Of two that want different folders, the second waits until the
first has ended: to refuse it would fail pipelines that are right in a cluster, such as parallel steps that
each have a scratch volume at the same path. A task takes all its paths at once, so that no two wait for each
other.

What a killed server leaves behind is removed by the next one, from a record of each symlink.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_kfp_runtime.embedded.engine.process import EndedError
from airflow_kfp_runtime.embedded.engine.settings.model import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator


@dataclass(frozen=True)
class View:
    """What a task is to see.

    :param path: where.
    :param folder: what.
    :param setting: why, for messages.
    """

    path: Path
    folder: Path
    setting: str


@dataclass(frozen=True)
class _Link:
    """A symlink that is ours.

    :param parents: the folders above it that were made for it or another one, the innermost first.
    """

    path: Path
    folder: Path
    parents: tuple[Path, ...]


@dataclass
class _Held:
    """A path in use; ``link`` is ``None`` where what is there was there before."""

    folder: Path
    link: _Link | None
    users: int = 0


class MountPaths:
    """The paths that tasks of this server hold. Safe to use from any thread.

    :param records: the folder of the records of symlinks.
    """

    def __init__(self, records: Path) -> None:
        self._records = records
        self._changed = threading.Condition()
        self._held: dict[Path, _Held] = {}
        self._made: set[Path] = set()

    @contextlib.contextmanager
    def holding(
        self, views: Collection[View], ended: Callable[[], bool], say: Callable[[str], None]
    ) -> Iterator[None]:
        """Let a task see folders at paths, as soon as no other task needs those for other folders.

        :param views: of which no path lies in another.
        :param ended: whether the task is not to start any more; :meth:`wake` has it asked again.
        :param say: told once if the task has to wait.
        :raises EndedError: it is not to start any more.
        :raises SettingError: something else is at a path, or the server may not make a symlink there.
        """
        self._take(views, ended, say)
        try:
            yield
        finally:
            with self._changed:
                self._release(views)

    def wait_until_unseen(self, folder: Path, ended: Callable[[], bool]) -> None:
        """Wait until no task sees a folder, or one in it, as Kubernetes does before it deletes a claim.

        :raises EndedError: the task that waits is to end.
        """
        with self._changed:
            while not ended() and any(held.folder.is_relative_to(folder) for held in self._held.values()):
                self._changed.wait()
        if ended():
            raise EndedError

    def wake(self) -> None:
        """Have those that wait look again whether they are to end."""
        with self._changed:
            self._changed.notify_all()

    def clean(self) -> None:
        """Remove the symlinks that a killed server has left."""
        for record in self._records.glob("*.json"):
            # The record of a server that was killed while it wrote has no symlink yet.
            with contextlib.suppress(ValueError):
                left = json.loads(record.read_text())
                _remove(_Link(Path(left["path"]), Path(left["folder"]), tuple(map(Path, left["parents"]))))
            record.unlink()

    def _take(self, views: Collection[View], ended: Callable[[], bool], say: Callable[[str], None]) -> None:
        said = False
        with self._changed:
            while not ended() and (busy := self._busy(views)):
                if not said:
                    say(f"Another task sees something else at {busy}: this one waits until it has ended.")
                    said = True
                self._changed.wait()
            if ended():
                raise EndedError
            taken: list[View] = []
            try:
                for view in views:
                    if view.path not in self._held:
                        self._held[view.path] = _Held(view.folder, self._make(view))
                    self._held[view.path].users += 1
                    taken.append(view)
            except BaseException:
                self._release(taken)
                raise

    def _busy(self, views: Collection[View]) -> Path | None:
        """A path in use for another folder, or one that lies in a wanted path or the other way round."""
        for view in views:
            for path, held in self._held.items():
                if overlap(path, view.path) and (path, held.folder) != (view.path, view.folder):
                    return path
        return None

    def _release(self, views: Collection[View]) -> None:
        for view in views:
            held = self._held[view.path]
            held.users -= 1
            if not held.users:
                del self._held[view.path]
                if held.link is not None:
                    self._remove(held.link)
        self._changed.notify_all()

    def _make(self, view: View) -> _Link | None:
        path, folder, where = view.path, view.folder, f"FailedMount: {view.setting} at {view.path}"
        if not folder.is_dir():
            raise SettingError(f"{where}: {folder} was deleted meanwhile")
        if _points_to(path, folder):
            # Somebody who may write there has made it, for a server that may not; it stays.
            return None
        if os.path.lexists(path):
            raise SettingError(
                f"{where}: there is something at this path already, and on this machine tasks have no file "
                "system of their own: remove it, or mount at another path"
            )
        self._made.update(parent for parent in path.parents if not os.path.lexists(parent))
        link = _Link(path, folder, tuple(parent for parent in path.parents if parent in self._made))
        self._write_record(link)
        try:
            for parent in reversed(link.parents):
                parent.mkdir(exist_ok=True)
            path.symlink_to(folder)
        except OSError as error:
            self._remove(link)
            raise SettingError(
                f"{where}: this server cannot make this path on this machine ({error.strerror}): mount at a "
                f"path where it may, or make a symlink there by hand that points to {folder}"
            ) from None
        return link

    def _remove(self, link: _Link) -> None:
        _remove(link)
        self._made = {parent for parent in self._made if os.path.lexists(parent)}
        self._record(link.path).unlink(missing_ok=True)

    def _record(self, path: Path) -> Path:
        return self._records / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"

    def _write_record(self, link: _Link) -> None:
        self._records.mkdir(parents=True, exist_ok=True)
        record = {"path": str(link.path), "folder": str(link.folder), "parents": [*map(str, link.parents)]}
        self._record(link.path).write_text(json.dumps(record))


def overlap(one: Path, other: Path) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    return one.is_relative_to(other) or other.is_relative_to(one)


def _points_to(path: Path, folder: Path) -> bool:
    try:
        return path.readlink() == folder
    except OSError:
        # There is nothing, no symlink, or nothing that we may see.
        return False


def _remove(link: _Link) -> None:
    """Remove a symlink if it still is ours, and the folders above it that were made and are empty now."""
    with contextlib.suppress(OSError):
        if _points_to(link.path, link.folder):
            link.path.unlink()
        for parent in link.parents:
            parent.rmdir()
