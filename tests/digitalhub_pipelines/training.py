"""DigitalHub's tutorial on scikit-learn, as it is written for its releases since 0.13."""

from digitalhub_runtime_kfp.dsl import pipeline_context


def pipeline():
    with pipeline_context() as pc:
        prepared = pc.step(
            name="data-prep",
            action="job",
            function="data-prep",
            step_outputs={"dataset": "dataset"},
        )

        pc.step(
            name="train",
            action="job",
            function="train",
            inputs={"di": prepared.outputs["dataset"]},
            step_outputs=["model"],
        )
