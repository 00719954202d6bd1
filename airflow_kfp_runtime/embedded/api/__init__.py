"""The HTTP side of the embedded server: KFP's REST API, ML Metadata over gRPC-web, and pages of runs."""

from __future__ import annotations

from airflow_kfp_runtime.embedded.api.app import create_app
from airflow_kfp_runtime.embedded.api.context import ApiOptions

__all__ = ["ApiOptions", "create_app"]
