"""Runs: create, read, list, delete, archive, terminate, retry."""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from airflow_kfp_runtime.embedded.api import messages, representation
from airflow_kfp_runtime.embedded.api.arguments import ArgumentsError, check_arguments, expand_macros
from airflow_kfp_runtime.embedded.api.context import Body, Context, Query, answer
from airflow_kfp_runtime.embedded.api.errors import ApiError, Code, internal, invalid
from airflow_kfp_runtime.embedded.api.experiments import default_experiment
from airflow_kfp_runtime.embedded.api.listing.listings import RUNS
from airflow_kfp_runtime.embedded.api.lookup import existing
from airflow_kfp_runtime.embedded.api.nodes import workflow_nodes
from airflow_kfp_runtime.embedded.api.pipelines import latest_version
from airflow_kfp_runtime.embedded.api.specs import PipelineDocument, SpecError, read_struct
from airflow_kfp_runtime.embedded.api.task_representation import shown_tasks
from airflow_kfp_runtime.embedded.engine import UnsupportedPipelineError
from airflow_kfp_runtime.embedded.state.rows import (
    ExperimentRow,
    RunRow,
    VersionRow,
    now,
    parse_timestamp,
    state_change,
)
from airflow_kfp_runtime.embedded.state.store import AlreadyExistsError, Selection

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_kfp_runtime.embedded.api.context import ApiContext
    from airflow_kfp_runtime.embedded.state.store import Store

#: What a run's name and description hold in the real server's tables (MySQL).
MAX_TEXT = 255
#: What Kubernetes takes as a label's value.
MAX_RUN_ID = 63
_LABEL = re.compile("[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

_CREATE = "Failed to create a new run"
_MANIFEST = "Failed to create a run due to error fetching manifest"

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/apis/v2beta1/runs", default_response_class=JSONResponse)


def shown_run(context: ApiContext, row: RunRow, *, full: bool = False) -> dict[str, Any]:
    """A run as this version of the API shows it.

    :param full: with all about its tasks, in the API after KFP 2.17.
    """
    tasks = context.store.tasks_of(row.run_id)
    if not context.options.next_api:
        nodes = workflow_nodes(row, tasks) if tasks else []
        return representation.run(row, representation.task_details(row, nodes))
    details: dict[str, Any] = {"task_count": len(tasks)}
    if full:
        details["tasks"] = shown_tasks(row, tasks)
    return representation.run(row, details)


@router.post("")
def create(context: Context, body: Body) -> JSONResponse:
    """``CreateRun``: under the id that the client chose, if it did.

    The run is in the store before the engine hears of it, so that an id is executed once, whatever is sent.
    """
    request = messages.parse(messages.Run, body)
    _check_texts(request)
    if request.plugins_input:
        raise invalid(f"the embedded server has no plugins: {', '.join(request.plugins_input)}", _CREATE)
    experiment = _experiment(context.store, request.experiment_id)
    version, document = _pipeline(context.store, request)
    created_at = now()
    scheduled_at = _scheduled_at(request.scheduled_at)
    run_id = request.run_id or str(uuid.uuid4())
    _check_run_id(run_id)
    parameters = expand_macros(
        request.runtime_config.parameters, run_id=run_id, created_at=created_at, scheduled_at=scheduled_at
    )
    try:
        check_arguments(document.pipeline_spec, parameters)
        context.engine.check(document.pipeline_spec, document.platform_spec)
    except (ArgumentsError, UnsupportedPipelineError) as error:
        raise invalid(str(error), _CREATE, "Failed to generate the ExecutionSpec") from error
    row = RunRow(
        run_id=run_id,
        display_name=request.display_name,
        experiment_id=experiment.experiment_id,
        pipeline_spec=document.pipeline_spec,
        platform_spec=document.platform_spec,
        created_at=created_at,
        scheduled_at=scheduled_at or created_at,
        description=request.description,
        namespace=experiment.namespace,
        service_account=request.service_account,
        pipeline_id=version.pipeline_id if version else None,
        version_id=version.version_id if version else None,
        parameters=parameters,
        pipeline_root=request.runtime_config.pipeline_root,
        state_history=[state_change("PENDING", created_at)],
    )
    try:
        context.store.insert(row)
    except AlreadyExistsError as error:
        # The real server has made a second workflow under this id by now; here nothing has started.
        raise internal(
            f"Failed to store run {row.display_name} to table: Duplicate entry '{run_id}' for key 'PRIMARY'",
            _CREATE,
            "Failed to create a run",
        ) from error
    context.store.change(
        ExperimentRow, experiment.experiment_id, lambda found: replace(found, last_run_created_at=created_at)
    )
    logger.info("Run %s (%s) of pipeline %s was submitted", run_id, row.display_name, document.name)
    context.engine.submit(run_id)
    return answer(shown_run(context, existing(context.store, RunRow, run_id, _CREATE)))


@router.get("")
def list_all(context: Context, query: Query) -> JSONResponse:
    """``ListRuns``; in single-user mode a namespace is ignored."""
    scope = Selection()
    if experiment_id := query.get("experiment_id", ""):
        existing(context.store, ExperimentRow, experiment_id, "Failed to list runs")
        scope = Selection("experiment_id = ?", (experiment_id,))
    full = query.get("view") == "FULL"
    return context.page(RUNS, query, "runs", lambda row: shown_run(context, row, full=full), scope)


@router.get("/{run_id}")
def get(context: Context, run_id: str, query: Query) -> JSONResponse:
    """``GetRun``."""
    row = existing(context.store, RunRow, run_id, "Failed to get a run")
    return answer(shown_run(context, row, full=query.get("view") == "FULL"))


@router.delete("/{run_id}")
def delete(context: Context, run_id: str) -> JSONResponse:
    """``DeleteRun``: its processes are ended and its files removed, as with the workflow that KFP deletes."""
    failure = "Failed to delete a run"
    existing(context.store, RunRow, run_id, failure)
    context.engine.discard(run_id)
    context.store.delete(RunRow, run_id)
    return answer({})


@router.post("/{run_id}:archive")
def archive(context: Context, run_id: str) -> JSONResponse:
    """``ArchiveRun``: it goes on all the same."""
    existing(context.store, RunRow, run_id, "Failed to archive a run")
    context.store.change(RunRow, run_id, lambda row: replace(row, storage_state="ARCHIVED"))
    return answer({})


@router.post("/{run_id}:unarchive")
def unarchive(context: Context, run_id: str) -> JSONResponse:
    """``UnarchiveRun``, which needs an experiment that is not archived."""
    failure = "Failed to unarchive a run"
    row = existing(context.store, RunRow, run_id, failure)
    experiment = existing(context.store, ExperimentRow, row.experiment_id, failure)
    if experiment.storage_state == "ARCHIVED":
        raise ApiError(
            Code.FAILED_PRECONDITION,
            f"Failed to unarchive run {run_id} as experiment {row.experiment_id} must be un-archived first",
            failure,
        )
    context.store.change(RunRow, run_id, lambda row: replace(row, storage_state="AVAILABLE"))
    return answer({})


@router.post("/{run_id}:terminate")
def terminate(context: Context, run_id: str) -> JSONResponse:
    """``TerminateRun``: the run is CANCELING when this answers, and FAILED when its processes have ended."""
    failure = "Failed to terminate a run"
    existing(context.store, RunRow, run_id, failure)
    if not context.engine.terminate(run_id):
        raise invalid(f"Failed to terminate a run {run_id}. Row not found", failure)
    logger.info("Run %s is being terminated", run_id)
    return answer({})


@router.post("/{run_id}:retry")
def retry(context: Context, run_id: str) -> JSONResponse:
    """``RetryRun``: what failed runs again, what succeeded stays."""
    failure = "Failed to retry a run"
    row = existing(context.store, RunRow, run_id, failure)
    if not context.engine.retry(run_id):
        raise ApiError(
            Code.ABORTED,
            f"Workflow must be Failed/Error to retry: run {run_id} is {row.state}",
            failure,
        )
    logger.info("Run %s is retried", run_id)
    return answer({})


def _check_texts(request: messages.Run) -> None:
    if not request.display_name:
        raise internal("Failed to convert a API run detail: Run name cannot be empty", _CREATE)
    for column, text in (("DisplayName", request.display_name), ("Description", request.description)):
        if len(text) > MAX_TEXT:
            raise internal(
                f"Error 1406: Data too long for column '{column}'", _CREATE, "Failed to create a run"
            )


def _check_run_id(run_id: str) -> None:
    # In KFP the id becomes a label, which Kubernetes checks; here it becomes the name of a folder.
    if not _LABEL.fullmatch(run_id) or len(run_id) > MAX_RUN_ID:
        raise internal(
            f"metadata.labels: Invalid value: {run_id!r}: a valid label must be at most {MAX_RUN_ID} "
            "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            _CREATE,
            "Failed to create a workflow",
        )


def _experiment(store: Store, experiment_id: str) -> ExperimentRow:
    if not experiment_id:
        return default_experiment(store)
    return existing(
        store,
        ExperimentRow,
        experiment_id,
        _CREATE,
        "Failed to create a run due to invalid experimentId and namespace combination",
    )


def _pipeline(store: Store, request: messages.Run) -> tuple[VersionRow | None, PipelineDocument]:
    """The pipeline to run; whatever is wrong with it is a 500 in KFP, with the cause in the message."""
    try:
        version = _version(store, request)
        if version is None:
            return None, read_struct(request.pipeline_spec)
    except (ApiError, SpecError) as error:
        raise internal(f"{_MANIFEST}: {error}", _CREATE) from error
    return version, PipelineDocument(version.pipeline_spec, version.platform_spec)


def _version(store: Store, request: messages.Run) -> VersionRow | None:
    reference = request.pipeline_version_reference
    version_id = reference.pipeline_version_id or request.pipeline_version_id
    if not version_id and not reference.pipeline_id:
        if not request.pipeline_spec:
            raise SpecError("Failed to fetch a template with an empty pipeline spec manifest")
        return None
    if not version_id:
        return latest_version(store, reference.pipeline_id)
    version = existing(store, VersionRow, version_id)
    if reference.pipeline_id and version.pipeline_id != reference.pipeline_id:
        raise SpecError(
            f"Pipeline version {version_id} belongs to pipeline {version.pipeline_id} "
            f"(not {reference.pipeline_id})"
        )
    return version


def _scheduled_at(text: str) -> datetime | None:
    try:
        return parse_timestamp(text) if text else None
    except ValueError as error:
        raise invalid(f"proto: invalid google.protobuf.Timestamp value {text!r}") from error
