"""What the DAG ``workflow_from_git`` runs, as it stands in a repository of its own."""

from __future__ import annotations

from seasons import SEASONS

from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.project import Project

project = Project("seasons")
project.new_function("download", kind="python", source="functions.py", handler="download")
project.new_function("rain", kind="python", source="functions.py", handler="rain")


def rain_by_season(url: str):
    """Find out how much it rains in each season; the seasons are counted at the same time."""
    with pipeline_context() as pc:
        downloaded = pc.step("download", function="download", inputs={"url": url})
        for season, months in SEASONS.items():
            pc.step(
                season,
                function="rain",
                inputs={"table": downloaded.outputs["table"]},
                parameters={"months": months},
                values=["millimetres"],
            )
