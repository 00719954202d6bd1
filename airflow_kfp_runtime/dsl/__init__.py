"""The step DSL: what a workflow's handler is written in.

Example::

    from airflow_kfp_runtime.dsl import pipeline_context

    def handler(url: str):
        with pipeline_context() as pc:
            download = pc.step(
                name="download", function="downloader", inputs={"url": url}, outputs={"dataset": "dataset"}
            )
            pc.step(name="train", function="train", inputs={"di": download.outputs["dataset"]})
"""

from airflow_kfp_runtime.dsl.conditions import Condition
from airflow_kfp_runtime.dsl.context import PipelineContext, pipeline_context
from airflow_kfp_runtime.dsl.declarative import pipeline_from_steps
from airflow_kfp_runtime.dsl.pipeline import Pipeline, trace
from airflow_kfp_runtime.dsl.references import Collected, LoopItem, OneOf, PipelineArgument, StepOutput
from airflow_kfp_runtime.dsl.step import Step
from airflow_kfp_runtime.dsl.types import (
    HTML,
    Artifact,
    ClassificationMetrics,
    Dataset,
    Input,
    Markdown,
    Metrics,
    Model,
    Output,
)

__all__ = [
    "HTML",
    "Artifact",
    "ClassificationMetrics",
    "Collected",
    "Condition",
    "Dataset",
    "Input",
    "LoopItem",
    "Markdown",
    "Metrics",
    "Model",
    "OneOf",
    "Output",
    "Pipeline",
    "PipelineArgument",
    "PipelineContext",
    "Step",
    "StepOutput",
    "pipeline_context",
    "pipeline_from_steps",
    "trace",
]
