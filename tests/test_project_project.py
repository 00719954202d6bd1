"""Projects: functions and workflows by name."""

import pytest

from airflow_kfp_runtime.errors import DefinitionError, FunctionError, SourceError
from airflow_kfp_runtime.project import Project, new_function


def test_a_project_finds_what_was_added_and_the_last_of_a_name_wins():
    project = Project("p")
    project.new_function("f", kind="container", image="old", command=["true"])
    function = project.new_function("f", kind="container", image="new", command=["true"])

    assert project.function("f") is function
    assert (function.name, function.kind.name, function.specification.image) == ("f", "container", "new")


def test_the_kind_is_python_unless_another_is_named():
    assert new_function("f", code="def f(): pass", handler="f").kind.name == "python"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "pyhton"}, "function 'f', kind: 'pyhton' is not a kind of function. Allowed: "),
        (
            {"kind": "dbt"},
            "is registered there. Allowed: kind 'digitalhub' with function_kind 'dbt'",
        ),
        ({"kind": "container", "command": ["a"]}, "function 'f', image: is missing"),
        (
            {"kind": "container", "image": "i", "command": ["a"], "comand": 1},
            "function 'f', comand: is not a field of this kind. Allowed: command",
        ),
        ({"handle": print}, "function 'f', handle: is not a field of this kind. Allowed: handler"),
        (
            {"kind": "container", "xyz": 1},
            "function 'f', xyz: is not a field of this kind. Allowed: args, command, env, image",
        ),
        ({"handler": print, "base_imag": "i"}, "base_imag: is not a field of this kind. Allowed: base_image"),
        ({"handler": print, "code_scr": "i"}, "code_scr: is not a field of this kind. Allowed: code_src"),
        (
            {"handler": print, "xyz": "i"},
            "Allowed: base64, base_image, code, code_src, fetch, handler, image, python_version, ",
        ),
        ({"handler": 5, "code": "x"}, "function 'f', handler: is 5, not a function or a text"),
        (
            {"kind": "container", "image": "i", "command": [5]},
            "function 'f', command[0]: is 5, not a text or a mapping",
        ),
        (
            {"kind": "container", "image": "i", "command": ["a"], "labels": "x"},
            "function 'f', labels: 'x' is not a list of texts",
        ),
        (
            {"handler": print, "requirements": "pandas"},
            "function 'f', requirements: 'pandas' is a text, not a list: write [\"pandas\"]",
        ),
        (
            {"handler": print, "requirements": [5]},
            "function 'f', requirements[0]: is 5, not a text: put it in quotes",
        ),
        (
            {"kind": "container", "image": "i"},
            "function 'f', command: is empty: KFP starts the program itself",
        ),
        (
            {"kind": "container", "image": 5, "command": ["a"]},
            "function 'f', image: is 5, not a text: put it in quotes",
        ),
    ],
)
def test_a_wrong_function_names_field_and_what_is_allowed(fields, expected):
    with pytest.raises(FunctionError) as caught:
        Project("p").new_function("f", **fields)

    assert expected in str(caught.value)


def test_an_unknown_function_is_refused_with_those_there_are():
    project = Project("p")
    with pytest.raises(FunctionError) as empty:
        project.function("f")
    project.new_function("g", kind="container", image="i", command=["true"])
    with pytest.raises(FunctionError) as other:
        project.function("f")

    assert str(empty.value) == (
        "function: project 'p' has no function 'f'. Allowed: none: add it with project.new_function()"
    )
    assert str(other.value) == "function: project 'p' has no function 'f'. Allowed: g"


def test_a_workflow_belongs_to_its_project():
    project = Project("p")
    workflow = project.new_workflow(
        name="workflow", kind="kfp", source={"source": "pipeline.py", "handler": "handler"}
    )

    assert project.workflows == {"workflow": workflow}
    assert workflow.project is project
    assert (workflow.code_src, workflow.handler) == ("pipeline.py", "handler")


def test_a_workflow_without_a_source_is_refused():
    with pytest.raises(SourceError, match=r"workflow 'w': has no source"):
        Project("p").new_workflow("w", handler="handler")


def test_a_project_holds_settings_and_connections():
    project = Project("p", settings={"timeout": 5}, connections={"kfp": "a"})

    assert (project.settings.timeout, project.connections) == (5, {"kfp": "a"})
    assert Project("q", settings=project.settings).settings == project.settings
    assert (Project("q").settings, Project("q").connections, repr(Project("q"))) == (None, {}, "Project('q')")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"settings": {"timeut": 5}}, "project 'p', settings.timeut: is unknown. Allowed: timeout"),
        ({"settings": [1]}, "project 'p', settings: [1] is not a mapping"),
        ({"connections": {"gti": "a"}}, "project 'p', connections.gti: is unknown. Allowed: git"),
        ({"connections": {"git": 5}}, "project 'p', connections.git: 5 is not the id of a connection"),
        ({"connections": "a"}, "project 'p', connections: 'a' is not a mapping"),
    ],
)
def test_a_wrong_project_is_refused(fields, expected):
    with pytest.raises(DefinitionError) as caught:
        Project("p", **fields)

    assert str(caught.value) == expected
