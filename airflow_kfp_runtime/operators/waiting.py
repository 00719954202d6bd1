"""Waiting for a run on a worker."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import AuthenticationError, ServerError, ServerUnavailableError
from airflow_kfp_runtime.hooks.kfp import KfpHook
from airflow_kfp_runtime.operators.exceptions import AirflowNotFoundException, AirflowRuntimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_kfp_runtime.client import KfpClient, Run
    from airflow_kfp_runtime.client.watch import Ending, Policy


def wait_for(
    client: KfpClient,
    run_id: str,
    policy: Policy,
    step_names: Mapping[str, str],
    note: Callable[[str], None],
    renew: Callable[[], KfpClient],
) -> Ending:
    """Look at a run until there is nothing to wait for any longer.

    :param step_names: the user's name, by its task's path in KFP, of each step whose end is noted.
    :param note: takes each line that is worth logging.
    :param renew: makes a client with the connection's present credentials, for when the server refuses those
        at hand; where Airflow cannot read the connection, that is waited out like an outage of the server.
    """
    from airflow_kfp_runtime.client.watch import Progress, decide

    progress = Progress()
    with ExitStack() as renewed:
        while True:
            look = _look(client, run_id)
            if isinstance(look, AuthenticationError):
                try:
                    fresh = renew()
                except (AirflowNotFoundException, AirflowRuntimeError) as error:
                    # It was there when the wait began, so that "isn't defined" says no more than the other.
                    look = ServerUnavailableError(f"Airflow cannot read the connection; it says: {error}")
                else:
                    renewed.close()
                    client = renewed.enter_context(fresh)
                    look = _look(client, run_id)
            decision = decide(policy, progress, look, time.time(), step_names)
            for line in decision.notes:
                note(line)
            if decision.ending:
                return decision.ending
            progress = decision.progress
            time.sleep(decision.delay)


def renewed(hook: KfpHook) -> KfpHook:
    """Return a hook with the credentials that its connection holds by now.

    Where Airflow cannot read it at the moment, those at hand may do.

    :raises DefinitionError: a field of the connection is wrong by now.
    """
    fresh = KfpHook(hook.kfp_conn_id)
    try:
        fresh.settings  # noqa: B018 - reads the connection
    except (AirflowNotFoundException, AirflowRuntimeError):
        return hook
    return fresh


def _look(client: KfpClient, run_id: str) -> Run | ServerError:
    from airflow_kfp_runtime.client import calls

    try:
        return client.send(calls.get_run(run_id))
    except ServerError as error:
        return error
