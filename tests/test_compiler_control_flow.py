"""Blocks of steps: random ones keep the laws of the compiler, and what cannot be is refused by name."""

import json

from hypothesis import HealthCheck, given, settings

from airflow_kfp_runtime.compiler import compile_pipeline
from airflow_kfp_runtime.dsl import pipeline_from_steps, trace
from airflow_kfp_runtime.dsl.serialization import pipeline_as_data, pipeline_from_data
from tests import kfp_ir
from tests.block_strategies import pipelines, project

PROJECT = project()
some = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def copied(pipeline):
    """Return what comes back from another process."""
    return pipeline_from_data(json.loads(json.dumps(pipeline_as_data(pipeline), allow_nan=False)))


@some
@given(pipelines())
def test_random_blocks_compile_to_valid_ir_alike_in_both_forms_and_after_a_copy(written):
    pipeline = trace(written.handler(), name="p")

    package = compile_pipeline(pipeline, project=PROJECT)
    again = compile_pipeline(trace(written.handler(), name="p"), project=PROJECT)
    copy = compile_pipeline(copied(pipeline), project=PROJECT)
    as_data = pipeline_from_steps(written.steps, name="p", outputs=written.outputs)

    kfp_ir.check(package.pipeline_spec)
    assert package.to_yaml() == again.to_yaml() == copy.to_yaml()
    assert package.step_names == copy.step_names
    assert sorted(package.step_names.values()) == sorted(step.name for step in pipeline.steps)
    assert pipeline_as_data(copied(pipeline)) == pipeline_as_data(pipeline)
    # An argument that the steps do not use is one of the handler's signature only.
    without = {**package.pipeline_spec, "root": {**package.pipeline_spec["root"], "inputDefinitions": None}}
    declarative = compile_pipeline(as_data, project=PROJECT).pipeline_spec
    assert {**declarative, "root": {**declarative["root"], "inputDefinitions": None}} == without


@some
@given(pipelines(claims=True))
def test_random_blocks_with_claims_compile_to_valid_ir(written):
    package = compile_pipeline(trace(written.handler(), name="p"), project=PROJECT, collect_outputs=True)

    kfp_ir.check(package.pipeline_spec, package.platform_spec)
