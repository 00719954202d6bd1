"""Workflows: DigitalHub's ways to say where a handler is."""

import base64
import uuid
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.errors import SourceError, StepError
from airflow_kfp_runtime.project import Project, Workflow
from airflow_kfp_runtime.sources import Cache, Limits, Sources
from tests.http_server import HttpServer, file

CODE = """
from airflow_kfp_runtime.dsl import pipeline_context

def handler(n: int = 1):
    "What it is for."
    with pipeline_context() as pc:
        pc.step(name="a", function="f", inputs={"n": n})
"""
ENCODED = base64.b64encode(CODE.encode()).decode()


UUID = "2a5c9a4e-91d5-4f7c-9a34-0c7a4a1f2b3c"


def own_handler():
    """Have one step."""
    with pipeline_context() as pc:
        pc.step(name="a", function="f")


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
        {"handler": "pipeline:handler", "code_src": "pipeline.py", "code": "", "base64": None},
        {"handler": "flows.pipeline:handler", "code_src": "flows.zip"},
        {"handler": "flows.pipeline.handler", "code_src": "."},
        {"handler": "pipeline:handler", "code_src": "flows"},
        {
            "handler": "handler",
            "code": CODE,
            "kind": "kfp",
            "lang": "Python",
            "image": "i",
            "tag": "1",
            "uuid": UUID,
            "embedded": False,
            "labels": ["a"],
            "git_source": "https://h/r",
            "description": "",
        },
    ],
)
def test_every_form_of_a_source_loads_and_compiles(tmp_path, fields):
    (tmp_path / "pipeline.py").write_text(CODE)
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/pipeline.py").write_text(CODE)
    with zipfile.ZipFile(tmp_path / "flows.zip", "w") as archive:
        archive.write(tmp_path / "flows/pipeline.py", "flows/pipeline.py")
    project = Project("p")
    project.new_function("f", kind="container", image="i", command=["echo", "$(inputs.n)"])

    package = compile_handler(project.new_workflow("my work", **fields), sources=Sources((tmp_path,)))

    assert package.name == "my-work"
    assert package.pipeline_spec["pipelineInfo"]["description"] == "What it is for."
    assert package.parameters["n"]["defaultValue"] == 1


def test_code_wins_over_base64_and_that_over_an_address_and_that_over_git():
    given = {"code": "a", "base64": ENCODED, "code_src": "f.py", "git_source": "git://h/r"}
    seen = []
    while given:
        workflow = Workflow.new("w", handler="h", **given)
        seen.append((workflow.code, workflow.code_src, workflow.git_source))
        del given[next(iter(given))]

    assert seen == [
        ("a", None, "git://h/r"),
        (CODE, None, "git://h/r"),
        (None, "f.py", "git://h/r"),
        (None, None, "git://h/r"),
    ]


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("git+https://h/r#v1", "git+https://h/r#v1"),
        ("https://h:8443/r.git#v1", "git+https://h:8443/r.git#v1"),
        ("SSH://git@h/r", "git+SSH://git@h/r"),
        ("git://h/r", "git://h/r"),
    ],
)
def test_a_git_source_is_an_address_that_git_takes(written, address):
    assert Workflow.new("w", handler="h", git_source=written).git_source == address


def test_what_describes_a_workflow_is_kept():
    kept = {"uuid": UUID, "embedded": False, "lang": "python", "image": "i", "tag": "1", "description": "d"}
    workflow = Workflow.new("w", handler=own_handler, labels=["a", "b"], project="parking", **kept)

    assert {name: getattr(workflow, name) for name in kept} == kept
    assert workflow.labels == ("a", "b")
    assert (workflow.project, workflow.project_name) == (None, "parking")
    assert Workflow.new("w", handler=own_handler, uuid=uuid.UUID(UUID)).uuid == UUID


def test_a_function_is_its_own_source_and_is_called_here():
    workflow = Workflow.new("w", handler=own_handler)

    pipeline = workflow.pipeline(Sources(limits=Limits(handler_timeout=0.0)))

    assert (pipeline.name, pipeline.description) == ("w", "Have one step.")
    assert workflow.pipeline(Sources(), name="other").name == "other"
    assert Workflow.new("w", handler=own_handler, description="d").pipeline(Sources()).description == "d"


def test_the_description_of_a_workflow_wins_over_the_handlers():
    workflow = Workflow.new("w", handler="handler", code=CODE, description="Its own.")

    assert workflow.pipeline(Sources()).description == "Its own."


def test_the_log_says_which_version_of_an_address_was_fetched(tmp_path, caplog):
    server = HttpServer(answers={"/etl.py": file(CODE.encode())})
    caplog.set_level("INFO")

    workflow = Workflow.new("w", handler="handler", code_src=server.url("/etl.py?signature=secret"))
    workflow.pipeline(Sources(cache=Cache(tmp_path)))
    server.stop()

    assert f"workflow 'w', code_src: version {sha256(CODE.encode()).hexdigest()}" in caplog.messages
    assert "secret" not in caplog.text


def test_a_failure_says_which_workflow():
    workflow = Workflow.new("w", handler="handler", code="def other(): 0")

    with pytest.raises(
        SourceError, match="workflow 'w', handler 'handler': <code> has no function 'handler'"
    ):
        workflow.pipeline(Sources())
    with pytest.raises(SourceError, match=r"workflow 'w', code_src: there is no file or folder 'no\.py'"):
        Workflow.new("w", handler="h", code_src="no.py").pipeline(Sources())
    with pytest.raises(SourceError, match="workflow 'w', git_source: "):
        Workflow.new("w", handler="h", git_source="https://u:p@h/r").pipeline(Sources())


OWN_PROJECT = (
    CODE
    + """
from airflow_kfp_runtime.project import Project

project = Project("own")
project.new_function("f", kind="container", image="own-image", command=["echo", "$(inputs.n)"])
project.new_function("train", handler=lambda: 0)
"""
)


def test_the_project_of_the_handlers_module_is_used_where_no_other_has_the_function():
    project = Project("p")
    workflow = project.new_workflow("w", handler="handler", code=OWN_PROJECT)
    alone = Workflow.new("w", handler="handler", code=OWN_PROJECT)

    assert "own-image" in compile_handler(alone).to_yaml()
    assert "own-image" in compile_handler(workflow).to_yaml()
    project.new_function("f", kind="container", image="the-dags", command=["echo", "$(inputs.n)"])
    assert "own-image" not in compile_handler(workflow).to_yaml()


def test_a_function_that_is_nowhere_is_refused_as_ever():
    workflow = Workflow.new("w", handler="handler", code=OWN_PROJECT.replace('"f"', '"g"', 1))

    with pytest.raises(StepError, match="project 'own' has no function 'g'") as refused:
        compile_handler(workflow)
    assert refused.value.allowed == ("f", "train")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"kind": "dbt", "handler": own_handler},
            "workflow 'w', kind: 'dbt' is not the kind of a workflow. Allowed: kfp",
        ),
        ({}, "workflow 'w', handler: names no handler"),
        ({"code": CODE}, "workflow 'w', handler: names no handler"),
        (
            {"handler": "h"},
            "workflow 'w': has no source for its handler 'h'. Allowed: code, base64, code_src, git_source",
        ),
        ({"handler": "", "code": CODE}, "workflow 'w', handler: names no handler"),
        (
            {"handler": own_handler, "code": CODE},
            "workflow 'w', handler: is a function already, so code has no",
        ),
        (
            {"handler": own_handler, "git_source": "git://h/r"},
            "workflow 'w', handler: is a function already, so git_source has no meaning; give one of them",
        ),
        ({"handler": 5, "code": CODE}, "workflow 'w', handler: 5 is not a text"),
        ({"handler": "h", "code": b"x"}, "workflow 'w', code: b'x' is not a text"),
        ({"handler": "h", "code_src": 5}, "workflow 'w', code_src: 5 is not a text"),
        ({"handler": "h", "code": CODE, "image": 5}, "workflow 'w', image: 5 is not a text"),
        ({"handler": "h", "code": CODE, "description": []}, "workflow 'w', description: [] is not a text"),
        (
            {"handler": "h", "code": CODE, "lang": "java"},
            "workflow 'w', lang: 'java' is not possible. Allowed: ",
        ),
        (
            {"source": {"code": CODE, "handler": "h", "lang": "R"}},
            "lang: 'R' is not possible. Allowed: python",
        ),
        ({"handler": "h", "code": CODE, "uuid": "12"}, "workflow 'w', uuid: '12' is not a UUID. Allowed: 32"),
        ({"handler": "h", "code": CODE, "labels": "a"}, "workflow 'w', labels: 'a' is not a list of texts"),
        ({"handler": "h", "code": CODE, "labels": [1]}, "workflow 'w', labels: [1] is not a list of texts"),
        ({"handler": "h", "code": CODE, "embedded": "yes"}, "embedded: 'yes' is neither true nor false"),
        (
            {"handler": "h", "git_source": "../etl"},
            "workflow 'w', git_source: '../etl' is not the address of a git repository. Allowed: git+https://",
        ),
        (
            {"handler": "h", "git_source": "ftp://ann:secret@host/etl"},
            "workflow 'w', git_source: 'ftp://***@host/etl' is not the address of a git repository",
        ),
        ({"handler": "h", "git_source": "git@host:team/etl"}, "Allowed: git+ssh://git@host/team/etl"),
        (
            {"handler": "h", "source": {"handler": "g", "code": CODE}},
            "workflow 'w', source['handler']: is another handler than the workflow's own; give one",
        ),
        (
            {"handler": "h", "code_src": "a.py", "source": "b.py"},
            "workflow 'w', source: is another code_src than the workflow's own; give one",
        ),
        ({"source": {"handler": "h", "code": 5}}, "workflow 'w', code: 5 is not a text"),
        ({"handler": "h", "base64": "ä"}, "workflow 'w', base64: "),
        ({"handler": "h", "base64": "/w=="}, "workflow 'w', base64: is not base64 of UTF-8 text"),
        (
            {"source": {"sorce": "f.py"}},
            "workflow 'w', source['sorce']: is unknown. Allowed: source, handler",
        ),
        ({"source": {5: "f.py", "a": 1}}, "workflow 'w', source[5]: is unknown"),
        (
            {"handler": "h", "code": "", "code_scr": "f.py"},
            "workflow 'w', code_scr: is not a field of a workflow. Allowed: code_src",
        ),
        (
            {"handler": "h", "schedule": "@daily"},
            "Allowed: handler, code, base64, code_src, git_source, source",
        ),
    ],
)
def test_a_wrong_workflow_is_refused_with_its_place(fields, expected):
    with pytest.raises(SourceError) as caught:
        Workflow.new("w", **fields)

    assert expected in str(caught.value)
