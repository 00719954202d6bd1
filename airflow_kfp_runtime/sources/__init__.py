"""Where the code of workflows and functions comes from; ``docs/sources.md`` lists the forms.

:class:`Sources` opens them. A scheme of addresses is a plugin: see :mod:`airflow_kfp_runtime.plugins`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_kfp_runtime.sources.cache import Cache
    from airflow_kfp_runtime.sources.credentials import Credentials, GitCredentials, S3Credentials
    from airflow_kfp_runtime.sources.limits import Limits
    from airflow_kfp_runtime.sources.sources import Sources

_MODULES = {
    "Cache": "cache",
    "Credentials": "credentials",
    "GitCredentials": "credentials",
    "Limits": "limits",
    "S3Credentials": "credentials",
    "Sources": "sources",
}

__all__ = ["Cache", "Credentials", "GitCredentials", "Limits", "S3Credentials", "Sources"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: a DAG file that names a limit loads no more than that."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
