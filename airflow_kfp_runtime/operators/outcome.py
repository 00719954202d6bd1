"""What a task makes of the end of its run: its outputs, or the error in which it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.operators.results import read_results, run_error, step_names_on_server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.watch import Ending


@dataclass(frozen=True)
class Terms:
    """What the user wants where a run does not succeed, and what its error says.

    :param resumes: whether a retry resumes a failed run.
    :param terminates: whether a run past its deadline, or in which nothing changes, is terminated.
    :param max_outage: seconds for which a server that cannot answer is asked again.
    """

    resumes: bool
    terminates: bool
    max_outage: float


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
        raise (
            yield from run_error(
                ending,
                run_id,
                url,
                step_names,
                resumes=terms.resumes,
                terminates=terms.terminates,
            )
        )
    outputs = yield from patiently(read_results(run_id), seconds=terms.max_outage, note=log.warning)
    # On a released server the tasks API is never there, so that this is no news.
    for sentence in outputs.passed_over:
        log.debug(sentence)
    for sentence in outputs.unread:
        log.warning(sentence)
    return outputs_by_step(outputs, step_names or (yield from step_names_on_server(run_id)))
