"""What becomes of a run when its worker is told to stop."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from typing_extensions import Self

from airflow_kfp_runtime.errors import ServerUnavailableError
from airflow_kfp_runtime.operators import killing
from airflow_kfp_runtime.operators.intent import Intents, Place
from airflow_kfp_runtime.operators.killing import OwnRun, goes_on_with
from airflow_kfp_runtime.triggers import newest_try


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, line: str, *values: object) -> None:
        self.lines.append(line % values)

    info = error = warning


class Hook:
    """A connection whose client notes what it was asked to run."""

    settings = SimpleNamespace(namespace=None)

    def __init__(self, problem: Exception | None = None) -> None:
        self.ended = 0
        self.problem = problem

    def client(self) -> Hook:
        return self

    def run(self, flow: Any) -> bool:
        flow.close()
        self.ended += 1
        if self.problem:
            raise self.problem
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class Store:
    """Airflow's store, which answers as it does to the try of a task instance that is gone."""

    def __init__(self, status: int | None = None) -> None:
        self.status = status

    def delete(self, _: str) -> None:
        if self.status:
            raise AirflowRuntimeError(
                ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": self.status})
            )


@pytest.fixture
def newest(monkeypatch):
    """Say what Airflow answers of the newest try: its state, and the run that it has recorded."""

    def answers(state: str | None, recorded: str | None = None) -> None:
        monkeypatch.setattr(newest_try, "state_of", lambda _: state)
        monkeypatch.setattr(newest_try, "run_recorded_by", lambda _: recorded)

    return answers


def own(store: object, *, tries: int = 1) -> OwnRun:
    return OwnRun(SimpleNamespace(try_number=1, max_tries=tries), Intents(store, "k"), Hook(), "r")


@pytest.mark.parametrize(("status", "place"), [(None, Place.KEPT), (404, Place.TAKEN), (410, Place.TAKEN)])
def test_airflow_says_whether_a_try_keeps_its_place(status, place):
    assert Intents(Store(status), "k").place() is place


def test_without_a_store_airflow_does_not_say_it():
    assert Intents(None, "k").place() is Place.UNTOLD


@pytest.mark.parametrize(
    ("state", "recorded", "goes_on"),
    [
        ("running", "r", True),
        ("deferred", "r", True),
        ("up_for_retry", "r", True),
        ("success", "r", True),
        ("restarting", "r", False),
        ("restarting", None, False),
        ("running", None, True),
        ("queued", None, True),
        ("success", None, False),
        ("failed", None, False),
        (None, None, False),
        ("running", "another", False),
        ("deferred", "another", False),
    ],
)
def test_a_run_is_gone_on_with_by_who_has_recorded_it_or_is_still_to_look_for_it(state, recorded, goes_on):
    assert goes_on_with("r", state, recorded) is goes_on


def test_a_run_that_another_try_goes_on_with_is_left(newest):
    newest("running", "r")
    killed, log = own(Store(404)), Log()

    killed.end(log)
    killed.end(log)

    assert killed.hook.ended == 0
    assert log.lines == ["Run r is left alone: another try of this task goes on with it"]


@pytest.mark.parametrize("state", ["running", "restarting", "failed", "success"])
def test_a_run_whose_task_a_user_has_killed_cleared_or_marked_is_terminated(newest, state):
    newest(state, "r")
    killed = own(Store())

    killed.end(Log())

    assert killed.hook.ended == 1


def test_a_run_of_before_a_clear_is_terminated(newest):
    newest("running", "another")
    killed = own(Store(404))

    killed.end(Log())

    assert killed.hook.ended == 1


@pytest.mark.parametrize(
    ("state", "is_left"), [("up_for_retry", True), ("deferred", True), ("running", False)]
)
def test_without_a_store_the_state_decides(newest, state, is_left):
    newest(state, "r")
    killed = own(None)

    killed.end(Log())

    assert killed.hook.ended == (not is_left)


@pytest.mark.parametrize("tries", [0, 1])
@pytest.mark.parametrize("status", [500, 403], ids=["out of reach", "token expired"])
def test_a_run_is_left_to_a_retry_where_airflow_does_not_answer_the_try(status, tries):
    killed, log = own(Store(status), tries=tries), Log()

    killed.end(log)

    assert killed.hook.ended == (not tries)
    assert ("a retry goes on with it" in log.lines[0]) == bool(tries)


@pytest.mark.parametrize(
    ("waits", "tries", "is_left"), [(True, 1, True), (True, 0, False), (False, 1, False)]
)
def test_without_an_answer_in_time_it_matters_whether_the_worker_only_waits(
    monkeypatch, waits, tries, is_left
):
    monkeypatch.setattr(killing, "ASKING", 0.1)
    held = threading.Lock()
    killed = own(SimpleNamespace(delete=lambda _: held.acquire()), tries=tries)
    killed.is_waited_for = waits

    with held:
        killed.end(Log())

    assert killed.hook.ended == (not is_left)


def test_the_log_says_that_a_run_was_terminated():
    killed, log = own(Store()), Log()

    killed.end(log)

    assert log.lines == ["Terminating run r", "Run r no longer goes on"]


def test_the_log_says_where_a_run_could_not_be_terminated():
    killed, log = own(Store()), Log()
    killed.hook.problem = ServerUnavailableError("the connection broke")

    killed.end(log)

    assert log.lines[-1] == "Run r could not be terminated and may go on: the connection broke"


def test_without_a_run_nothing_is_ended():
    killed = own(Store())
    killed.let_go()

    killed.end(Log())

    assert killed.hook.ended == 0
