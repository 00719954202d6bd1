"""When a task gives up waiting for its run, and by which of its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta


@dataclass(frozen=True)
class Deadline:
    """An end of the waiting.

    :param at: in seconds since the epoch, so that it holds whatever restarts.
    :param limit: what has not happened by then, as the end of a sentence: ``within its timeout of 60 s``.
    """

    at: float
    limit: str


def of_run(timeout: float | None, began_at: float, now: float, *, leaves: bool) -> Deadline | None:
    """Return the deadline of a run by the operator's ``timeout``.

    :param timeout: seconds; ``None``: no limit.
    :param began_at: when the run was submitted or last resumed, in seconds since the epoch.
    :param leaves: whether runs are left at their deadline. A run whose deadline has passed was left by an
        earlier try then, and is waited for as long again.
    """
    if timeout is None:
        return None
    at = began_at + timeout
    return Deadline(now + timeout if leaves and at <= now else at, f"within its timeout of {timeout:g} s")


def of_try(execution_timeout: timedelta | None, started: datetime) -> Deadline | None:
    """Return the deadline of a task's try by Airflow's ``execution_timeout``; ``None``: no limit.

    :param started: when the try started.
    """
    if execution_timeout is None:
        return None
    seconds = execution_timeout.total_seconds()
    return Deadline(started.timestamp() + seconds, f"within the task's execution_timeout of {seconds:g} s")


def earliest(*deadlines: Deadline | None) -> Deadline | None:
    """Return the one that comes first; ``None`` if there is none."""
    given = [deadline for deadline in deadlines if deadline is not None]
    return min(given, key=lambda deadline: deadline.at, default=None)
