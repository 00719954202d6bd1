"""What a retry does about the run of an earlier try: rules without state or input."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from airflow_kfp_runtime.client.fate import Fate, fate_of
from airflow_kfp_runtime.client.models import RunState

if TYPE_CHECKING:
    from airflow_kfp_runtime.client.models import Run


class OnRetry(str, Enum):
    """What a retry does about a run that has failed."""

    NEW = "new"
    RESUME = "resume"


class OnChange(str, Enum):
    """What a retry does about a run that was submitted with another pipeline or other arguments."""

    NEW = "new"
    ATTACH = "attach"
    FAIL = "fail"


@dataclass(frozen=True)
class Policies:
    """What the user wants of a retry."""

    on_retry: OnRetry = OnRetry.NEW
    on_change: OnChange = OnChange.NEW


class Action(str, Enum):
    """What is done about a run of an earlier try."""

    ATTACH = "attach"
    RESUME = "resume"
    #: Leave it and begin the next generation.
    NEXT = "next"
    #: Terminate it and begin the next generation.
    REPLACE = "replace"
    FAIL = "fail"


@dataclass(frozen=True)
class Decision:
    """What to do, and why, as a clause of which the run is the subject."""

    action: Action
    reason: str


def decide(run: Run, changed: bool | None, policies: Policies) -> Decision:
    """Return what is done about the run of an earlier try.

    :param run: as the server shows it now.
    :param changed: whether it was submitted with another pipeline or other arguments than the task has now;
        ``None`` where what the task has now is not known. That counts as no change, and for who wants to be
        told of one (``OnChange.FAIL``) as one.
    """
    fate = fate_of(run)
    difference = "was submitted with another pipeline or other arguments"
    if changed is None:
        difference = "cannot be compared with what the task runs now"
        changed = policies.on_change is OnChange.FAIL
    if run.state is RunState.CANCELING:
        return Decision(Action.NEXT, "is being terminated")
    if fate in (Fate.GOING_ON, Fate.SUCCEEDED):
        state = "is going on" if fate is Fate.GOING_ON else "has succeeded"
        if not changed:
            return Decision(Action.ATTACH, state)
        match policies.on_change:
            case OnChange.ATTACH:
                return Decision(Action.ATTACH, f"{state}; it {difference}, and on_change is 'attach'")
            case OnChange.FAIL:
                return Decision(Action.FAIL, f"{state} and {difference}")
            case OnChange.NEW:
                replaced = Action.REPLACE if fate is Fate.GOING_ON else Action.NEXT
                return Decision(replaced, f"{state} and {difference}")
    if fate is Fate.CANCELED:
        # By a clear of the running task, at its deadline, or by someone in KFP: nobody wants it to go on.
        return Decision(Action.NEXT, "was terminated")
    state = "has failed"
    if policies.on_retry is OnRetry.NEW:
        return Decision(Action.NEXT, state)
    match policies.on_change if changed else OnChange.ATTACH:
        case OnChange.NEW:
            return Decision(Action.NEXT, f"{state} and {difference}")
        case OnChange.FAIL:
            return Decision(Action.FAIL, f"{state} and {difference}")
    return Decision(Action.RESUME, f"{state}, and on_retry is 'resume'")
