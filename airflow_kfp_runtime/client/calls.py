"""The calls of KFP's REST API: a pure function for each, which returns what to send.

Send one with ``KfpClient.send(get_run(run_id))`` or ``await AsyncKfpClient.send(get_run(run_id))``. The
errors that a call can end in are those of :mod:`airflow_kfp_runtime.client.answers`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_kfp_runtime.client.call import Call, Form, Upload, path_segment
from airflow_kfp_runtime.client.filters import Predicate, encode
from airflow_kfp_runtime.client.models import (
    Experiment,
    Health,
    Page,
    Pipeline,
    PipelineVersion,
    Run,
)
from airflow_kfp_runtime.client.run_request import TEXT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_kfp_runtime.client.run_request import RunRequest

T = TypeVar("T")

#: The largest page that the server gives; more is cut silently (KFP 2.17).
PAGE_SIZE = 200

_API = "/apis/v2beta1"
_LOG_LIMIT = 1024 * 1024


def health() -> Call[Health]:
    """Ask what the server is: its version and whether it is multi-user. Needs no credentials."""
    return _get(f"{_API}/healthz", Health.from_json)


def create_run(request: RunRequest) -> Call[Run]:
    """Create a run. Never repeat it blindly: :func:`~airflow_kfp_runtime.client.flows.submit_run` knows
    how.
    """
    return Call("POST", f"{_API}/runs", Run.from_json, json=request.to_json(), repeatable=False)


def get_run(run_id: str, *, read: Callable[[Mapping[str, Any]], Run] = Run.from_json) -> Call[Run]:
    """Get a run by id.

    :param read: how much is read of it; :meth:`~airflow_kfp_runtime.client.models.Run.brief` is faster.
    """
    return _get(f"{_API}/runs/{path_segment(run_id)}", read)


def list_runs(
    *predicates: Predicate,
    experiment_id: str | None = None,
    namespace: str | None = None,
    sort_by: str | None = None,
    page_size: int = PAGE_SIZE,
    read: Callable[[Mapping[str, Any]], Run] = Run.from_json,
) -> Call[Page[Run]]:
    """List runs, oldest first unless ``sort_by`` (``"created_at desc"``) says otherwise.

    :param predicates: conditions that must all hold, from :mod:`airflow_kfp_runtime.client.filters`.
    :param experiment_id: only the runs of this experiment.
    :param namespace: needed on a multi-user server unless ``experiment_id`` is given; leave it out elsewhere.
    :param page_size: rows per page, at most 200.
    :param read: how much is read of each; :meth:`~airflow_kfp_runtime.client.models.Run.brief` is faster.
    """
    query = {"experiment_id": experiment_id, "namespace": namespace}
    return _list(f"{_API}/runs", "runs", read, predicates, query, sort_by, page_size)


def terminate_run(run_id: str) -> Call[None]:
    """End a run: it goes to CANCELING and then FAILED. 400 if it has ended or is being ended already."""
    return _act("POST", f"{_API}/runs/{path_segment(run_id)}:terminate")


def retry_run(run_id: str) -> Call[None]:
    """Run the failed tasks of a failed run again under the same id. 409 if it did not fail."""
    # A second one can meet a run that has failed anew.
    return replace(_act("POST", f"{_API}/runs/{path_segment(run_id)}:retry"), repeatable=False)


def archive_run(run_id: str) -> Call[None]:
    """Move a run to the archive; one that is running goes on."""
    return _act("POST", f"{_API}/runs/{path_segment(run_id)}:archive")


def unarchive_run(run_id: str) -> Call[None]:
    """Take a run out of the archive."""
    return _act("POST", f"{_API}/runs/{path_segment(run_id)}:unarchive")


def delete_run(run_id: str) -> Call[None]:
    """Delete a run and its workflow."""
    return _act("DELETE", f"{_API}/runs/{path_segment(run_id)}")


def create_pipeline(name: str, *, description: str = "", namespace: str | None = None) -> Call[Pipeline]:
    """Create a pipeline without a version. 409 if the name is taken.

    :param name: at most 128 characters. It is sent as ``display_name``, which every version since 2.0 takes
        and from which 2.14 and later derive the name.
    """
    body = {"display_name": name, "description": description, "namespace": namespace}
    return Call("POST", f"{_API}/pipelines", Pipeline.from_json, json=_filled(body))


def get_pipeline(pipeline_id: str) -> Call[Pipeline]:
    """Get a pipeline by id."""
    return _get(f"{_API}/pipelines/{path_segment(pipeline_id)}", Pipeline.from_json)


def get_pipeline_by_name(name: str, *, namespace: str | None = None) -> Call[Pipeline]:
    """Get a pipeline by its name, which is unique (per namespace on a multi-user server)."""
    return replace(
        _get(f"{_API}/pipelines/names/{path_segment(name)}", Pipeline.from_json),
        query=_filled({"namespace": namespace}),
    )


def list_pipelines(
    *predicates: Predicate,
    namespace: str | None = None,
    sort_by: str | None = None,
    page_size: int = PAGE_SIZE,
) -> Call[Page[Pipeline]]:
    """List pipelines; the parameters are those of :func:`list_runs`."""
    query = {"namespace": namespace}
    return _list(f"{_API}/pipelines", "pipelines", Pipeline.from_json, predicates, query, sort_by, page_size)


def delete_pipeline(pipeline_id: str, *, cascade: bool = False) -> Call[None]:
    """Delete a pipeline. Since KFP 2.14 it must have no versions, or ``cascade`` deletes them too."""
    call = _act("DELETE", f"{_API}/pipelines/{path_segment(pipeline_id)}")
    return replace(call, query={"cascade": "true"}) if cascade else call


def upload_pipeline(
    name: str, package: str, *, description: str = "", namespace: str | None = None
) -> Call[Pipeline]:
    """Upload a pipeline together with a first version of the same name. 409 if the name is taken.

    :param package: the IR as YAML or JSON text, at most 32 MiB.
    """
    query = {"name": name, "description": description[:TEXT_LIMIT], "namespace": namespace}
    return Call(
        "POST",
        f"{_API}/pipelines/upload",
        Pipeline.from_json,
        query=_filled(query),
        upload=_upload(package),
    )


def upload_pipeline_version(
    pipeline_id: str, name: str, package: str, *, description: str = ""
) -> Call[PipelineVersion]:
    """Upload a version of a pipeline. 409 if the pipeline has one of this name.

    :param name: at most 127 characters.
    :param package: the IR as YAML or JSON text, at most 32 MiB.
    """
    query = {"pipelineid": pipeline_id, "name": name, "description": description[:TEXT_LIMIT]}
    return Call(
        "POST",
        f"{_API}/pipelines/upload_version",
        PipelineVersion.from_json,
        query=_filled(query),
        upload=_upload(package),
    )


def get_pipeline_version(pipeline_id: str, pipeline_version_id: str) -> Call[PipelineVersion]:
    """Get a version of a pipeline, with its IR."""
    return _get(
        f"{_API}/pipelines/{path_segment(pipeline_id)}/versions/{path_segment(pipeline_version_id)}",
        PipelineVersion.from_json,
    )


def list_pipeline_versions(
    pipeline_id: str, *predicates: Predicate, sort_by: str | None = None, page_size: int = PAGE_SIZE
) -> Call[Page[PipelineVersion]]:
    """List the versions of a pipeline, each with its IR; the parameters are those of :func:`list_runs`."""
    path = f"{_API}/pipelines/{path_segment(pipeline_id)}/versions"
    return _list(path, "pipeline_versions", PipelineVersion.from_json, predicates, {}, sort_by, page_size)


def delete_pipeline_version(pipeline_id: str, pipeline_version_id: str) -> Call[None]:
    """Delete a version of a pipeline; runs of it stay."""
    return _act(
        "DELETE", f"{_API}/pipelines/{path_segment(pipeline_id)}/versions/{path_segment(pipeline_version_id)}"
    )


def create_experiment(name: str, *, description: str = "", namespace: str | None = None) -> Call[Experiment]:
    """Create an experiment. 409 if the name is taken.

    :param name: at most 128 characters.
    :param namespace: needed on a multi-user server; leave it out elsewhere.
    """
    body = {"display_name": name, "description": description, "namespace": namespace}
    return Call("POST", f"{_API}/experiments", Experiment.from_json, json=_filled(body))


def get_experiment(experiment_id: str) -> Call[Experiment]:
    """Get an experiment by id."""
    return _get(f"{_API}/experiments/{path_segment(experiment_id)}", Experiment.from_json)


def list_experiments(
    *predicates: Predicate,
    namespace: str | None = None,
    sort_by: str | None = None,
    page_size: int = PAGE_SIZE,
) -> Call[Page[Experiment]]:
    """List experiments; the parameters are those of :func:`list_runs`."""
    query = {"namespace": namespace}
    return _list(
        f"{_API}/experiments", "experiments", Experiment.from_json, predicates, query, sort_by, page_size
    )


def delete_experiment(experiment_id: str) -> Call[None]:
    """Delete an experiment; its runs stay."""
    return _act("DELETE", f"{_API}/experiments/{path_segment(experiment_id)}")


def read_log(run_id: str, pod_name: str) -> Call[str]:
    """Read what a pod of a run has logged, the last megabyte of it.

    The server answers 200 before it reads, so that a missing pod shows as an error in a JSON body: this call
    ends in :class:`~airflow_kfp_runtime.errors.ServerError` then.
    """
    path = f"/apis/v1alpha1/runs/{path_segment(run_id)}/nodes/{path_segment(pod_name)}/log"
    return Call("GET", path, _text, form=Form.TEXT, limit=_LOG_LIMIT)


def next_page(call: Call[Page[T]], page_token: str) -> Call[Page[T]]:
    """Return the call for the page after the one that gave ``page_token``.

    The token holds filter and order, and repeating them beside it can be a 400; it does not hold the
    experiment, the namespace and the page size (KFP 2.17, ``ListRuns``), which therefore stay.
    """
    kept = {name: value for name, value in call.query.items() if name not in ("filter", "sort_by")}
    return replace(call, query={**kept, "page_token": page_token})


def _get(path: str, parse: Callable[[Mapping[str, Any]], T]) -> Call[T]:
    return Call("GET", path, parse)


def _act(method: str, path: str) -> Call[None]:
    return Call(method, path, _nothing)


def _list(
    path: str,
    field: str,
    read: Callable[[Mapping[str, Any]], T],
    predicates: tuple[Predicate, ...],
    query: Mapping[str, str | None],
    sort_by: str | None,
    page_size: int,
) -> Call[Page[T]]:
    all_of_it = {
        **query,
        "sort_by": sort_by,
        "page_size": str(page_size),
        "filter": encode(*predicates) if predicates else None,
    }
    return Call("GET", path, Page.reader(field, read), query=_filled(all_of_it), form=Form.ROWS)


def _filled(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _upload(package: str) -> Upload:
    return Upload("pipeline.yaml", package.encode())


def _nothing(_: Any) -> None:
    return None


def _text(body: str) -> str:
    return body
