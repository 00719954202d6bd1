"""Projects, functions and workflows as DigitalHub exports them; the ids in the fixtures are made up."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.project import Project

EXPORTS = Path(__file__).parent / "digitalhub_exports"
ID = "0000000000004000800000000000000"


@pytest.fixture
def project():
    return Project.load(EXPORTS)


def test_the_project_has_all_functions_and_workflows_whole_or_referred_to(project):
    assert (project.name, project.description) == ("parking", "Free places over time")
    kinds = {
        name: (function.kind.name, *function.reference_kinds) for name, function in project.functions.items()
    }
    assert kinds == {
        "downloader": ("python", "python"),
        "convert": ("container", "container"),
        "served": ("digitalhub", "container", "digitalhub"),
        "department": ("digitalhub", "dbt", "digitalhub"),
        "aggregate": ("python", "python"),
        "forecast": ("digitalhub", "sklearnserve", "digitalhub"),
    }
    assert list(project.workflows) == ["etl", "nightly"]


def test_a_python_function_has_its_source_image_and_requirements(project):
    function = project.function(f"store://parking/function/python/downloader:{ID}1")

    specification = function.specification
    assert (specification.handler, specification.source, specification.code) == ("download", None, None)
    assert specification.base64.startswith("ZGVm")
    assert (specification.image, specification.requirements) == ("python:3.11-slim", ("pandas>=2",))
    assert (function.labels, function.uuid) == (("io",), f"{ID}1")


def test_a_function_in_a_file_of_its_own_has_the_settings_of_its_task(project):
    function = project.function("aggregate")

    assert function.description == "Means by hour"
    assert function.specification.code.startswith("def aggregate")
    assert function.specification.image == "ghcr.io/example/aggregate:1"
    assert function.specification.requirements == ("pandas>=2", "numpy")
    assert (function.settings.resources.cpu_request, function.settings.resources.memory_request) == (
        "2",
        "4Gi",
    )
    assert list(function.settings.envs) == ["LEVEL"]


def test_a_container_has_its_command_and_pull_policy(project):
    function = project.function("convert")

    assert function.specification.command == ("convert",)
    assert function.specification.args == ("--fast",)
    assert function.settings.image_pull_policy == "Always"


def test_what_only_the_platform_runs_is_named_as_it_is_there(project):
    specification = project.function("department").specification

    assert (specification.project, specification.function) == ("parking", "department")
    assert (specification.function_kind, specification.id) == ("dbt", f"{ID}4")


def test_a_workflow_has_its_source_and_fields(project):
    workflow = project.workflow(f"store://parking/workflow/kfp/etl:{ID}7")

    assert (workflow.code_src, workflow.handler) == (str(EXPORTS / "flows/etl.py"), "pipeline")
    assert (workflow.image, workflow.tag, workflow.description) == ("ghcr.io/example/kfp:1", "1", "All of it")
    assert project.workflow("nightly").code == "def pipeline():\n    pass\n"


@pytest.mark.parametrize(
    ("file", "functions", "workflows"),
    [
        (f"functions-{ID}5.yaml", ["aggregate"], []),
        ("functions/forecast.yml", ["forecast"], []),
        ("workflows/kfp-nightly.yaml", [], ["nightly"]),
    ],
)
def test_a_function_or_workflow_by_itself_is_a_project_with_only_that(file, functions, workflows):
    project = Project.load(EXPORTS / file)

    assert project.name == "parking"
    assert (list(project.functions), list(project.workflows)) == (functions, workflows)


def test_an_exported_function_may_stand_in_a_file_of_this_packages_form(tmp_path):
    (tmp_path / "project.yaml").write_text("""
name: p
functions:
  - kind: python
    metadata: {name: f}
    spec: {source: {code: "def f(): pass", handler: f}, python_version: PYTHON3_12}
  - {name: g, handler: g, code: x}
""")

    assert list(Project.load(tmp_path).functions) == ["f", "g"]


def test_a_reference_does_not_lead_out_of_the_folder(tmp_path):
    shutil.copy(EXPORTS / f"functions-{ID}5.yaml", tmp_path / "outside.yaml")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "projects-p.yaml").write_text("""
kind: project
metadata: {name: p}
spec:
  functions:
    - {kind: python, name: aggregate, metadata: {ref: ../outside.yaml}}
""")

    with pytest.raises(DefinitionError, match=r"yaml:6:7: function 'aggregate': is not embedded, and no"):
        Project.load(inside)


HEAD = "kind: project\nmetadata: {name: p}\nspec:\n  functions:\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: project\nspec: {}\n", ":1:1: metadata.name: is missing"),
        (
            "kind: project\nmetadata: {name: p}\nspec:\n  fucntions: []\n",
            ":4:3: spec.fucntions: is unknown. Allowed: functions",
        ),
        (
            HEAD + "    - {kind: python, name: f, metadata: {}}\n",
            ":5:7: function 'f': is not embedded, and no file in 'here' holds it. Allowed: `spec` here, ",
        ),
        (HEAD + "    - {kind: python, metadata: {}, spec: {}}\n", ":5:7: spec.functions[0].name: is missing"),
        (
            HEAD + "    - {kind: python, name: f, spec: {source: {code: x, handler: f, sorce: y}}}\n",
            ":5:68: function 'f', spec.source.sorce: is not a field that is known of DigitalHub",
        ),
        (
            HEAD + "    - {kind: python, name: f, spec: {source: {code: x, handler: f}, surprise: y}}\n",
            ":5:69: function 'f', spec.surprise: is not a field that is known of DigitalHub; leave it out",
        ),
        (
            HEAD + "    - {kind: python, name: f, spec: {source: {code: x, handler: f}}, other: 1}\n",
            ":5:70: function 'f', other: is not a field that is known of DigitalHub; leave it out",
        ),
        (
            HEAD + "    - {kind: python, name: f, spec: {source: {code: x}}}\n",
            ":5:7: function 'f', handler: is missing",
        ),
        (
            HEAD
            + "    - {kind: python, name: f, spec: {source: {code: x, handler: f}, python_version: 2.7}}\n",
            ":5:7: function 'f': python_version: 2.7 is not a version",
        ),
        (HEAD + "    - {kind: python, name: f, spec: 5}\n", ":5:31: function 'f', spec: is not a mapping"),
        (
            "kind: kfp\nname: w\nspec: {source: {code: x}}\n",
            ":1:1: workflow 'w', handler: names no handler",
        ),
        (
            "kind: project\nname: p\nspec:\n  workflows:\n    - {kind: hera, name: w, spec: {}}\n",
            ":5:8: workflow 'w', kind: 'hera' is not the kind of a workflow. Allowed: kfp",
        ),
    ],
)
def test_what_is_wrong_in_an_export_has_its_line_and_column(tmp_path, text, expected):
    file = tmp_path / "here" / "project.yaml"
    file.parent.mkdir()
    file.write_text(text)

    with pytest.raises(DefinitionError) as caught:
        Project.load(file)

    assert f"{file}{expected}" in str(caught.value)
