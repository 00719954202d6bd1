"""Kills the processes of an Airflow and of the server beside it, each when it has something to lose."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import suppress
from typing import NamedTuple

import psutil

from airflow_kfp_runtime.client import ClientSettings, KfpClient, RunState, calls, flows
from demo.airflow_client import ENDED
from demo.kfp_server import start_kfp_server

#: How a busy process of the LocalExecutor calls itself; it supervises the process of its task.
_WORKER = "airflow worker -- LocalExecutor"

#: Seconds until a point is left out that has nothing to lose.
_LONGEST_WAIT = 60.0


class KillableServer:
    """The embedded server, which is started again where it was, with what it had."""

    def __init__(self, data):
        self._data = data
        self._server = start_kfp_server(data, "--workers", "8")
        self.url = self._server.url

    def kill(self, pause):
        self._server.process.kill()
        try:
            time.sleep(pause)
        finally:
            # Also where the test is interrupted: the steps that it has left are ended by the next one alone.
            self._server = start_kfp_server(
                self._data, "--workers", "8", port=int(self.url.rpartition(":")[2])
            )

    def runs(self):
        with KfpClient(ClientSettings(host=self.url)) as client:
            return client.run(flows.list_all(calls.list_runs()))

    def stop(self):
        self._server.stop()


class Killed(NamedTuple):
    """A kill, for the message of a failed test."""

    second: float
    point: str
    detail: str


class Killer:
    """Kills one after another, in the order of a seed.

    :param airflow: a ``RunningAirflow``.
    :param runs: the DAG runs in whose middle it kills.
    """

    POINTS = ("scheduler", "worker", "supervisor", "task", "triggerer", "triggerer-2", "server")

    def __init__(self, airflow, server, runs, seed):
        self._airflow = airflow
        self._deployment = airflow.deployment
        self._server = server
        self._runs = list(runs)
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self.kills = []

    def counts(self):
        return Counter(kill.point for kill in self.kills)

    def is_over(self):
        """Whether all DAG runs have ended."""
        client = self._airflow.client
        self._runs = [run for run in self._runs if client.run_state(run.dag_id, run.run_id) not in ENDED]
        return not self._runs

    def kill_each_once(self):
        """Kill at each point once, in a new order; returns early when there is nothing left to kill for."""
        points = list(self.POINTS)
        self._random.shuffle(points)
        for point in points:
            deadline = time.monotonic() + _LONGEST_WAIT
            while not (kill := self._ready(point)) and time.monotonic() < deadline:
                if self.is_over():
                    return
                time.sleep(0.1)
            if not kill:
                continue
            detail = kill()
            self.kills.append(Killed(round(time.monotonic() - self._began, 1), point, detail))
            time.sleep(self._random.uniform(0.5, 4))

    def _ready(self, point):
        """What kills at a point; ``None`` while there is nothing in the middle of something."""
        match point:
            case "server":
                going_on = [run for run in self._server.runs() if run.state is RunState.RUNNING]
                return going_on and (lambda: self._kill_server(going_on))
            case "triggerer" | "triggerer-2":
                deferred = self._deferred()
                return deferred and (lambda: self._kill_component(point, f"{deferred} tasks deferred"))
            case "scheduler":
                # Also where none runs: a worker that held the lock of the executor's queue when it was killed
                # keeps the others from every further task.
                return lambda: self._kill_component(point, f"{len(self._workers())} tasks running")
        workers = self._workers()
        if not workers:
            return None
        worker, task = self._random.choice(workers)
        chosen = {"worker": (worker, task), "supervisor": (worker,), "task": (task,)}[point]
        return lambda: self._kill_processes(chosen)

    def _kill_server(self, going_on):
        self._server.kill(self._random.uniform(0, 5))
        return f"{len(going_on)} runs going on"

    def _kill_component(self, name, detail):
        self._deployment.kill_component(name)
        try:
            # Now and then long enough for the other triggerer to take over.
            time.sleep(self._random.choice((0.5, 3, 12)))
        finally:
            self._deployment.start_component(name)
        return detail

    def _kill_processes(self, processes):
        # Not before each of them has been at work for a moment of its own.
        time.sleep(self._random.uniform(0, 1.5))
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return ", ".join(f"process {process.pid}" for process in processes)

    def _workers(self):
        """The processes that supervise a task now, each with the task's."""
        found = []
        with suppress(psutil.NoSuchProcess):
            scheduler = psutil.Process(self._deployment.component("scheduler").pid)
            for process in scheduler.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if " ".join(process.cmdline()).startswith(_WORKER):
                        found.extend((process, task) for task in process.children())
        return found

    def _deferred(self):
        return sum(
            task.state == "deferred"
            for run in self._runs
            for task in self._airflow.client.tasks(run.dag_id, run.run_id)
        )
