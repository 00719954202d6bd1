"""Before a run is sent: finding the one of an earlier try, or making the request for a new one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import DefinitionError, RunError
from airflow_kfp_runtime.operators.pipeline import (
    NamedPipeline,
    UnknownPipeline,
    find_version,
    step_names_of,
    step_names_on_server,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.client import Flow, PipelineVersion, RunRequest
    from airflow_kfp_runtime.client.generations import Found
    from airflow_kfp_runtime.compiler import PipelinePackage
    from airflow_kfp_runtime.operators.submission import Submission


@dataclass(frozen=True)
class Prepared:
    """What is known before a new run is sent.

    :param found: the run to go on with, or the id for a new one, and why.
    :param request: the new run; ``None`` where there is one to go on with.
    :param fingerprint: of the pipeline and its arguments.
    :param step_names: the user's name of each step, by its task's path in KFP.
    :param doubt: what the try that goes on with the run does not know, as a line for the log; empty for
        nothing.
    """

    found: Found
    request: RunRequest | None
    fingerprint: str
    step_names: dict[str, str]
    doubt: str = ""


@dataclass(frozen=True)
class _Work:
    """What a task runs now.

    :param package: the pipeline.
    :param version: the version of it that the server has, if that is what was asked for.
    :param arguments: by parameter of the pipeline, checked.
    """

    package: PipelinePackage
    version: PipelineVersion | None
    arguments: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        pipeline = self.version.pipeline_version_id if self.version else self.package.content_hash
        return fingerprint_of_work(pipeline, self.arguments)


def prepare(submission: Submission) -> Flow[Prepared]:
    """Check the arguments, look for the run of an earlier try, and make what a new run needs.

    A retry whose pipeline cannot be made any longer, or does not take the arguments, goes on with the run of
    an earlier try all the same.

    :raises DefinitionError: the pipeline or its arguments are wrong, and there is no run to go on with;
        nothing was sent then. Whatever else an :class:`UnknownPipeline` holds is raised likewise.
    :raises RunError: there is a run that differs from what the task runs now, and ``on_change`` is ``fail``.
    """
    if isinstance(submission.pipeline, UnknownPipeline):
        return (yield from _prepare_without_work(submission, submission.pipeline.error))
    try:
        work = yield from _work_of(submission.pipeline, submission)
    except DefinitionError as error:
        return (yield from _prepare_without_work(submission, error))
    return (yield from _prepare_with(work, submission))


def _work_of(pipeline: PipelinePackage | NamedPipeline, submission: Submission) -> Flow[_Work]:
    from airflow_kfp_runtime.compiler import PipelinePackage

    if not isinstance(pipeline, NamedPipeline):
        return _Work(pipeline, None, pipeline.check_arguments(submission.arguments))
    version = yield from find_version(pipeline, submission.namespace)
    package = PipelinePackage.load(version.pipeline_spec or {})
    return _Work(package, version, package.check_arguments(submission.arguments))


def _prepare_without_work(submission: Submission, error: Exception) -> Flow[Prepared]:
    """Find the run of an earlier try that needs nothing of what could not be made.

    :raises Exception: that error, where there is no such run.
    """
    from airflow_kfp_runtime.client.generations import find_run
    from airflow_kfp_runtime.client.run_lookup import fingerprint_of

    if not submission.search.is_retry:
        raise error
    try:
        found = yield from find_run(submission.search)
    except RunError:
        # The run could not be compared, and the user wants to be told of a change.
        raise error from None
    if found.run is None:
        raise error
    doubt = (
        f"What this task runs cannot be made any longer, {type(error).__name__}: {error}. The try goes on "
        "with the run as it was submitted; whether pipeline or arguments have changed since is not known"
    )
    step_names = yield from step_names_on_server(found.run.run_id)
    return Prepared(found, None, fingerprint_of(found.run) or "", step_names, doubt)


def _prepare_with(work: _Work, submission: Submission) -> Flow[Prepared]:
    from airflow_kfp_runtime.client import RunRequest, flows
    from airflow_kfp_runtime.client.generations import find_run
    from airflow_kfp_runtime.client.run_lookup import described

    package, version, fingerprint = work.package, work.version, work.fingerprint
    step_names = step_names_of(package)
    found = yield from find_run(replace(submission.search, fingerprint=fingerprint))
    if found.run is not None:
        return Prepared(found, None, fingerprint, step_names)
    if version is None and submission.register:
        version = yield from flows.ensure_pipeline_version(
            submission.pipeline_name or package.name,
            package.content_hash,
            package.to_json(),
            namespace=submission.namespace,
            description=submission.description,
        )
    request = RunRequest(
        run_id=found.run_id,
        display_name=submission.run_name,
        description=described(submission.description, found.run_id, fingerprint),
        version=version.reference if version else None,
        pipeline_spec=None if version else package.pipeline_spec,
        platform_spec=None if version else package.platform_spec,
        experiment_id=(yield from _experiment_id(submission)),
        parameters=work.arguments,
        pipeline_root=submission.pipeline_root,
        service_account=submission.service_account,
    )
    return Prepared(found, request, fingerprint, step_names)


def fingerprint_of_work(pipeline: str, arguments: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that change with the pipeline or its arguments.

    :param pipeline: the content hash of a package, or the id of a version on the server.
    """
    text = json.dumps([pipeline, arguments], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _experiment_id(submission: Submission) -> Flow[str | None]:
    from airflow_kfp_runtime.client import flows

    # A multi-user server takes the run's namespace from its experiment, so there it cannot be left out.
    name = submission.experiment or ("Default" if submission.namespace else None)
    if name is None:
        return None
    experiment = yield from flows.ensure_experiment(name, namespace=submission.namespace)
    return experiment.experiment_id
