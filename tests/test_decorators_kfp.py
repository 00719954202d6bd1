"""``@task.kfp_pipeline``: the function is the handler, the arguments of its call are the pipeline's."""

from __future__ import annotations

import uuid

import pytest
from airflow.sdk import DAG, task

from airflow_kfp_runtime.decorators.kfp import kfp_pipeline_task
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.errors import ArgumentError, DefinitionError
from airflow_kfp_runtime.project import Project

PROJECT = Project("tests")
PROJECT.new_function(
    "multiply",
    kind="python",
    code="def multiply(a: int, b: int) -> int:\n    return a * b",
    handler="multiply",
)


def squared(a: int, b: int = 3):
    with pipeline_context() as pc:
        pc.step("multiply_them", function="multiply", inputs={"a": a, "b": b}, values=["product"])


@pytest.fixture
def dag():
    return DAG(f"dag-{uuid.uuid4().hex[:8]}", schedule=None)


def test_it_is_found_under_task_and_runs_with_what_other_tasks_give(dag, run_dag, kfp_client):
    @task
    def seven() -> int:
        return 7

    @task
    def product(outputs: dict) -> int:
        return outputs["multiply_them"]["product"]

    with dag:
        pipeline = task.kfp_pipeline(squared, project=PROJECT, poll_interval=0.1, deferrable=True)
        product(pipeline(seven(), b=6))

    result = run_dag(dag)

    assert result.states == {"seven": "success", "squared": "success", "product": "success"}, result.errors
    assert result.xcom("product") == 42


def test_it_maps_over_the_arguments_of_the_call(dag, run_dag, kfp_client):
    with dag:
        kfp_pipeline_task(squared, project=PROJECT, poll_interval=0.1).partial(b=10).expand(a=[1, 2])

    result = run_dag(dag)

    products = [result.xcom("squared", map_index=index)["multiply_them"]["product"] for index in (0, 1)]
    assert products == [10, 20], result.errors


def test_the_arguments_of_the_call_may_be_templates(dag, run_dag, kfp_client):
    dag.render_template_as_native_obj = True
    dag.params = {"a": 5}
    with dag:
        kfp_pipeline_task(squared, project=PROJECT, poll_interval=0.1)("{{ params.a }}")

    result = run_dag(dag)

    assert result.xcom("squared")["multiply_them"]["product"] == 15, result.errors


def test_an_argument_of_another_type_fails_the_task_before_anything_is_sent(dag, run_dag, kfp_client):
    with dag:
        kfp_pipeline_task(squared, project=PROJECT)("many")

    assert isinstance(run_dag(dag).errors["squared"], ArgumentError)


def test_a_call_that_does_not_fit_the_handler_is_refused_when_the_dag_is_parsed(dag):
    with dag, pytest.raises(TypeError, match="missing a required argument: 'a'"):
        kfp_pipeline_task(squared, project=PROJECT)()


@pytest.mark.parametrize("name", ["workflow", "steps", "pipeline", "arguments"])
def test_the_pipeline_and_its_arguments_cannot_be_given_twice(dag, name):
    with dag, pytest.raises(DefinitionError, match=f"@task.kfp_pipeline, {name}: cannot be given"):
        kfp_pipeline_task(squared, **{name: {}})(1)
