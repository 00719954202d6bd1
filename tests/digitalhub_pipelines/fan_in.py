"""A pipeline that has two images built before it trains a model and serves it."""

from digitalhub_runtime_kfp.dsl import pipeline_context


def handler():
    with pipeline_context() as pc:
        build_train = pc.step(name="build-train", function="train-model", action="build")
        build_serve = pc.step(name="build-serve", function="serve-model", action="build")

        train = pc.step(
            name="train",
            function="train-model",
            action="job",
            outputs={"model": "model"},
        ).after(build_train, build_serve)

        pc.step(
            name="serve",
            function="serve-model",
            action="serve",
            parameters={"model_key": train.outputs["model"]},
            resources={"cpu": {"requests": "1"}, "mem": {"requests": "2Gi"}},
        )
