"""The tests that face Airflow, once more on the oldest Airflow that the package claims."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.airflow_processes import running_airflow
from tests.environments import PROJECT, environment

#: Airflow 3.0 with what was newest in the summer in which it was current.
OLDEST = (
    "apache-airflow>=3.0,<3.1",
    "apache-airflow-providers-cncf-kubernetes>=10.0",
    *("filelock", "hypothesis", "kfp-pipeline-spec", "pytest>=8.3", "pytest-asyncio>=0.24", "uv"),
)
AS_OF = "2025-07-01"

FACING_AIRFLOW = (
    "tests/test_decorators_kfp.py",
    "tests/test_hooks_digitalhub.py",
    "tests/test_hooks_kfp.py",
    "tests/test_hooks_sources.py",
    "tests/test_links_kfp.py",
    "tests/test_operators_kfp.py",
    "tests/test_operators_settings.py",
    "tests/test_operators_sources.py",
    "tests/test_provider_info.py",
    "tests/test_triggers_kfp.py",
)


@pytest.fixture(scope="module")
def python():
    return environment("airflow-3.0", OLDEST, editable=True, exclude_newer=AS_OF)


def test_the_environment_holds_airflow_3_0(python):
    done = subprocess.run(
        [python, "-c", "from importlib.metadata import version; print(version('apache-airflow'))"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith("3.0.")


def test_what_faces_airflow_works_on_the_oldest_airflow(python, tmp_path):
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "PYTEST_"))
    }
    done = subprocess.run(
        [
            python,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--basetemp",
            tmp_path / "pytest",
            *FACING_AIRFLOW,
        ],
        cwd=PROJECT,
        env={**variables, "AIRFLOW_HOME": str(tmp_path / "airflow")},
        capture_output=True,
        text=True,
        timeout=900,
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_a_dag_defers_resumes_and_hands_outputs_on_in_the_oldest_airflow(python, tmp_path, kfp_server):
    gate = tmp_path / "gate"
    with running_airflow(tmp_path / "airflow", PROJECT / "tests" / "dags", kfp_server.url, python) as airflow:
        run = airflow.trigger("gated_in_triggerer", {"gate": str(gate)})
        run.wait_until("run", "deferred")
        gate.write_text("41")

        assert run.end() == "success", run.logs()
        assert run.xcom("add_one") == 42
