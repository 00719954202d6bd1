"""The link from a task to its run in the Kubeflow Pipelines UI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

#: The XCom of a task that holds its run: ``{"run_id", "state", "url"}``.
RUN_XCOM_KEY = "kfp_run"


class KfpRunLink(BaseOperatorLink):
    """The button "Kubeflow Pipelines run" of a task instance.

    Airflow stores the link by itself only when a worker leaves the task, so the operator also pushes it under
    :attr:`xcom_key` right after the run was submitted.
    """

    name = "Kubeflow Pipelines run"
    xcom_key = "kfp_run_link"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the run's address, or an empty string before there is a run."""
        from airflow.sdk.execution_time.xcom import XCom

        run: Any = XCom.get_value(ti_key=ti_key, key=RUN_XCOM_KEY)
        return str(run["url"]) if run else ""
