"""Persistent volume claims: folders that stay until they are deleted, whatever becomes of the server."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from uuid import uuid4

from airflow_kfp_runtime.embedded.engine.settings.model import ClaimVolume, SettingError

if TYPE_CHECKING:
    from pathlib import Path


class Claims:
    """The claims of a data directory.

    :param folder: where they are, each under its name; one that is made there by hand is a claim too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, name: str, *, again: bool = False) -> Path:
        """Make an empty one.

        :param again: take one that is there for one that the same task made before the server was killed.
        :raises SettingError: there is one of this name.
        """
        claim = self._folder / name
        try:
            claim.mkdir(parents=True, exist_ok=again)
        except FileExistsError:
            raise SettingError(f'persistentvolumeclaims "{name}" already exists ({claim})') from None
        return claim

    def existing(self, name: str) -> Path:
        """The folder of a claim.

        :raises SettingError: there is none of this name.
        """
        claim = self._folder / name
        if not claim.is_dir():
            raise SettingError(
                f'persistentvolumeclaim "{name}" not found (on this server it is the folder {claim}: let a '
                "task create it, or make the folder)"
            )
        return claim

    def delete(self, name: str) -> None:
        """Remove one with all that is in it.

        :raises SettingError: there is none of this name, or it cannot be removed.
        """
        # Its name is free at once, and a half-removed claim is never found under it.
        doomed = self._folder / f".deleted-{uuid4()}"
        self.existing(name).rename(doomed)
        try:
            if doomed.is_symlink():
                # Somebody has led the claim to a folder of theirs, which is not ours to empty.
                doomed.unlink()
            else:
                shutil.rmtree(doomed)
        except OSError as error:
            raise SettingError(
                f"{error.filename} of the claim {name!r} cannot be removed: {error.strerror}"
            ) from None

    def folder(self, volume: ClaimVolume) -> Path:
        """The folder that a task is to see; a sub path is made where there is none.

        :raises SettingError: the claim does not exist, or a link in it leads the sub path out of it.
        """
        claim = self.existing(volume.claim)
        folder = claim / volume.sub_path
        if not folder.resolve().is_relative_to(claim.resolve()):
            raise SettingError(f"the sub path {volume.sub_path!r} leads out of the claim {volume.claim!r}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(f"{folder} cannot be made: {error.strerror}") from None
        return folder
