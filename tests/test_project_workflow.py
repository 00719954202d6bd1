"""Workflows: DigitalHub's ways to say where a handler is."""

import base64
from pathlib import Path

import pytest

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.project import Project, Workflow

CODE = """
from airflow_kfp_runtime.dsl import pipeline_context

def handler(n: int = 1):
    "What it is for."
    with pipeline_context() as pc:
        pc.step(name="a", function="f", inputs={"n": n})
"""
ENCODED = base64.b64encode(CODE.encode()).decode()


def own_handler():
    """Do nothing."""


@pytest.mark.parametrize(
    "fields",
    [
        {"handler": "handler", "code": CODE},
        {"handler": "handler", "base64": ENCODED},
        {"handler": "handler", "code_src": "pipeline.py"},
        {"handler": "handler", "code_src": Path("pipeline.py")},
        {"handler": "handler", "source": "pipeline.py"},
        {"source": {"source": "pipeline.py", "handler": "handler", "lang": "python"}},
        {"source": {"code": CODE, "handler": "handler"}},
        {"source": {"base64": ENCODED, "handler": "handler"}},
    ],
)
def test_every_form_of_a_source_loads_and_compiles(tmp_path, fields):
    (tmp_path / "pipeline.py").write_text(CODE)
    project = Project("p")
    project.new_function("f", kind="container", image="i", command=["echo", "$(inputs.n)"])

    package = compile_handler(project.new_workflow("my work", **fields), folder=tmp_path)

    assert package.name == "my-work"
    assert package.pipeline_spec["pipelineInfo"]["description"] == "What it is for."
    assert package.parameters["n"]["defaultValue"] == 1


def test_code_wins_over_base64_and_that_over_a_file():
    everything = Workflow.new("w", handler="h", code="a", base64=ENCODED, code_src="f.py")
    encoded = Workflow.new("w", handler="h", base64=ENCODED, code_src="f.py")

    assert (everything.code, everything.code_src) == ("a", None)
    assert (encoded.code, encoded.code_src) == (CODE, None)


def test_a_function_is_its_own_source():
    workflow = Workflow.new("w", handler=own_handler, description="d", labels=["a", "b"])

    assert workflow.load_handler() is own_handler
    assert (workflow.description, workflow.labels) == ("d", ("a", "b"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"kind": "dbt", "handler": own_handler},
            "workflow 'w', kind: 'dbt' is not the kind of a workflow. Allowed: kfp",
        ),
        ({}, "workflow 'w', handler: names no handler"),
        ({"code": CODE}, "workflow 'w', handler: names no handler"),
        ({"handler": "h"}, "workflow 'w': has no source. Allowed: code_src, code, base64"),
        ({"handler": own_handler, "code": CODE}, "workflow 'w', handler: is a function already"),
        ({"handler": "h", "base64": "ä"}, "workflow 'w', base64: "),
        ({"handler": "h", "base64": "/w=="}, "workflow 'w', base64: is not base64 of UTF-8 text"),
        (
            {"source": {"sorce": "f.py"}},
            "workflow 'w', source['sorce']: is unknown. Allowed: source, handler",
        ),
        ({"source": {5: "f.py", "a": 1}}, "workflow 'w', source[5]: is unknown"),
        (
            {"handler": "h", "code": "", "code_scr": "f.py"},
            "workflow 'w', code_scr: is unknown or has no meaning",
        ),
        ({"handler": "h", "code_scr": "f.py"}, "Allowed: handler, kind, code_src, code"),
    ],
)
def test_a_wrong_workflow_is_refused_with_its_place(fields, expected):
    with pytest.raises(SourceError) as caught:
        Workflow.new("w", **fields)

    assert expected in str(caught.value)
