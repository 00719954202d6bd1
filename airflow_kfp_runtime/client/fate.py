"""What the states of a run mean: the one table, and the cases in which a state alone does not say it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from airflow_kfp_runtime.client.models import Run, RunState

if TYPE_CHECKING:
    from collections.abc import Mapping


class Fate(str, Enum):
    """What a run's state means for whoever waits for it."""

    GOING_ON = "going_on"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


#: The one table of what each state means (the states are those of KFP 2.17, runs API).
FATES: Mapping[RunState, Fate] = {
    RunState.PENDING: Fate.GOING_ON,
    RunState.RUNNING: Fate.GOING_ON,
    # Somebody may resume it; the deadline is the way out.
    RunState.PAUSED: Fate.GOING_ON,
    RunState.CANCELING: Fate.GOING_ON,
    RunState.SUCCEEDED: Fate.SUCCEEDED,
    # The server never ran it, so there are no outputs to go on with.
    RunState.SKIPPED: Fate.FAILED,
    RunState.FAILED: Fate.FAILED,
    RunState.CANCELED: Fate.CANCELED,
    # A run has no state for a moment after its submission, and a newer server may have states of its own.
    RunState.UNKNOWN: Fate.GOING_ON,
}


def fate_of(run: Run) -> Fate:
    """Return what the run's state means; a terminated run that the server calls FAILED counts as canceled.

    A run that says it has finished in a state that nobody knows has failed: unknown is never success.
    """
    fate = FATES[run.state]
    if run.state is RunState.UNKNOWN and run.finished_at is not None:
        return Fate.FAILED
    if run.state is RunState.FAILED and _was_terminated(run):
        return Fate.CANCELED
    return fate


def _was_terminated(run: Run) -> bool:
    # KFP writes CANCELING and then FAILED for a run that was terminated; a retried run keeps its history.
    before = [entry.state for entry in run.state_history if entry.state is not RunState.FAILED]
    return bool(before) and before[-1] is RunState.CANCELING
