"""Brings what a location names to a folder on this machine, for as long as it is used."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_kfp_runtime.sources.cache import Cache
from airflow_kfp_runtime.sources.credentials import Credentials, CredentialsLookup
from airflow_kfp_runtime.sources.disk import private_folder, temporary_files_explained
from airflow_kfp_runtime.sources.limits import Limits
from airflow_kfp_runtime.sources.local import open_local
from airflow_kfp_runtime.sources.location import Location
from airflow_kfp_runtime.sources.scheme import FetchRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_kfp_runtime.sources.scheme import Fetched


@dataclass(frozen=True)
class Sources:
    """Where sources come from.

    :param folders: where relative paths are looked for, in this order: the folder of the DAG file, the DAG
        bundle; none stands for the working directory.
    :param credentials: what addresses are fetched with.
    :param limits: how much a source may take.
    :param cache: keeps what was fetched.
    """

    folders: tuple[Path, ...] = ()
    credentials: CredentialsLookup = field(default_factory=Credentials)
    limits: Limits = field(default_factory=Limits)
    cache: Cache = field(default_factory=Cache.default)

    @contextmanager
    def open(
        self, location: str, *, field: str = "code_src", suffixes: Sequence[str] = (".py",)
    ) -> Iterator[Fetched]:
        """Yield a source, for the length of the block.

        A file or folder on this machine is used where it is. An archive is extracted, and what an address
        names is fetched, into a private folder that is removed at the end: what runs there can change
        neither the archive nor the cache.

        :param location: a path without a scheme (``etl.py``, ``etl.zip``, ``flows``), or an address whose
            scheme a plugin has (``git+https://git.example.org/team/etl.git#v1``). A path may hold ``..``.
        :param field: what the user calls the location, for errors.
        :param suffixes: of the single files that are accepted.
        :raises SourceError: it cannot be had, or exceeds a limit; the message says what to do.

        Example::

            with Sources((Path(__file__).parent,)).open("flows/etl.py") as source:
                text = (source.folder / source.file).read_text()
        """
        parsed = Location.parse(location, field=field)
        if parsed.scheme is None:
            folders = self.folders or (Path(),)
            with open_local(location, folders, self.limits, suffixes=suffixes, field=field) as fetched:
                yield fetched
            return
        with private_folder(field=field) as name:
            private = Path(name) / "source"
            yield self._fetch(parsed.scheme, location, field, tuple(suffixes), private)

    def _fetch(
        self, scheme: str, location: str, field: str, suffixes: tuple[str, ...], private: Path
    ) -> Fetched:
        from airflow_kfp_runtime.plugins import source_scheme

        found = source_scheme(scheme, field=field)
        with self.cache.held() as cache:
            request = FetchRequest(location, field, self.credentials, self.limits, cache, suffixes)
            fetched = found.fetch(request)
            with temporary_files_explained(field=field):
                shutil.copytree(fetched.folder, private, symlinks=True)
        return replace(fetched, folder=private)
