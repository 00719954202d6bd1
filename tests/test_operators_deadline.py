"""When a task gives up waiting, by which of its limits."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.operators.deadline import Deadline, earliest, of_run, of_try

STARTED = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_a_timeout_counts_from_the_beginning_of_the_run():
    assert of_run(60.0, 1000.0, 1050.0, leaves=False) == Deadline(1060.0, "within its timeout of 60 s")


def test_a_run_that_was_left_at_its_deadline_has_the_time_anew():
    assert of_run(60.0, 1000.0, 1060.0, leaves=True).at == 1120.0
    assert of_run(60.0, 1000.0, 1060.0, leaves=False).at == 1060.0


def test_an_execution_timeout_counts_from_the_start_of_the_try():
    deadline = of_try(timedelta(minutes=2), STARTED)

    assert deadline == Deadline(STARTED.timestamp() + 120.0, "within the task's execution_timeout of 120 s")


def test_without_limits_there_is_no_deadline():
    assert earliest(of_run(None, 0.0, 0.0, leaves=True), of_try(None, STARTED)) is None


@given(st.lists(st.none() | st.builds(Deadline, st.floats(0, 4e9), st.text())))
def test_the_first_of_several_deadlines_holds(deadlines):
    first = earliest(*deadlines)

    assert first is None or first in deadlines
    assert all(first.at <= deadline.at for deadline in deadlines if deadline is not None)
