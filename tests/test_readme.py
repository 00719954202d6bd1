"""The README: its first DAG works, its commands exist, and its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.environments import PROJECT

README = (PROJECT / "README.md").read_text()


@pytest.fixture
def first_dag(tmp_path):
    code = re.search(r"```python\n(from airflow.*?)```", README, re.DOTALL)[1]
    file = tmp_path / "count_lines.py"
    file.write_text(code)
    return file


def test_the_first_dag_runs_as_it_stands_but_for_the_address_of_its_table(
    first_dag, tmp_path, run_dag, kfp_client
):
    table = tmp_path / "table.csv"
    table.write_text("a\nb\nc\n")
    code = re.sub(r"https://[^\"]+", table.as_uri(), first_dag.read_text())
    names: dict = {"__name__": "count_lines"}
    first_dag.write_text(code)
    exec(compile(code, str(first_dag), "exec"), names)
    names["run"].poll_interval = 0.1

    run = run_dag(names["run"].dag)

    assert run.states == {"run": "success", "report": "success"}
    assert run.xcom("run")["count"] == {"lines": 3}


def test_the_first_dags_pipeline_compiles_by_the_command(first_dag):
    done = subprocess.run(
        [sys.executable, "-m", "airflow_kfp_runtime", "compile", f"{first_dag}:pipeline"],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "pipelineInfo" in done.stdout, done.stderr


def test_links_lead_to_files_of_the_project():
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert links
    assert [link for link in links if not (PROJECT / link).exists()] == []
