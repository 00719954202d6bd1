"""Projects: functions and workflows by name, and the Kubernetes settings of their tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.project.project import Function, Project, new_function
from airflow_kfp_runtime.project.workflow import Workflow

if TYPE_CHECKING:
    from airflow_kfp_runtime.project.settings import TaskSettings

__all__ = ["Function", "Project", "TaskSettings", "Workflow", "new_function"]


def __getattr__(name: str) -> Any:
    """Import the settings where they are used, for they take a while to build."""
    if name != "TaskSettings":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_kfp_runtime.project.settings import TaskSettings

    return TaskSettings
