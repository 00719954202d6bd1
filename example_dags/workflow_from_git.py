"""A workflow that its team keeps in a git repository, at a tag.

Shows: ``code_src`` with a repository and a tag, in a project, so that both can be templates; a handler by its
name there, whose modules and functions are beside it (``example_dags/git_repository`` has what the repository
holds); and ``git_conn_id``, the connection with the login. The task fetches and runs it, so that a new tag
needs no new DAG file.

Whoever may choose the repository has code run on the workers: it is a Variable, which administrators set,
and only the tag is asked for when the DAG is triggered.

Data: the weather in Seattle of each day from 2012 to 2015 (NOAA, public domain).
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project

REPOSITORY = "{{ var.value.get('weather_repository', 'git+https://git.example.org/city/weather.git') }}"

project = Project("weather")
project.new_workflow(
    "rain_by_season", code_src=REPOSITORY + "#{{ params.tag }}", handler="flows:rain_by_season"
)

with DAG(
    "workflow_from_git",
    schedule=None,
    tags=["kubeflow", "example"],
    doc_md=__doc__,
    params={
        "tag": Param("v1", type="string", pattern=r"^v\d+(\.\d+)*$", title="Version of the workflow"),
        "url": Param(
            "https://cdn.jsdelivr.net/npm/vega-datasets@2/data/seattle-weather.csv",
            type="string",
            format="uri",
            title="Address of the table",
        ),
    },
):
    rain = KfpPipelineOperator(
        task_id="rain",
        workflow="rain_by_season",
        project=project,
        git_conn_id="weather_git",
        arguments={"url": "{{ params.url }}"},
        deferrable=True,
        poll_interval=5,
    )

    @task
    def report(outputs: dict) -> str:
        """Name the wettest season."""
        rain = {step: found["millimetres"] for step, found in outputs.items() if "millimetres" in found}
        wettest = max(rain, key=rain.get)
        sentence = f"Most rain falls in {wettest}: {rain[wettest]} mm in four years."
        print(sentence)
        return sentence

    report(rain.output)
