"""A real Airflow for tests, the one that the demo runs, with its DAG runs."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager

from demo.airflow_client import ENDED
from demo.airflow_deployment import AirflowDeployment
from demo.processes import wait_for


class RunningAirflow:
    """An Airflow that runs, and a client of it."""

    def __init__(self, deployment, client):
        self.deployment = deployment
        self.client = client

    def trigger(self, dag_id, conf=None):
        self.wait(f"DAG {dag_id}", lambda: self.client.dag_is_known(dag_id), seconds=60)
        return TriggeredRun(self, dag_id, self.client.trigger(dag_id, conf))

    def wait(self, what, probe, seconds=120):
        return wait_for(what, probe, seconds=seconds, processes=self.deployment.processes)


class TriggeredRun:
    """A DAG run that a test follows."""

    def __init__(self, airflow, dag_id, run_id):
        self.airflow = airflow
        self.dag_id = dag_id
        self.run_id = run_id

    def task(self, task_id, map_index=-1):
        tasks = self.airflow.client.tasks(self.dag_id, self.run_id)
        return {(task.task_id, task.map_index): task for task in tasks}[task_id, map_index]

    def states(self):
        return {task.task_id: task.state for task in self.airflow.client.tasks(self.dag_id, self.run_id)}

    def wait_until(self, task_id, state, map_index=-1):
        self.airflow.wait(
            f"task {task_id} to be {state}", lambda: self.task(task_id, map_index).state == state
        )

    def end(self, seconds=240):
        """The state in which the run ended."""

        def ended():
            state = self.airflow.client.run_state(self.dag_id, self.run_id)
            return state if state in ENDED else None

        return self.airflow.wait(f"the end of {self.dag_id}", ended, seconds=seconds)

    def xcom(self, task_id, key="return_value", map_index=-1):
        return self.airflow.client.xcom(self.dag_id, self.run_id, task_id, key=key, map_index=map_index)

    def links(self, task_id):
        return self.airflow.client.links(self.dag_id, self.run_id, task_id)

    def log(self, task_id, map_index=-1):
        return self.airflow.client.log(self.dag_id, self.run_id, self.task(task_id, map_index))

    def logs(self):
        """What every task logged, for the message of a failed test."""
        tasks = self.airflow.client.tasks(self.dag_id, self.run_id)
        return "\n".join(
            f"--- {task.task_id} {task.map_index}\n{self.log(task.task_id, task.map_index)}"
            for task in tasks
            if task.start
        )

    def clear(self, task_id, map_index=-1):
        self.airflow.client.clear(self.dag_id, self.run_id, task_id, map_index=map_index)

    def mark(self, task_id, state, map_index=-1):
        self.airflow.client.mark(self.dag_id, self.run_id, task_id, state, map_index=map_index)

    def mark_failed(self, task_id):
        self.mark(task_id, "failed")

    def mark_run_failed(self):
        self.airflow.client.mark_run(self.dag_id, self.run_id, "failed")


@contextmanager
def running_airflow(home, dags, kfp_url, python=sys.executable, connections=None, **options):
    """An Airflow in ``home`` whose connection ``kfp_default`` leads to a server.

    :param connections: further connections, by id, as ``AIRFLOW_CONN_...`` takes them.
    :param options: further arguments of ``AirflowDeployment``.
    """
    kfp = json.dumps({"conn_type": "kfp", "host": kfp_url})
    with (
        AirflowDeployment(
            home,
            dags,
            connections={"kfp_default": kfp, **(connections or {})},
            python=str(python),
            **options,
        ) as deployment,
        deployment.client() as client,
    ):
        yield RunningAirflow(deployment, client)
