"""Airflow's own exceptions, from where its version has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowRuntimeError

if TYPE_CHECKING:
    from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException, AirflowTaskTimeout
else:
    try:
        from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException, AirflowTaskTimeout
    except ImportError:  # Airflow 3.0 has them in the core alone.
        from airflow.exceptions import AirflowException, AirflowNotFoundException, AirflowTaskTimeout

__all__ = [
    "AirflowException",
    "AirflowNotFoundException",
    "AirflowRuntimeError",
    "AirflowTaskTimeout",
    "asks_of_airflow",
]


def asks_of_airflow(error: Exception) -> bool:
    """Return whether a task has raised it to tell Airflow what to do, such as to skip the task.

    That a connection is gone is Airflow's word for an error.
    """
    return isinstance(error, AirflowException) and not isinstance(error, AirflowNotFoundException)
