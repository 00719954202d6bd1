"""The other DAG of the project that ``electricity_share`` explains: how renewables have grown.

Shows: a second workflow of the same ``project.yaml``. Nothing of the project is written here again.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator

TABLE = "https://cdn.jsdelivr.net/npm/vega-datasets@2/data/iowa-electricity.csv"

with DAG(
    "electricity_growth",
    schedule=None,
    tags=["kubeflow", "example"],
    doc_md=__doc__,
    params={"url": Param(TABLE, type="string", format="uri", title="Address of the table")},
):
    KfpPipelineOperator(
        task_id="growth",
        project="electricity/project.yaml",
        workflow="growth",
        arguments={"url": "{{ params.url }}", "source": "Renewables"},
        deferrable=True,
        poll_interval=5,
    )
