"""Submitting the run of a task, or finding the one of an earlier try: the effects, in their order."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.operators.intent import SupersededError
from airflow_kfp_runtime.operators.submission import prepare, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_kfp_runtime.client import KfpClient, Run
    from airflow_kfp_runtime.operators.intent import Intents
    from airflow_kfp_runtime.operators.killing import OwnRun
    from airflow_kfp_runtime.operators.submission import Submission


@dataclass(frozen=True)
class Submitted:
    """The run that a task waits for.

    :param run: as the server showed it first.
    :param step_names: the user's name of each step, by its task's path in KFP.
    :param began_at: when it began or was last resumed, in seconds since the epoch.
    """

    run: Run
    step_names: dict[str, str]
    began_at: float


def submit(
    client: KfpClient,
    submission: Submission,
    intents: Intents,
    own: OwnRun,
    *,
    before_sending: Callable[[], None],
    max_outage: float,
    log: Any,
) -> Submitted:
    """Return the run of an earlier try, or send a new one.

    :param own: is told the run before it is sent, so that a kill in between ends it too.
    :param before_sending: what a new run needs besides its request.
    :param max_outage: seconds for which a server that cannot answer is asked again.
    :param log: the task's.
    :raises SupersededError: the task has been given to another try; the run, if there is one, is left to it.
    """
    from airflow_kfp_runtime.client.generations import Intent
    from airflow_kfp_runtime.client.patience import patiently

    def warn(line: str) -> None:
        log.warning("Connection %r: %s", submission.identity.conn_id, line)

    try:
        prepared = client.run(patiently(prepare(submission), seconds=max_outage, note=warn))
        found = prepared.found
        log.info(found.reason)
        if prepared.doubt:
            log.warning(prepared.doubt)
        own.run_id = found.run.run_id if found.run else found.run_id
        if found.run is not None:
            run, began = found.run, submission.earlier.began_at(found)
        else:
            before_sending()
            # The worker's clock, not the server's: the deadline is compared with clocks of Airflow.
            began = time.time()
            sending = send(prepared, submission, intents)
            run = client.run(patiently(sending, seconds=max_outage, note=warn))
            own.run_id = run.run_id
            log.info("Submitted run %s: %s", run.run_id, run.display_name)
        if run.id_was_replaced:
            log.warning(
                "The server chose the run's id itself, instead of %s: a retry looks for the token in its "
                "description",
                found.run_id,
            )
        intent = Intent(
            found.run_id,
            found.generation,
            began,
            prepared.fingerprint,
            run.run_id,
            submission.identity.conn_id,
        )
        intents.confirm(intent, log.warning)
    except SupersededError:
        log.error("Another try of this task has begun: this one ends and leaves the run to it")  # noqa: TRY400
        # Whatever is under that id now, it is not this try's to end.
        own.let_go()
        raise
    return Submitted(run, prepared.step_names, began)
