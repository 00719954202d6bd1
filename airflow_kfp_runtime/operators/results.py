"""What a run leaves behind: outputs by the user's step names, or the error that a failed task ends in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import (
    NotFoundError,
    RunCanceledError,
    RunError,
    RunFailedError,
    RunTimeoutError,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.client import PipelineVersion, Run
    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.outputs import RunOutputs
    from airflow_kfp_runtime.client.watch import Ending


#: Seconds before each further attempt to read the outputs of a run that may have taken hours.
_RETRY_DELAYS = (1.0, 5.0, 20.0)

#: Seconds for which a server that cannot answer is asked again to terminate a run.
_TERMINATION = 120.0

_ANEW = "starts a new one"
_LEFT = "It was left as it is, and a retry of the task goes on with it."


def read_results(run_id: str) -> Flow[RunOutputs]:
    """Read the outputs of a run that has succeeded; a server that cannot answer is asked again for a while.

    So is one that has not brought the run's tasks up to date.

    :raises ServerError: the API refuses, or still cannot be reached.
    """
    from airflow_kfp_runtime.client import Wait
    from airflow_kfp_runtime.client.outputs import read_settled_outputs

    for delay in _RETRY_DELAYS:
        try:
            return (yield from read_settled_outputs(run_id))
        except ServerError as error:
            if not error.transient:
                raise
        yield Wait(delay)
    return (yield from read_settled_outputs(run_id))


def step_names_on_server(run_id: str) -> Flow[dict[str, str]]:
    """Return the name of each step by its task's path, from the pipeline that the server has.

    For events of versions that did not send the names. They are those of KFP's tasks: ``add-rows`` where the
    user wrote ``add_rows``.

    :return: empty where the pipeline's version was deleted.
    :raises ServerError: the run or its pipeline cannot be read.
    """
    from airflow_kfp_runtime.client import calls
    from airflow_kfp_runtime.compiler import PipelinePackage
    from airflow_kfp_runtime.operators.pipeline import step_names_of

    run: Run = yield calls.get_run(run_id)
    spec, version = run.pipeline_spec, run.pipeline_version_reference
    if spec is None and version is not None and version.pipeline_version_id:
        try:
            found: PipelineVersion = yield calls.get_pipeline_version(
                version.pipeline_id, version.pipeline_version_id
            )
        except NotFoundError:
            return {}
        spec = found.pipeline_spec
    return step_names_of(PipelinePackage.load(spec)) if spec else {}


def run_error(
    ending: Ending,
    run_id: str,
    url: str,
    step_names: Mapping[str, str],
    *,
    resumes: bool = False,
    terminates: bool = True,
) -> Flow[RunError]:
    """Return the error for a run that did not succeed; one that was given up is terminated first.

    The message names the failed steps, what they say and the end of their logs, and what a retry will do.

    :param resumes: whether a retry resumes a failed run.
    :param terminates: whether a run past its deadline, or in which nothing changes, is terminated.
    """
    from airflow_kfp_runtime.client.watch import Verdict

    state = ending.state.value
    match ending.verdict:
        case Verdict.STALLED:
            running = yield from _running_steps(run_id, step_names)
            outcome = (yield from _terminated(run_id, resumes=resumes)) if terminates else _LEFT
            return RunTimeoutError(
                f"Run {run_id} seems to be stuck: {ending.reason}; {running or f'its state is {state}'}. "
                f"{outcome} See {url}",
                run_id=run_id,
            )
        case Verdict.TIMED_OUT:
            running = yield from _running_steps(run_id, step_names)
            outcome = (yield from _terminated(run_id, resumes=resumes)) if terminates else _LEFT
            return RunTimeoutError(
                f"Run {run_id} had not ended {ending.reason or 'at its deadline'}; "
                f"{running or f'its state was {state}'}. {outcome} See {url}",
                run_id=run_id,
            )
        case Verdict.CANCELED:
            return RunCanceledError(
                f"Run {run_id} was terminated. A retry of the task starts a new run. See {url}",
                run_id=run_id,
            )
        case Verdict.LOST:
            return RunError(
                f"The state of run {run_id} cannot be read: {ending.reason} See {url}",
                run_id=run_id,
            )
        case _:
            details = yield from _failed_steps(run_id, step_names)
            retry = "resumes it" if resumes else "starts a new run"
            return RunFailedError(
                f"Run {run_id} failed. A retry of the task {retry}. See {url}{details}",
                run_id=run_id,
            )


def _running_steps(run_id: str, step_names: Mapping[str, str]) -> Flow[str]:
    """Return a clause that names the steps that are running, or the run's state; empty without an answer."""
    from airflow_kfp_runtime.client import RunState, calls
    from airflow_kfp_runtime.client.step_names import by_task_name

    names = by_task_name(step_names)
    try:
        run: Run = yield calls.get_run(run_id)
    except ServerError:
        # Terminating the run matters more than this detail of the message.
        return ""
    running = {
        names[task.display_name]: None
        for task in run.task_details
        if task.state is RunState.RUNNING and task.display_name in names
    }
    if not running:
        return f"its state is {run.state.value}"
    return f"still running: {'step' if len(running) == 1 else 'steps'} {', '.join(map(repr, running))}"


def _terminated(run_id: str, *, resumes: bool) -> Flow[str]:
    """Terminate a run, and return a sentence on what has become of it."""
    from airflow_kfp_runtime.client.patience import patiently
    from airflow_kfp_runtime.client.watch import Fate, end_run, fate_of

    try:
        ended = yield from patiently(end_run(run_id), seconds=_TERMINATION)
    except ServerError as error:
        return f"It could not be terminated and may go on: {error}."
    match fate_of(ended) if ended else Fate.CANCELED:
        case Fate.SUCCEEDED:
            return "It has succeeded since, and a retry of the task hands its outputs on."
        case Fate.FAILED:
            return f"It has failed since, and a retry of the task {'resumes it' if resumes else _ANEW}."
        case _:
            return f"It was terminated, and a retry of the task {_ANEW}."


def _failed_steps(run_id: str, step_names: Mapping[str, str]) -> Flow[str]:
    from airflow_kfp_runtime.client.flows import explain_failure

    try:
        failure = yield from explain_failure(run_id)
    except ServerError as error:
        return f"\nWhich step failed could not be read: {error}"
    details = failure.describe(step_names)
    return f"\n{details}" if details else ""
