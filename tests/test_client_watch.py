"""The state machine that waits for a run: what each state means, errors, deadlines, and its laws."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.client.ending import end_run
from airflow_kfp_runtime.client.fate import FATES, Fate, fate_of
from airflow_kfp_runtime.client.models import Run, RunState, StateChange, TaskDetail
from airflow_kfp_runtime.client.watch import (
    LONGEST_PAUSE,
    LONGEST_RETRY_AFTER,
    PROGRESS_INTERVAL,
    Ending,
    Policy,
    Progress,
    Verdict,
    decide,
    overdue,
)
from airflow_kfp_runtime.errors import (
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    ServerUnavailableError,
)

BUSY = ServerUnavailableError("connection refused", call="GET /runs/1")
NOW = 1_000_000.0


def run(state: RunState, *, history: tuple[RunState, ...] = (), **fields: object) -> Run:
    return Run("1", state=state, state_history=tuple(StateChange(entry) for entry in history), **fields)


def ending_of(
    look: Run | ServerError, policy: Policy | None = None, progress: Progress | None = None
) -> Ending:
    return decide(policy or Policy(), progress or Progress(), look, NOW).ending


def test_every_state_has_a_meaning_and_only_succeeded_is_success():
    assert FATES.keys() == set(RunState)
    assert [state for state, fate in FATES.items() if fate is Fate.SUCCEEDED] == [RunState.SUCCEEDED]


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (RunState.SUCCEEDED, Verdict.SUCCEEDED),
        (RunState.FAILED, Verdict.FAILED),
        (RunState.SKIPPED, Verdict.FAILED),
        (RunState.CANCELED, Verdict.CANCELED),
    ],
)
def test_a_run_that_has_ended_ends_the_waiting(state, verdict):
    assert ending_of(run(state)) == Ending(verdict, state)


@pytest.mark.parametrize(
    "state",
    [RunState.PENDING, RunState.RUNNING, RunState.PAUSED, RunState.CANCELING, RunState.UNKNOWN],
)
def test_any_other_state_is_waited_out(state):
    decision = decide(Policy(poll_interval=7), Progress(), run(state), NOW)

    assert decision.ending is None
    assert decision.delay == 7


def test_a_finished_run_in_a_state_nobody_knows_has_failed():
    finished = run(RunState.UNKNOWN, finished_at=datetime.now(timezone.utc))

    assert fate_of(finished) is Fate.FAILED


def test_a_run_that_failed_after_canceling_was_canceled():
    terminated = run(RunState.FAILED, history=(RunState.RUNNING, RunState.CANCELING, RunState.FAILED))

    assert ending_of(terminated).verdict is Verdict.CANCELED


def test_a_run_that_was_terminated_once_and_then_retried_can_fail_by_itself():
    history = (RunState.RUNNING, RunState.CANCELING, RunState.FAILED, RunState.RUNNING, RunState.FAILED)

    assert ending_of(run(RunState.FAILED, history=history)).verdict is Verdict.FAILED


def test_a_run_that_has_ended_counts_even_when_it_is_read_after_the_deadline():
    assert ending_of(run(RunState.SUCCEEDED), Policy(deadline=NOW - 5)).verdict is Verdict.SUCCEEDED


def test_the_last_pause_ends_at_the_deadline():
    assert (
        decide(Policy(poll_interval=60, deadline=NOW + 3), Progress(), run(RunState.RUNNING), NOW).delay == 3
    )


def test_pauses_grow_while_the_server_is_out_of_reach_and_shrink_back_after():
    policy, progress, delays = Policy(poll_interval=10, max_outage=10_000), Progress(), []
    for _ in range(5):
        decision = decide(policy, progress, BUSY, NOW)
        progress = decision.progress
        delays.append(decision.delay)

    assert delays == [10, 20, 40, LONGEST_PAUSE, LONGEST_PAUSE]
    assert decide(policy, progress, run(RunState.RUNNING), NOW).delay == 10


def test_a_server_that_stays_out_of_reach_ends_the_waiting_with_its_own_words():
    progress = Progress(state=RunState.RUNNING, errors=9, failing_since=NOW - 601)

    ending = ending_of(BUSY, Policy(max_outage=600), progress)

    assert (ending.verdict, ending.state) == (Verdict.LOST, RunState.RUNNING)
    assert "601 s" in ending.reason
    assert "connection refused" in ending.reason


def test_one_good_answer_renews_the_max_outage():
    failing = Progress(errors=9, failing_since=NOW - 599)

    seen = decide(Policy(), failing, run(RunState.RUNNING), NOW).progress

    assert (seen.errors, seen.failing_since) == (0, None)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (NotFoundError("no such run"), "It was deleted on the server; a retry of the task submits it anew."),
        (PermissionDeniedError("not yours"), "Let the connection's user read it"),
        (InvalidRequestError("bad id"), "a retry of the task finds it again."),
    ],
)
def test_an_error_that_waiting_cannot_help_ends_it_with_the_reason_and_what_to_do(error, remedy):
    ending = ending_of(error)

    assert (ending.verdict, ending.state) == (Verdict.LOST, RunState.UNKNOWN)
    assert ending.reason.startswith(f"{error}. ")
    assert remedy in ending.reason


def test_credentials_that_have_expired_are_waited_for_as_an_outage_is():
    expired = AuthenticationError("token expired", status=401)

    assert ending_of(expired) is None
    ending = ending_of(expired, progress=Progress(errors=9, failing_since=NOW - 601))
    assert "Renew the credentials" in ending.reason


def test_a_server_that_says_when_to_ask_again_is_asked_then_and_not_before():
    busy = ServerUnavailableError("too many requests", status=429, retry_after=90.0)
    for_ever = ServerUnavailableError("too many requests", status=429, retry_after=1e9)

    assert decide(Policy(), Progress(), busy, NOW).delay == 90
    assert decide(Policy(), Progress(), for_ever, NOW).delay == LONGEST_RETRY_AFTER


def test_the_first_error_is_told_with_how_long_it_is_waited_out():
    error = ServerUnavailableError("the connection broke")

    first = decide(Policy(max_outage=90.0), Progress(), error, NOW)

    assert first.notes == ("Cannot read the run, trying again for up to 90 s: the connection broke",)
    assert decide(Policy(max_outage=90.0), first.progress, error, NOW).notes == ()


def test_that_a_run_goes_on_renews_the_patience_and_says_no_more():
    failing = Progress(state=RunState.RUNNING, errors=2, failing_since=NOW - 599)

    decision = decide(Policy(), failing, None, NOW)

    assert (decision.progress, decision.ending) == (Progress(state=RunState.RUNNING), None)
    assert decision.notes == ("The server answers again after 2 failed attempts",)


def task(state: RunState) -> Run:
    return run(RunState.RUNNING, task_details=(TaskDetail("a", "train", state),))


def test_a_run_in_which_nothing_changes_has_stalled():
    policy = Policy(stall_timeout=100)
    first = decide(policy, Progress(), task(RunState.PENDING), NOW)
    second = decide(policy, first.progress, task(RunState.PENDING), NOW + 99)
    third = decide(policy, second.progress, task(RunState.PENDING), NOW + 101)

    assert (first.ending, second.ending) == (None, None)
    assert third.ending == Ending(Verdict.STALLED, RunState.RUNNING, "nothing in it has changed for 101 s")


def test_a_change_of_one_task_shows_that_a_run_has_not_stalled():
    policy = Policy(stall_timeout=100)
    first = decide(policy, Progress(), task(RunState.PENDING), NOW)
    second = decide(policy, first.progress, task(RunState.RUNNING), NOW + 99)

    assert decide(policy, second.progress, task(RunState.RUNNING), NOW + 150).ending is None


def test_a_run_that_nobody_has_read_since_has_not_stalled():
    policy = Policy(stall_timeout=100)
    first = decide(policy, Progress(), task(RunState.PENDING), NOW)

    assert decide(policy, first.progress, None, NOW + 500).ending is None


def test_how_many_steps_are_done_is_said_now_and_then():
    names = {"a": "A", "b": "B", "c": "C"}

    def done(*ended: str) -> Run:
        details = tuple(TaskDetail(name, name, RunState.SUCCEEDED) for name in ended)
        return run(RunState.RUNNING, task_details=details)

    first = decide(Policy(), Progress(), done("a"), NOW, names)
    second = decide(Policy(), first.progress, done("a", "b"), NOW + PROGRESS_INTERVAL - 1, names)
    third = decide(Policy(), second.progress, done("a", "b"), NOW + PROGRESS_INTERVAL, names)
    fourth = decide(Policy(), third.progress, done("a", "b"), NOW + 5 * PROGRESS_INTERVAL, names)

    assert second.notes == ("Step 'B': SUCCEEDED",)
    assert third.notes == ("2 of 3 steps done",)
    assert fourth.notes == ()


@pytest.mark.parametrize(("now", "verdict"), [(NOW - 1, None), (NOW, Verdict.TIMED_OUT)])
def test_the_deadline_holds_without_a_look(now, verdict):
    ending = overdue(Policy(deadline=NOW), Progress(state=RunState.RUNNING), now)

    assert ending == (verdict and Ending(verdict, RunState.RUNNING))
    assert overdue(Policy(), Progress(), now) is None


def test_a_plain_500_to_a_read_is_waited_out():
    assert ending_of(ServerError("database is locked", status=500)) is None


def test_each_change_is_noted_once():
    steps = {"exit-handler-1/train": "train model"}
    running = run(
        RunState.RUNNING,
        task_details=(
            TaskDetail("a", "train", RunState.SUCCEEDED),
            TaskDetail("b", "train-driver", RunState.SUCCEEDED),
        ),
    )

    first = decide(Policy(), Progress(), running, NOW, steps)
    second = decide(Policy(), first.progress, running, NOW, steps)

    assert first.notes == ("Step 'train model': SUCCEEDED", "Run 1: RUNNING")
    assert second.notes == ()


@pytest.mark.parametrize(
    ("states", "notes"),
    [
        ([RunState.SUCCEEDED, RunState.RUNNING], ()),
        ([RunState.SKIPPED, RunState.SUCCEEDED], ("Step 'train model': SUCCEEDED",)),
        ([RunState.SUCCEEDED, RunState.FAILED, RunState.SUCCEEDED], ("Step 'train model': FAILED",)),
        ([RunState.SKIPPED], ("Step 'train model': SKIPPED",)),
    ],
)
def test_a_step_in_a_loop_has_ended_when_its_iterations_have(states, notes):
    details = tuple(TaskDetail(str(index), "train", state) for index, state in enumerate(states))
    seen = Progress(RunState.RUNNING)

    found = decide(Policy(), seen, run(RunState.RUNNING, task_details=details), NOW, {"train": "train model"})

    assert found.notes == notes


def test_the_first_of_several_errors_and_the_recovery_are_noted():
    first = decide(Policy(), Progress(), BUSY, NOW)
    second = decide(Policy(), first.progress, BUSY, NOW)
    third = decide(Policy(), second.progress, run(RunState.RUNNING), NOW)

    assert "connection refused" in first.notes[0]
    assert second.notes == ()
    assert third.notes == ("The server answers again after 2 failed attempts", "Run 1: RUNNING")


RUNS = st.builds(
    run,
    st.sampled_from(RunState),
    history=st.lists(st.sampled_from(RunState), max_size=4).map(tuple),
    finished_at=st.none() | st.just(datetime.now(timezone.utc)),
)
ERRORS = st.builds(ServerError, st.just("x"), status=st.none() | st.integers(400, 599)) | st.just(BUSY)
LOOKS = RUNS | ERRORS | st.none()
TIMES = st.floats(0, 1e9)
POLICIES = st.builds(
    Policy,
    poll_interval=st.floats(0.01, 1e4),
    deadline=st.none() | TIMES,
    max_outage=st.floats(1, 1e4),
    stall_timeout=st.none() | st.floats(1, 1e4),
)
PROGRESSES = st.builds(
    Progress,
    state=st.none() | st.sampled_from(RunState),
    errors=st.integers(0, 10_000),
    failing_since=st.none() | TIMES,
    changed_at=st.none() | TIMES,
    noted_at=st.none() | TIMES,
)


@given(POLICIES, PROGRESSES, LOOKS, TIMES)
def test_nothing_but_a_succeeded_run_is_ever_success(policy, progress, look, now):
    ending = decide(policy, progress, look, now).ending

    succeeded = ending is not None and ending.verdict is Verdict.SUCCEEDED
    assert succeeded == (isinstance(look, Run) and look.state is RunState.SUCCEEDED)


@given(POLICIES, PROGRESSES, LOOKS, TIMES)
def test_the_waiting_always_ends_at_the_deadline(policy, progress, look, now):
    decision = decide(policy, progress, look, now)

    if policy.deadline is not None and decision.ending is None:
        assert now < policy.deadline
        assert decision.delay <= policy.deadline - now


@given(POLICIES, PROGRESSES, LOOKS, TIMES)
def test_it_either_ends_or_waits_for_more_than_no_time(policy, progress, look, now):
    decision = decide(policy, progress, look, now)

    assert (decision.ending is None) == (decision.delay > 0)


@given(st.builds(Policy, poll_interval=st.floats(1, 1e4), max_outage=st.floats(1, 600)), PROGRESSES, TIMES)
def test_errors_alone_end_the_waiting_in_finite_time(policy, progress, now):
    looks = 0
    while (decision := decide(policy, progress, BUSY, now)).ending is None:
        now, progress, looks = now + decision.delay, decision.progress, looks + 1
        assert looks < 50

    assert decision.ending.verdict is Verdict.LOST


def perform(answers: list[object]) -> tuple[list[str], Run | None]:
    """Run :func:`end_run` against these answers; return the calls that it made, and its result."""
    flow, made = end_run("1"), []
    try:
        call = next(flow)
        while True:
            made.append(call.label)
            answer = answers.pop(0)
            call = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
    except StopIteration as end:
        return made, end.value


TERMINATE, GET = calls.terminate_run("1").label, calls.get_run("1").label
REFUSED, BROKEN = InvalidRequestError("Row not found", status=400), ServerError("argo is down", status=500)


@pytest.mark.parametrize("answer", [None, NotFoundError("gone")])
def test_a_run_that_the_server_terminates_or_does_not_know_is_ended_by_one_call(answer):
    assert perform([answer]) == ([TERMINATE], None)


@pytest.mark.parametrize("error", [REFUSED, BROKEN])
@pytest.mark.parametrize(
    "state", [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED, RunState.CANCELING, RunState.SKIPPED]
)
def test_what_a_refused_termination_means_is_read_from_the_run(error, state):
    assert perform([error, run(state)]) == ([TERMINATE, GET], run(state))


@pytest.mark.parametrize("error", [REFUSED, BROKEN])
def test_a_run_that_was_deleted_meanwhile_counts_as_ended(error):
    assert perform([error, NotFoundError("gone")]) == ([TERMINATE, GET], None)


@pytest.mark.parametrize("error", [REFUSED, BROKEN])
@pytest.mark.parametrize("state", [RunState.PENDING, RunState.RUNNING, RunState.PAUSED, RunState.UNKNOWN])
def test_a_run_that_goes_on_after_an_error_is_not_taken_for_ended(error, state):
    with pytest.raises(type(error), match=error.message):
        perform([error, run(state)])
