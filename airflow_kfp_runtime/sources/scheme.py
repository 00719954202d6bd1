"""What a source scheme is: how an address such as ``git+https://...`` becomes a folder on this machine.

A scheme is a :class:`SourceScheme`; see :mod:`airflow_kfp_runtime.plugins` for how one is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_kfp_runtime.sources.cache import Cache
    from airflow_kfp_runtime.sources.credentials import CredentialsLookup
    from airflow_kfp_runtime.sources.limits import Limits


@dataclass(frozen=True)
class FetchRequest:
    """What a scheme is asked for.

    :param location: the address as the user wrote it (``git+https://git.example.org/etl.git#v1``).
    :param field: what the user calls it, for errors (``code_src``).
    :param credentials: those that the caller was given; a scheme uses its own kind only.
    :param limits: how much may be fetched, and how long it may take.
    :param cache: keeps what was fetched, by its version.
    :param suffixes: what the name of a single file may end in, where the scheme has single files.
    """

    location: str
    field: str
    credentials: CredentialsLookup
    limits: Limits
    cache: Cache
    suffixes: tuple[str, ...] = (".py",)


@dataclass(frozen=True)
class Fetched:
    """A source that is on this machine.

    :param folder: holds it. A folder in the cache is never changed: who runs code gets a copy.
    :param file: the one Python file that the address names, relative to ``folder``; ``None`` where it names
        a folder, in which a handler says its module.
    :param version: what tells this content from another: a git commit, or the SHA-256 of the content.
    """

    folder: Path
    file: str | None
    version: str


@dataclass(frozen=True)
class SourceScheme:
    """A scheme that an address may have.

    :param names: the schemes as written before ``://``, in lower case (``git+https``, ``git+ssh``).
    :param fetch: brings the source to this machine, into the cache; raises
        :class:`~airflow_kfp_runtime.errors.SourceError` with what to do, and no secret in it.
    """

    names: tuple[str, ...]
    fetch: Callable[[FetchRequest], Fetched]
