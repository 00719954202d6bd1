"""What takes several calls, as generators that either client runs: ``client.run(submit_run(request))``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.client.call import Wait
from airflow_kfp_runtime.client.failures import explain_failure
from airflow_kfp_runtime.client.filters import equals
from airflow_kfp_runtime.client.paging import list_all
from airflow_kfp_runtime.client.run_lookup import find_submitted
from airflow_kfp_runtime.errors import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.models import Experiment, Page, Pipeline, PipelineVersion, Run
    from airflow_kfp_runtime.client.run_request import RunRequest

__all__ = [
    "ensure_experiment",
    "ensure_pipeline",
    "ensure_pipeline_version",
    "explain_failure",
    "find_pipeline_version",
    "latest_pipeline_version",
    "list_all",
    "submit_run",
]

#: Seconds before each look for a run whose creation was answered unclearly: the server writes the row after
#: it has created the workflow, so that one 404 proves nothing.
LOOK_UP_DELAYS = (1.0, 2.0, 4.0, 8.0)

#: How often a run is sent at most, each time only after the look-ups agreed that it does not exist.
_ATTEMPTS = 3

#: The server has read the request and did not create the run.
_REFUSALS = (AuthenticationError, InvalidRequestError, NotFoundError, PermissionDeniedError)


def ensure_experiment(name: str, *, namespace: str | None = None, description: str = "") -> Flow[Experiment]:
    """Return the experiment of that name, created if there is none; safe to be run by several tasks at once.

    :param namespace: needed on a multi-user server; leave it out elsewhere.
    """
    known = yield from _experiment_named(name, namespace)
    if known:
        return known
    try:
        created: Experiment = yield calls.create_experiment(
            name, description=description, namespace=namespace
        )
    except ConflictError as conflict:
        made_meanwhile = yield from _experiment_named(name, namespace)
        if made_meanwhile is None:
            raise conflict from None
        return made_meanwhile
    return created


def ensure_pipeline(name: str, *, namespace: str | None = None, description: str = "") -> Flow[Pipeline]:
    """Return the pipeline of that name, created if there is none; safe to be run by several tasks at once.

    :param namespace: the namespace that owns the pipeline on a multi-user server; leave it out elsewhere.
    """
    look_up = calls.get_pipeline_by_name(name, namespace=namespace)
    pipeline: Pipeline
    try:
        pipeline = yield look_up
    except NotFoundError:
        try:
            pipeline = yield calls.create_pipeline(name, description=description, namespace=namespace)
        except ConflictError:
            pipeline = yield look_up
    return pipeline


def ensure_pipeline_version(
    pipeline_name: str,
    version_name: str,
    package: str,
    *,
    namespace: str | None = None,
    description: str = "",
) -> Flow[PipelineVersion]:
    """Return the version of that name, uploaded if the pipeline has none.

    With the content hash of the package as ``version_name`` each package is uploaded once, by whichever of
    several tasks comes first.

    :param package: the IR as YAML or JSON text.
    :param namespace: the namespace that owns the pipeline on a multi-user server; leave it out elsewhere.
    """
    pipeline = yield from ensure_pipeline(pipeline_name, namespace=namespace, description=description)
    known = yield from find_pipeline_version(pipeline.pipeline_id, version_name)
    if known:
        return known
    upload = calls.upload_pipeline_version(
        pipeline.pipeline_id, version_name, package, description=description
    )
    try:
        uploaded: PipelineVersion = yield upload
    except ConflictError as conflict:
        made_meanwhile = yield from find_pipeline_version(pipeline.pipeline_id, version_name)
        if made_meanwhile is None:
            raise conflict from None
        return made_meanwhile
    return replace(uploaded, pipeline_id=uploaded.pipeline_id or pipeline.pipeline_id)


def find_pipeline_version(pipeline_id: str, version_name: str) -> Flow[PipelineVersion | None]:
    """Return the version of that name, ``None`` if the pipeline has none."""
    versions = yield from list_all(calls.list_pipeline_versions(pipeline_id, equals("name", version_name)))
    return next((version for version in versions if version.name == version_name), None)


def latest_pipeline_version(pipeline_id: str) -> Flow[PipelineVersion | None]:
    """Return the version that was made last, ``None`` if the pipeline has none.

    Runs should name their version: which one the server takes for the latest is random within one second
    (KFP 2.17.0).
    """
    page: Page[PipelineVersion] = yield calls.list_pipeline_versions(
        pipeline_id, sort_by="created_at desc", page_size=1
    )
    return page.items[0] if page.items else None


def submit_run(
    request: RunRequest,
    *,
    look_first: bool = True,
    namespace: str | None = None,
    announce: Callable[[], None] | None = None,
    withdraw: Callable[[], None] | None = None,
) -> Flow[Run]:
    """Create the run with the request's id, exactly once however the answers turn out.

    KFP has no idempotency key, and a second POST of one id starts a second workflow under it. So, after an
    unclear answer (a time-out, a broken connection, a 5xx, a 409), the run is looked up several times: by its
    id, and by the token in its description for a server that chose another id. A run that is found is the
    result. If all look-ups say that there is none, the run is sent again where no answer came, and the error
    is raised where the server did answer with one.

    :param request: the run, with the id that it shall have; a description made by
        :func:`~airflow_kfp_runtime.client.run_lookup.described` lets it be found under another id.
    :param look_first: look the run up before anything is sent, as needed when an earlier attempt may have
        been cut off.
    :param namespace: needed on a multi-user server, to look the token up; leave it out elsewhere.
    :param announce: called right before each POST; what it raises ends the flow with nothing sent.
    :param withdraw: called where the server has refused the first POST, so that there is no run and none is
        on its way.
    :return: the run; ``id_was_replaced`` tells that the server chose another id, which is the one to use.
    :raises ServerError: if the run does not exist, or it could not be found out whether it does; calling
        again with the same request is safe.
    """
    if look_first:
        known = yield from find_submitted(request, namespace=namespace)
        if known is not None:
            return replace(known, requested_run_id=request.run_id)
    attempt = 1
    while True:
        if announce is not None:
            announce()
        try:
            created: Run = yield calls.create_run(request)
        except ServerError as unclear:
            if not _is_refusal(unclear):
                found = yield from _look_up(request, namespace, unclear)
                if found is not None:
                    return replace(found, requested_run_id=request.run_id)
                if unclear.transient and attempt < _ATTEMPTS:
                    attempt += 1
                    continue
            if withdraw is not None and attempt == 1 and _is_definite(unclear):
                withdraw()
            raise
        else:
            return replace(created, requested_run_id=request.run_id)


def _is_refusal(error: ServerError) -> bool:
    # A login page under 200 may have taken the place of the server's answer to what it did.
    was_answered = error.status is not None and error.status < 300
    return isinstance(error, _REFUSALS) and not was_answered


def _is_definite(error: ServerError) -> bool:
    # Of those that are no refusals at once it is known already that no look has found a run.
    was_refused = error.status is not None and 400 <= error.status < 500 and not error.transient
    return was_refused or _is_refusal(error)


def _look_up(request: RunRequest, namespace: str | None, unclear: ServerError) -> Flow[Run | None]:
    """Look a run up until it is found, or every look says that there is none (``None``).

    :raises ServerError: the unclear answer, if a look could not be answered: then nothing is known.
    """
    sure = True
    for delay in LOOK_UP_DELAYS:
        yield Wait(delay)
        try:
            found = yield from find_submitted(request, namespace=namespace)
        except ServerError:
            sure = False
        else:
            if found is not None:
                return found
    if not sure:
        raise unclear
    return None


def _experiment_named(name: str, namespace: str | None) -> Flow[Experiment | None]:
    experiments = yield from list_all(calls.list_experiments(equals("name", name), namespace=namespace))
    return next((experiment for experiment in experiments if experiment.display_name == name), None)
