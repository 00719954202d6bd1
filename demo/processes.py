"""Processes that are started, watched and ended by their id, and waiting with a deadline."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, TypeVar

from demo import sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_T = TypeVar("_T")


class ProcessEndedError(RuntimeError):
    """A process ended that should have gone on; the message holds the end of what it wrote."""


class Process:
    """A process in a session of its own, whose output goes to a file.

    In a session of its own it does not get the terminal's Ctrl-C: whoever started it decides when it ends.
    If that one is killed, the whole session is ended.

    :param name: for messages.
    :param command: the program and its arguments.
    :param log: the file that gets what it writes on both streams.
    :param environment: its whole environment.
    :param user: who it runs as; default: who this one does.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        user: str | None = None,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                list(command),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
            )
        # A process and not a signal at the parent's death (prctl): that one reaches no grandchildren.
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", sessions.__file__, str(self.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process id, which is its session's id too."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def check(self) -> None:
        """Raise :class:`ProcessEndedError` if it has ended."""
        if not self.running:
            raise ProcessEndedError(
                f"{self.name} ended with exit status {self._popen.returncode}. "
                f"The end of {self.log}:\n{self.tail()}"
            )

    def tail(self, lines: int = 30) -> str:
        """The last lines of what it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait(self, seconds: float) -> int:
        """Wait for its end and return its exit status; ``TimeoutError`` after ``seconds``."""
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired as expired:
            raise TimeoutError(f"{self.name} did not end within {seconds:g} s:\n{self.tail()}") from expired

    def ask_to_stop(self) -> None:
        """Send SIGTERM; returns at once."""
        if self.running:
            self._popen.terminate()

    def stop(self, grace: float = 15.0) -> None:
        """End it and all that it started and left in its session.

        :param grace: seconds between SIGTERM and SIGKILL.
        """
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(grace)
        self.kill()

    def kill(self) -> None:
        """End it, and all that it started and left in its session, with SIGKILL."""
        sessions.kill(self.pid)
        self._popen.wait()
        # Not by the end of its input: the session's number may be another's from now on.
        self._guard.kill()
        self._guard.communicate()


def stop_all(processes: Sequence[Process]) -> None:
    """Stop processes side by side: all are asked before any is waited for."""
    for process in processes:
        process.ask_to_stop()
    for process in processes:
        process.stop()


def wait_for(
    what: str,
    probe: Callable[[], _T | None],
    *,
    seconds: float,
    processes: Sequence[Process] = (),
    interval: float = 0.2,
) -> _T:
    """Call ``probe`` until it returns something other than ``None`` or ``False``, and return that.

    :param what: what is waited for, for the message.
    :param seconds: after these, ``TimeoutError``.
    :param processes: those that have to stay alive meanwhile.
    :param interval: seconds between two probes.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            tails = "\n".join(f"--- the end of {process.log}\n{process.tail(10)}" for process in processes)
            raise TimeoutError(f"Waited {seconds:g} s in vain for {what}.\n{tails}")
        time.sleep(interval)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
