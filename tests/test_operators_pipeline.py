"""What a task knows of a pipeline that was compiled before."""

from __future__ import annotations

from airflow_kfp_runtime.compiler import PipelinePackage, compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.operators.pipeline import step_names_of
from airflow_kfp_runtime.project import Project

#: A pipeline with a task that only imports an artifact.
IMPORTING = {
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.0",
    "pipelineInfo": {"name": "importing"},
    "root": {
        "dag": {"tasks": {"load": {"componentRef": {"name": "comp-load"}, "taskInfo": {"name": "load"}}}}
    },
    "components": {
        "comp-load": {
            "executorLabel": "exec-load",
            "outputDefinitions": {
                "artifacts": {
                    "table": {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
                }
            },
        }
    },
    "deploymentSpec": {
        "executors": {
            "exec-load": {
                "importer": {
                    "artifactUri": {"constant": "s3://bucket/table"},
                    "typeSchema": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"},
                }
            }
        }
    },
}

CLAIM = {"volume_type": "persistent_volume_claim", "name": "v", "mount_path": "/v", "spec": {"size": "1Gi"}}


def project() -> Project:
    made = Project("p")
    made.new_function("f", kind="container", image="i", command=["echo"])

    def inner():
        with pipeline_context() as pc:
            with pc.for_each([1, 2]):
                pc.step("one", function="f")
            pc.step("two", function="f")

    made.new_workflow("inner", handler=inner)
    made.new_function("import", kind="component", spec=IMPORTING)
    return made


def handler():
    with pipeline_context() as pc:
        last = pc.step("last", function="f")
        with pc.on_exit(last):
            first = pc.step("first", workflow="inner")
            pc.step("second", workflow="inner").after(first)
            pc.step("one", function="f", volumes=[CLAIM])


def test_a_package_that_was_loaded_has_the_same_steps_at_the_same_places():
    package = compile_handler(handler, project=project())

    assert package.step_names
    assert step_names_of(PipelinePackage.load(package.to_yaml())) == package.step_names


def test_an_importer_in_a_package_that_was_loaded_is_a_step():
    def importing():
        with pipeline_context() as pc:
            pc.step("part", function="import")

    package = compile_handler(importing, project=project())

    assert step_names_of(PipelinePackage.load(package.to_yaml())) == {
        "part": "part",
        "part/load": "part/load",
    }
