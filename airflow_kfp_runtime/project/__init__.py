"""Projects: functions and workflows by name."""

from airflow_kfp_runtime.project.project import Function, Project, new_function
from airflow_kfp_runtime.project.workflow import Workflow

__all__ = ["Function", "Project", "Workflow", "new_function"]
