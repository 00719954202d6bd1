"""Runs the git program: its time, output and disk space are bounded, and no process of it survives."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.redaction import Redaction

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from git.cmd import Git

#: Seconds between two looks at the clock and at the disk.
_INTERVAL = 0.05
#: Bytes that a command may write to its standard output: lists of refs and of files.
_LARGEST_OUTPUT = 16 * 1024 * 1024
#: Bytes of the standard error that are kept: its end says what went wrong.
_ERROR_END = 16 * 1024
# GitPython hands the whole environment on. These change what git does, or hold secrets it must not have.
_NOT_INHERITED = ("GIT_", "SSH_ASKPASS")
_NO_SECRETS = Redaction(())
_NO_PROGRAM = "needs the git program, which is not on the PATH; install the system's package git"


class GitFailedError(Exception):
    """A git command has failed.

    :param output: what it wrote to standard error, without secrets.
    """

    def __init__(self, output: str) -> None:
        super().__init__(output)
        self.output = output


@dataclass(frozen=True)
class GitProgram:
    """Git, for one fetch.

    :param folder: where it works; its size is watched.
    :param environment: what is added to the environment, for this program alone.
    :param configuration: git's settings; no other are read. They stand in the process list: no secret here.
    :param largest: bytes that ``folder`` may hold.
    :param timeout: seconds for all commands together, for the error.
    :param deadline: when they are over, by :func:`time.monotonic`.
    :param field: what the user calls the source, for errors.
    :param redaction: takes the secrets out of what git writes to standard error.
    """

    folder: Path
    # Not shown: a password is in it.
    environment: Mapping[str, str] = field(repr=False)
    configuration: Mapping[str, str]
    largest: int
    timeout: float
    deadline: float
    field: str
    redaction: Redaction = _NO_SECRETS

    def run(self, *arguments: str) -> str:
        """Run one command and return what it wrote to standard output.

        :param arguments: ``("fetch", "--depth=1", ...)``.
        :raises GitFailedError: it failed.
        :raises SourceError: there is no git program, or the command went over a bound.
        """
        # GitPython ends the process when its wrapper is collected: it must live as long as this call.
        wrapper = self._start(arguments)
        process = cast("subprocess.Popen[bytes]", wrapper.proc)
        try:
            output, error = self._read(process)
        finally:
            # Its number is its own until it is waited for, so that the group cannot be another's.
            _end_group(process.pid)
            status = process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        if status == 127:
            raise SourceError(_NO_PROGRAM, field=self.field)
        if status != 0:
            raise GitFailedError(self.redaction.text(error))
        return output

    def _start(self, arguments: tuple[str, ...]) -> Git.AutoInterrupt:
        try:
            # GitPython looks for the program when it is imported.
            from git.cmd import Git
        except ImportError as error:
            raise SourceError(_NO_PROGRAM, field=self.field) from error
        inherited = [name for name in os.environ if name.startswith(_NOT_INHERITED)]
        command = [
            "env",
            *(f"--unset={name}" for name in inherited if name not in self.environment),
            str(Git.GIT_PYTHON_GIT_EXECUTABLE),
            *(part for key, value in self.configuration.items() for part in ("-c", f"{key}={value}")),
            *arguments,
        ]
        return Git(str(self.folder)).execute(
            command, as_process=True, env=dict(self.environment), shell=False, start_new_session=True
        )

    def _read(self, process: subprocess.Popen[bytes]) -> tuple[str, str]:
        output, error = bytearray(), bytearray()
        with selectors.DefaultSelector() as selector:
            for stream, content in ((process.stdout, output), (process.stderr, error)):
                if stream is not None:
                    selector.register(stream, selectors.EVENT_READ, content)
            while not _has_exited(process):
                self._check()
                _receive(selector, _INTERVAL, self)
                del error[:-_ERROR_END]
            _end_group(process.pid)
            # All that could still write has ended: what there is to read is in the pipes.
            while selector.get_map() and _receive(selector, 0, self):
                pass
        self._check_size()
        return output.decode(errors="replace"), error[-_ERROR_END:].decode(errors="replace")

    def check_output(self, size: int) -> None:
        """Refuse an output of this many bytes if it is too long."""
        if size > _LARGEST_OUTPUT:
            raise SourceError(
                f"has more branches, tags or files than {_LARGEST_OUTPUT} bytes can list", field=self.field
            )

    def _check(self) -> None:
        if time.monotonic() > self.deadline:
            raise SourceError(
                f"the fetch was ended after {self.timeout:g} seconds; the server does not answer, or the "
                "repository is too large",
                field=self.field,
            )
        self._check_size()

    def _check_size(self) -> None:
        if _size(self.folder) > self.largest:
            raise SourceError(
                f"the repository takes more than {self.largest} bytes at this commit; keep workflows in a "
                "smaller one",
                field=self.field,
            )


def _receive(selector: selectors.BaseSelector, timeout: float, program: GitProgram) -> bool:
    ready = selector.select(timeout)
    for key, _ in ready:
        chunk = os.read(key.fd, 65536)
        key.data.extend(chunk)
        program.check_output(len(key.data))
        if not chunk:
            selector.unregister(key.fileobj)
    return bool(ready)


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Look without collecting the process, so that its number keeps meaning its group; macOS cannot."""
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None


def _end_group(leader: int) -> None:
    # macOS refuses to signal a group of which only the leader's zombie is left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _size(folder: Path) -> int:
    size = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            # Git renames and removes its temporary files meanwhile.
            with contextlib.suppress(FileNotFoundError):
                size += os.lstat(f"{parent}/{name}").st_size
    return size
