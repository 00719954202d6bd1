"""What a DAG file loads by importing ring 1. ``benchmarks/import_budget.py`` has the milliseconds."""

from __future__ import annotations

import json
import subprocess
import sys

BANNED = (
    "boto3",
    "botocore",
    "fastapi",
    "git",
    "google.protobuf",
    "kfp",
    "kubernetes",
    "pandas",
    "requests",
    "rich",
    "starlette",
    "uvicorn",
)

SCRIPT = """
import json, sys
import airflow.sdk
from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.triggers.base import BaseTrigger
before = set(sys.modules)
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.hooks.kfp import KfpHook
from airflow_kfp_runtime.triggers.kfp import KfpRunTrigger
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded() -> list[str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_ring_1_loads_no_heavy_module():
    heavy = [name for name in loaded() if any(name == ban or name.startswith(f"{ban}.") for ban in BANNED)]

    assert heavy == []


def test_ring_1_loads_neither_the_http_client_nor_the_compiler_while_a_dag_is_parsed():
    parts = ("client.http", "client.calls", "compiler", "embedded", "runtimes")
    needless = tuple(f"airflow_kfp_runtime.{part}" for part in parts)

    assert [name for name in loaded() if name.startswith(needless)] == []
