"""The client of a Kubeflow Pipelines server: calls and flows without input or output, and two drivers for
them.

Names are loaded when they are first used, so that importing this package costs nothing in a DAG file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_kfp_runtime.client import calls, filters, flows, outputs
    from airflow_kfp_runtime.client.call import Call, Flow, Wait
    from airflow_kfp_runtime.client.http import AsyncKfpClient, KfpClient
    from airflow_kfp_runtime.client.models import (
        Experiment,
        Health,
        Page,
        Pipeline,
        PipelineVersion,
        Run,
        RunState,
        RuntimeConfig,
        StateChange,
        TaskDetail,
        VersionReference,
    )
    from airflow_kfp_runtime.client.run_request import RunRequest
    from airflow_kfp_runtime.client.settings import ClientSettings

_MODULES = ("calls", "filters", "flows", "outputs")
_NAMES = {
    "AsyncKfpClient": "http",
    "Call": "call",
    "ClientSettings": "settings",
    "Experiment": "models",
    "Flow": "call",
    "Health": "models",
    "KfpClient": "http",
    "Page": "models",
    "Pipeline": "models",
    "PipelineVersion": "models",
    "Run": "models",
    "RunRequest": "run_request",
    "RunState": "models",
    "RuntimeConfig": "models",
    "StateChange": "models",
    "TaskDetail": "models",
    "VersionReference": "models",
    "Wait": "call",
}

__all__ = [
    "AsyncKfpClient",
    "Call",
    "ClientSettings",
    "Experiment",
    "Flow",
    "Health",
    "KfpClient",
    "Page",
    "Pipeline",
    "PipelineVersion",
    "Run",
    "RunRequest",
    "RunState",
    "RuntimeConfig",
    "StateChange",
    "TaskDetail",
    "VersionReference",
    "Wait",
    "calls",
    "filters",
    "flows",
    "outputs",
]


def __getattr__(name: str) -> object:
    """Load a name of this package when it is first asked for."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
