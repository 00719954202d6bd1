"""Runs a handler in a process of its own, within limits, and leaves nothing of it behind."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.handlers.environment import clean_environment, homes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.sources.limits import Limits

#: Bytes of an answer at most: about a hundred thousand steps.
LARGEST_ANSWER = 32 * 1024 * 1024

#: Bytes of the end of what a handler prints that are kept.
_KEPT_OUTPUT = 8 * 1024

#: Seconds for a process to write down where it is, when its time is up, and for its output to arrive.
_GRACE = 1.0


@dataclass(frozen=True)
class Program:
    """What runs in the process; its arguments are the path of the request and a file descriptor to answer on.

    :param text: in Python.
    :param python: the interpreter.
    :param shares_imports: whether it can import what this process can.
    """

    text: str
    python: str = sys.executable
    shares_imports: bool = True


_WRITE_STEPS = Program("from airflow_kfp_runtime.sources.handlers.child import main; main()")


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    :param answer: what it answered; empty where it did not come to that.
    :param status: its exit status, negative for the signal that ended it; ``None`` where its time was up.
    :param output: the end of what it printed.
    :param stack: where Python was when a signal or the end of its time came, written by :mod:`faulthandler`.
    """

    answer: bytes
    status: int | None
    output: str
    stack: str


def run(request: Mapping[str, Any], private: Path, limits: Limits, program: Program = _WRITE_STEPS) -> Ended:
    """Run a program, by default :mod:`~airflow_kfp_runtime.sources.handlers.child`; return what came of it.

    When this returns or raises, the process has ended, with all that it started.

    :param request: what the program takes, as :func:`~airflow_kfp_runtime.sources.handlers.child.main` does,
        besides the paths and limits that are added here.
    :param private: an empty folder for the process alone; the caller removes it.
    :param limits: ``handler_timeout`` and ``handler_memory`` count.
    :raises SourceError: the answer is too large.
    """
    for name in ("work", *(Path(folder).name for folder in homes(private).values())):
        (private / name).mkdir()
    stack = private / "stack"
    stack.touch()
    written = {
        **request,
        "stack": str(stack),
        "timeout": limits.handler_timeout,
        "memory": limits.handler_memory,
    }
    (private / "request").write_text(json.dumps(written), encoding="utf-8")
    deadline = time.monotonic() + limits.handler_timeout
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as answers:
        try:
            process = subprocess.Popen(
                [program.python, "-c", program.text, str(private / "request"), str(writing)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=private / "work",
                env=clean_environment(private, shares_imports=program.shares_imports),
                pass_fds=(writing,),
                start_new_session=True,
            )
        finally:
            os.close(writing)
        try:
            output = _Output(process.stdout)
            answer = _read(answers, deadline)
            status = None if answer is None else _status(process, answer, deadline)
            if status is None:
                _ask_where_it_is(process, stack)
        finally:
            _end(process, private)
        return Ended(answer or b"", status, output.end(), stack.read_text("utf-8", "replace"))


def _read(answers: IO[bytes], deadline: float) -> bytes | None:
    """Return all that is answered, or ``None`` where the time is up before."""
    answer = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(answers, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            part = answers.read(1024 * 1024)
            if not part:
                return bytes(answer)
            answer += part
            if len(answer) > LARGEST_ANSWER:
                raise SourceError(
                    f"writes a pipeline of more than {LARGEST_ANSWER} bytes; "
                    "give large values to a step as a file or an argument"
                )
    return None


def _status(process: subprocess.Popen[bytes], answer: bytes, deadline: float) -> int | None:
    """Return a process's exit status, or ``None`` where its time is up; with an answer it need not end."""
    if answer:
        return 0
    try:
        return process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None


def _ask_where_it_is(process: subprocess.Popen[bytes], stack: Path) -> None:
    """Let a process whose time is up write its stack; its ``faulthandler`` does, whatever it is at."""
    process.send_signal(signal.SIGUSR1)
    until, size = time.monotonic() + _GRACE, 0
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
        if 0 < size == stack.stat().st_size:
            return
        size = stack.stat().st_size


def _end(process: subprocess.Popen[bytes], private: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(10):
        left = _strays(private)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            return


def _strays(private: Path) -> list[int]:
    """Return the processes that left the group but have its environment or folder; Linux alone tells that."""
    own = {f"{name}={value}".encode() for name, value in homes(private).items()}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        # A process may have ended meanwhile, or be another user's.
        with contextlib.suppress(OSError):
            has_environment = own & set((process / "environ").read_bytes().split(b"\0"))
            if has_environment or (process / "cwd").readlink().is_relative_to(private):
                found.append(int(process.name))
    return found


class _Output:
    """Reads what a process prints, so that it never waits for us, and keeps the end."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._kept = b""
        self._thread = threading.Thread(target=self._read, name="handler-output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        if self._stream is None:
            return
        with self._stream:
            while part := os.read(self._stream.fileno(), 65536):
                self._kept = (self._kept + part)[-_KEPT_OUTPUT:]

    def end(self) -> str:
        """Return the end of it, after the process has ended."""
        self._thread.join(_GRACE)
        return self._kept.decode("utf-8", "replace").strip()
