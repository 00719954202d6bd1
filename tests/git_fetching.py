"""What the tests of git sources share: fetches into a cache, and looks at what they leave behind."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.cache import Cache
from airflow_kfp_runtime.sources.credentials import Credentials, GitCredentials
from airflow_kfp_runtime.sources.git import fetch
from airflow_kfp_runtime.sources.limits import Limits
from airflow_kfp_runtime.sources.scheme import Fetched, FetchRequest

#: In the environment of all processes that a test starts, so that it finds its own again.
MARK = "AIRFLOW_KFP_RUNTIME_TESTS_MARK"


@dataclass
class Fetching:
    """Fetches sources into a cache of its own, and knows what a fetch has left behind."""

    folder: Path
    mark: str
    credentials: GitCredentials | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.cache = Cache(self.folder / "cache", 1024**3)
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir()

    def __call__(self, location: str, **credentials: object) -> Fetched:
        given = self.credentials
        if credentials:
            given = replace(given or GitCredentials(), **credentials)
        request = FetchRequest(location, "code_src", Credentials(git=given), self.limits, self.cache)
        return fetch(request)

    def refused(self, location: str, **credentials: object) -> str:
        """Return the message of the error, and make sure that nothing was left behind."""
        with pytest.raises(SourceError) as refused:
            self(location, **credentials)
        assert refused.value.field == "code_src"
        assert not self.left_files()
        assert not self.left_processes()
        return str(refused.value)

    def left_files(self) -> list[Path]:
        return sorted(self.temporary.rglob("*"))

    def left_processes(self) -> dict[int, str]:
        """The command lines of those that go on; what was killed may take a moment to be gone."""
        deadline = time.monotonic() + 5
        while (found := self._processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def _processes(self) -> dict[int, str]:
        found = {}
        for process in Path("/proc").iterdir():
            # Processes come and go, and those of others cannot be read.
            with contextlib.suppress(OSError):
                if (
                    process.name.isdigit()
                    and int(process.name) != os.getpid()
                    and f"{MARK}={self.mark}".encode() in (process / "environ").read_bytes().split(b"\0")
                ):
                    found[int(process.name)] = (process / "cmdline").read_bytes().decode()
        return found


def fetching(folder: Path, monkeypatch) -> Fetching:
    """Return one whose processes and temporary files can be told from others'."""
    for name in ("GIT_TOKEN", "GIT_USERNAME", "GIT_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(MARK, str(folder))
    made = Fetching(folder, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(made.temporary))
    return made


def files(fetched: Fetched) -> dict[str, str]:
    """The files of a source, by path, with their contents."""
    return {
        str(path.relative_to(fetched.folder)): path.read_text()
        for path in sorted(fetched.folder.rglob("*"))
        if path.is_file()
    }
