"""The Python that a task finds, and the variables of its environment.

A task gets a bare virtual environment of the server's base interpreter, or, where its command line installs
packages, one with pip of its own, kept by what it asks for and made ready before the task starts, so that
parallel tasks find everything satisfied. Nothing is ever installed where the server or Airflow lives.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_kfp_runtime.embedded.engine.artifacts import WorkingPlace

    #: Runs a program for a task (its log, its process tree) and returns the exit status.
    Run = Callable[[Sequence[str]], int]

#: Variables of the server that a task sees as well; those of pip (``PIP_INDEX_URL``) come by their prefix.
_PASSED = {"LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"} | {
    name
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (variable, variable.lower())
}
#: Settings of pip that would lead packages out of the task's environment.
_LEADING_AWAY = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON"}

_SHELL = re.compile(r"(.*/)?(ba|da|z|k)?sh")
_PIP = re.compile(r"(.*/)?(python[\d.]* -m pip|pip[\d.]*) install")
_OPERATORS = "();<>|&\n"
#: Arguments of pip that only the task itself can resolve: variables, and files of its own.
_ONLY_IN_THE_TASK = re.compile(
    r".*[$`].*|\.{1,2}(/.*)?|-(r|c|e).*|--(requirement|constraint|editable).*", re.DOTALL
)


class PackagesError(Exception):
    """A virtual environment that cannot be made ready; the task's log holds what pip said."""


@dataclass(frozen=True)
class Installs:
    """What a command line installs with pip.

    :param beforehand: the arguments of each ``pip install`` that can run before the task does.
    :param by_itself: the scripts whose installs only the task itself can run.
    """

    beforehand: tuple[tuple[str, ...], ...] = ()
    by_itself: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.beforehand or self.by_itself)

    @classmethod
    def of(cls, line: Sequence[str]) -> Installs:
        """Read them from a command line: as it is, and from the scripts that it gives to a shell."""
        beforehand: list[tuple[str, ...]] = []
        by_itself: list[str] = []
        for text, tokens in [("", list(line)), *_scripts(line)]:
            for command in _commands(tokens):
                arguments = _pip_arguments(command)
                if arguments is None:
                    continue
                if any(_ONLY_IN_THE_TASK.fullmatch(argument) for argument in arguments):
                    by_itself.append(text or shlex.join(command))
                else:
                    beforehand.append(arguments)
        return cls(tuple(beforehand), tuple(by_itself))


def _scripts(line: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    for shell, option, script in zip(line, line[1:], line[2:], strict=False):
        if _SHELL.fullmatch(shell) and re.fullmatch(r"-\w*c", option):
            lexer = shlex.shlex(script.replace("\\\n", " "), posix=True, punctuation_chars=_OPERATORS)
            lexer.whitespace = " \t\r"
            lexer.commenters = ""
            try:
                yield script, list(lexer)
            except ValueError:
                # An unbalanced quote: a here-document, perhaps. What it installs, it installs by itself.
                yield script, ["pip", "install", "$"] if "pip" in script else []


def _commands(tokens: Sequence[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for token in tokens:
        if token and set(token) <= set(_OPERATORS):
            yield command
            command = []
        else:
            command.append(token)
    yield command


def _pip_arguments(command: Sequence[str]) -> tuple[str, ...] | None:
    """The arguments after ``pip install``; variables and ``exec`` may stand before it."""
    for start in range(len(command)):
        for length in (2, 4):
            if _PIP.fullmatch(" ".join(command[start : start + length])):
                return tuple(command[start + length :])
    return None


class Environments:
    """The virtual environments of a data directory, shared by all its tasks.

    :param folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ready(self, installs: Installs, settings: Mapping[str, str], run: Run) -> Path:
        """Make sure that the environment for these installs is there, complete.

        :param settings: variables that change what pip installs (``PIP_INDEX_URL``).
        :param run: runs a program for the task that needs it.
        :return: its folder of programs, for ``PATH``.
        :raises PackagesError: it could not be made.
        """
        asked = [sys.version, str(_base_python()), installs.beforehand, installs.by_itself]
        if installs:
            asked.append(sorted(settings.items()))
        folder = self._folder / hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
        complete = folder / "complete"
        with _locked(folder.with_suffix(".lock")):
            if not complete.exists():
                shutil.rmtree(folder, ignore_errors=True)
                self._make(folder, installs, run)
                complete.touch()
        return folder / "bin"

    def _make(self, folder: Path, installs: Installs, run: Run) -> None:
        python = str(folder / "bin" / "python3")
        if run([str(_base_python()), "-I", "-m", "venv", "--without-pip", str(folder)]):
            raise PackagesError("a virtual environment could not be made: is Python's venv module installed?")
        if installs and not any(run(command) == 0 for command in _pip_installers(python)):
            raise PackagesError(
                "pip could not be installed into a virtual environment: install Python's ensurepip "
                "(Debian: python3-venv) on this machine"
            )
        for arguments in installs.beforehand:
            if status := run([python, "-m", "pip", "install", *arguments]):
                raise PackagesError(f"installing packages failed: pip ended with exit status {status}")

    def variables(
        self, programs: Path | None, working: WorkingPlace, server: Mapping[str, str] = os.environ
    ) -> dict[str, str]:
        """The variables that a task starts with, before its container's own.

        :param programs: the folder of programs of its environment; ``None`` while that is being made.
        :param working: its folder.
        :param server: the variables of the server, few of which are passed on.
        """
        passed = {
            name: value
            for name, value in server.items()
            if name in _PASSED or (name.startswith("PIP_") and name not in _LEADING_AWAY)
        }
        return {
            "LANG": "C.UTF-8",
            "PIP_CACHE_DIR": _pip_cache(server, self._folder / "pip-cache"),
            **_pip_configuration(server),
            **passed,
            "PATH": os.pathsep.join([*([str(programs)] if programs else []), *_search_path(server)]),
            "HOME": str(working.home),
            "TMPDIR": str(working.temporary),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            # A pip of this machine that a task may find must not change this machine.
            "PIP_REQUIRE_VIRTUALENV": "1",
            # The log is read while the task runs.
            "PYTHONUNBUFFERED": "1",
        }


def _base_python() -> Path:
    """The interpreter that the server's virtual environment was made from."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix) / "bin" / version
    return base if base.exists() else Path(sys.executable)


def _pip_installers(python: str) -> Iterator[list[str]]:
    """Ways to bring pip into an environment; Debian's Python has no ensurepip by default."""
    yield [python, "-I", "-m", "ensurepip", "--default-pip"]
    yield [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "pip"]
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    if uv:
        yield [uv, "pip", "install", "--quiet", "--python", python, "pip"]


def _pip_configuration(server: Mapping[str, str]) -> dict[str, str]:
    """Where the server's user keeps pip's settings, since the task has another home."""
    home = Path(server.get("HOME", "/nonexistent"))
    candidates = (home / ".config" / "pip" / "pip.conf", home / ".pip" / "pip.conf")
    found = [str(file) for file in candidates if file.is_file()]
    return {"PIP_CONFIG_FILE": found[0]} if found else {}


def _pip_cache(server: Mapping[str, str], otherwise: Path) -> str:
    """The cache of the server's user, so that a package is fetched once on this machine."""
    cache = Path(server.get("XDG_CACHE_HOME") or Path(server.get("HOME", "/nonexistent")) / ".cache")
    return str(cache / "pip" if os.access(cache, os.W_OK) else otherwise)


def _search_path(server: Mapping[str, str]) -> list[str]:
    """The server's ``PATH`` without virtual environments: its packages must not leak into a task."""
    entries = server.get("PATH", os.defpath).split(os.pathsep)
    return [entry for entry in entries if entry and not (Path(entry).parent / "pyvenv.cfg").exists()]


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold a lock that other threads and other servers on the same directory respect."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
