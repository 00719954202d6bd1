"""Experiments: create, read, list, delete, archive."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from airflow_kfp_runtime.embedded.api import messages, representation
from airflow_kfp_runtime.embedded.api.context import Body, Context, Query, answer
from airflow_kfp_runtime.embedded.api.errors import ApiError, Code, internal, invalid
from airflow_kfp_runtime.embedded.api.listing.listings import EXPERIMENTS
from airflow_kfp_runtime.embedded.api.lookup import existing
from airflow_kfp_runtime.embedded.state.rows import ExperimentRow, RunRow, now
from airflow_kfp_runtime.embedded.state.store import AlreadyExistsError, Selection

if TYPE_CHECKING:
    from airflow_kfp_runtime.embedded.state.store import Store

MAX_NAME = 128
_DEFAULT = "Default"

router = APIRouter(prefix="/apis/v2beta1/experiments", default_response_class=JSONResponse)


def default_experiment(store: Store) -> ExperimentRow:
    """The experiment of runs that name none; made when it is missing."""
    wanted = Selection("display_name = ? AND namespace = ''", (_DEFAULT,))
    found = store.select(ExperimentRow, wanted)
    if found:
        return found[0]
    row = ExperimentRow(
        str(uuid.uuid4()),
        _DEFAULT,
        now(),
        description="All runs created without specifying an experiment will be grouped here.",
    )
    try:
        store.insert(row)
    except AlreadyExistsError:
        # Another thread was faster.
        (row,) = store.select(ExperimentRow, wanted)
    return row


@router.post("")
def create(context: Context, body: Body) -> JSONResponse:
    """``CreateExperiment``. In single-user mode a namespace is ignored."""
    request = messages.parse(messages.Experiment, body)
    if not request.display_name:
        raise internal("Failed to convert API experiment: Experiment must have a non-empty name")
    if len(request.display_name) > MAX_NAME:
        raise invalid(f"Experiment.Name length cannot exceed {MAX_NAME}", "Failed to create a experiment")
    row = ExperimentRow(str(uuid.uuid4()), request.display_name, now(), description=request.description)
    try:
        context.store.insert(row)
    except AlreadyExistsError as error:
        raise ApiError(
            Code.ALREADY_EXISTS,
            f"Failed to create experiment {row.display_name}. Please specify a new name",
            "Failed to create a experiment",
        ) from error
    return answer(representation.experiment(row))


@router.get("")
def list_all(context: Context, query: Query) -> JSONResponse:
    """``ListExperiments``."""
    return context.page(EXPERIMENTS, query, "experiments", representation.experiment)


@router.get("/{experiment_id}")
def get(context: Context, experiment_id: str) -> JSONResponse:
    """``GetExperiment``."""
    row = existing(context.store, ExperimentRow, experiment_id, "Failed to get experiment")
    return answer(representation.experiment(row))


@router.delete("/{experiment_id}")
def delete(context: Context, experiment_id: str) -> JSONResponse:
    """``DeleteExperiment``; its runs stay."""
    existing(context.store, ExperimentRow, experiment_id, "Failed to delete experiment")
    context.store.delete(ExperimentRow, experiment_id)
    return answer({})


@router.post("/{experiment_id}:archive")
def archive(context: Context, experiment_id: str) -> JSONResponse:
    """``ArchiveExperiment``: the experiment and all its runs."""
    existing(context.store, ExperimentRow, experiment_id, "Failed to archive experiment")
    context.store.change(ExperimentRow, experiment_id, lambda row: replace(row, storage_state="ARCHIVED"))
    for run in context.store.select(RunRow, Selection("experiment_id = ?", (experiment_id,))):
        context.store.change(RunRow, run.run_id, lambda row: replace(row, storage_state="ARCHIVED"))
    return answer({})


@router.post("/{experiment_id}:unarchive")
def unarchive(context: Context, experiment_id: str) -> JSONResponse:
    """``UnarchiveExperiment``: the experiment alone; its runs stay archived."""
    existing(context.store, ExperimentRow, experiment_id, "Failed to unarchive experiment")
    context.store.change(ExperimentRow, experiment_id, lambda row: replace(row, storage_state="AVAILABLE"))
    return answer({})
