"""The package: its names, and that asking for them costs no more than it must."""

import subprocess
import sys

import pytest

from airflow_kfp_runtime import client


@pytest.mark.parametrize("name", client.__all__)
def test_every_exported_name_is_there(name):
    assert getattr(client, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        client.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("airflow_kfp_runtime.client", ("httpx", "google.protobuf", "airflow_kfp_runtime.client.models")),
        ("airflow_kfp_runtime.client.flows", ("httpx", "google.protobuf", "pydantic", "airflow")),
        ("airflow_kfp_runtime.client.outputs", ("httpx", "google.protobuf", "pydantic", "airflow")),
        ("airflow_kfp_runtime.client.http", ("google.protobuf", "pydantic", "airflow")),
    ],
)
def test_a_module_loads_nothing_heavy(module, heavy):
    program = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
