"""What a task leaves in XCom about its run, for the link, for tasks that follow and for its later tries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_kfp_runtime.errors import RunError
from airflow_kfp_runtime.links.kfp import RUN_XCOM_KEY, KfpRunLink


def record_run(task: Any, run_id: str, state: str, url: str) -> dict[str, Any]:
    """Push what is known of the run.

    :param task: the task instance that runs.
    :return: the ``kfp_run`` XCom.
    """
    record = {"run_id": run_id, "state": state, "url": url}
    task.xcom_push(key=RUN_XCOM_KEY, value=record)
    task.xcom_push(key=KfpRunLink.xcom_key, value=url)
    return record


def check_is_own(task: Any, run_id: str) -> None:
    """Refuse an event of another run than the one that the try has recorded.

    SQLite gives the number of a deleted trigger to the next one, so that after a clear the old trigger can
    answer for the new try.

    :raises RunError: it is of another run.
    """
    record = task.xcom_pull(task_ids=task.task_id, key=RUN_XCOM_KEY, map_indexes=task.map_index)
    if isinstance(record, Mapping) and record.get("run_id", run_id) != run_id:
        raise RunError(
            f"The trigger sent an event of run {run_id}, and this try waits for run {record['run_id']}; "
            "a retry of the task finds that one again",
            run_id=record["run_id"],
        )
