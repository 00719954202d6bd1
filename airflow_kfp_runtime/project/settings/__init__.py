"""The Kubernetes settings of tasks: one model, the forms in which users write them, and who wins."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_kfp_runtime.project.settings.model import TaskSettings
    from airflow_kfp_runtime.project.settings.precedence import PipelineSettings, settings_of

__all__ = ["PipelineSettings", "TaskSettings", "settings_of"]

_MODULES = {
    "PipelineSettings": "precedence",
    "TaskSettings": "model",
    "settings_of": "precedence",
}


def __getattr__(name: str) -> Any:
    """Import the model where it is used: a DAG file without settings need not build it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
