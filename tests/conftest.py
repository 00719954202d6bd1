"""What tests of several rooms share: a server that runs pipelines, in a process of its own."""

from __future__ import annotations

import hypothesis
import pytest

from demo.kfp_server import start_kfp_server
from tests.airflow_environment import (  # noqa: F401 - it sets Airflow's home before Airflow is imported
    airflow_database,
    kfp_client,
    run_dag,
)

# A law holds or not, however long a busy machine takes to try it.
hypothesis.settings.register_profile(
    "laws", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("laws")


@pytest.fixture(scope="session")
def kfp_server(tmp_path_factory):
    """One embedded server for the whole session; tests keep to runs and names of their own."""
    server = start_kfp_server(tmp_path_factory.mktemp("kfp"), "--workers", "4")
    yield server
    server.stop()


@pytest.fixture
def kfp_server_alone(tmp_path):
    """An embedded server for one test, which may stop it."""
    server = start_kfp_server(tmp_path / "data", "--workers", "4")
    yield server
    server.stop()
