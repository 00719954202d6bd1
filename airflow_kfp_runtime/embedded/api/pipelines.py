"""Pipelines and their versions: everything but the uploads."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from airflow_kfp_runtime.embedded.api import messages, representation
from airflow_kfp_runtime.embedded.api.context import Body, Context, Query, answer
from airflow_kfp_runtime.embedded.api.errors import ApiError, Code, invalid, not_found
from airflow_kfp_runtime.embedded.api.listing.listings import PIPELINES, VERSIONS
from airflow_kfp_runtime.embedded.api.lookup import existing
from airflow_kfp_runtime.embedded.state.rows import PipelineRow, VersionRow, now
from airflow_kfp_runtime.embedded.state.store import AlreadyExistsError, Selection

if TYPE_CHECKING:
    from airflow_kfp_runtime.embedded.state.store import Store

#: What both ways to make a pipeline take (KFP 2.17).
MAX_NAME = 128

Named = TypeVar("Named", PipelineRow, VersionRow)

router = APIRouter(prefix="/apis/v2beta1/pipelines", default_response_class=JSONResponse)


def latest_version(store: Store, pipeline_id: str) -> VersionRow:
    """The youngest version of a pipeline.

    :raises ApiError: 404, the pipeline does not exist or has no version.
    """
    existing(store, PipelineRow, pipeline_id)
    found = store.select(
        VersionRow, Selection("pipeline_id = ?", (pipeline_id,), "created_at DESC, rowid DESC", limit=1)
    )
    if not found:
        raise not_found("PipelineVersion", pipeline_id)
    return found[0]


@router.post("")
def create(context: Context, body: Body) -> JSONResponse:
    """``CreatePipeline``: a pipeline without a version. In single-user mode a namespace is ignored."""
    request = messages.parse(messages.Pipeline, body)
    name = request.name or request.display_name
    if not name:
        raise invalid("name is required", "Failed to create a pipeline due to server error")
    if len(name) > MAX_NAME:
        raise invalid(f"Pipeline.Name length cannot exceed {MAX_NAME}", "Failed to create a pipeline")
    row = PipelineRow(
        str(uuid.uuid4()),
        name,
        now(),
        display_name=request.display_name or name,
        description=request.description,
        tags=request.tags or {},
    )
    try:
        context.store.insert(row)
    except AlreadyExistsError as error:
        raise ApiError(
            Code.ALREADY_EXISTS,
            f"Failed to create a new pipeline. The name {name} already exists. Please specify a new name",
            "Failed to create a pipeline due to server error",
        ) from error
    return answer(representation.pipeline(row))


@router.post("/create")
def create_from_url(context: Context) -> JSONResponse:  # noqa: ARG001
    """``CreatePipelineAndVersion``: refused, since this server downloads nothing."""
    raise ApiError(
        Code.UNIMPLEMENTED,
        "the embedded server downloads no pipelines: upload the file to /apis/v2beta1/pipelines/upload",
    )


@router.get("")
def list_all(context: Context, query: Query) -> JSONResponse:
    """``ListPipelines``."""
    return context.page(PIPELINES, query, "pipelines", representation.pipeline)


@router.get("/names/{name}")
def get_by_name(context: Context, name: str) -> JSONResponse:
    """``GetPipelineByName``. In single-user mode the namespace is ignored."""
    found = context.store.select(PipelineRow, Selection("name = ? AND namespace = ''", (name,)))
    if not found:
        raise not_found(
            "Namespace/Pipeline", f"/{name}", f"Failed to get a pipeline with name {name} and namespace "
        )
    return answer(representation.pipeline(found[0]))


@router.get("/{pipeline_id}")
def get(context: Context, pipeline_id: str) -> JSONResponse:
    """``GetPipeline``."""
    row = existing(context.store, PipelineRow, pipeline_id, "Failed to get pipeline")
    return answer(representation.pipeline(row))


@router.patch("/{pipeline_id}")
def update(context: Context, pipeline_id: str, body: Body) -> JSONResponse:
    """``UpdatePipeline`` (2.17): display name and tags; what is absent stays."""
    request = messages.parse(messages.Pipeline, body)
    existing(context.store, PipelineRow, pipeline_id, f"Failed to update pipeline {pipeline_id}")
    context.store.change(PipelineRow, pipeline_id, lambda row: _updated(row, request))
    return answer(representation.pipeline(existing(context.store, PipelineRow, pipeline_id)))


@router.delete("/{pipeline_id}")
def delete(context: Context, pipeline_id: str, query: Query) -> JSONResponse:
    """``DeletePipeline``: refused while it has versions, unless with ``cascade=true`` (since KFP 2.14)."""
    failure = "Failed to delete a pipeline"
    existing(context.store, PipelineRow, pipeline_id, failure)
    if query.get("cascade") != "true":
        versions = context.store.select(VersionRow, Selection("pipeline_id = ?", (pipeline_id,), limit=1))
        if versions:
            raise invalid(
                f"Failed to delete pipeline with id {pipeline_id} as it has existing pipeline versions "
                f"(e.g. {versions[0].version_id}). Set cascade=true to delete all versions",
                failure,
            )
    context.store.delete(PipelineRow, pipeline_id)
    return answer({})


@router.get("/{pipeline_id}/versions")
def list_versions(context: Context, pipeline_id: str, query: Query) -> JSONResponse:
    """``ListPipelineVersions``; of a pipeline that does not exist, an empty list."""
    return context.page(
        VERSIONS,
        query,
        "pipeline_versions",
        representation.version,
        Selection("pipeline_id = ?", (pipeline_id,)),
    )


@router.post("/{pipeline_id}/versions")
def create_version(context: Context, pipeline_id: str) -> JSONResponse:  # noqa: ARG001
    """``CreatePipelineVersion`` takes a URL only; refused, since this server downloads nothing."""
    raise ApiError(
        Code.UNIMPLEMENTED,
        "the embedded server downloads no pipelines: upload the file to "
        f"/apis/v2beta1/pipelines/upload_version?pipelineid={pipeline_id}",
    )


@router.get("/{pipeline_id}/versions/{version_id}")
def get_one_version(context: Context, pipeline_id: str, version_id: str) -> JSONResponse:  # noqa: ARG001
    """``GetPipelineVersion``; as in the real server the version's id alone decides."""
    failure = f"Failed to get a pipeline version with id {version_id}"
    return answer(representation.version(existing(context.store, VersionRow, version_id, failure)))


@router.patch("/{pipeline_id}/versions/{version_id}")
def update_version(context: Context, pipeline_id: str, version_id: str, body: Body) -> JSONResponse:  # noqa: ARG001
    """``UpdatePipelineVersion`` (2.17): display name and tags; what is absent stays."""
    request = messages.parse(messages.PipelineVersion, body)
    existing(context.store, VersionRow, version_id, f"Failed to update pipeline version {version_id}")
    context.store.change(VersionRow, version_id, lambda row: _updated(row, request))
    return answer(representation.version(existing(context.store, VersionRow, version_id)))


@router.delete("/{pipeline_id}/versions/{version_id}")
def delete_version(context: Context, pipeline_id: str, version_id: str) -> JSONResponse:  # noqa: ARG001
    """``DeletePipelineVersion``; its runs stay."""
    existing(context.store, VersionRow, version_id, "Failed to delete a pipeline version")
    context.store.delete(VersionRow, version_id)
    return answer({})


def _updated(row: Named, request: messages.Pipeline | messages.PipelineVersion) -> Named:
    return replace(
        row,
        display_name=request.display_name or row.display_name,
        tags=row.tags if request.tags is None else request.tags,
    )
