"""DigitalHub's tutorial on large language models: a model that is served."""

from digitalhub_runtime_kfp.dsl import pipeline_context


def pipeline(path):
    with pipeline_context() as pc:
        pc.step(
            name="serve",
            action="serve",
            function="llm",
            function_id="0a1b2c3d",
            inputs={"path": path},
        )
