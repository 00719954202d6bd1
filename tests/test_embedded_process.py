"""A process tree is found and ended as a whole, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid

import pytest

from airflow_kfp_runtime.embedded.engine.process import (
    MARKER,
    Command,
    DeadlineError,
    EndedError,
    ProcessTrees,
    kill_orphans,
)
from tests.embedded_engine import eventually


@pytest.fixture
def log(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        yield file


def command(tmp_path, script, *arguments):
    return Command(["sh", "-c", script, "sh", *arguments], tmp_path, {"PATH": os.environ["PATH"]})


def test_a_process_gives_its_exit_status_and_its_output(tmp_path, log):
    trees = ProcessTrees(grace=1)

    status = trees.run(command(tmp_path, "pwd; echo error >&2; exit 5"), marker="r/t", log=log)

    assert status == 5
    assert (tmp_path / "log").read_text() == f"{tmp_path}\nerror\n"


def test_a_process_sees_the_given_variables_and_the_marker_only(tmp_path, log):
    ProcessTrees(grace=1).run(Command(["/usr/bin/env"], tmp_path, {"A": "b"}), marker="r/t", log=log)

    assert set((tmp_path / "log").read_text().split()) == {"A=b", f"{MARKER}=r/t"}


def test_nothing_starts_once_the_trees_were_ended(tmp_path, log):
    trees = ProcessTrees(grace=1)
    trees.end()

    with pytest.raises(EndedError):
        trees.run(command(tmp_path, "true"), marker="r/t", log=log)


def test_the_end_of_one_tree_leaves_others_alone(tmp_path, log):
    first, second = ProcessTrees(grace=5), ProcessTrees(grace=5)
    results = {}

    def run(name, trees):
        script = f"touch {tmp_path}/{name}; exec sleep 1000"
        results[name] = trees.run(command(tmp_path, script), marker=f"{name}/t", log=log)

    threads = [threading.Thread(target=run, args=each) for each in (("first", first), ("second", second))]
    for thread in threads:
        thread.start()
    eventually(lambda: (tmp_path / "first").exists() and (tmp_path / "second").exists())

    first.end()
    threads[0].join()
    assert results == {"first": -signal.SIGTERM}
    assert threads[1].is_alive()

    second.end()
    threads[1].join()
    assert results["second"] == -signal.SIGTERM


def test_orphans_are_those_of_the_run_alone():
    run_id, other = str(uuid.uuid4()), str(uuid.uuid4())
    processes = {
        marker: subprocess.Popen(
            ["sleep", "1000"], env={**os.environ, MARKER: marker}, start_new_session=True
        )
        for marker in (f"{run_id}/a", f"{run_id}/b", f"{other}/a")
    }
    try:
        assert kill_orphans(run_id) == 2
        assert processes[f"{run_id}/a"].wait() == -signal.SIGKILL
        assert processes[f"{run_id}/b"].wait() == -signal.SIGKILL
        assert processes[f"{other}/a"].poll() is None
        assert kill_orphans(run_id) == 0
    finally:
        processes[f"{other}/a"].kill()
        processes[f"{other}/a"].wait()


def test_a_tree_is_ended_when_its_time_has_come(tmp_path, log):
    trees = ProcessTrees(grace=5)
    script = "setsid sleep 1000 & trap 'exit 9' TERM; echo ready; sleep 1000 & wait"
    marker = f"{uuid.uuid4()}/t"

    with pytest.raises(DeadlineError) as caught:
        trees.run(command(tmp_path, script), marker=marker, log=log, until=time.monotonic() + 0.3)

    assert caught.value.status == 9
    assert not kill_orphans(marker.removesuffix("/t"))
    assert not trees.ended


def test_a_command_that_ends_in_time_is_left_alone(tmp_path, log):
    trees = ProcessTrees(grace=5)

    status = trees.run(command(tmp_path, "exit 4"), marker="r/t", log=log, until=time.monotonic() + 1e12)

    assert status == 4


def test_who_waits_is_told_when_the_trees_are_ended(tmp_path):
    told = []
    trees = ProcessTrees(grace=5, on_end=lambda: told.append(trees.ended))

    trees.end()
    trees.end()

    assert told == [True]
