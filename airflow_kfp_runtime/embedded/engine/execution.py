"""One run on its way through its pipeline: dags in dags, tasks that start, end, are tried again, or skipped.

Nothing here waits and nothing is locked: one thread, the engine's, tells a run what has happened, and the run
answers by launching steps and by writing rows. What it knows is in the store, so that a new
:class:`RunExecution` of the same run goes on where the last one was cut off.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow_kfp_runtime.embedded.engine.graph import Graph, Outcome, Progress
from airflow_kfp_runtime.embedded.engine.ledger import Ledger
from airflow_kfp_runtime.embedded.engine.resolve import (
    Producer,
    ResolveError,
    Surroundings,
    resolve_inputs,
    resolve_outputs,
    with_defaults,
)
from airflow_kfp_runtime.embedded.engine.retries import RetryPolicy
from airflow_kfp_runtime.embedded.engine.step import StepResult
from airflow_kfp_runtime.embedded.engine.stepping import StepFactory
from airflow_kfp_runtime.embedded.engine.values import Values
from airflow_kfp_runtime.embedded.state.rows import now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from datetime import datetime

    from airflow_kfp_runtime.embedded.engine.artifacts import Places
    from airflow_kfp_runtime.embedded.engine.process import ProcessTrees
    from airflow_kfp_runtime.embedded.engine.step import Step
    from airflow_kfp_runtime.embedded.state.rows import RunRow, TaskRow
    from airflow_kfp_runtime.embedded.state.store import Store

logger = logging.getLogger(__name__)

Json = dict[str, Any]

_TERMINATED = "The run was terminated."


class Host(Protocol):
    """What a run needs of the engine."""

    def launch(self, execution: RunExecution, path: str, step: Step, attempt: int) -> Future[None]:
        """Run an attempt as soon as a worker is free; the result comes through ``step_ended``."""

    def later(self, execution: RunExecution, delay: float, action: Callable[[], None]) -> None:
        """Do something in the engine's thread after ``delay`` seconds."""


@dataclass
class _Dag:
    """A dag that is running: the root, or a nested pipeline."""

    row: TaskRow
    component: Json
    inputs: Values
    progress: Progress
    parent: _Dag | None
    producers: dict[str, Producer] = field(default_factory=dict)
    ended: bool = False

    @property
    def tasks(self) -> Mapping[str, Json]:
        tasks: Mapping[str, Json] = self.component["dag"]["tasks"]
        return tasks


@dataclass
class _Task:
    """A container task that has not ended.

    ``attempts`` counts those that were launched; ``attempt`` is ``None`` while it waits to be tried again.
    """

    dag: _Dag
    row: TaskRow
    step: Step
    policy: RetryPolicy
    first_start: datetime
    attempts: int
    attempt: Future[None] | None = None


class RunExecution:
    """A run that has not ended.

    :param run: its row.
    :param trees: where its processes will be.
    """

    def __init__(self, run: RunRow, store: Store, places: Places, host: Host, trees: ProcessTrees) -> None:
        self.run = run
        self.trees = trees
        self.outcome: Outcome | None = None
        self.error: str | None = None
        self._host = host
        self._ledger = Ledger(run.run_id, store)
        self._steps = StepFactory(run, places)
        self._cancelled = False
        self._tasks: dict[str, _Task] = {}
        self._to_visit: deque[_Dag] = deque()

    # What the engine tells

    def begin(self) -> None:
        """Start, or go on after an interruption: tasks that have ended keep their outcome."""
        root = self.run.pipeline_spec["root"]
        row = self._ledger.row(None, "root", "ROOT")
        try:
            parameters = with_defaults(self.run.parameters, root.get("inputDefinitions", {}))
        except ResolveError as error:
            self._ledger.save(row, "FAILED", error=str(error))
            self.outcome, self.error = Outcome.FAILED, str(error)
            return
        self._enter(row, root, Values(parameters), None)
        self._visit()

    def step_started(self, path: str, executor_input: Json) -> None:
        """An attempt has begun."""
        task = self._tasks[path]
        row = replace(task.row, attempts=task.attempts, executor_input=executor_input)
        task.row = self._ledger.save(row, "RUNNING", started_at=row.started_at or now())
        logger.info("Run %s: task %s started (attempt %d)", self.run.run_id, path, task.attempts)

    def step_ended(self, path: str, result: StepResult) -> None:
        """An attempt has ended: the task ends with it, or is tried again."""
        task = self._tasks[path]
        elapsed = (now() - task.first_start).total_seconds()
        failed = result.outcome is Outcome.FAILED and not self._cancelled
        delay = task.policy.delay(task.attempts, elapsed) if failed else None
        if delay is None:
            self._end_task(path, result)
            return
        logger.info("Run %s: task %s failed, next attempt in %.1f s", self.run.run_id, path, delay)
        task.attempt = None
        task.row = self._ledger.save(replace(task.row, exit_code=result.exit_code, error=result.error))
        self._host.later(self, delay, lambda: self._try_again(path))

    def cancel(self) -> None:
        """End all processes; what has not started never will."""
        self._cancelled = True
        self.trees.end()
        for path, task in list(self._tasks.items()):
            if task.attempt is None or task.attempt.cancel():
                self._end_task(path, StepResult(Outcome.FAILED, error=_TERMINATED))

    # Dags

    def _enter(self, row: TaskRow, component: Json, inputs: Values, parent: _Dag | None) -> None:
        started = row.started_at or now()
        saved = self._ledger.save(replace(row, inputs=inputs.stored()), "RUNNING", started_at=started)
        progress = Progress(Graph.of(component["dag"]["tasks"]))
        self._to_visit.append(_Dag(saved, component, inputs, progress, parent))

    def _visit(self) -> None:
        """Start what can start, in every dag where something has ended, until nothing more can."""
        while self._to_visit:
            dag = self._to_visit.popleft()
            start, skipped = dag.progress.due(accept=not self._cancelled)
            for name in skipped:
                self._skip(dag, name)
            for name in start:
                self._start(dag, name)
            if dag.progress.complete and not dag.ended:
                self._leave(dag)

    def _leave(self, dag: _Dag) -> None:
        dag.ended = True
        outcome, outputs, error = self._result(dag)
        self._ledger.save(replace(dag.row, outputs=outputs.stored()), outcome.value, error=error)
        if dag.parent is None:
            self.outcome, self.error = outcome, error
        else:
            self._ended(dag.parent, dag.row.name, Producer(outcome, outputs, error))

    def _result(self, dag: _Dag) -> tuple[Outcome, Values, str | None]:
        if self._cancelled:
            return Outcome.FAILED, Values(), _TERMINATED
        if dag.progress.outcome is Outcome.FAILED:
            failures = [
                f"Task {name!r} failed: {(producer.error or '').partition(chr(10))[0]}"
                for name, producer in dag.producers.items()
                if producer.outcome is Outcome.FAILED
            ]
            return Outcome.FAILED, Values(), "\n".join(failures)
        definitions = dag.component.get("outputDefinitions", {})
        try:
            return Outcome.SUCCEEDED, resolve_outputs(dag.component["dag"], definitions, dag.producers), None
        except ValueError as error:
            return Outcome.FAILED, Values(), str(error)

    def _ended(self, dag: _Dag, name: str, producer: Producer) -> None:
        dag.producers[name] = producer
        dag.progress.finish(name, producer.outcome)
        self._to_visit.append(dag)

    # Tasks

    def _start(self, dag: _Dag, name: str) -> None:
        task = dag.tasks[name]
        component = self.run.pipeline_spec["components"][task["componentRef"]["name"]]
        row = self._ledger.row(dag.row, name, "DAG" if "dag" in component else "CONTAINER")
        if row.state in ("SUCCEEDED", "FAILED"):
            outputs = Values.from_stored(row.outputs)
            self._ended(dag, name, Producer(Outcome(row.state), outputs, row.error))
            return
        around = Surroundings(dag.inputs, dag.producers, self._steps.names(row))
        try:
            inputs, provided = resolve_inputs(task, component.get("inputDefinitions", {}), around)
            if "dag" in component:
                self._enter(row, component, inputs, dag)
                return
            step = self._steps.step(row, component, inputs, provided, around)
        except ResolveError as error:
            self._ledger.save(row, "FAILED", error=str(error))
            self._ended(dag, name, Producer(Outcome.FAILED, Values(), str(error)))
            return
        saved = self._ledger.save(replace(row, inputs=inputs.stored(), pod_name=step.pod_name))
        # An attempt that was cut off with the server is not held against the task.
        attempts = max(row.attempts - 1, 0)
        self._tasks[row.path] = _Task(dag, saved, step, RetryPolicy.of(task), now(), attempts)
        self._launch(row.path)

    def _launch(self, path: str) -> None:
        task = self._tasks[path]
        task.attempts += 1
        task.attempt = self._host.launch(self, path, task.step, task.attempts)

    def _try_again(self, path: str) -> None:
        # The run may have been cancelled while the task waited.
        if path in self._tasks:
            self._launch(path)

    def _end_task(self, path: str, result: StepResult) -> None:
        task = self._tasks.pop(path)
        self._ledger.save(
            replace(task.row, outputs=result.outputs.stored(), exit_code=result.exit_code),
            result.outcome.value,
            error=result.error,
        )
        logger.info("Run %s: task %s %s", self.run.run_id, path, result.outcome.value)
        self._ended(task.dag, task.row.name, Producer(result.outcome, result.outputs, result.error))
        self._visit()

    def _skip(self, dag: _Dag, name: str) -> None:
        component = self.run.pipeline_spec["components"][dag.tasks[name]["componentRef"]["name"]]
        row = self._ledger.row(dag.row, name, "DAG" if "dag" in component else "CONTAINER")
        dag.producers[name] = Producer(Outcome.SKIPPED, Values())
        self._ledger.save(row, "SKIPPED")
