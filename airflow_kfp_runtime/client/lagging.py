"""What a server still shows as unfinished of a run that has ended, and reading it again for a while.

KFP writes the tasks of a run after the state of the run (KFP 2.17, ``ReportWorkflowResource``), and after
2.17 each task's own pod reports it. So, for a moment, a run that has succeeded can show a task that is still
running, or one without its outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from airflow_kfp_runtime.client.call import Wait
from airflow_kfp_runtime.client.models import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.graph import Graph
    from airflow_kfp_runtime.client.models import Run

T = TypeVar("T")

#: Seconds before each further reading; a server that never catches up costs their sum.
PAUSES = (0.5, 1.0, 2.0, 4.0)

#: The states of a task that will have another. A state that nobody has heard of is none of them, or each run
#: of a server that has such states would be waited for.
_GOING_ON = (RunState.PENDING, RunState.RUNNING)


def is_going_on(state: RunState) -> bool:
    """Return whether a task in this state, of a run that has ended, will have another."""
    return state in _GOING_ON


def read_until(is_complete: Callable[[T], bool], read: Callable[[], Flow[T]]) -> Flow[T]:
    """Read something again, after growing pauses, until it is complete or the pauses are used up."""
    found = yield from read()
    for pause in PAUSES:
        if is_complete(found):
            break
        yield Wait(pause)
        found = yield from read()
    return found


def lagging_tasks(
    run: Run, graph: Graph | None, outputs: Mapping[str, object], going_on: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return the tasks that the server has not brought up to date, though the run has succeeded.

    Those are the tasks that it shows as going on, and those without any of their outputs that each run of
    the pipeline has.

    :param graph: the run's IR; ``None`` where the reader does not give every output, so that nothing
        follows from one that is lacking.
    :param outputs: the outputs that were read, by the path of the task.
    :param going_on: the paths of the tasks that the reader of the outputs shows as going on.
    :return: paths, or names where the server tells no path; empty for a run that did not succeed.
    """
    if run.state is not RunState.SUCCEEDED:
        return ()
    shown = [detail.display_name for detail in run.task_details if is_going_on(detail.state)]
    declared = graph.declared if graph else {}
    certain = graph.certain if graph else ()
    lacking = [path for path in certain if declared.get(path) and not outputs.get(path)]
    return tuple(dict.fromkeys([*shown, *going_on, *lacking]))
