"""What to do after each look at a run: the state machine that the operator and the trigger both drive.

:func:`decide` is pure. A driver asks the server for the run, hands what it got (the run, or the error) and
the time to :func:`decide`, logs the notes, and either stops at the ending or sleeps for the delay::

    progress = Progress()
    while True:
        decision = decide(policy, progress, look(), time.time())
        if decision.ending:
            return decision.ending
        time.sleep(decision.delay)
        progress = decision.progress
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from airflow_kfp_runtime.client.fate import FATES, Fate, fate_of
from airflow_kfp_runtime.client.models import Run, RunState
from airflow_kfp_runtime.client.step_names import by_task_name
from airflow_kfp_runtime.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The longest pause, in seconds, between two attempts to reach a server that does not answer.
LONGEST_PAUSE = 60.0

#: The longest time, in seconds, for which a server's ``Retry-After`` is heeded.
LONGEST_RETRY_AFTER = 300.0

#: Seconds between two lines on how many steps are done.
PROGRESS_INTERVAL = 60.0


class Verdict(str, Enum):
    """How the waiting ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    #: The deadline has passed; the run has not ended. The operator's ``on_timeout`` says what becomes of it.
    TIMED_OUT = "timed_out"
    #: Nothing in the run has changed for too long; ``on_timeout`` says what becomes of it.
    STALLED = "stalled"
    #: The run's state could not be read any longer; the run itself may be going on.
    LOST = "lost"


@dataclass(frozen=True)
class Policy:
    """How to wait.

    :param poll_interval: seconds between two looks. KFP's state lags the cluster by a second or more, so less
        than 2 gains nothing on a real server.
    :param deadline: when to give up, in seconds since the epoch; ``None``: never.
    :param limit: what has not happened by the deadline, as the end of a sentence: ``within its timeout of
        60 s``.
    :param max_outage: seconds for which the server may be out of reach, or refuse the credentials, before the
        waiting ends as ``LOST``.
    :param stall_timeout: seconds without a change of the run's state, or of any of its tasks', after which
        the waiting ends as ``STALLED``; ``None``: never. Counted from the first look of each wait.
    """

    poll_interval: float = 10.0
    deadline: float | None = None
    max_outage: float = 600.0
    stall_timeout: float | None = None
    limit: str = ""


@dataclass(frozen=True)
class Progress:
    """What is remembered from one look to the next.

    :param state: the last state that was read.
    :param ended_steps: the KFP names of the tasks that were seen to have ended.
    :param errors: how many looks in a row have failed.
    :param failing_since: when the first of those failed, in seconds since the epoch.
    :param states: stands for the states of the run and its tasks, to notice that one has changed.
    :param changed_at: when that was seen last, in seconds since the epoch.
    :param noted_steps: how many ended steps the last line on progress told of.
    :param noted_at: when that was written, or the run first read, in seconds since the epoch.
    """

    state: RunState | None = None
    ended_steps: frozenset[str] = field(default_factory=frozenset)
    errors: int = 0
    failing_since: float | None = None
    states: int = 0
    changed_at: float | None = None
    noted_steps: int = 0
    noted_at: float | None = None


@dataclass(frozen=True)
class Ending:
    """The end of the waiting.

    :param verdict: how it ended.
    :param state: the last state that was read, ``UNKNOWN`` if there was none.
    :param reason: for ``LOST`` the error in the server's own words and what a retry of the task will do; for
        ``STALLED`` for how long nothing has changed; for ``TIMED_OUT`` the policy's ``limit``; else empty.
    """

    verdict: Verdict
    state: RunState
    reason: str = ""


@dataclass(frozen=True)
class Decision:
    """What to do next.

    :param progress: to be handed to the next :func:`decide`.
    :param ending: set when there is nothing to wait for any longer.
    :param delay: seconds until the next look, when there is one.
    :param notes: lines worth logging: each change is noted once.
    """

    progress: Progress
    ending: Ending | None = None
    delay: float = 0.0
    notes: tuple[str, ...] = ()


def decide(
    policy: Policy,
    progress: Progress,
    look: Run | ServerError | None,
    now: float,
    step_names: Mapping[str, str] | None = None,
) -> Decision:
    """Return what to do after a look at the run.

    A run that has ended counts as such even when it is read after the deadline. Errors that may pass (see
    :func:`may_pass`) are waited out with growing pauses for ``policy.max_outage`` seconds; any other error
    ends the waiting at once.

    :param look: the run, the error that reading it ended in, or ``None`` for a run that has not ended, of
        which no more is known.
    :param now: the time, in seconds since the epoch.
    :param step_names: the user's name, by its task's path in KFP, of each step whose end is worth a note.
    """
    if isinstance(look, ServerError):
        return _after_error(policy, progress, look, now)
    if look is None:
        seen = replace(progress, errors=0, failing_since=None)
        return _go_on(policy, seen, policy.poll_interval, now, _recovery(progress))
    return _after_run(policy, progress, look, now, step_names or {})


def overdue(policy: Policy, progress: Progress, now: float) -> Ending | None:
    """Return the ending of a wait whose deadline has passed, whatever the server says or does not say."""
    if policy.deadline is None or now < policy.deadline:
        return None
    return Ending(Verdict.TIMED_OUT, progress.state or RunState.UNKNOWN, policy.limit)


def lost(state: RunState, error: str, remedy: str = "") -> Ending:
    """Return the ending of a wait whose run cannot be read any longer.

    :param state: the last state that was read.
    :param error: what keeps it from being read.
    :param remedy: what to do, and what a retry of the task will do; default: that it finds the run again.
    """
    remedy = remedy or "The run may be going on; a retry of the task finds it again."
    return Ending(Verdict.LOST, state, f"{error.rstrip('.')}. {remedy}")


def may_pass(error: ServerError) -> bool:
    """Return whether reading a run may succeed later: after an outage, or with renewed credentials."""
    if isinstance(error, AuthenticationError):
        # Tokens and sessions expire while a run goes on; whoever looks again reads the connection anew.
        return True
    # A plain 500 to a read is most often the server's database or the cluster's API being busy.
    return error.transient or (error.status is not None and error.status >= 500)


def _after_run(
    policy: Policy, progress: Progress, run: Run, now: float, step_names: Mapping[str, str]
) -> Decision:
    names = by_task_name(step_names)
    states: dict[str, set[RunState]] = {}
    for task in run.task_details:
        if task.display_name in names:
            states.setdefault(task.display_name, set()).add(task.state)
    ended = {name: state for name, found in states.items() if (state := _end(found)) is not None}
    notes = [
        f"Step {names[name]!r}: {state.value}"
        for name, state in ended.items()
        if name not in progress.ended_steps
    ]
    if run.state is not progress.state:
        notes.append(f"Run {run.run_id}: {run.state.value}")
    seen_states = hash((run.state, frozenset((task.task_id, task.state) for task in run.task_details)))
    has_changed = progress.changed_at is None or seen_states != progress.states
    seen = replace(
        progress,
        state=run.state,
        ended_steps=progress.ended_steps | ended.keys(),
        errors=0,
        failing_since=None,
        states=seen_states,
        changed_at=now if has_changed else progress.changed_at,
    )
    notes = [*_recovery(progress), *notes]
    match fate_of(run):
        case Fate.SUCCEEDED:
            verdict = Verdict.SUCCEEDED
        case Fate.FAILED:
            verdict = Verdict.FAILED
        case Fate.CANCELED:
            verdict = Verdict.CANCELED
        case Fate.GOING_ON:
            return _while_running(policy, seen, len(names), now, notes)
    return Decision(seen, Ending(verdict, run.state), notes=tuple(notes))


def _while_running(policy: Policy, progress: Progress, steps: int, now: float, notes: list[str]) -> Decision:
    done = len(progress.ended_steps)
    if progress.noted_at is None:
        progress = replace(progress, noted_at=now)
    elif done != progress.noted_steps and now - progress.noted_at >= PROGRESS_INTERVAL:
        notes.append(f"{done} of {steps} steps done")
        progress = replace(progress, noted_steps=done, noted_at=now)
    decision = _go_on(policy, progress, policy.poll_interval, now, tuple(notes))
    unchanged = now - (progress.changed_at or now)
    if decision.ending is None and policy.stall_timeout is not None and unchanged >= policy.stall_timeout:
        reason = f"nothing in it has changed for {unchanged:.0f} s"
        return replace(decision, ending=Ending(Verdict.STALLED, progress.state or RunState.UNKNOWN, reason))
    return decision


def _recovery(progress: Progress) -> tuple[str, ...]:
    if not progress.errors:
        return ()
    return (f"The server answers again after {progress.errors} failed attempts",)


def _end(states: set[RunState]) -> RunState | None:
    """How a step has ended that, in a loop, has several tasks; ``None`` while one of them goes on."""
    if any(FATES[state] is Fate.GOING_ON for state in states):
        return None
    order = (RunState.FAILED, RunState.CANCELED, RunState.SUCCEEDED, RunState.SKIPPED)
    return next(state for state in order if state in states)


def _after_error(policy: Policy, progress: Progress, error: ServerError, now: float) -> Decision:
    # Never in the future, even if the clock was set back.
    since = now if progress.failing_since is None else min(progress.failing_since, now)
    seen = replace(progress, errors=progress.errors + 1, failing_since=since)
    state = progress.state or RunState.UNKNOWN
    if not may_pass(error):
        return Decision(seen, lost(state, str(error), _remedy(error)))
    if now - since >= policy.max_outage:
        reason = f"it could not be read for {now - since:.0f} s: {error}"
        return Decision(seen, lost(state, reason, _remedy(error)))
    patience = f"trying again for up to {policy.max_outage:g} s"
    notes = (f"Cannot read the run, {patience}: {error}",) if progress.errors == 0 else ()
    pause = min(policy.poll_interval * 2.0 ** min(progress.errors, 10), LONGEST_PAUSE)
    pause = max(pause, min(error.retry_after or 0.0, LONGEST_RETRY_AFTER))
    return _go_on(policy, seen, pause, now, notes)


def _go_on(policy: Policy, progress: Progress, delay: float, now: float, notes: tuple[str, ...]) -> Decision:
    if policy.deadline is None:
        return Decision(progress, delay=delay, notes=notes)
    ending = overdue(policy, progress, now)
    if ending:
        return Decision(progress, ending, notes=notes)
    return Decision(progress, delay=min(delay, policy.deadline - now), notes=notes)


def _remedy(error: ServerError) -> str:
    match error:
        case NotFoundError():
            return "It was deleted on the server; a retry of the task submits it anew."
        case PermissionDeniedError():
            return "Let the connection's user read it; a retry of the task then finds it again."
        case AuthenticationError():
            return "Renew the credentials of the connection; a retry of the task then finds it again."
    return ""
