"""What Airflow says of the newest try of a task instance, to whoever stands in for one of its tries.

Both requests go to the process that runs the try or the trigger, and wait for its answer.
"""

from __future__ import annotations

from typing import Any


def state_of(task: Any) -> str | None:
    """Return the state of a task instance.

    :param task: names it: a task instance or its key, as a worker or a triggerer has it.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[task.run_id], map_index=task.map_index
    )
    # The API names a mapped task instance with its index.
    name = f"{task.task_id}_{task.map_index}" if task.map_index >= 0 else task.task_id
    state = states.get(task.run_id, {}).get(name)
    return None if state is None else str(getattr(state, "value", state))


def run_recorded_by(task: Any) -> str | None:
    """Return the pipeline run that the newest try of a task instance has recorded.

    A try that begins deletes what the one before it has recorded.
    """
    from airflow.sdk.execution_time.xcom import XCom

    from airflow_kfp_runtime.links.kfp import RUN_XCOM_KEY

    run: Any = XCom.get_one(
        key=RUN_XCOM_KEY,
        dag_id=task.dag_id,
        task_id=task.task_id,
        run_id=task.run_id,
        map_index=task.map_index,
    )
    return run["run_id"] if run else None
