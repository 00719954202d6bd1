"""Which runs belong to a task instance: the ids that the client asks for.

The id is a UUID5 of what names the task's work, so a worker that comes back after a crash looks the same id
up before it sends anything. Airflow 3.0 to 3.3 lets a retry be told from a clear: retries leave a task
instance's ``max_tries`` as it is, and clearing sets it to the tries made so far plus the task's retries
(``airflow.models.taskinstance.clear_task_instances``). So the id holds ``max_tries``: a cleared task gets an
id that no earlier try had, and starts afresh.

Two limits. A task cleared after its ``retries`` were lowered can meet an earlier number again. A task cleared
while a worker runs it keeps its number where Airflow treats that as a retry (3.3.2 does unless the executor
says that the worker ended well); the worker's ``on_kill`` has then ended the run, and the next generation
begins.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

#: The namespace of the run ids. A change would make every task in flight submit a second run.
_NAMESPACE = UUID("ca3703b7-c2cc-519d-92b5-c32b46b1f1ec")


@dataclass(frozen=True)
class TaskIdentity:
    """What names the work of a task instance over all retries.

    :param conn_id: the Airflow connection.
    :param dag_id: the DAG.
    :param airflow_run_id: the DAG run.
    :param task_id: the task, with its group's prefix.
    :param map_index: the index of a mapped task, else -1.
    :param max_tries: the number that changes when the task is cleared and stays over retries.
    """

    conn_id: str
    dag_id: str
    airflow_run_id: str
    task_id: str
    map_index: int
    max_tries: int

    @classmethod
    def of(cls, task: RuntimeTaskInstanceProtocol, conn_id: str) -> TaskIdentity:
        """Return that of a task instance."""
        index = task.map_index if task.map_index is not None and task.map_index >= 0 else -1
        return cls(conn_id, task.dag_id, task.run_id, task.task_id, index, task.max_tries)

    @property
    def run_name(self) -> str:
        """A name for people, of the pipeline's run."""
        suffix = f" [{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id} {self.airflow_run_id}{suffix}"

    def run_id(self, generation: int) -> str:
        """Return the id of the run, as KFP takes it in ``POST /runs`` (honoured since 2.0).

        :param generation: 0 for the first run, one more for each that failed or was replaced.
        """
        parts = [
            self.conn_id,
            self.dag_id,
            self.airflow_run_id,
            self.task_id,
            self.map_index,
            self.max_tries,
            generation,
        ]
        return str(uuid5(_NAMESPACE, json.dumps(parts)))
