"""Resuming a failed run, and waiting for the end of one that is being terminated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.client.call import Wait
from airflow_kfp_runtime.client.fate import FATES, Fate, fate_of
from airflow_kfp_runtime.client.flows import LOOK_UP_DELAYS
from airflow_kfp_runtime.client.models import RunState
from airflow_kfp_runtime.client.run_lookup import find_by_id
from airflow_kfp_runtime.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
)

if TYPE_CHECKING:
    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.models import Run

#: Seconds before each look at a run that is being terminated.
_ENDING_DELAYS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


def settle_run(run: Run) -> Flow[Run]:
    """Wait for the end of a run that is being terminated, for a minute at most."""
    for delay in _ENDING_DELAYS:
        if run.state is not RunState.CANCELING:
            break
        yield Wait(delay)
        run = (yield from find_by_id(run.run_id)) or run
    return run


def resume_run(run: Run) -> Flow[tuple[Run | None, str]]:
    """Run the failed steps of a run again.

    :return: the run once it shows that it goes on, or ``None`` and why the server does not resume it.
    """
    refusal = ""
    for delay in LOOK_UP_DELAYS:
        # Where the server has agreed, its record may still lag behind its cluster.
        looks: tuple[float, ...] = (0.0, *LOOK_UP_DELAYS)
        try:
            yield calls.retry_run(run.run_id)
        except ConflictError as conflict:
            # Not failed any longer: another try may have resumed it.
            refusal, looks = conflict.message, (0.0, delay)
        except (InvalidRequestError, NotFoundError, PermissionDeniedError) as error:
            return None, error.message
        except ServerError as unclear:
            # Sending it twice is safe: the server refuses a run that goes on (KFP 2.17: 409).
            refusal, looks = unclear.message, (0.0, delay)
        else:
            refusal = ""
        now: Run | None = run
        for pause in looks:
            yield Wait(pause)
            now = yield from find_by_id(run.run_id)
            if now is None:
                return None, "it was deleted"
            if _went_on(run, now):
                return now, ""
        if not refusal:
            return now, ""
    return None, refusal


def _went_on(before: Run, now: Run) -> bool:
    return fate_of(now) in (Fate.GOING_ON, Fate.SUCCEEDED) or len(now.state_history) > len(
        before.state_history
    )


def began_at(run: Run) -> float | None:
    """Return when a run began, or was last resumed, in seconds since the epoch by the server's clock."""
    began = run.created_at
    ended = False
    for change in run.state_history:
        goes_on = FATES[change.state] is Fate.GOING_ON
        if ended and goes_on and change.update_time is not None:
            began = change.update_time
        ended = not goes_on
    return began.timestamp() if began else None
