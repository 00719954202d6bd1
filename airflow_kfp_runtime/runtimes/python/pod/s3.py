"""Downloads a source from an object store, with the boto3 of the image."""

from __future__ import annotations

import os
from typing import Any

from airflow_kfp_runtime.runtimes.python.pod.checking import Bounds, fail


def object_of(bucket: str, key: str, bounds: Bounds) -> bytes:
    """Return an object; endpoint and credentials come from the pod's environment."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        fail(
            "the image lacks boto3, which reads from S3. Add 'boto3' to the function's requirements, or use "
            "an image that has it."
        )
    endpoint = os.environ.get("S3_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL") or None
    settings: dict[str, Any] = {"connect_timeout": 10, "read_timeout": 30, "retries": {"max_attempts": 3}}
    if endpoint:
        settings["s3"] = {"addressing_style": "path"}
    try:
        store = boto3.client("s3", endpoint_url=endpoint, config=Config(**settings))
        return bounds.content(store.get_object(Bucket=bucket, Key=key)["Body"])
    except (BotoCoreError, ClientError) as error:
        fail(
            f"s3://{bucket}/{key}: {error}. The pod's environment has the credentials: give the step the "
            "`secrets` AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and for a store that is not AWS's the "
            "variable S3_ENDPOINT_URL."
        )
