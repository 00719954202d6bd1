"""The embedded server's tables: what goes in comes out, over a restart, from several threads."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_kfp_runtime.embedded.state.rows import (
    ArtifactRow,
    ExperimentRow,
    PipelineRow,
    RunRow,
    TaskRow,
    VersionRow,
    now,
)
from airflow_kfp_runtime.embedded.state.store import AlreadyExistsError, NewerDataError, Selection, Store

MOMENT = datetime(2026, 8, 1, 12, 0, 0, 123456, tzinfo=timezone.utc)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "server.db")
    yield store
    store.close()


def run_row(run_id="r1", **changes):
    return RunRow(
        run_id=run_id,
        display_name="run",
        experiment_id="e1",
        pipeline_spec={"root": {}},
        created_at=MOMENT,
        scheduled_at=MOMENT,
        **changes,
    )


def task_row(task_id="t1", **changes):
    row = TaskRow(
        task_id=task_id, run_id="r1", name=task_id, path=task_id, type="CONTAINER", created_at=MOMENT
    )
    return replace(row, **changes)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(timezone.utc)
)


@settings(max_examples=50, deadline=None)
@given(
    parameters=st.dictionaries(st.text(), JSON), created=MOMENTS, finished=st.none() | MOMENTS, name=st.text()
)
def test_a_run_comes_back_as_it_was_saved(parameters, created, finished, name):
    store = Store(Path(":memory:"))
    row = replace(run_row(parameters=parameters), created_at=created, finished_at=finished, display_name=name)
    store.save(row)

    assert store.get_run("r1") == row
    store.close()


def test_rows_survive_a_restart(tmp_path):
    store = Store(tmp_path / "server.db")
    store.save(run_row())
    store.save_task(task_row(inputs={"parameters": {"n": 1}, "artifacts": {}}))
    store.close()

    again = Store(tmp_path / "server.db")
    assert again.get_run("r1") == run_row()
    assert [task.inputs["parameters"] for task in again.tasks_of("r1")] == [{"n": 1}]
    again.close()


def test_a_state_change_is_in_the_history_and_an_end_state_sets_the_end(store):
    store.save(run_row())

    assert store.set_run_state("r1", "RUNNING")
    assert store.get_run("r1").finished_at is None
    assert store.set_run_state("r1", "FAILED", "train failed")

    run = store.get_run("r1")
    assert [change["state"] for change in run.state_history] == ["RUNNING", "FAILED"]
    assert run.finished_at is not None
    assert run.error == "train failed"


def test_a_run_that_leaves_an_end_state_has_no_end_and_no_error(store):
    store.save(run_row(state="FAILED", finished_at=MOMENT, error="x"))

    store.set_run_state("r1", "RUNNING")

    assert store.get_run("r1").finished_at is None
    assert store.get_run("r1").error is None


def test_the_same_state_twice_is_one_entry(store):
    store.save(run_row())
    store.set_run_state("r1", "CANCELING")

    assert not store.set_run_state("r1", "CANCELING")
    assert len(store.get_run("r1").state_history) == 1


def test_of_many_threads_one_wins_a_conditional_state_change(store):
    store.save(run_row(state="FAILED"))

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda _: store.set_run_state("r1", "PENDING", only_from=["FAILED"]), range(32)))

    assert won.count(True) == 1


def test_a_state_change_of_an_unknown_run_is_false(store):
    assert not store.set_run_state("nowhere", "RUNNING")


def test_runs_in_states_are_oldest_first(store):
    store.save(replace(run_row("new"), created_at=now()))
    store.save(run_row("old", state="RUNNING"))
    store.save(run_row("done", state="SUCCEEDED"))

    assert [run.run_id for run in store.runs_in_states(["PENDING", "RUNNING"])] == ["old", "new"]


def test_saving_a_task_again_overwrites_it_and_keeps_its_place_and_number(store):
    store.save(run_row())
    store.save_task(task_row("t1"))
    store.save_task(task_row("t2"))
    numbers = store.task_numbers("r1")

    store.save_task(task_row("t1", state="RUNNING"))

    assert [(task.task_id, task.state) for task in store.tasks_of("r1")] == [
        ("t1", "RUNNING"),
        ("t2", "PENDING"),
    ]
    assert store.task_numbers("r1") == numbers


def test_artifacts_among_a_steps_outputs_are_kept_once_with_a_number(store):
    artifact = {
        "id": "a1",
        "name": "model",
        "type": "system.Model",
        "uri": "/x/model",
        "metadata": {"rows": 2},
    }
    task = task_row(outputs={"parameters": {}, "artifacts": {"model": [artifact]}})
    store.save(run_row())
    store.save_task(task)
    store.save_task(task)

    (kept,) = store.artifacts_of("r1")
    assert (kept.artifact_id, kept.type, kept.uri, kept.metadata) == (
        "a1",
        "system.Model",
        "/x/model",
        {"rows": 2},
    )
    assert kept.number > 0


def test_deleting_a_run_deletes_its_tasks_and_artifacts(store):
    artifact = {"id": "a1", "name": "model", "type": "system.Model", "uri": "/x/model", "metadata": {}}
    store.save(run_row())
    store.save_task(task_row(outputs={"parameters": {}, "artifacts": {"model": [artifact]}}))

    assert store.delete(RunRow, "r1")

    assert store.tasks_of("r1") == []
    assert store.count(ArtifactRow) == 0
    assert not store.delete(RunRow, "r1")


def test_names_of_experiments_pipelines_and_versions_are_unique(store):
    for first, second in [
        (ExperimentRow("e1", "same", MOMENT), ExperimentRow("e2", "same", MOMENT)),
        (PipelineRow("p1", "same", MOMENT), PipelineRow("p2", "same", MOMENT)),
        (VersionRow("v1", "p1", "same", MOMENT, {}), VersionRow("v2", "p1", "same", MOMENT, {})),
    ]:
        store.insert(first)
        with pytest.raises(AlreadyExistsError):
            store.insert(second)


def test_the_same_name_in_two_namespaces_is_two_experiments(store):
    store.insert(ExperimentRow("e1", "same", MOMENT, namespace="a"))
    store.insert(ExperimentRow("e2", "same", MOMENT, namespace="b"))

    assert store.count(ExperimentRow) == 2


def test_deleting_a_pipeline_deletes_its_versions(store):
    store.insert(PipelineRow("p1", "p", MOMENT))
    store.insert(VersionRow("v1", "p1", "v", MOMENT, {}))

    store.delete(PipelineRow, "p1")

    assert store.get(VersionRow, "v1") is None


def test_a_selection_picks_orders_and_limits(store):
    for name in "abc":
        store.insert(PipelineRow(name, name, MOMENT))

    selection = Selection("name >= ?", ("b",), "name DESC", limit=1)

    assert [row.name for row in store.select(PipelineRow, selection)] == ["c"]
    assert store.count(PipelineRow, selection) == 2


def test_a_task_that_cannot_be_saved_whole_is_not_saved(store):
    store.save(run_row())
    broken = task_row(outputs={"parameters": {}, "artifacts": {"model": [{"id": "a1"}]}})

    with pytest.raises(KeyError):
        store.save_task(broken)

    assert store.tasks_of("r1") == []


def test_a_change_touches_only_the_named_fields(store):
    store.save(run_row(state="RUNNING"))

    assert store.change(RunRow, "r1", lambda run: replace(run, storage_state="ARCHIVED"))
    assert store.get_run("r1") == run_row(state="RUNNING", storage_state="ARCHIVED")
    assert not store.change(RunRow, "nowhere", lambda run: run)


def test_a_file_says_which_tables_it_has_and_one_of_a_later_version_is_refused(tmp_path):
    path = tmp_path / "server.db"
    Store(path).close()
    # A file from before the versions were counted has the tables of the first.
    for version in (1, 0):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (1,)
            connection.execute(f"PRAGMA user_version = {version}")
        Store(path).close()

    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(NewerDataError, match=r"server.db was written by a later version .*schema 7.*up to 1"):
        Store(path)
