"""Processes end with the one that started them, and everything that they have started with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo import sessions
from demo.processes import Process, wait_for

#: Starts another process, in a process group of its own as Airflow's tasks are, and waits with it.
PARENT = """
import os, time
if os.fork() == 0:
    os.setpgid(0, 0)
print("started", flush=True)
time.sleep(600)
"""

#: Starts that one, and waits to be killed.
STARTER = f"""
import os, sys, time
from pathlib import Path
from demo.processes import Process
process = Process("parent", [sys.executable, "-c", {PARENT!r}], log=Path(sys.argv[1]), environment=os.environ)
print(process.pid, flush=True)
time.sleep(600)
"""


def both_run(log):
    return log.exists() and log.read_text().count("started") == 2


@pytest.fixture
def parent(tmp_path):
    log = tmp_path / "log"
    process = Process("parent", [sys.executable, "-c", PARENT], log=log, environment=os.environ)
    wait_for("both processes", lambda: both_run(log), seconds=30, processes=[process])
    assert len(sessions.members(process.pid)) == 2
    yield process
    process.kill()


@pytest.mark.parametrize("end", [Process.stop, Process.kill])
def test_a_process_takes_those_in_other_groups_of_its_session_along(parent, end):
    end(parent)

    assert not sessions.members(parent.pid)
    assert not parent.running


def test_a_process_of_a_program_that_is_killed_ends_with_it(tmp_path):
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path / "log")],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    leader = int(starter.stdout.readline())
    wait_for("both processes", lambda: both_run(tmp_path / "log"), seconds=30)
    assert len(sessions.members(leader)) == 2

    os.kill(starter.pid, signal.SIGKILL)
    starter.communicate()

    wait_for("the end of both", lambda: not sessions.members(leader), seconds=30)
