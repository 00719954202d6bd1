"""Handlers that are named in a source: each runs in a process of its own, and steps come back as JSON."""

from airflow_kfp_runtime.sources.handlers.writing import write_pipeline

__all__ = ["write_pipeline"]
