"""Why a run failed: the failed tasks, what each says, and the end of its log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.client.lagging import is_going_on, read_until
from airflow_kfp_runtime.client.manifest import get_workflow
from airflow_kfp_runtime.client.models import Run, RunState
from airflow_kfp_runtime.client.paging import list_all
from airflow_kfp_runtime.client.step_names import by_task_name, user_name
from airflow_kfp_runtime.client.tasks_api import list_tasks, task_paths
from airflow_kfp_runtime.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.manifest import Node, Workflow
    from airflow_kfp_runtime.client.tasks_api import TaskRecord

#: How many failed tasks are shown with their logs; the names of all are.
LOGGED_TASKS = 5

#: How much of the end of a log is shown.
LOG_LINES = 50
_LOG_CHARACTERS = 8000


@dataclass(frozen=True)
class FailedTask:
    """A task that failed.

    :param path: ``train``, nested ``outer/inner``.
    :param message: what the server says of it, often only the exit code.
    :param pod_names: the pods that its log may be under, the likeliest first.
    :param log: the end of its log; ``""`` if there is none or it could not be read.
    """

    path: str
    message: str = ""
    pod_names: tuple[str, ...] = ()
    log: str = ""


@dataclass(frozen=True)
class RunFailure:
    """Why a run failed.

    :param state: the run's state.
    :param message: what the server says of the run as a whole.
    :param tasks: the failed tasks; empty where the server tells of none.
    :param was_terminated: whether the run was ended by somebody: it went through CANCELING.
    """

    run_id: str
    state: RunState
    message: str = ""
    tasks: tuple[FailedTask, ...] = ()
    was_terminated: bool = False

    def __str__(self) -> str:
        """Say it in lines, see :meth:`describe`."""
        return self.describe()

    def describe(self, step_names: Mapping[str, str] | None = None) -> str:
        """Say it in lines: of each failed task the first line of its message, then the end of its log.

        What the server says of the run repeats what it says of the tasks, so it stands only where no task
        is known to have failed. The other lines of a task's message stand where there is no log.

        :param step_names: the user's names by the tasks' paths; a task without one is called a task.
        """
        names = by_task_name(step_names or {}) | dict(step_names or {})
        return "\n".join(line for task in self.tasks for line in _lines(task, names)) or self.message


def _lines(task: FailedTask, names: Mapping[str, str]) -> Iterator[str]:
    name = user_name(task.path, names)
    message, *more = task.message.splitlines() or ["the server gives no reason"]
    yield f"Task {task.path!r} failed: {message}" if name is None else f"Step {name!r} failed: {message}"
    log = task.log.splitlines()
    # The embedded server ends a log with the message.
    quoted = log[:-1] if log[-1:] == [message] else log
    yield from (f"  | {line}" for line in quoted or more)


@dataclass(frozen=True)
class _Account:
    """What the server tells of a run that has failed.

    :param lags: whether the rows of its tasks may not be up to date.
    """

    run: Run
    message: str = ""
    tasks: tuple[FailedTask, ...] = ()
    lags: bool = False


def explain_failure(run_id: str) -> Flow[RunFailure]:
    """Find out why a run failed, as far as the server tells.

    The tasks API (after KFP 2.17) names the failed tasks; before, the workflow manifest does; failing that,
    the run's ``task_details``. KFP writes the tasks after the run's state, so where none has failed yet, or
    one is still shown as going on, they are read again for some seconds. What cannot be read is left out: a
    missing explanation must not hide that the run failed.

    :raises ServerError: if the run itself cannot be read.
    """

    def read() -> Flow[_Account]:
        run: Run = yield calls.get_run(run_id)
        account = yield from _account_of(run)
        return replace(account, lags=account.lags and _has_failed(run))

    account = yield from read_until(lambda account: not account.lags, read)
    run = account.run
    explained = []
    for number, task in enumerate(account.tasks):
        log = (yield from _end_of_log(run_id, task)) if number < LOGGED_TASKS else ""
        explained.append(replace(task, log=log))
    return RunFailure(
        run_id=run.run_id,
        state=run.state,
        message=account.message or run.error or "",
        tasks=tuple(explained),
        was_terminated=_was_terminated(run),
    )


def _has_failed(run: Run) -> bool:
    return run.state is RunState.FAILED and not _was_terminated(run)


def _was_terminated(run: Run) -> bool:
    return any(change.state is RunState.CANCELING for change in run.state_history) or run.state in (
        RunState.CANCELING,
        RunState.CANCELED,
    )


def _account_of(run: Run) -> Flow[_Account]:
    try:
        records: list[TaskRecord] = yield from list_all(list_tasks(run.run_id))
    except ServerError:
        pass  # up to KFP 2.17 there is no such call
    else:
        failed = _of_records(records)
        lags = not failed or any(record.is_going_on for record in records)
        return _Account(run, tasks=failed, lags=lags)
    details = _of_details(run)
    lags = not details or any(is_going_on(detail.state) for detail in run.task_details)
    try:
        workflow: Workflow = yield get_workflow(run.run_id)
    except ServerError:
        # The v1 API may be switched off; the run's own rows are better than nothing.
        return _Account(run, tasks=details, lags=lags)
    # The manifest is written together with the run's state.
    nodes = _of_nodes(workflow.nodes)
    return _Account(run, workflow.message, nodes or details, lags=lags and not (nodes or workflow.message))


def _of_records(records: list[TaskRecord]) -> tuple[FailedTask, ...]:
    paths = task_paths(records)
    parents = {record.parent_task_id for record in records if record.state == "FAILED"}
    return tuple(
        FailedTask(paths[record.task_id] or record.name, record.message, record.pod_names)
        for record in records
        if record.state == "FAILED" and record.task_id not in parents
    )


def _of_nodes(nodes: tuple[Node, ...]) -> tuple[FailedTask, ...]:
    last: dict[str, Node] = {}
    for node in nodes:
        known = last.get(node.path)
        if node.kind == "Pod" and (known is None or known.finished_at <= node.finished_at):
            last[node.path] = node
    return tuple(
        FailedTask(path, node.message, (node.pod_name,) if node.pod_name else ())
        for path, node in sorted(last.items(), key=lambda item: item[1].finished_at)
        if node.has_failed
    )


def _of_details(run: Run) -> tuple[FailedTask, ...]:
    return tuple(
        FailedTask(detail.display_name, detail.error or "", detail.pod_names)
        for detail in run.task_details
        if detail.state is RunState.FAILED and detail.pod_names
    )


def _end_of_log(run_id: str, task: FailedTask) -> Flow[str]:
    for pod_name in task.pod_names:
        try:
            log: str = yield calls.read_log(run_id, pod_name)
        except ServerError:
            continue
        if log.strip():
            return "\n".join(log.rstrip().splitlines()[-LOG_LINES:])[-_LOG_CHARACTERS:]
    return ""
