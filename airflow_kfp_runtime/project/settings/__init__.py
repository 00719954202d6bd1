"""The Kubernetes settings of tasks: one model, and the forms in which users write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_kfp_runtime.project.settings.model import TaskSettings

__all__ = ["SETTINGS", "TaskSettings"]

#: The names of the settings, in DigitalHub's spelling where it has one.
SETTINGS = (
    "node_selector",
    "volumes",
    "resources",
    "affinity",
    "tolerations",
    "envs",
    "env",
    "secrets",
    "profile",
    "runtime_class",
    "priority_class",
    "schedule",
    "image_pull_policy",
    "image_pull_secrets",
    "labels",
    "annotations",
    "timeout",
    "retries",
    "caching",
    "image",
    "accelerator",
    "security_context",
)


def __getattr__(name: str) -> Any:
    """Import the model only where it is used: building it costs more than all the rest of a DAG file."""
    if name == "TaskSettings":
        from airflow_kfp_runtime.project.settings.model import TaskSettings

        return TaskSettings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
