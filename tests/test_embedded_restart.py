"""Which tasks a retry runs again: all but those that succeeded and depend on nothing that runs again."""

from __future__ import annotations

from airflow_kfp_runtime.embedded.engine.restart import reset_for_retry
from airflow_kfp_runtime.embedded.state.rows import TaskRow, now
from tests.embedded_engine import loop, nested, pipeline, step

ALWAYS = {"triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}}


def row(path, state):
    return TaskRow(
        task_id=path or "root",
        run_id="run",
        name=path.rpartition("/")[2],
        path=path,
        type="CONTAINER",
        created_at=now(),
        state=state,
        pod_name="pod",
        attempts=2,
        exit_code=1,
        error="why",
        outputs={"parameters": {"x": 1}, "artifacts": {}},
    )


def reset(spec, **states):
    rows = [row(path.replace("__", "/").replace("root", ""), state) for path, state in states.items()]
    return {changed.path for changed in reset_for_retry(spec, rows)}


def test_failed_and_skipped_tasks_and_the_dags_around_them_are_reset():
    spec = pipeline(
        {
            "ok": step(),
            "dag": nested({"good": step(), "bad": step()}),
            "after": step(dependentTasks=["dag"]),
        }
    )

    assert reset(
        spec,
        root="FAILED",
        ok="SUCCEEDED",
        dag="FAILED",
        dag__good="SUCCEEDED",
        dag__bad="FAILED",
        after="SKIPPED",
    ) == {"", "dag", "dag/bad", "after"}


def test_a_handler_that_succeeded_is_reset_with_all_that_is_in_it_and_after_it():
    spec = pipeline(
        {
            "bad": step(),
            "handler": nested({"inner": step()}, dependentTasks=["bad"], **ALWAYS),
            "then": step(dependentTasks=["handler"]),
        }
    )

    assert reset(spec, bad="FAILED", handler="SUCCEEDED", handler__inner="SUCCEEDED", then="SUCCEEDED") == {
        "bad",
        "handler",
        "handler/inner",
        "then",
    }


def test_a_dag_that_succeeded_is_kept_whole():
    spec = pipeline({"dag": nested({"inner": step()}), "dag-2": step()})

    assert reset(spec, dag="SUCCEEDED", dag__inner="SUCCEEDED", **{"dag-2": "FAILED"}) == {"dag-2"}


def test_iterations_that_succeeded_are_kept_and_so_is_what_did_in_the_others():
    spec = pipeline({"each": loop({"one": step(), "two": step(dependentTasks=["one"])}, ["a", "b", "c"])})

    assert reset(
        spec,
        root="FAILED",
        each="FAILED",
        each__0="SUCCEEDED",
        each__0__one="SUCCEEDED",
        each__0__two="SUCCEEDED",
        each__1="FAILED",
        each__1__one="SUCCEEDED",
        each__1__two="FAILED",
        each__2="SKIPPED",
    ) == {"", "each", "each/1", "each/1/two", "each/2"}


def test_a_reset_row_has_forgotten_its_end_but_not_its_history():
    (changed,) = reset_for_retry(pipeline({"one": step()}), [row("one", "FAILED")])

    assert changed.state == "PENDING"
    assert [change["state"] for change in changed.state_history] == ["PENDING"]
    assert (changed.attempts, changed.exit_code, changed.error, changed.finished_at) == (0, None, None, None)
    assert changed.pod_name == ""
    assert changed.outputs == {"parameters": {}, "artifacts": {}}
    assert changed.task_id == "one"
