"""Environments with kfp, made by venv and pip, each once and kept in the cache of sources."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.handlers.environment import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_kfp_runtime.sources.cache import Cache

_log = logging.getLogger(__name__)

#: Seconds for an environment in all: kfp and what it needs are about 100 MiB.
_TIMEOUT = 900.0

#: The variables that say to pip which index to use, through which proxy, and whom to trust.
_OF_PIP = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT", "REQUESTS_CA_BUNDLE")

#: The most of what pip prints that a message holds.
_LONGEST = 2000


@contextmanager
def kfp_environment(requirements: Sequence[str], cache: Cache) -> Iterator[str]:
    """Yield the Python of an environment that has some packages, for the length of the block.

    The first of parallel processes makes it, and the others wait.

    :param requirements: as pip takes them.
    :param cache: where it is kept.
    :raises SourceError: it cannot be made; with the end of what venv or pip printed.
    """
    key = json.dumps(["kfp environment", sys.version, sys.base_prefix, sorted(requirements)])
    with cache.held() as held:
        folder = held.entry(key, lambda folder: _make(folder, requirements))
        yield str(folder / "bin" / "python")


def _make(folder: Path, requirements: Sequence[str]) -> None:
    # Without the requirements: an address among them may hold a token.
    _log.info("Making the environment of kfp_requirements: once for each machine, and up to some minutes")
    # It moves to its place when it is done, where its scripts are not found any more: only Python is used.
    _run([sys.executable, "-m", "venv", str(folder)], "venv", folder)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--no-input", "--no-cache-dir"]
    _run([*pip, "--disable-pip-version-check", "--quiet", *requirements], "pip", folder)


def _run(command: Sequence[str], name: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="airflow-kfp-runtime-environment-") as private:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=private,
            env=_variables(Path(private)),
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise SourceError(
                f"{name} has not ended within {_TIMEOUT:g} seconds: name a Python that has kfp as kfp_python",
                field="kfp_requirements",
            ) from None
        finally:
            # pip starts processes of its own to build packages.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        printed = output.replace(str(folder), "<environment>").strip()
        raise SourceError(
            f"{name} failed (status {process.returncode}):\n{printed[-_LONGEST:]}", field="kfp_requirements"
        )


def _variables(private: Path) -> dict[str, str]:
    """Return the environment of pip: it may run the code of packages, and gets no secret but the index's."""
    taken_over = {name: value for name, value in os.environ.items() if name.upper().startswith(_OF_PIP)}
    for folder in ("home", "tmp"):
        (private / folder).mkdir(exist_ok=True)
    own_home = {"HOME": os.environ["HOME"]} if "HOME" in os.environ else {}
    return {**clean_environment(private, shares_imports=False), **own_home, **taken_over}
