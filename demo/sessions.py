"""Sessions of processes, which are ended as a whole.

As a program, ``python sessions.py LEADER`` ends a session as soon as its standard input ends: whoever holds
the other end of that pipe takes the session along, however it dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

_PROC = Path("/proc")


def members(leader: int) -> set[int]:
    """The processes of a session, those of other process groups included (Airflow gives each task one).

    :param leader: the process that began the session; its number is the session's.
    """
    found = set()
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in brackets, may hold anything; what follows is numbers (proc(5)).
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == leader and state not in "ZX":
                    found.add(int(entry.name))
    return found


def kill(leader: int) -> None:
    """Kill all processes of a session; where there is no ``/proc``, those of its leader's group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    # One may start another between the look and the signal; a bound, since one in the kernel stays.
    for _ in range(100):
        found = members(leader)
        if not found:
            break
        for process in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


if __name__ == "__main__":
    sys.stdin.read()
    kill(int(sys.argv[1]))
