"""The application: the routes of the API, and errors in the gateway's shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airflow_kfp_runtime.embedded.api import (
    experiments,
    metadata,
    pages,
    pipelines,
    runs,
    system,
    tasks,
    uploads,
)
from airflow_kfp_runtime.embedded.api.context import ApiContext, ApiOptions
from airflow_kfp_runtime.embedded.api.errors import ApiError, Code, internal, invalid
from airflow_kfp_runtime.embedded.api.guard import BrowserGuard
from airflow_kfp_runtime.embedded.api.listing.filters import FilterError
from airflow_kfp_runtime.embedded.api.listing.paging import PagingError

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import Request
    from fastapi.responses import Response

    from airflow_kfp_runtime.embedded.api.context import RunEngine
    from airflow_kfp_runtime.embedded.state.store import Store


def create_app(store: Store, engine: RunEngine, data: Path, options: ApiOptions | None = None) -> FastAPI:
    """Make the application.

    :param store: where everything is kept; the Default experiment is made in it.
    :param engine: what runs the runs.
    :param data: the folder with the logs (``runs/<run_id>/logs``).
    :param options: how the server presents itself.
    """
    app = FastAPI(title="Kubeflow Pipelines (embedded)", docs_url=None, redoc_url=None, openapi_url=None)
    chosen = options or ApiOptions()
    app.add_middleware(BrowserGuard, local_names_only=chosen.local_names_only)
    app.state.context = ApiContext(store, engine, data, chosen)
    experiments.default_experiment(store)
    routers = [system.router, experiments.router, uploads.router, pipelines.router, runs.router, pages.router]
    # The tasks API and ML Metadata exclude each other, as they do before and after the change in KFP.
    routers.append(tasks.router if chosen.next_api else metadata.router)
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(ApiError, _refused)
    app.add_exception_handler(FilterError, _refused)
    app.add_exception_handler(PagingError, _refused)
    app.add_exception_handler(uploads.UploadError, _upload_refused)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _failed)
    return app


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    refusal = error if isinstance(error, ApiError) else invalid(str(error), "Failed to create list options")
    return JSONResponse(refusal.body(), refusal.status)


async def _upload_refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, uploads.UploadError):
        raise error
    return error.response()


async def _no_route(_request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        # grpc-gateway answers a method that a path does not have with 501.
        return JSONResponse({"code": Code.UNIMPLEMENTED, "message": "Method Not Allowed", "details": []}, 501)
    code = Code.NOT_FOUND if status == 404 else Code.INVALID_ARGUMENT
    message = "Not Found" if status == 404 else str(getattr(error, "detail", ""))
    return JSONResponse({"code": code, "message": message, "details": []}, status)


async def _failed(_request: Request, error: Exception) -> JSONResponse:
    # Starlette raises the error again after this answer, and uvicorn logs it.
    failure = internal(f"{type(error).__name__}: {error}")
    return JSONResponse(failure.body(), failure.status)
