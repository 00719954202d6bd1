"""Following a DAG run: what changed in its tasks, and in the steps of the pipeline that one of them runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_kfp_runtime.client import KfpClient, TaskDetail, calls
from demo.airflow_client import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from demo.airflow_client import AirflowClient
    from demo.processes import Process

INTERVAL = 0.5

#: How lines begin that only fold the log in Airflow's UI.
_GROUP = ("::group::", "::endgroup::")


@dataclass(frozen=True)
class DagRun:
    """A DAG run one of whose tasks runs a pipeline.

    :param airflow: a client of the Airflow that it runs in.
    :param kfp: a client of the server that runs the pipeline.
    :param pipeline_task: the task that runs the pipeline.
    :param pipeline_steps: the names of its steps, for the server lists drivers and groups of steps as well.
    """

    airflow: AirflowClient
    kfp: KfpClient
    dag_id: str
    run_id: str
    pipeline_task: str
    pipeline_steps: tuple[str, ...]

    def changes(self, *, seconds: float, processes: Sequence[Process]) -> Iterator[str]:
        """Yield a line for each change of state until the DAG run has ended.

        :param seconds: after these, ``TimeoutError``.
        :param processes: those that have to stay alive meanwhile.
        """
        deadline = time.monotonic() + seconds
        seen: dict[str, str] = {}
        while True:
            ended = self.state in ENDED
            for name, state in self._states():
                if seen.get(name) != state:
                    seen[name] = state
                    yield f"{name}: {state}"
            if ended:
                return
            for process in processes:
                process.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"The DAG run {self.run_id} has not ended after {seconds:g} s.")
            time.sleep(INTERVAL)

    @property
    def state(self) -> str:
        """The DAG run's state."""
        return self.airflow.run_state(self.dag_id, self.run_id)

    def steps(self) -> list[TaskDetail]:
        """The steps of the pipeline that have started, in that order; none before it is submitted."""
        submitted = self.airflow.xcom(self.dag_id, self.run_id, self.pipeline_task, key="kfp_run")
        if submitted is None:
            return []
        details = self.kfp.send(calls.get_run(submitted["run_id"])).task_details
        steps = [detail for detail in details if detail.display_name in self.pipeline_steps]
        return sorted(steps, key=lambda step: str(step.started_at))

    def failure(self) -> str:
        """Why the DAG run failed: for each failed task the end of its log."""
        failed = [task for task in self.airflow.tasks(self.dag_id, self.run_id) if task.state == "failed"]
        reasons = [f"The DAG run {self.run_id} of {self.dag_id} failed."]
        for task in failed:
            log = self.airflow.log(self.dag_id, self.run_id, task).splitlines()
            shown = [line for line in log if not line.startswith(_GROUP)]
            reasons += [f"--- the end of the log of task {task.task_id}", *shown[-30:]]
        return "\n".join(reasons)

    def _states(self) -> Iterator[tuple[str, str]]:
        for task in self.airflow.tasks(self.dag_id, self.run_id):
            if task.state is not None:
                yield f"task {task.task_id}", task.state
            if task.task_id == self.pipeline_task:
                for step in self.steps():
                    yield f"  step {step.display_name}", step.state.value.lower()
