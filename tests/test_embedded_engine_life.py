"""The embedded engine ends what it is told to end, and goes on after a restart, even one by SIGKILL."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.embedded_engine import Server, alive, eventually, nested, pipeline, running_server, step

AFTER_FIRST = {"dependentTasks": ["first"]}
ALWAYS = {"triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}}


#: A server of its own process, to be killed.
SERVE = """
import json, sys, time
from pathlib import Path
from tests.embedded_engine import Server
server = Server(Path(sys.argv[1]))
print(server.submit(json.loads(sys.argv[2])), flush=True)
time.sleep(1000)
"""


@pytest.fixture
def server(tmp_path):
    with running_server(tmp_path / "data") as running:
        yield running


def numbers(file):
    """The process numbers that a step has written, one a line."""
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def test_termination_ends_the_whole_process_tree(server, tmp_path):
    pids = tmp_path / "pids"
    # A child, a grandchild, and one that leaves the session and whose parent is gone.
    script = (
        f"sh -c 'echo $$ >> {pids}; sleep 1000 & echo $! >> {pids}; wait' &\n"
        f"setsid sh -c 'sh -c \"echo \\$\\$ >> {pids}; exec sleep 1000\" & sleep 0.1' \n"
        f"echo $$ >> {pids}; wait"
    )
    run_id = server.submit(
        pipeline(
            {
                "sleeps": step(script),
                "after": step(dependentTasks=["sleeps"]),
                "cleans": step(dependentTasks=["sleeps"], **ALWAYS),
            }
        )
    )
    eventually(lambda: len(numbers(pids)) == 4)
    assert all(alive(pid) for pid in numbers(pids))

    assert server.engine.terminate(run_id)

    run = server.wait(run_id)
    assert [change["state"] for change in run.state_history][-2:] == ["CANCELING", "FAILED"]
    assert "terminated" in run.error
    assert not any(alive(pid) for pid in numbers(pids))
    tasks = server.tasks(run)
    assert {path: task.state for path, task in tasks.items()} == {
        "": "FAILED",
        "sleeps": "FAILED",
        "after": "SKIPPED",
        "cleans": "SKIPPED",
    }
    assert not server.engine.terminate(run_id)


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(tmp_path):
    ready = tmp_path / "ready"
    with running_server(tmp_path / "data", grace=0.3) as server:
        run_id = server.submit(
            pipeline({"stubborn": step(f"trap '' TERM; touch {ready}; while true; do sleep 0.05; done")})
        )
        eventually(ready.exists)
        server.engine.terminate(run_id)

        assert server.wait(run_id).state == "FAILED"
        assert server.tasks(run_id)["stubborn"].exit_code == 128 + signal.SIGKILL


def test_a_process_has_the_grace_to_end_by_itself(server, tmp_path):
    ready, cleaned = tmp_path / "ready", tmp_path / "cleaned"
    # The shell in front ends at once; what it has started still gets to clean up.
    inner = f"trap 'sleep 0.3; touch {cleaned}; exit' TERM; touch {ready}; while true; do sleep 0.05; done"
    run_id = server.submit(pipeline({"tidy": step(f"sh -c '{inner.replace(chr(39), chr(34))}' & wait")}))
    eventually(ready.exists)

    server.engine.terminate(run_id)
    server.wait(run_id)

    assert cleaned.exists()


def test_what_a_step_leaves_running_ends_with_it(server, tmp_path):
    pid = tmp_path / "pid"
    run = server.run(pipeline({"leaves": step(f"setsid sleep 1000 & echo $! > {pid}; sleep 0.1")}))

    assert run.state == "SUCCEEDED"
    assert not alive(*numbers(pid))


def test_termination_of_a_run_whose_steps_wait_for_a_worker(tmp_path):
    ready = tmp_path / "ready"
    with running_server(tmp_path / "data", workers=1) as server:
        busy = server.submit(pipeline({"busy": step(f"touch {ready}; sleep 1000")}))
        eventually(ready.exists)
        waits = server.submit(pipeline({"waits": step()}))
        eventually(lambda: "waits" in server.tasks(waits))

        server.engine.terminate(waits)

        assert server.wait(waits).state == "FAILED"
        assert server.tasks(waits)["waits"].attempts == 0
        assert server.store.get_run(busy).state == "RUNNING"
        server.engine.terminate(busy)
        server.wait(busy)


def test_termination_of_a_run_whose_step_waits_for_its_next_attempt(server):
    policy = {"maxRetryCount": 3, "backoffDuration": "600s"}
    run_id = server.submit(pipeline({"fails": step("exit 1", retryPolicy=policy)}))
    eventually(lambda: "fails" in server.tasks(run_id) and server.tasks(run_id)["fails"].error)

    server.engine.terminate(run_id)

    assert server.wait(run_id).error == "The run was terminated."
    assert server.tasks(run_id)["fails"].attempts == 1


def test_a_retry_runs_what_has_not_succeeded_and_keeps_the_rest(server, tmp_path):
    allowed = tmp_path / "allowed"

    def counts(name, then="true"):
        return step(f"echo x >> {tmp_path}/{name}; {then}")

    inner = {"kept-inside": counts("kept-inside"), "fails": counts("fails", f"[ -e {allowed} ]")}
    after = step(f"echo x >> {tmp_path}/after", dependentTasks=["part"])
    cleans = step(f"echo x >> {tmp_path}/cleans", dependentTasks=["part"], **ALWAYS)
    spec = pipeline({"kept": counts("kept"), "part": nested(inner), "after": after, "cleans": cleans})
    run = server.run(spec)
    assert run.state == "FAILED"
    before = server.tasks(run)

    allowed.touch()
    assert server.engine.retry(run.run_id)
    run = server.wait(run.run_id)

    assert run.state == "SUCCEEDED"
    assert run.error is None
    tasks = server.tasks(run)
    assert {task.state for task in tasks.values()} == {"SUCCEEDED"}
    assert {path: task.task_id for path, task in tasks.items()} == {
        path: task.task_id for path, task in before.items()
    }
    times = {
        name: len((tmp_path / name).read_text().split()) for name in ("kept", "fails", "after", "cleans")
    }
    assert times == {"kept": 1, "fails": 2, "after": 1, "cleans": 2}
    assert (tmp_path / "kept-inside").read_text() == "x\n"
    assert "The step starts again" in server.log(run, "part/fails")
    assert "The step starts again" not in server.log(run, "kept") + server.log(run, "after")
    assert not server.engine.retry(run.run_id)


def test_a_discarded_run_leaves_no_process_and_no_folder(server, tmp_path):
    pid = tmp_path / "pid"
    run_id = server.submit(pipeline({"sleeps": step(f"echo $$ > {pid}; exec sleep 1000")}))
    eventually(lambda: numbers(pid))

    server.engine.discard(run_id)

    assert not alive(*numbers(pid))
    eventually(lambda: not server.places.run(run_id).exists())


def test_a_stopped_server_goes_on_with_its_runs_when_it_starts_again(tmp_path):
    ready, go = tmp_path / "ready", tmp_path / "go"
    waits = step(f"echo x >> {tmp_path}/waits; touch {ready}; while [ ! -e {go} ]; do sleep 0.02; done")
    spec = pipeline({"first": step(f"echo x >> {tmp_path}/first"), "waits": waits | {"task": AFTER_FIRST}})
    with running_server(tmp_path / "data") as server:
        run_id = server.submit(spec)
        eventually(ready.exists)
    go.touch()

    with running_server(tmp_path / "data") as server:
        run = server.wait(run_id)
        attempts = server.tasks(run)["waits"].attempts

    assert run.state == "SUCCEEDED"
    assert (tmp_path / "first").read_text() == "x\n"
    assert (tmp_path / "waits").read_text() == "x\nx\n"
    assert attempts == 1


def test_runs_go_on_after_the_server_was_killed(tmp_path):
    pids, go = tmp_path / "pids", tmp_path / "go"
    waits = step(f"echo $$ >> {pids}; while [ ! -e {go} ]; do sleep 0.02; done; echo x >> {tmp_path}/done")
    spec = pipeline({"first": step(f"echo x >> {tmp_path}/first"), "waits": waits | {"task": AFTER_FIRST}})
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path / "data"), json.dumps(spec)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    run_id = process.stdout.readline().strip()
    eventually(lambda: numbers(pids))
    process.kill()
    process.communicate()
    (orphan,) = numbers(pids)
    assert alive(orphan)

    with running_server(tmp_path / "data") as server:
        eventually(lambda: len(numbers(pids)) == 2)
        assert not alive(orphan)
        go.touch()
        run = server.wait(run_id)

    assert run.state == "SUCCEEDED"
    assert (tmp_path / "first").read_text() == "x\n"
    assert (tmp_path / "done").read_text() == "x\n"


def test_a_run_that_was_being_terminated_when_the_server_stopped_has_failed(tmp_path):
    ready = tmp_path / "ready"
    with running_server(tmp_path / "data") as server:
        run_id = server.submit(pipeline({"sleeps": step(f"touch {ready}; sleep 1000")}))
        eventually(ready.exists)
        server.engine.stop()
        server.store.set_run_state(run_id, "CANCELING")
        server.engine = Server(tmp_path / "data").engine
        run = server.wait(run_id)

        assert run.state == "FAILED"
        assert "terminated" in run.error
        assert server.tasks(run)["sleeps"].state == "FAILED"


def test_a_defect_fails_its_run_and_no_other(server, monkeypatch):
    good = pipeline({"one": step()})
    broken = pipeline({"one": step()})
    run_id = server.submit(good)
    server.wait(run_id)
    # A spec that changed after it was checked, as a file of another version of the server might.
    monkeypatch.setattr(server.engine, "check", lambda *_: None)
    del broken["components"]["comp-one"]

    run = server.run(broken)

    assert run.state == "FAILED"
    assert "server" in run.error
    assert server.run(good).state == "SUCCEEDED"
