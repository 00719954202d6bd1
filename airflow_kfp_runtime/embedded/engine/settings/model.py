"""The settings of a task that this server honours, resolved: no parameter forms, and no values of secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class SettingError(Exception):
    """A setting that could not be honoured. The message names it, and never holds a secret's value."""


class Holder(Enum):
    """What holds keys with values, in the word of Kubernetes' messages."""

    SECRET = "secret"  # noqa: S105  # the word, not one
    CONFIG_MAP = "configmap"


@dataclass(frozen=True)
class KeyVariable:
    """An environment variable whose value is that of a key.

    :param variable: the variable's name.
    :param holder: a secret or a config map, with the name ``name``.
    :param optional: leave the variable out where the secret or the key is missing.
    """

    variable: str
    holder: Holder
    name: str
    key: str
    optional: bool = False


@dataclass(frozen=True)
class KeysVolume:
    """All keys of a secret or a config map, as files.

    :param optional: an empty folder where it is missing.
    """

    holder: Holder
    name: str
    optional: bool = False


@dataclass(frozen=True)
class ScratchVolume:
    """A folder that lives as long as one attempt: an empty dir, or an ephemeral volume."""

    name: str


@dataclass(frozen=True)
class ClaimVolume:
    """The folder of a persistent volume claim, or one in it.

    :param sub_path: relative; empty for the claim's own folder.
    """

    claim: str
    sub_path: str = ""


Volume: TypeAlias = KeysVolume | ScratchVolume | ClaimVolume


@dataclass(frozen=True)
class Mount:
    """A volume at a path.

    :param setting: where it comes from (``pvcMount[0]``), for messages.
    :param path: absolute.
    """

    setting: str
    path: Path
    volume: Volume


@dataclass(frozen=True)
class PodSettings:
    """What a task is run with.

    :param key_variables: variables from secrets and config maps; a later one wins.
    :param field_variables: variables from fields of the pod; they win over those.
    :param deadline: seconds that an attempt may take; ``None`` for no limit.
    :param notes: sentences for the task's log on what is not applied.
    """

    key_variables: tuple[KeyVariable, ...] = ()
    field_variables: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    deadline: float | None = None
    notes: tuple[str, ...] = ()
