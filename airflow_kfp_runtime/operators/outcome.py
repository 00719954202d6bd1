"""What a task makes of the end of its run: outputs by the user's step names, or the error it fails with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import (
    RunCanceledError,
    RunError,
    RunFailedError,
    RunTimeoutError,
    ServerError,
)
from airflow_kfp_runtime.operators.pipeline import step_names_on_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_kfp_runtime.client import Run
    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.outputs import RunOutputs
    from airflow_kfp_runtime.client.watch import Ending

#: Seconds before each further attempt to read the outputs of a run that may have taken hours.
_RETRY_DELAYS = (1.0, 5.0, 20.0)

_ANEW = "starts a new one"
_LEFT = "It was left as it is, and a retry of the task goes on with it."


@dataclass(frozen=True)
class Terms:
    """What the user wants where a run does not succeed, and what its error says.

    :param resumes: whether a retry resumes a failed run.
    :param terminates: whether a run past its deadline, or in which nothing changes, is terminated.
    :param max_outage: seconds for which a server that cannot answer is asked again.
    :param check_place: called before a run is terminated; raises where the task has been given to another
        try, which goes on with it.
    """

    resumes: bool = False
    terminates: bool = True
    max_outage: float = 600.0
    check_place: Callable[[], None] = field(default=lambda: None)


def outcome(
    run_id: str, ending: Ending, step_names: Mapping[str, str], url: str, terms: Terms, log: Any
) -> Flow[dict[str, Any]]:
    """Return the outputs of a run by step and name.

    :param log: the task's.
    :raises RunError: the run did not succeed.
    :raises ServerError: the outputs cannot be read.
    """
    from airflow_kfp_runtime.client.patience import patiently
    from airflow_kfp_runtime.client.steps import outputs_by_step
    from airflow_kfp_runtime.client.watch import Verdict

    if ending.verdict is not Verdict.SUCCEEDED:
        raise (yield from run_error(ending, run_id, url, step_names, terms))
    outputs = yield from patiently(read_results(run_id), seconds=terms.max_outage, note=log.warning)
    # On a released server the tasks API is never there, so that this is no news.
    for sentence in outputs.passed_over:
        log.debug(sentence)
    for sentence in outputs.unread:
        log.warning(sentence)
    if not step_names:
        step_names = yield from patiently(step_names_on_server(run_id), seconds=terms.max_outage)
    return outputs_by_step(outputs, step_names)


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


def run_error(
    ending: Ending, run_id: str, url: str, step_names: Mapping[str, str], terms: Terms
) -> Flow[RunError]:
    """Return the error for a run that did not succeed; one that was given up is terminated first.

    The message names the failed steps, what they say and the end of their logs, and what a retry will do.

    :raises SupersededError: it is not this try's to terminate any longer.
    """
    from airflow_kfp_runtime.client.watch import Verdict

    match ending.verdict:
        case Verdict.STALLED | Verdict.TIMED_OUT:
            running = yield from _running_steps(run_id, step_names)
            fate = (yield from _terminated(run_id, terms)) if terms.terminates else _LEFT
            problem = (
                f"seems to be stuck: {ending.reason}"
                if ending.verdict is Verdict.STALLED
                else f"had not ended {ending.reason or 'at its deadline'}"
            )
            where = running or f"its state was {ending.state.value}"
            return RunTimeoutError(f"Run {run_id} {problem}; {where}. {fate} See {url}", run_id=run_id)
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
            retry = "resumes it" if terms.resumes else "starts a new run"
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


def _terminated(run_id: str, terms: Terms) -> Flow[str]:
    """Terminate a run, and return a sentence on what has become of it."""
    from airflow_kfp_runtime.client.ending import PATIENCE, end_run
    from airflow_kfp_runtime.client.fate import Fate, fate_of
    from airflow_kfp_runtime.client.patience import patiently

    terms.check_place()
    try:
        ended = yield from patiently(end_run(run_id), seconds=PATIENCE)
    except ServerError as error:
        return f"It could not be terminated and may go on: {error}."
    match fate_of(ended) if ended else Fate.CANCELED:
        case Fate.SUCCEEDED:
            return "It has succeeded since, and a retry of the task hands its outputs on."
        case Fate.FAILED:
            return f"It has failed since, and a retry of the task {'resumes it' if terms.resumes else _ANEW}."
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
