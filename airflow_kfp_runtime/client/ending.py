"""Ending a run that nobody waits for any longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.client.call import Wait
from airflow_kfp_runtime.client.fate import Fate, fate_of
from airflow_kfp_runtime.client.flows import LOOK_UP_DELAYS
from airflow_kfp_runtime.client.models import RunState
from airflow_kfp_runtime.client.run_lookup import find_by_id, find_by_token
from airflow_kfp_runtime.errors import NotFoundError, ServerError

if TYPE_CHECKING:
    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.models import Run

#: Seconds for which a server that cannot answer is asked again to terminate a run; see
#: :func:`~airflow_kfp_runtime.client.patience.patiently`.
PATIENCE = 120.0


def end_run(run_id: str) -> Flow[Run | None]:
    """Terminate a run; one that has ended, is ending or was deleted is left as it is.

    :return: ``None`` where the server has terminated it or has no such run; else the run, which has ended or
        was ending already, perhaps well.
    :raises ServerError: the run could not be terminated and may go on.
    """
    try:
        yield calls.terminate_run(run_id)
    except NotFoundError:
        return None
    except ServerError as error:
        # KFP 2.17 answers 400 "Row not found" for a run that is not going on, and a 500 can leave the run
        # CANCELING all the same.
        try:
            run: Run = yield calls.get_run(run_id)
        except NotFoundError:
            return None
        if fate_of(run) is Fate.GOING_ON and run.state is not RunState.CANCELING:
            raise error from None
        return run
    return None


def end_submitted(run_id: str, *, namespace: str | None = None) -> Flow[bool]:
    """Terminate a run that may only just have been sent.

    A kill can come between the request and its answer. The server then acts on it all the same, and shows the
    run only later, perhaps under an id of its own: so a run that is not there is looked for a few times more,
    and a server that cannot answer is asked again.

    :param run_id: the id that was asked for, or the one that the server gave.
    :param namespace: needed on a multi-user server; leave it out elsewhere.
    :return: whether there is such a run; it is ending or has ended then.
    :raises ServerError: it could not be found out, or the run could not be terminated and may go on.
    """
    failure: ServerError | None = None
    for delay in (0.0, *LOOK_UP_DELAYS):
        if delay:
            yield Wait(delay)
        try:
            run = (yield from find_by_id(run_id)) or (yield from find_by_token(run_id, namespace=namespace))
            if run is not None:
                yield from end_run(run.run_id)
                return True
        except ServerError as error:
            if not (error.transient or (error.status or 0) >= 500):
                raise
            failure = error
        else:
            failure = None
    if failure is not None:
        raise failure
    return False
