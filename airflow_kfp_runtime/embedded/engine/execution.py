"""One run on its way through its pipeline: dags in dags, tasks that start, end, are tried again, or skipped.

Nothing here waits and nothing is locked: one thread, the engine's, tells a run what has happened, and the run
answers by launching steps and by writing rows. What it knows is in the store, so that a new
:class:`RunExecution` of the same run goes on where the last one was cut off.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow_kfp_runtime.embedded.engine.graph import Outcome
from airflow_kfp_runtime.embedded.engine.groups import Group
from airflow_kfp_runtime.embedded.engine.importer import imported
from airflow_kfp_runtime.embedded.engine.iterations import (
    Loop,
    definitions_of_iteration,
    definitions_of_loop,
    is_loop,
)
from airflow_kfp_runtime.embedded.engine.ledger import Ledger
from airflow_kfp_runtime.embedded.engine.origin import Origin
from airflow_kfp_runtime.embedded.engine.resolve import (
    Producer,
    ResolveError,
    Surroundings,
    resolve_inputs,
    will_run,
    with_defaults,
)
from airflow_kfp_runtime.embedded.engine.retries import RetryPolicy
from airflow_kfp_runtime.embedded.engine.step import StepResult
from airflow_kfp_runtime.embedded.engine.stepping import StepFactory
from airflow_kfp_runtime.embedded.engine.values import Values
from airflow_kfp_runtime.embedded.state.rows import now

if TYPE_CHECKING:
    from collections.abc import Callable
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
class _Task:
    """A container task that has not ended.

    ``attempts`` counts those that were launched; ``attempt`` is ``None`` while it waits to be tried again.
    """

    group: Group
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
        self._to_visit: deque[Group] = deque()

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
        self._enter(Group.of_dag(row, Origin({}, root), Values(parameters), None, ""))
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

    # Dags and loops

    def _enter(self, group: Group) -> None:
        started = group.row.started_at or now()
        row = replace(group.row, inputs=group.inputs.stored())
        group.row = self._ledger.save(row, "RUNNING", started_at=started)
        self._to_visit.append(group)

    def _visit(self) -> None:
        """Start what can start, in every group where something has ended, until nothing more can."""
        while self._to_visit:
            group = self._to_visit.popleft()
            start, skipped = group.progress.due(accept=not self._cancelled)
            for key in skipped:
                self._skip(group, key)
            for key in start:
                self._start(group, key)
            if group.progress.complete and not group.ended:
                self._leave(group)

    def _leave(self, group: Group) -> None:
        group.ended = True
        components = self.run.pipeline_spec["components"]
        result = group.result(components)
        if self._cancelled:
            result = Producer(Outcome.FAILED, Values(), _TERMINATED)
        row = replace(group.row, outputs=result.outputs.stored())
        self._ledger.save(row, result.outcome.value, error=result.error)
        if group.parent is None:
            self.outcome, self.error = result.outcome, result.error
        else:
            self._ended(group.parent, group.key, result)

    def _ended(self, group: Group, key: str, producer: Producer) -> None:
        group.producers[key] = producer
        group.progress.finish(key, producer.outcome)
        self._to_visit.append(group)

    # Tasks

    def _start(self, group: Group, key: str) -> None:
        origin = self._origin(group, key)
        row = self._row(group, key, origin)
        if row.state in ("SUCCEEDED", "FAILED"):
            outputs = Values.from_stored(row.outputs)
            self._ended(group, key, Producer(Outcome(row.state), outputs, row.error))
            return
        try:
            if group.loop is not None:
                self._start_iteration(group, group.loop, key, row)
            else:
                self._start_task(group, row, origin)
        except ResolveError as error:
            self._ledger.save(row, "FAILED", error=str(error), started_at=now())
            self._ended(group, key, Producer(Outcome.FAILED, Values(), str(error)))

    def _start_iteration(self, group: Group, loop: Loop, key: str, row: TaskRow) -> None:
        origin = group.origin
        definitions = definitions_of_iteration(origin.task, origin.component.get("inputDefinitions", {}))
        inputs = loop.inputs_of(int(key), group.inputs)
        inputs = replace(inputs, parameters=with_defaults(inputs.parameters, definitions))
        self._enter(Group.of_dag(row, origin, inputs, group, key))

    def _start_task(self, group: Group, row: TaskRow, origin: Origin) -> None:
        task, component = origin.task, origin.component
        around = Surroundings(group.inputs, group.producers, self._steps.names(row))
        definitions = component.get("inputDefinitions", {})
        if is_loop(task):
            definitions = definitions_of_loop(task, definitions)
        inputs, provided = resolve_inputs(task, definitions, around)
        if not will_run(task, inputs):
            self._ledger.save(replace(row, inputs=inputs.stored()), "SKIPPED", started_at=now())
            self._ended(group, row.name, Producer(Outcome.SKIPPED, Values()))
        elif is_loop(task):
            self._start_loop(group, row, origin, inputs)
        elif "dag" in component:
            self._enter(Group.of_dag(row, origin, inputs, group, row.name))
        elif (importer := self._steps.importer(component)) is not None:
            outputs = imported(importer, component, inputs, around.names)
            done = replace(row, inputs=inputs.stored(), outputs=outputs.stored())
            self._ledger.save(done, "SUCCEEDED", started_at=now())
            self._ended(group, row.name, Producer(Outcome.SUCCEEDED, outputs))
        else:
            step = self._steps.step(row, component, inputs, provided, around)
            saved = self._ledger.save(replace(row, inputs=inputs.stored(), pod_name=step.pod_name))
            # An attempt that was cut off with the server is not held against the task.
            attempts = max(row.attempts - 1, 0)
            self._tasks[row.path] = _Task(group, saved, step, RetryPolicy.of(task), now(), attempts)
            self._launch(row.path)

    def _start_loop(self, group: Group, row: TaskRow, origin: Origin, inputs: Values) -> None:
        loop = Loop.of(origin.task, inputs)
        self._ledger.drop_iterations(row, len(loop.items))
        looping = Group.of_loop(row, origin, inputs, group, row.name, loop)
        self._enter(looping)
        for index in range(len(loop.items)):
            # Saved at once, so that a client sees how many there are.
            self._ledger.save(self._row(looping, str(index), origin))

    def _origin(self, group: Group, key: str) -> Origin:
        return group.origin_of(key, self.run.pipeline_spec["components"])

    def _row(self, group: Group, key: str, origin: Origin) -> TaskRow:
        if group.loop is not None:
            return self._ledger.row(group.row, group.row.name, "ITERATION", key)
        return self._ledger.row(group.row, key, self._steps.kind(origin))

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
        self._ended(task.group, task.row.name, Producer(result.outcome, result.outputs, result.error))
        self._visit()

    def _skip(self, group: Group, key: str) -> None:
        group.producers[key] = Producer(Outcome.SKIPPED, Values())
        self._ledger.save(self._row(group, key, self._origin(group, key)), "SKIPPED")
