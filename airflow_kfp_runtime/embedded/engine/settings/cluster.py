"""What a task's settings stand on in a cluster, made of folders of the data directory."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_kfp_runtime.embedded.engine.settings.claims import Claims
from airflow_kfp_runtime.embedded.engine.settings.keys import Keys
from airflow_kfp_runtime.embedded.engine.settings.model import (
    ClaimVolume,
    Holder,
    KeysVolume,
    ScratchVolume,
    SettingError,
)
from airflow_kfp_runtime.embedded.engine.settings.paths import MountPaths, View, overlap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_kfp_runtime.embedded.engine.settings.model import KeyVariable, Mount, Volume

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # it is looked at, never written to


class Cluster:
    """Secrets, config maps and claims, and the paths at which tasks see volumes.

    :param data: the data directory: ``secrets/<name>/<key>`` and ``config-maps/<name>/<key>`` are made by the
        user; ``claims/<name>`` by tasks or by the user.
    """

    def __init__(self, data: Path) -> None:
        self.claims = Claims(data / "claims")
        self.paths = MountPaths(data / "mounts")
        self._keys = Keys({Holder.SECRET: data / "secrets", Holder.CONFIG_MAP: data / "config-maps"})

    def variables(self, wanted: Sequence[KeyVariable]) -> dict[str, str]:
        """The values of variables from secrets and config maps.

        :raises SettingError: one is missing, or no environment can hold it.
        """
        values = {}
        for variable in wanted:
            value = self._keys.value(variable)
            if value is None:
                continue
            if b"\0" in value:
                raise SettingError(
                    f'the key {variable.key} of {variable.holder.value} "{variable.name}" has a NUL byte, '
                    f"which the environment variable {variable.variable} cannot hold"
                )
            values[variable.variable] = os.fsdecode(value)
        return values

    @contextmanager
    def mounted(
        self, mounts: Sequence[Mount], scratch: Path, ended: Callable[[], bool], say: Callable[[str], None]
    ) -> Iterator[None]:
        """Let a task see its volumes.

        :param scratch: the folder for what lives as long as the attempt.
        :param ended: whether the task is not to start any more.
        :param say: writes a line to the task's log.
        :raises SettingError: a volume is missing, or cannot be seen at its path; it names setting and path.
        :raises EndedError: the task is not to start any more.
        """
        views: dict[Path, View] = {}
        for mount in mounts:
            scratch_volume = isinstance(mount.volume, ScratchVolume)
            if scratch_volume and mount.path == _SHARED_MEMORY and mount.path.is_dir():
                say(f"{mount.setting}: {mount.path} is that of this machine, shared by all processes.")
                continue
            if within := [path for path in views if overlap(path, mount.path)]:
                raise SettingError(
                    f"FailedMount: {mount.setting} at {mount.path}: it lies in {within[0]}, a mount path too "
                    "or the other way round; this server needs a task's mount paths side by side"
                )
            try:
                folder = self._folder(mount.volume, scratch)
            except SettingError as error:
                raise SettingError(f"FailedMount: {mount.setting} at {mount.path}: {error}") from None
            views[mount.path] = View(mount.path, folder, mount.setting)
        with self.paths.holding(views.values(), ended, say):
            yield

    def _folder(self, volume: Volume, scratch: Path) -> Path:
        match volume:
            case ClaimVolume():
                return self.claims.folder(volume)
            case ScratchVolume(name):
                folder = scratch / f"volume-{name}"
                folder.mkdir(parents=True, exist_ok=True)
            case KeysVolume(holder, name):
                folder = scratch / f"{holder.value}-{name}"
                if not folder.exists():
                    self._keys.copy(volume, folder)
        return folder
