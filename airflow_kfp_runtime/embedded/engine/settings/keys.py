"""Secrets and config maps: a folder each, with a file for each key. Values are handed on, never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.embedded.engine.settings.model import Holder, KeysVolume, KeyVariable, SettingError
from airflow_kfp_runtime.embedded.engine.settings.names import key_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: What Kubernetes takes as the data of one secret or config map.
_MOST_BYTES = 1024 * 1024


class Keys:
    """Reads secrets and config maps.

    :param folders: for each kind, the folder of the folders ``<name>/<key>``.
    """

    def __init__(self, folders: Mapping[Holder, Path]) -> None:
        self._folders = folders

    def value(self, wanted: KeyVariable) -> bytes | None:
        """The value for a variable, as the file has it; ``None`` if it is optional and missing.

        :raises SettingError: it is missing, or a link out of the folder.
        """
        try:
            return self._read(self._folder(wanted.holder, wanted.name) / wanted.key, wanted.holder)
        except FileNotFoundError as error:
            if wanted.optional:
                return None
            # The reason and the words that Kubernetes has for it.
            raise SettingError(
                f"CreateContainerConfigError: {error}: it is to be the environment variable {wanted.variable}"
            ) from None

    def copy(self, wanted: KeysVolume, target: Path) -> None:
        """Copy all keys as files into a new folder that only this user can enter.

        A copy, since in a pod such a volume cannot be written to.

        :raises SettingError: it is missing and not optional, or has a link out of its folder or a file that
            cannot be a key.
        """
        target.mkdir(mode=0o700, parents=True)
        try:
            folder = self._folder(wanted.holder, wanted.name)
        except FileNotFoundError as error:
            if wanted.optional:
                return
            raise SettingError(str(error)) from None
        for file in folder.iterdir():
            if file.is_file() and not file.name.startswith(".."):
                try:
                    copied = target / key_name(file.name)
                except ValueError as error:
                    raise SettingError(f"{folder}: {error}") from None
                copied.touch(mode=0o600)
                copied.write_bytes(self._read(file, wanted.holder))
                copied.chmod(0o400)

    def _folder(self, holder: Holder, name: str) -> Path:
        folder = self._folders[holder] / name
        if not folder.is_dir():
            raise FileNotFoundError(
                f'{holder.value} "{name}" not found (on this server it is the folder {folder}, with a file '
                "for each key)"
            )
        return folder

    def _read(self, file: Path, holder: Holder) -> bytes:
        if not file.is_file():
            raise FileNotFoundError(
                f'couldn\'t find key {file.name} in {holder.value} "{file.parent.name}" (on this server it '
                f"is the file {file})"
            )
        if not file.resolve().is_relative_to(self._folders[holder].resolve()):
            raise SettingError(f"{file} is a link out of {self._folders[holder]}, which is not followed")
        try:
            with file.open("rb") as opened:
                content = opened.read(_MOST_BYTES + 1)
        except OSError as error:
            raise SettingError(f"{file} cannot be read: {error.strerror}") from None
        if len(content) > _MOST_BYTES:
            raise SettingError(f"{file} has more than {_MOST_BYTES} bytes, which Kubernetes does not take")
        return content
