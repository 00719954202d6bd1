"""Waiting for a run on a worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import ServerError

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
) -> Ending:
    """Look at a run until there is nothing to wait for any longer.

    :param step_names: the user's name, by its task's path in KFP, of each step whose end is noted.
    :param note: takes each line that is worth logging.
    """
    from airflow_kfp_runtime.client import calls
    from airflow_kfp_runtime.client.watch import Progress, decide

    progress = Progress()
    while True:
        look: Run | ServerError
        try:
            look = client.send(calls.get_run(run_id))
        except ServerError as error:
            look = error
        decision = decide(policy, progress, look, time.time(), step_names)
        for line in decision.notes:
            note(line)
        if decision.ending:
            return decision.ending
        progress = decision.progress
        time.sleep(decision.delay)
