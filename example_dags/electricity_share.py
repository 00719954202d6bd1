"""One of two DAGs that share a project: the share of one source of energy in each year.

Shows: ``project="electricity/project.yaml"``, a file beside this one that declares the functions and
workflows of several DAGs, and ``workflow="share"``, one of them by its name. The task reads the file, not the
DAG processor, and fills in its templates; here each pod gets a label with the DAG that it works for.
``electricity_growth`` is the other DAG.

Data: the electricity of Iowa by source, 2001 to 2017 (U.S. Energy Information Administration, public domain).
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator

TABLE = "https://cdn.jsdelivr.net/npm/vega-datasets@2/data/iowa-electricity.csv"

with DAG(
    "electricity_share",
    schedule=None,
    tags=["kubeflow", "example"],
    doc_md=__doc__,
    params={
        "url": Param(TABLE, type="string", format="uri", title="Address of the table"),
        "source": Param("Renewables", enum=["Fossil Fuels", "Nuclear Energy", "Renewables"]),
    },
):
    share = KfpPipelineOperator(
        task_id="share",
        project="electricity/project.yaml",
        workflow="share",
        arguments={"url": "{{ params.url }}", "source": "{{ params.source }}"},
        deferrable=True,
        poll_interval=5,
    )

    @task
    def report(outputs: dict) -> str:
        """Name the year with the largest share."""
        years = outputs["by_year"]["years"]
        best = max(years, key=lambda year: years[year]["share"])
        sentence = f"The largest share was {years[best]['share']:.1%}, in {best}."
        print(sentence)
        return sentence

    report(share.output)
