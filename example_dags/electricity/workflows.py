"""The workflows of the project ``electricity``: both begin with the same two steps."""

from __future__ import annotations

from airflow_kfp_runtime.dsl import pipeline_context


def share(url: str, source: str):
    with pipeline_context() as pc:
        shares_of(pc, url, source)


def growth(url: str, source: str):
    with pipeline_context() as pc:
        shares = shares_of(pc, url, source)
        pc.step("growth", function="growth", inputs={"years": shares.outputs["years"]}, values=["factor"])


def shares_of(pc, url, source):
    downloaded = pc.step("download", function="download", inputs={"url": url})
    return pc.step(
        "by_year",
        function="by_year",
        inputs={"table": downloaded.outputs["table"]},
        parameters={"source": source},
        values=["years"],
    )
