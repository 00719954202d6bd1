"""The execution engine: runs that progress side by side, their steps on a bounded number of workers.

One thread, the dispatcher, owns all runs: it takes what has happened from a queue and tells the run. Workers
run the attempts of steps and report through the same queue. So no state is shared, and nothing polls.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.engine.artifacts import Places
from airflow_kfp_runtime.embedded.engine.check import check
from airflow_kfp_runtime.embedded.engine.execution import RunExecution
from airflow_kfp_runtime.embedded.engine.graph import Outcome
from airflow_kfp_runtime.embedded.engine.process import ProcessTrees, kill_orphans
from airflow_kfp_runtime.embedded.engine.restart import reset_for_retry
from airflow_kfp_runtime.embedded.engine.settings.cluster import Cluster
from airflow_kfp_runtime.embedded.engine.step import Machine, StepResult, run_step
from airflow_kfp_runtime.embedded.state.rows import END_STATES, now, state_change

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from airflow_kfp_runtime.embedded.engine.step import Step
    from airflow_kfp_runtime.embedded.state.rows import State
    from airflow_kfp_runtime.embedded.state.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Event:
    """Something for the dispatcher to do for a run."""

    run_id: str
    action: Callable[[], None]


class Engine:
    """Executes the runs of a store. Every method is safe to call from any thread.

    :param store: where runs and tasks are kept.
    :param data: the data directory, for logs, artifacts and virtual environments.
    :param workers: how many steps run at the same time, over all runs.
    :param grace: seconds between SIGTERM and SIGKILL for the processes of a run that is terminated.
    """

    def __init__(self, store: Store, data: Path, workers: int, grace: float = 10.0) -> None:
        self._store = store
        self._places = Places(data.resolve())
        self._cluster = Cluster(data.resolve())
        self._workers = workers
        self._grace = grace
        self._events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, _Event]] = []
        self._numbers = itertools.count()
        self._executions: dict[str, RunExecution] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._dispatcher = threading.Thread(target=self._dispatch, name="engine", daemon=True)

    # Life

    def start(self) -> None:
        """Begin to execute, and go on with the runs that were cut off when the last server stopped.

        Their finished tasks are kept; tasks that were running run again, once the processes that they left
        behind are gone. A run that was being terminated has failed.
        """
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="step")
        self._dispatcher.start()
        cut_off = self._store.runs_in_states({"PENDING", "RUNNING", "CANCELING"})
        # All orphans before any new step: one may be writing to an environment that several runs share.
        for run in cut_off:
            orphans = kill_orphans(run.run_id)
            logger.info("Run %s was cut off; %d processes that it left are ended", run.run_id, orphans)
            shutil.rmtree(self._places.tasks(run.run_id), ignore_errors=True)
        self._cluster.paths.clean()
        for run in cut_off:
            if run.state == "CANCELING":
                self._fail(run.run_id, "The run was being terminated when the server stopped.")
            else:
                self.submit(run.run_id)

    def stop(self) -> None:
        """End all processes and stop; the runs stay as they are, and the next :meth:`start` goes on."""
        self._events.put(None)
        self._dispatcher.join()
        for execution in self._executions.values():
            execution.trees.end()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    # Runs

    def check(self, pipeline_spec: dict[str, Any], platform_spec: dict[str, Any] | None = None) -> None:
        """Refuse a pipeline that cannot run here.

        :raises ~.check.UnsupportedPipelineError: the message names the task and what is not supported.
        """
        check(pipeline_spec, platform_spec)

    def submit(self, run_id: str) -> None:
        """Execute a run that is in the store, PENDING."""
        self._events.put(_Event(run_id, lambda: self._begin(run_id)))

    def terminate(self, run_id: str) -> bool:
        """Cancel a run: it is CANCELING on return, and FAILED when its processes have ended.

        :return: whether this call has cancelled it; ``False`` for a run that has ended or is being cancelled.
        """
        cancelled = self._store.set_run_state(run_id, "CANCELING", only_from={"PENDING", "RUNNING", "PAUSED"})
        self._events.put(_Event(run_id, lambda: self._cancel(run_id)))
        return cancelled

    def retry(self, run_id: str) -> bool:
        """Run the tasks of a failed run again that have not succeeded; it is RUNNING on return.

        :return: whether it is retried; ``False`` for a run that has not failed.
        """
        retried = self._store.set_run_state(run_id, "RUNNING", only_from={"FAILED", "CANCELED"})
        if retried:
            self._events.put(_Event(run_id, lambda: self._begin_again(run_id)))
        return retried

    def discard(self, run_id: str) -> None:
        """End a run's processes at once and remove its logs; its rows are the caller's to delete.

        Artifacts stay, as they stay in KFP's object store.
        """
        done = threading.Event()
        self._events.put(_Event(run_id, lambda: self._discard(run_id, done)))
        done.wait()

    # What a run's execution asks for

    def launch(self, execution: RunExecution, path: str, step: Step, attempt: int) -> Future[None]:
        """Run an attempt of a step as soon as a worker is free."""
        if self._pool is None:
            raise RuntimeError("The engine was not started.")
        return self._pool.submit(self._attempt, execution, path, step, attempt)

    def later(self, execution: RunExecution, delay: float, action: Callable[[], None]) -> None:
        """Do something in the dispatcher after ``delay`` seconds."""
        event = self._event(execution, action)
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._numbers), event))

    # Workers

    def _attempt(self, execution: RunExecution, path: str, step: Step, attempt: int) -> None:
        def started(executor_input: dict[str, Any]) -> None:
            self._events.put(self._event(execution, lambda: execution.step_started(path, executor_input)))

        try:
            result = run_step(step, attempt, Machine(self._places, self._cluster), execution.trees, started)
        except Exception as error:  # A defect must fail its task, or the run would wait for ever.
            logger.exception("Run %s: task %s: the server could not run it", execution.run.run_id, path)
            result = StepResult(Outcome.FAILED, error=f"The server could not run the step: {error!r}")
        self._events.put(self._event(execution, lambda: execution.step_ended(path, result)))

    def _event(self, execution: RunExecution, action: Callable[[], None]) -> _Event:
        run_id = execution.run.run_id

        def act() -> None:
            # A run that was discarded, or has ended and was retried, has another execution or none.
            if self._executions.get(run_id) is execution:
                action()

        return _Event(run_id, act)

    # The dispatcher

    def _dispatch(self) -> None:
        while (event := self._next_event()) is not None:
            self._handle(event)

    def _handle(self, event: _Event) -> None:
        try:
            event.action()
            self._settle(event.run_id)
        except Exception:  # A defect must fail its run, not stop all others.
            logger.exception("Run %s: the server could not go on with it", event.run_id)
            self._give_up(event.run_id)

    def _next_event(self) -> _Event | None:
        if not self._timers:
            return self._events.get()
        wait = self._timers[0][0] - time.monotonic()
        try:
            if wait > 0:
                return self._events.get(timeout=wait)
        except queue.Empty:
            pass
        return heapq.heappop(self._timers)[2]

    def _begin(self, run_id: str) -> None:
        run = self._store.get_run(run_id)
        if run is None or run_id in self._executions or run.state not in ("PENDING", "RUNNING"):
            return
        logger.info("Run %s: started", run_id)
        self._store.set_run_state(run_id, "RUNNING", only_from={"PENDING"})
        trees = ProcessTrees(self._grace, on_end=self._cluster.paths.wake)
        execution = RunExecution(run, self._store, self._places, self, trees)
        self._executions[run_id] = execution
        execution.begin()

    def _begin_again(self, run_id: str) -> None:
        run = self._store.get_run(run_id)
        if run is None:
            return
        for row in reset_for_retry(run.pipeline_spec, self._store.tasks_of(run_id)):
            self._store.save_task(row)
        self._begin(run_id)

    def _cancel(self, run_id: str) -> None:
        if run_id in self._executions:
            self._executions[run_id].cancel()
        else:
            self._store.set_run_state(
                run_id, "FAILED", "The run was terminated before it started.", only_from={"CANCELING"}
            )

    def _discard(self, run_id: str, done: threading.Event) -> None:
        try:
            execution = self._executions.pop(run_id, None)
            if execution is not None:
                execution.trees.end()
                kill_orphans(run_id)
            shutil.rmtree(self._places.run(run_id), ignore_errors=True)
        finally:
            done.set()

    def _settle(self, run_id: str) -> None:
        """Write down the end of a run that has come to it."""
        execution = self._executions.get(run_id)
        if execution is None or execution.outcome is None:
            return
        del self._executions[run_id]
        state: State = execution.outcome.value
        if execution.outcome is Outcome.SUCCEEDED:
            # After a failure it stays, for a retry, as Argo keeps the volume.
            shutil.rmtree(self._places.workspace(run_id), ignore_errors=True)
        if not self._store.set_run_state(run_id, state, execution.error, only_from={"PENDING", "RUNNING"}):
            self._store.set_run_state(run_id, "FAILED", execution.error, only_from={"CANCELING"})
        logger.info("Run %s: %s", run_id, state)

    def _give_up(self, run_id: str) -> None:
        execution = self._executions.pop(run_id, None)
        if execution is not None:
            execution.trees.end()
        self._fail(run_id, "The server could not go on with the run; see its log.")

    def _fail(self, run_id: str, error: str) -> None:
        for row in self._store.tasks_of(run_id):
            if row.state not in END_STATES:
                history = [*row.state_history, state_change("FAILED")]
                self._store.save_task(
                    replace(row, state="FAILED", state_history=history, finished_at=now(), error=error)
                )
        self._store.set_run_state(run_id, "FAILED", error)
