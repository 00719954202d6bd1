"""How much a source may take of this machine."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Bounds of a fetch and of what is done with it; the defaults fit a repository of code.

    :param download: bytes that come over the network or stand in an archive.
    :param extracted: bytes of all files together, after an archive was extracted or a commit checked out.
    :param files: files and folders.
    :param ratio: how many times larger than in the archive a file may become.
    :param connect_timeout: seconds until a connection stands.
    :param timeout: seconds for a fetch in all.
    :param redirects: how many of them are followed.
    :param handler_timeout: seconds that a handler may take to write its steps.
    :param handler_memory: bytes that its process may take.
    """

    download: int = 100 * _MIB
    extracted: int = 300 * _MIB
    files: int = 10_000
    ratio: int = 200
    connect_timeout: float = 10.0
    timeout: float = 120.0
    redirects: int = 5
    handler_timeout: float = 60.0
    handler_memory: int = 2048 * _MIB
