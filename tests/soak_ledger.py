"""The server's runs against Airflow's task instances: every run belongs to a task and generation."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from airflow_kfp_runtime.client import RunState
from airflow_kfp_runtime.client.outputs import read_outputs
from airflow_kfp_runtime.client.run_lookup import described
from airflow_kfp_runtime.operators.identity import TaskIdentity

#: More than any task has here.
_GENERATIONS = 60

_ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED)


@dataclass(frozen=True)
class Entry:
    """A task instance and its pipeline runs, by generation."""

    dag_id: str
    run_id: str
    task: object
    runs: dict[int, object]

    @property
    def owner(self):
        """What the task's pipelines say that they belong to."""
        return f"{self.run_id}.{self.task.task_id}.{self.task.map_index}"

    @property
    def last(self):
        return self.runs[max(self.runs)] if self.runs else None


def entries_of(client, dag_id, run_ids, runs):
    """The entries, and sentences on what cannot be in any."""
    tasks = [(run_id, task) for run_id in run_ids for task in client.tasks(dag_id, run_id)]
    places = {}
    for index, (run_id, task) in enumerate(tasks):
        identity = TaskIdentity("kfp_default", dag_id, run_id, task.task_id, task.map_index, task.max_tries)
        places |= {identity.run_id(number): (index, number) for number in range(_GENERATIONS)}
    found = defaultdict(dict)
    violations = []
    for run in runs:
        place = places.get(run.run_id)
        if place is None:
            violations.append(f"run {run.run_id} ({run.display_name}) belongs to no task instance")
            continue
        index, generation = place
        if described("", run.run_id) not in run.description:
            violations.append(f"run {run.run_id} is described as another: {run.description}")
        if generation in found[index]:
            violations.append(f"run {run.run_id} is there twice")
        found[index][generation] = run
    entries = [Entry(dag_id, run_id, task, found[index]) for index, (run_id, task) in enumerate(tasks)]
    return entries, violations


def violations_of(entry, airflow, kfp):
    """Sentences on what does not hold for a task instance."""
    task, runs, last = entry.task, entry.runs, entry.last
    states = [runs[number].state for number in sorted(runs)]
    if sorted(runs) != list(range(len(runs))):
        yield f"has the generations {sorted(runs)}"
    if going_on := [run.run_id for run in runs.values() if run.state not in _ENDED]:
        yield f"has runs that go on: {going_on}"
    if RunState.SUCCEEDED in states[:-1]:
        yield f"has a run after one that succeeded: {states}"
    if task.state not in ("success", "failed"):
        yield f"is left {task.state}"
    has_succeeded = last is not None and last.state is RunState.SUCCEEDED
    if (task.state == "success") != has_succeeded:
        yield f"is {task.state}, and its last run is {last and last.state.value}"
    if task.state == "success" and has_succeeded:
        yield from _wrong_outputs(entry, airflow, kfp)
    if task.state == "failed":
        yield from _wrong_reason(entry, airflow)


def _wrong_outputs(entry, airflow, kfp):
    task = entry.task

    def xcom(key):
        return airflow.xcom(entry.dag_id, entry.run_id, task.task_id, key=key, map_index=task.map_index)

    record, returned = xcom("kfp_run"), xcom("return_value")
    if record["run_id"] != entry.last.run_id or record["state"] != "SUCCEEDED":
        yield f"recorded {record}"
    said = kfp.run(read_outputs(entry.last)).tasks["say"]
    if returned["say"] != said:
        yield f"returned {returned}, and its run gave {said}"
    if said["owner"] != entry.owner:
        yield f"has a run of {said['owner']}"


def _wrong_reason(entry, airflow):
    log = airflow.log(entry.dag_id, entry.run_id, entry.task)
    if entry.last is not None and f"Run {entry.last.run_id} failed" in log:
        return
    # The last try was killed: its worker cannot have said anything, and Airflow's own word has to do.
    events = "\n".join(airflow.events(entry.dag_id, entry.run_id, entry.task))
    reasons = ("heartbeat timeout", "state mismatch")
    if "Process terminated by signal" not in log and not any(reason in events for reason in reasons):
        yield "failed for a reason that nobody tells"


def history(entry, airflow):
    """All that is known of a task instance, for the message of a failed test."""
    lines = [f"== {entry.owner}: {entry.task.state}, try {entry.task.try_number}"]
    for number, run in sorted(entry.runs.items()):
        changes = " ".join(f"{change.state.value}@{change.update_time}" for change in run.state_history)
        lines.append(f"generation {number}: {run.run_id} {run.state.value} ({changes})")
    lines.extend(airflow.events(entry.dag_id, entry.run_id, entry.task))
    for attempt in airflow.tries(entry.dag_id, entry.run_id, entry.task):
        log = airflow.log(entry.dag_id, entry.run_id, replace(entry.task, try_number=attempt.try_number))
        lines.append(f"-- try {attempt.try_number}: {attempt.state} {attempt.start} to {attempt.end}")
        lines.extend(log.splitlines()[-15:])
    return "\n".join(lines)
