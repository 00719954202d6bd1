"""From a pipeline and a task instance to the run: the one of an earlier try, or the request for a new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.operators.identity import TaskIdentity, find_run
from airflow_kfp_runtime.operators.pipeline import NamedPipeline, find_version, step_names_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.client import Flow, PipelineVersion, Run, RunRequest
    from airflow_kfp_runtime.compiler import PipelinePackage


@dataclass(frozen=True)
class Submission:
    """What a task wants to run, and how.

    :param identity: gives the run's id.
    :param pipeline: what runs.
    :param arguments: by parameter of the pipeline, not yet checked.
    :param namespace: the user's on a multi-user server.
    :param run_name: the run's display name.
    :param description: where the run comes from, for KFP's UI.
    :param register: upload a compiled pipeline as a version and run that.
    :param pipeline_name: the name to upload under, by default the package's.
    :param experiment: the experiment's name, by default the server's own.
    :param pipeline_root: where artifacts are written.
    :param service_account: the Kubernetes service account.
    """

    identity: TaskIdentity
    pipeline: PipelinePackage | NamedPipeline
    arguments: Mapping[str, Any]
    namespace: str | None
    run_name: str
    description: str
    register: bool = True
    pipeline_name: str | None = None
    experiment: str | None = None
    pipeline_root: str | None = None
    service_account: str | None = None


@dataclass(frozen=True)
class Prepared:
    """What is known before anything is sent.

    :param run: the run of an earlier try, or the request for a new one; either has its ``run_id``.
    :param step_names: the user's name of each step, by its task's path in KFP.
    """

    run: Run | RunRequest
    step_names: dict[str, str]


def prepare(submission: Submission) -> Flow[Prepared]:
    """Check the arguments, look for the run of an earlier try, and make what a new run needs.

    :raises ArgumentError: the arguments do not fit the pipeline; nothing was sent then.
    """
    from airflow_kfp_runtime.client import RunRequest, flows
    from airflow_kfp_runtime.compiler import PipelinePackage

    version: PipelineVersion | None = None
    if isinstance(submission.pipeline, NamedPipeline):
        version = yield from find_version(submission.pipeline, submission.namespace)
        package = PipelinePackage.load(version.pipeline_spec or {})
    else:
        package = submission.pipeline
    arguments = package.check_arguments(submission.arguments)
    step_names = step_names_of(package)
    run_id, run = yield from find_run(submission.identity)
    if run is not None:
        return Prepared(run, step_names)
    if version is None and submission.register:
        version = yield from flows.ensure_pipeline_version(
            submission.pipeline_name or package.name,
            package.content_hash,
            package.to_json(),
            namespace=submission.namespace,
            description=submission.description,
        )
    request = RunRequest(
        run_id=run_id,
        display_name=submission.run_name,
        description=submission.description,
        version=version.reference if version else None,
        pipeline_spec=None if version else package.pipeline_spec,
        platform_spec=None if version else package.platform_spec,
        experiment_id=(yield from _experiment_id(submission)),
        parameters=arguments,
        pipeline_root=submission.pipeline_root,
        service_account=submission.service_account,
    )
    return Prepared(request, step_names)


def _experiment_id(submission: Submission) -> Flow[str | None]:
    from airflow_kfp_runtime.client import flows

    # A multi-user server takes the run's namespace from its experiment, so there it cannot be left out.
    name = submission.experiment or ("Default" if submission.namespace else None)
    if name is None:
        return None
    experiment = yield from flows.ensure_experiment(name, namespace=submission.namespace)
    return experiment.experiment_id
