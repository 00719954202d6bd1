"""The link from a task to its run."""

from __future__ import annotations

from airflow_kfp_runtime.links.kfp import KfpRunLink
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator


def test_the_operator_has_the_link():
    (link,) = KfpPipelineOperator(task_id="train", pipeline="train").operator_extra_links

    assert isinstance(link, KfpRunLink)
    assert link.name == "Kubeflow Pipelines run"


def test_the_link_is_empty_before_there_is_a_run_and_leads_to_it_after():
    operator = KfpPipelineOperator(task_id="train", pipeline="train")
    assert KfpRunLink().get_link(operator, ti_key=None) == ""

    operator.run_url = "https://ui.example/#/runs/details/1"
    assert KfpRunLink().get_link(operator, ti_key=None) == "https://ui.example/#/runs/details/1"
