"""The link from a task to its run in the Kubeflow Pipelines UI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

#: The XCom of a task that holds its run: ``{"run_id", "state", "url"}``.
RUN_XCOM_KEY = "kfp_run"


class KfpRunLink(BaseOperatorLink):
    """The button "Kubeflow Pipelines run" of a task instance.

    The UI reads the XCom :attr:`xcom_key`. Airflow writes it, from :meth:`get_link`, when a worker leaves the
    task; the operator writes it as soon as the run is submitted.
    """

    name = "Kubeflow Pipelines run"
    xcom_key = "kfp_run_link"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the run's address, or an empty string before there is a run."""
        return getattr(operator, "run_url", None) or ""
