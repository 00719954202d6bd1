"""Process trees: a task's process and all that it starts, ended together as a pod's processes are.

Each tree carries a marker in its environment, which children inherit even when they leave the session or
lose their parent. So they are found in ``/proc``, also by a server that was started after the one that
started them was killed. Where there is no ``/proc`` (macOS), the process group has to do.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

#: The environment variable that marks the processes of a task; its value is ``<run id>/<task id>``.
MARKER = "AIRFLOW_KFP_RUNTIME_TASK"

_PROC = Path("/proc")


class EndedError(Exception):
    """The trees were ended, so no further process is started."""


class DeadlineError(Exception):
    """A command took longer than it may, and was ended.

    :param status: its exit status, as :meth:`ProcessTrees.run` returns it.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Command:
    """What to run.

    :param arguments: the program and its arguments.
    :param folder: the current directory.
    :param environment: the whole environment, but for the marker.
    """

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]


class ProcessTrees:
    """The running processes of one run. Safe to use from any thread.

    :param grace: seconds between SIGTERM and SIGKILL when they are ended.
    :param on_end: called once, when they are ended.
    """

    def __init__(self, grace: float, on_end: Callable[[], None] = lambda: None) -> None:
        self._grace = grace
        self._on_end = on_end
        self._lock = threading.Lock()
        self._running: dict[int, str] = {}
        self._deadline: float | None = None

    @property
    def ended(self) -> bool:
        """Whether :meth:`end` was called."""
        return self._deadline is not None

    def run(self, command: Command, *, marker: str, log: IO[bytes], until: float = math.inf) -> int:
        """Run a command to its end, and end with it what it has left running.

        :param marker: see :data:`MARKER`.
        :param log: where standard output and standard error go.
        :param until: the time, by :func:`time.monotonic`, at which the tree is ended: SIGTERM and, after the
            grace, SIGKILL.
        :return: its exit status; of one that a signal has ended, the negative number of the signal.
        :raises EndedError: the trees were ended before it started.
        :raises DeadlineError: ``until`` came first.
        :raises OSError: it cannot be started.
        """
        with self._lock:
            if self.ended:
                raise EndedError
            process = subprocess.Popen(
                command.arguments,
                cwd=command.folder,
                env={**command.environment, MARKER: marker},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running[process.pid] = marker
        alarm = _Alarm(process.pid, marker, until, self._grace)
        try:
            _await_exit(process)
            deadline = self._deadline if self._deadline is not None else alarm.deadline
            if deadline is not None:
                _await_all(process.pid, marker, deadline)
            kill_tree(process.pid, marker)
        finally:
            # Before the zombie goes, since the alarm sends signals to its number.
            alarm.stop()
            status = process.wait()
            with self._lock:
                del self._running[process.pid]
        if alarm.deadline is not None and not self.ended:
            raise DeadlineError(status)
        return status

    def end(self) -> None:
        """Send all processes SIGTERM and, after the grace, SIGKILL; return without waiting for them."""
        with self._lock:
            if self.ended:
                return
            self._deadline = time.monotonic() + self._grace
            running = dict(self._running)
        self._on_end()
        for leader, marker in running.items():
            _signal_all(leader, _members(leader, _marked(marker)), signal.SIGTERM)
        if running:
            killer = threading.Timer(self._grace, self._kill)
            killer.daemon = True
            killer.start()

    def _kill(self) -> None:
        with self._lock:
            running = dict(self._running)
        for leader, marker in running.items():
            kill_tree(leader, marker)


class _Alarm:
    """Ends one tree at a time of its own; ``deadline`` is when it is killed, once it was told to end."""

    def __init__(self, leader: int, marker: str, until: float, grace: float) -> None:
        self.deadline: float | None = None
        self._leader = leader
        self._marker = marker
        self._grace = grace
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ring, args=(until,), daemon=True)
        if until < math.inf:
            self._thread.start()

    def stop(self) -> None:
        """Let it do nothing more, and wait until it does nothing."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _ring(self, until: float) -> None:
        # Python's locks cannot wait for ever in one go; a deadline may be years away.
        while (left := until - time.monotonic()) > 0:
            if self._stopped.wait(min(left, threading.TIMEOUT_MAX)):
                return
        self.deadline = time.monotonic() + self._grace
        _signal_all(self._leader, _members(self._leader, _marked(self._marker)), signal.SIGTERM)
        if not self._stopped.wait(self._grace):
            kill_tree(self._leader, self._marker)


def kill_tree(leader: int, marker: str) -> None:
    """Kill all processes of a tree but its leader's zombie.

    :param leader: the process that leads the session; it must not have been waited for yet, so that its
        number cannot mean another process.
    """
    _kill_until_gone(leader, _marked(marker))


def kill_orphans(run_id: str) -> int:
    """Kill the processes that an earlier server left behind for a run.

    :return: how many there were.
    """
    prefix = f"{MARKER}={run_id}/".encode()
    return _kill_until_gone(None, lambda environment: any(part.startswith(prefix) for part in environment))


def _kill_until_gone(leader: int | None, marked: Callable[[list[bytes]], bool]) -> int:
    # A process may fork between the look and the signal; a bound, since one in the kernel cannot be killed.
    killed: set[int] = set()
    for _ in range(20):
        members = _members(leader, marked)
        _signal_all(leader, members, signal.SIGKILL)
        if not members:
            break
        killed |= members
        _await_gone(members, time.monotonic() + 1)
    return len(killed)


def _signal_all(leader: int | None, members: set[int], number: signal.Signals) -> None:
    # Parents before children, or a shell whose command has ended would begin the next one.
    for member in sorted(members, key=lambda member: (member != leader, member)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(member, number)
    if leader is not None and not _PROC.is_dir():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, number)


def _await_exit(process: subprocess.Popen[bytes]) -> None:
    """Wait for the exit of a process but leave its zombie, whose number marks the session as ours."""
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()


def _await_all(leader: int, marker: str, deadline: float) -> None:
    while time.monotonic() < deadline and (members := _members(leader, _marked(marker))):
        _await_gone(members, deadline)


def _await_gone(members: set[int], deadline: float) -> None:
    """Wait until these processes have ended or the deadline has come."""
    poll = select.poll()
    descriptors = []
    for member in members:
        try:
            descriptors.append(os.pidfd_open(member))
        except ProcessLookupError:
            continue
        except OSError:
            # No pidfds (a kernel before 5.3, a sandbox): the caller looks again, so a short pause will do.
            time.sleep(max(0.0, min(0.05, deadline - time.monotonic())))
            continue
        poll.register(descriptors[-1], select.POLLIN)
    waiting = set(descriptors)
    try:
        while waiting and (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                poll.unregister(descriptor)
                waiting.discard(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _marked(marker: str) -> Callable[[list[bytes]], bool]:
    entry = f"{MARKER}={marker}".encode()
    return lambda environment: entry in environment


@dataclass(frozen=True)
class _Process:
    number: int
    parent: int
    session: int
    running: bool


def _members(leader: int | None, marked: Callable[[list[bytes]], bool]) -> set[int]:
    """The running processes that carry the mark or are in the leader's session, and their descendants."""
    processes = list(_processes())
    found = {
        process.number
        for process in processes
        if (leader is not None and leader in (process.number, process.session))
        or marked(_environment(process.number))
    }
    while True:
        children = {process.number for process in processes if process.parent in found} - found
        if not children:
            break
        found |= children
    return {process.number for process in processes if process.running and process.number in found}


def _processes() -> Iterator[_Process]:
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in brackets, may hold anything; what follows is numbers (proc(5)).
                state, parent, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                yield _Process(int(entry.name), int(parent), int(session), running=state not in "ZX")


def _environment(process: int) -> list[bytes]:
    try:
        return (_PROC / str(process) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
