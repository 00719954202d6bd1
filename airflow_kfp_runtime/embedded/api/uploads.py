"""Uploads of pipeline files: multipart forms, with errors of their own shape.

These calls bypass the gateway in KFP (2.17, ``PipelineUploadServer``): an error is
``{"error_message", "error_details"}``, or plain text where a name is too long, and a conflict tells nothing
but that there is one.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.datastructures import UploadFile

from airflow_kfp_runtime.embedded.api import representation
from airflow_kfp_runtime.embedded.api.context import Context, Query, answer
from airflow_kfp_runtime.embedded.api.pipelines import MAX_NAME
from airflow_kfp_runtime.embedded.api.specs import (
    MAX_FILE_BYTES,
    PipelineDocument,
    SpecError,
    check_pipeline_name,
    read_document,
)
from airflow_kfp_runtime.embedded.state.rows import PipelineRow, VersionRow, now
from airflow_kfp_runtime.embedded.state.store import AlreadyExistsError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Around the file: the boundaries and headers of a multipart form.
_FORM_BYTES = 1 << 16

#: How zip and gzip files begin.
_ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b")

MAX_VERSION_NAME = 127

_PIPELINE_FAILURE = "Failed to create a pipeline and a pipeline version"
_VERSION_FAILURE = "Failed to create a pipeline version"
_TAGS_FAILURE = "Failed to parse tags query parameter. Expected JSON object with string keys and values"

router = APIRouter(prefix="/apis/v2beta1/pipelines")


class UploadError(Exception):
    """An upload that is refused.

    :param status: the HTTP status.
    :param plain: answer in plain text.
    """

    def __init__(self, status: int, message: str, *, plain: bool = False) -> None:
        self.status = status
        self.message = message
        self.plain = plain
        super().__init__(message)

    def response(self) -> Response:
        """The answer in the upload server's shape."""
        if self.plain:
            return PlainTextResponse(f"{self.message}\n", self.status)
        return JSONResponse({"error_message": self.message, "error_details": self.message}, self.status)


@dataclass(frozen=True)
class UploadedFile:
    """The file of the form's field ``uploadfile``; without one, ``content`` is ``None``."""

    name: str = ""
    content: bytes | None = None


async def _uploaded(request: Request) -> UploadedFile:
    if int(request.headers.get("content-length") or 0) > MAX_FILE_BYTES + _FORM_BYTES:
        raise UploadError(400, "Failed to read pipeline from file")
    # Starlette spools a large file to disk; here it is bounded before it is read into memory.
    async with request.form() as form:
        field = form.get("uploadfile")
        if not isinstance(field, UploadFile):
            return UploadedFile()
        content = await field.read(MAX_FILE_BYTES + 1)
        return UploadedFile(field.filename or "", content)


Uploaded = Annotated[UploadedFile, Depends(_uploaded)]


@router.post("/upload")
def upload(context: Context, query: Query, file: Uploaded) -> JSONResponse:
    """``UploadPipeline``: a pipeline and its first version, of the same name. A namespace is ignored."""
    document = _read(file, "Failed to read pipeline from file", "Failed to read a pipeline spec file")
    name = _name(query, file)
    _check_length("Pipeline", name, MAX_NAME)
    pipeline = PipelineRow(
        str(uuid.uuid4()),
        name,
        now(),
        display_name=query.get("display_name") or name,
        description=query.get("description", ""),
        tags=_tags(query),
    )
    version = VersionRow(
        str(uuid.uuid4()),
        pipeline.pipeline_id,
        name,
        pipeline.created_at,
        document.pipeline_spec,
        document.platform_spec,
        display_name=pipeline.display_name,
        description=pipeline.description,
        code_source_url=query.get("code_source_url", ""),
    )
    try:
        context.store.insert(pipeline, version)
    except AlreadyExistsError as error:
        raise UploadError(409, _PIPELINE_FAILURE) from error
    return answer(representation.pipeline(pipeline))


@router.post("/upload_version")
def upload_version(context: Context, query: Query, file: Uploaded) -> JSONResponse:
    """``UploadPipelineVersion``: one more version of the pipeline ``pipelineid``."""
    document = _read(file, _VERSION_FAILURE, _VERSION_FAILURE)
    name = _name(query, file)
    _check_length("PipelineVersion", name, MAX_VERSION_NAME)
    pipeline_id = query.get("pipelineid", "")
    if context.store.get(PipelineRow, pipeline_id) is None:
        raise UploadError(400, _VERSION_FAILURE)
    version = VersionRow(
        str(uuid.uuid4()),
        pipeline_id,
        name,
        now(),
        document.pipeline_spec,
        document.platform_spec,
        display_name=query.get("display_name") or name,
        description=query.get("description", ""),
        code_source_url=query.get("code_source_url", ""),
        tags=_tags(query),
    )
    try:
        context.store.insert(version)
    except AlreadyExistsError as error:
        raise UploadError(409, _VERSION_FAILURE) from error
    return answer(representation.version(version))


def _read(file: UploadedFile, missing: str, unreadable: str) -> PipelineDocument:
    if file.content is None:
        raise UploadError(400, missing)
    if len(file.content) > MAX_FILE_BYTES:
        raise UploadError(400, unreadable)
    if file.content.startswith(_ARCHIVES):
        raise UploadError(400, "the embedded server takes YAML or JSON, no archives: upload the file in it")
    try:
        document = read_document(file.content)
        check_pipeline_name(document.name)
    except SpecError as error:
        raise UploadError(400, str(error)) from error
    return document


def _name(query: Mapping[str, str], file: UploadedFile) -> str:
    return query.get("name") or query.get("display_name") or PurePath(file.name).name


def _check_length(kind: str, name: str, limit: int) -> None:
    if len(name) > limit:
        raise UploadError(400, f"{kind}.Name length cannot exceed {limit}", plain=True)


def _tags(query: Mapping[str, str]) -> dict[str, str]:
    try:
        tags = json.loads(query.get("tags") or "{}")
    except ValueError as error:
        raise UploadError(400, _TAGS_FAILURE) from error
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise UploadError(400, _TAGS_FAILURE)
    return tags
