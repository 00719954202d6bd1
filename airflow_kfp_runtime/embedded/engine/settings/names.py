"""Names as Kubernetes takes them. None that passes can lead out of the folder in which it names a file."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

_OBJECT = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = re.compile(r"(?!\.\.)(?!\.\Z)[-._a-zA-Z0-9]{1,253}")
_LABEL = re.compile(r"(?=.{1,63}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_VARIABLE = re.compile(r"[ -<>-~]+")


def object_name(name: str) -> str:
    """The name of a secret, a config map or a claim.

    :raises ValueError: Kubernetes would not take it.
    """
    if not _OBJECT.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name that Kubernetes takes: it must consist of lower case alphanumeric "
            "characters, '-' or '.', and start and end with an alphanumeric character"
        )
    return name


def key_name(key: str) -> str:
    """A key of a secret or a config map.

    :raises ValueError: Kubernetes would not take it.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(
            f"{key!r} is no key that Kubernetes takes: it must consist of alphanumeric characters, '-', '_' "
            "or '.', and not begin with '..'"
        )
    return key


def volume_name(name: str) -> str:
    """The name of a volume of a pod.

    :raises ValueError: Kubernetes would not take it.
    """
    if not _LABEL.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a volume that Kubernetes takes: it must consist of at most 63 lower "
            "case alphanumeric characters or '-', and start and end with an alphanumeric character"
        )
    return name


def variable_name(name: str) -> str:
    """The name of an environment variable.

    :raises ValueError: Kubernetes would not take it.
    """
    if not _VARIABLE.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an environment variable: printable ASCII, without '='")
    return name


def mount_path(path: str) -> Path:
    """Where a volume is mounted.

    :raises ValueError: it is relative, the root, or has a part that Kubernetes refuses.
    """
    parts = PurePosixPath(path).parts
    if not path.startswith("/") or len(parts) < 2 or ".." in parts or ":" in path or "\0" in path:
        raise ValueError(f"{path!r} is no mount path: give an absolute one, without '..' and ':'")
    return Path("/", *parts[1:])


def sub_path(path: str) -> str:
    """A path within a volume; empty for the volume itself.

    :raises ValueError: it is absolute or leads out of the volume.
    """
    if path.startswith("/") or ".." in PurePosixPath(path).parts or "\0" in path:
        raise ValueError(f"{path!r} is no sub path: give a relative one, without '..'")
    return path
