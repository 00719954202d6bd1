"""The rows of tasks: found again after a restart, moved from state to state with their history."""

from __future__ import annotations

import pytest

from airflow_kfp_runtime.embedded.engine.ledger import Ledger
from airflow_kfp_runtime.embedded.state.rows import ExperimentRow, RunRow, now
from airflow_kfp_runtime.embedded.state.store import Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "server.sqlite")
    store.insert(ExperimentRow("experiment", "experiment", now()))
    store.insert(RunRow("run", "run", "experiment", {}, now(), now()))
    yield store
    store.close()


def test_paths_and_parents_follow_the_dags(store):
    ledger = Ledger("run", store)
    root = ledger.row(None, "root", "ROOT")
    outer = ledger.row(root, "outer", "DAG")
    inner = ledger.row(outer, "inner", "CONTAINER")

    assert [row.path for row in (root, outer, inner)] == ["", "outer", "outer/inner"]
    assert [row.parent_task_id for row in (root, outer, inner)] == [None, root.task_id, outer.task_id]


def test_a_row_is_found_again_by_the_next_ledger(store):
    ledger = Ledger("run", store)
    saved = ledger.save(ledger.row(ledger.row(None, "root", "ROOT"), "one", "CONTAINER"), "RUNNING")

    found = Ledger("run", store).row(ledger.row(None, "root", "ROOT"), "one", "CONTAINER")

    assert found == saved


def test_a_state_is_written_down_once_with_the_times_that_belong_to_it(store):
    ledger = Ledger("run", store)
    row = ledger.row(None, "root", "ROOT")

    running = ledger.save(ledger.save(row, "RUNNING"), "RUNNING", attempts=2)
    ended = ledger.save(running, "FAILED", error="why")

    assert running.finished_at is None
    assert running.attempts == 2
    assert ended.finished_at is not None
    assert [change["state"] for change in ended.state_history] == ["PENDING", "RUNNING", "FAILED"]
    assert store.get_task(row.task_id) == ended


def test_iterations_are_named_after_their_loop_and_the_superfluous_are_dropped(store):
    ledger = Ledger("run", store)
    root = ledger.save(ledger.row(None, "root", "ROOT"))
    loop = ledger.save(ledger.row(root, "each", "LOOP"))
    iterations = [ledger.save(ledger.row(loop, "each", "ITERATION", str(index))) for index in (0, 1, 10)]
    ledger.save(ledger.row(iterations[2], "step", "CONTAINER"))
    other = ledger.save(ledger.row(root, "each-2", "CONTAINER"))

    assert [(row.name, row.path, row.iteration) for row in iterations] == [
        ("each", "each/0", 0),
        ("each", "each/1", 1),
        ("each", "each/10", 10),
    ]
    ledger.drop_iterations(loop, 1)
    assert store.tasks_of("run") == [root, loop, iterations[0], other]
    assert ledger.row(loop, "each", "ITERATION", "1").task_id != iterations[1].task_id
