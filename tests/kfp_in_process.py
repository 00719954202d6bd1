"""Runs in an environment with the kfp SDK and this package: what its functions compile to in process."""

import json
import sys

import kfp_sdk_source

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.project import Project

ARGUMENTS = {"add": {"a": 1}, "write": {"text": "t", "lines": 2}, "written_twice": {"text": "t"}}

project = Project("p")
for name in ARGUMENTS:
    project.new_function(name, kind="kfp", handler=getattr(kfp_sdk_source, name))


def compiled(function):
    def handler():
        with pipeline_context() as pc:
            pc.step(name="run", function=function, inputs=ARGUMENTS[function])

    return compile_handler(handler, project=project).pipeline_spec


json.dump({name: compiled(name) for name in ARGUMENTS}, sys.stdout)
