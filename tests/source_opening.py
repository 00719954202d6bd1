"""What the tests of sources share: opens them, and looks at what is left behind."""

from __future__ import annotations

import io
import tempfile
import threading
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources import Cache, Credentials, Limits, Sources

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass
class Opening:
    """Opens sources with a cache and a temporary folder of their own."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    limits: Limits = field(default_factory=Limits)
    credentials: Credentials = field(default_factory=Credentials)

    def __post_init__(self) -> None:
        self.cache = Cache(self.folder / "cache", 1024**3)
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir()
        self.monkeypatch.setattr(tempfile, "tempdir", str(self.temporary))

    @property
    def sources(self) -> Sources:
        return Sources((self.folder,), self.credentials, self.limits, self.cache)

    def __call__(self, location: str, **options: object) -> dict[str, str]:
        """Return the texts of a source's files; of a single one that file's alone."""
        with self.sources.open(location, **options) as source:
            if source.file is not None:
                return {source.file: (source.folder / source.file).read_text()}
            return texts(source.folder)

    def version(self, location: str) -> str:
        with self.sources.open(location) as source:
            return source.version

    def refused(self, location: str, **options: object) -> str:
        """Return the message of the error, and make sure that nothing was left behind."""
        with pytest.raises(SourceError) as refused:
            self(location, **options)
        assert refused.value.field
        assert self.left() == []
        return str(refused.value)

    def left(self) -> list[object]:
        """Temporary files, what is half made in the cache, and threads that go on."""
        files = [*self.temporary.rglob("*"), *self.cache.folder.glob("*.making")]
        threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("source-")]
        return [*files, *threads]

    def kept(self) -> list[Path]:
        """The entries of the cache."""
        return [path for path in self.cache.folder.glob("*") if path.is_dir()]


def texts(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def zip_of(files: Mapping[str | zipfile.ZipInfo, str | bytes]) -> bytes:
    """Return a zip archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
