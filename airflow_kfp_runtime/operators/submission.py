"""Submitting the run of a task, or going on with the one of an earlier try: the effects, in their order."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.operators.intent import SupersededError
from airflow_kfp_runtime.operators.preparation import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_kfp_runtime.client import Flow, KfpClient, Run
    from airflow_kfp_runtime.client.generations import Found, Intent, Search
    from airflow_kfp_runtime.compiler import PipelinePackage
    from airflow_kfp_runtime.operators.intent import Intents
    from airflow_kfp_runtime.operators.killing import OwnRun
    from airflow_kfp_runtime.operators.pipeline import NamedPipeline, UnknownPipeline
    from airflow_kfp_runtime.operators.preparation import Prepared


@dataclass(frozen=True)
class Submission:
    """What a task wants to run, and how.

    :param search: what is known of earlier tries, but for the fingerprint.
    :param connection: the Airflow connection of the server.
    :param pipeline: what runs.
    :param arguments: by parameter of the pipeline, not yet checked.
    :param run_name: the run's display name.
    :param description: where the run comes from, for KFP's UI.
    :param register: upload a compiled pipeline as a version and run that.
    :param pipeline_name: the name to upload under, by default the package's.
    :param experiment: the experiment's name, by default the server's own.
    :param pipeline_root: where artifacts are written.
    :param service_account: the Kubernetes service account.
    :param before_sending: does what a new run needs besides its request.
    """

    search: Search
    connection: str
    pipeline: PipelinePackage | NamedPipeline | UnknownPipeline
    arguments: Mapping[str, Any]
    run_name: str
    description: str
    register: bool = True
    pipeline_name: str | None = None
    experiment: str | None = None
    pipeline_root: str | None = None
    service_account: str | None = None
    before_sending: Callable[[], None] = field(default=lambda: None)

    @property
    def namespace(self) -> str | None:
        """The user's on a multi-user server."""
        return self.search.namespace


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
    max_outage: float,
    log: Any,
) -> Submitted:
    """Return the run of an earlier try, or send a new one.

    :param own: is told the run before it is sent, so that a kill in between ends it too.
    :param max_outage: seconds for which a server that cannot answer is asked again.
    :param log: the task's.
    :raises SupersededError: the task has been given to another try; the run, if there is one, is left to it.
    """
    from airflow_kfp_runtime.client.generations import Intent
    from airflow_kfp_runtime.client.patience import patiently

    def warn(line: str) -> None:
        log.warning("Connection %r: %s", submission.connection, line)

    try:
        prepared = client.run(patiently(prepare(submission), seconds=max_outage, note=warn))
        found = prepared.found
        log.info(found.reason)
        if prepared.doubt:
            log.warning(prepared.doubt)
        own.run_id = found.run.run_id if found.run else found.run_id
        if found.run is not None:
            run, began = found.run, _began_at(found, submission.search.intent)
        else:
            submission.before_sending()
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
            submission.connection,
        )
        intents.confirm(intent, log.warning)
    except SupersededError:
        log.error("Another try of this task has begun: this one ends and leaves the run to it")  # noqa: TRY400
        # Whatever is under that id now, it is not this try's to end.
        own.let_go()
        raise
    return Submitted(run, prepared.step_names, began)


def send(prepared: Prepared, submission: Submission, intents: Intents) -> Flow[Run]:
    """Create the new run that was prepared, each time that it is sent right after its intent was kept.

    :raises SupersededError: the task has been given to another try; nothing was sent then.
    :raises ServerError: see :func:`airflow_kfp_runtime.client.flows.submit_run`.
    """
    from airflow_kfp_runtime.client import flows

    found, request = prepared.found, prepared.request
    if request is None:
        raise ValueError(f"there is a run to go on with: {found.reason}")

    def announce() -> None:
        intents.announce(found.run_id, found.generation, prepared.fingerprint, submission.connection)

    return (
        yield from flows.submit_run(
            request,
            look_first=False,
            namespace=submission.namespace,
            announce=announce,
            withdraw=lambda: intents.restore(submission.search.intent),
        )
    )


def _began_at(found: Found, intent: Intent | None) -> float:
    """Return when the run to go on with began or was last resumed, in seconds since the epoch.

    By a worker's clock where one has kept it, else by the server's.

    :param intent: the last one of an earlier try.
    """
    from airflow_kfp_runtime.client.resumption import began_at

    if found.resumed_at is not None or found.run is None:
        return found.resumed_at or time.time()
    if intent is not None and intent.server_run_id == found.run.run_id:
        return intent.intent_at
    return began_at(found.run) or time.time()
