"""Templates in projects: what is rendered, when it is checked, and what is said about it."""

from __future__ import annotations

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.compiler import compile_pipeline, compile_steps
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.dsl.pipeline import trace
from airflow_kfp_runtime.errors import DefinitionError, FunctionError, SettingError, SourceError, StepError
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.project.templates import has_template, rendered
from airflow_kfp_runtime.project.written import WrittenPipeline

VALUES = {
    "image": "alpine:3",
    "team": "city",
    "seconds": 600,
    "version": "2.1",
    "tag": "v1",
    "folder": "flows",
    "server": "kfp_test",
    "wrong": "a b",
}


def render(text: str) -> str:
    return jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text).render(VALUES)


def render_natively(text: str) -> object:
    from jinja2.nativetypes import NativeEnvironment

    return NativeEnvironment(undefined=jinja2.StrictUndefined).from_string(text).render(VALUES)


plain = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from("ab {%$}")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
)


@given(plain)
def test_what_has_no_template_is_the_same_object(value):
    seen = []

    assert (rendered(value, lambda text: seen.append(text) or "") is value) == (not has_template(value))
    assert bool(seen) == has_template(value)
    assert all(("{{" in text or "{%" in text) and "{{$" not in text for text in seen)


@pytest.fixture
def load(tmp_path):
    def loaded(text: str) -> Project:
        (tmp_path / "project.yaml").write_text(text)
        return Project.load(tmp_path / "project.yaml")

    return loaded


def test_a_project_without_templates_is_itself(load):
    project = load("""
name: p
functions:
  f: {handler: f, code: "def f(): return '{{ not_mine }}'"}
  g: {kind: container, image: i, command: [a, "{{$.inputs.parameters['x']}}"]}
""")

    assert project.rendered(render) is project


TEMPLATED = """
name: p
connections: {kfp: "{{ server }}"}
settings:
  labels: {team: "{{ team }}"}
  timeout: "{{ seconds }}"
functions:
  f:
    kind: container
    image: "{{ image }}"
    command: [sh, "{% if team %}yes{% endif %}", "{{$.inputs.parameters['x']}}"]
    settings: {retries: "{{ seconds }}"}
  g:
    handler: f
    code: "def f(): return '{{ team }}'"
    requirements: ["pandas=={{ version }}"]
  h: {handler: f, code: x}
workflows:
  w: {code_src: "{{ folder }}/etl.py", handler: pipeline, description: "{{ team }}"}
  fetched: {code_src: "git+https://git.example.org/etl.git#{{ tag }}", handler: "m:f"}
"""


def test_all_texts_but_code_are_rendered(load, tmp_path):
    written = load(TEMPLATED)

    project = written.rendered(render_natively)

    assert project.connections == {"kfp": "kfp_test"}
    assert (project.settings.labels, project.settings.timeout) == ({"team": "city"}, 600)
    function = project.function("f")
    assert function.specification.image == "alpine:3"
    assert function.specification.command == ("sh", "yes", "{{$.inputs.parameters['x']}}")
    assert function.settings.retries.count == 600
    assert project.function("g").specification.requirements == ("pandas==2.1",)
    assert project.function("g").specification.code == "def f(): return '{{ team }}'"
    assert project.function("h") is written.function("h")
    assert project.workflow("w").code_src == str(tmp_path / "flows/etl.py")
    assert project.workflow("w").description == "city"
    assert project.workflow("fetched").code_src == "git+https://git.example.org/etl.git#v1"
    assert {workflow.project for workflow in project.workflows.values()} == {project}


def test_rendering_leaves_the_project_as_it_was_for_the_next_run(load):
    project = load(TEMPLATED)
    runs = [{**VALUES, "team": "one"}, {**VALUES, "team": "two"}]

    def labels(values):
        def render(text):
            return render_natively(text) if "team" not in text else values["team"]

        return project.rendered(render).settings.labels["team"]

    assert [labels(values) for values in runs] == ["one", "two"]


def test_a_part_that_waits_for_its_template_cannot_be_used_before(load):
    project = load(TEMPLATED)

    with pytest.raises(FunctionError, match=r"yaml:16:5: function 'g', requirements: .*Project.rendered"):
        project.function("g")
    with pytest.raises(SettingError, match=r"yaml:5:12: project 'p', settings.labels.team: .*rendered"):
        compile_steps([{"name": "s", "function": "h"}], name="n", project=project)


def test_what_is_wrong_beside_a_template_is_wrong_at_once(load):
    with pytest.raises(DefinitionError) as caught:
        load("""\
name: p
functions:
  f: {kind: container, image: "{{ image }}", command: [a], xyz: 1}
  g: {handler: f, code: x, requirements: ["{{ a }}", 5]}
  h: {handler: f, code: x, settings: {timeout: "{{ seconds }}", labels: {team: 5}}}
""")

    lines = str(caught.value).splitlines()[1:]
    assert [line.split("project.yaml")[1].split(" is ")[0] for line in lines] == [
        ":3:60: function 'f', xyz:",
        ":4:54: function 'g', requirements[1]:",
        ":5:74: function 'h', settings.labels.team:",
    ]


@pytest.mark.parametrize(
    ("text", "error", "expected"),
    [
        (
            'name: p\nfunctions:\n  f:\n    handler: f\n    code: x\n    requirements: ["{{ wrong }}"]\n',
            FunctionError,
            ":6:5: function 'f', requirements: 'a b' is not a requirement",
        ),
        (
            'name: p\nfunctions:\n  f:\n    handler: f\n    code: x\n    settings: {timeout: "{{ tag }}"}\n',
            SettingError,
            ":6:16: function 'f', settings.timeout: is the text 'v1', not a whole number",
        ),
        (
            'name: p\nsettings:\n  labels: {"team": "{{ wrong }}"}\n',
            SettingError,
            ":3:12: project 'p', settings.labels.team: ",
        ),
        (
            'name: p\nworkflows:\n  w: {handler: f, git_source: "{{ wrong }}"}\n',
            SourceError,
            ":3:19: workflow 'w', git_source: 'a b' is not the address of a git repository",
        ),
        (
            'name: p\nconnections: {kfp: "{{ nothing }}"}\n',
            DefinitionError,
            ":2:15: project 'p', connections.kfp: '' is not the id of a connection",
        ),
    ],
)
def test_what_a_template_gives_is_checked_with_its_place(load, tmp_path, text, error, expected):
    project = load(text)

    def use():
        found = project.rendered(lambda text: "" if "nothing" in text else render(text))
        if "workflows" in text:
            return found.workflow("w")
        return found.function("f") if "functions" in text else (found.connections, found.settings)

    with pytest.raises(DefinitionError) as caught:
        use()

    assert str(caught.value).startswith(f"{tmp_path / 'project.yaml'}{expected}")
    assert type(caught.value) is error


def test_all_that_templates_give_for_all_steps_is_listed(load):
    project = load("""
name: p
connections: {kfp: "{{ empty }}", git: "{{ empty }}"}
settings: {labels: {team: "{{ wrong }}"}}
""").rendered(lambda text: "" if "empty" in text else render(text))

    with pytest.raises(DefinitionError, match=r"project 'p' has 2 problems:\n.*:3:15: .*\n.*:3:35: "):
        _ = project.connections
    with pytest.raises(SettingError, match=r":4:21: project 'p', settings.labels.team: "):
        _ = project.settings


def test_a_template_that_fails_hinders_those_alone_who_use_it(load):
    project = load("""
name: p
functions:
  f: {kind: container, image: "{{ gone }}", command: [a]}
  g: {kind: container, image: "{{ image }}", command: [a]}
workflows:
  w: {code_src: "{{ gone }}/etl.py", handler: f}
  v: {code_src: "{{ folder }}/etl.py", handler: f}
""").rendered(render)

    package = compile_steps([{"name": "s", "function": "g"}], name="n", project=project)

    [executor] = package.pipeline_spec["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"] == "alpine:3"
    assert project.workflow("v").project is project
    with pytest.raises(StepError, match=r"step 's', function: .*function 'f', image: .*'gone' is undefined"):
        compile_steps([{"name": "s", "function": "f"}], name="n", project=project)
    with pytest.raises(DefinitionError, match=r":7:7: workflow 'w', code_src: .*'gone' is undefined"):
        project.workflow("w")


def test_a_function_whose_template_fails_is_not_taken_from_elsewhere(load):
    project = load("name: p\nfunctions:\n  f: {kind: container, image: '{{ gone }}', command: [a]}\n")
    project = project.rendered(render)
    own = Project("own")
    own.new_function("f", kind="container", image="i", command=["a"])

    def handler():
        with pipeline_context() as pc:
            pc.step("s", function="f")

    pipeline = WrittenPipeline(trace(handler), (own,)).completed(project)

    with pytest.raises(DefinitionError, match="'gone' is undefined"):
        compile_pipeline(pipeline, project=project)


def test_templates_that_cannot_be_filled_in_are_told_with_their_places(load, tmp_path):
    project = load("""
name: p
functions:
  f: {kind: container, image: i, command: [a, "{{ gone }}"]}
  g: {kind: container, image: i, command: [a], settings: {labels: {team: "{{ 1 / 0 }}"}}}
""")

    def problem(function):
        with pytest.raises(DefinitionError) as caught:
            project.rendered(render).function(function)
        return str(caught.value)

    assert problem("f").startswith(f"{tmp_path / 'project.yaml'}:4:")
    assert problem("f").endswith(
        "function 'f', command[1]: its template cannot be filled in: UndefinedError: 'gone' is undefined"
    )
    assert problem("g").startswith(f"{tmp_path / 'project.yaml'}:5:")
    assert "function 'g', settings.labels.team: its template cannot be filled in: ZeroDivision" in problem(
        "g"
    )


def test_templates_of_what_is_for_all_steps_are_told_with_their_places(load, tmp_path):
    project = load("""\
name: p
connections: {kfp: "{{ gone }}"}
settings:
  labels: {team: "{{ gone }}"}
""").rendered(render)
    problem = "its template cannot be filled in: UndefinedError: 'gone' is undefined"

    with pytest.raises(DefinitionError) as of_connections:
        _ = project.connections
    with pytest.raises(DefinitionError) as of_settings:
        _ = project.settings

    file = tmp_path / "project.yaml"
    assert str(of_connections.value) == f"{file}:2:15: project 'p', connections.kfp: {problem}"
    assert str(of_settings.value) == f"{file}:4:12: project 'p', settings.labels.team: {problem}"


def test_a_project_in_python_has_templates_as_well():
    project = Project("p", settings={"labels": {"team": "{{ team }}"}}, connections={"kfp": "{{ server }}"})
    function = project.new_function("f", kind="container", image="{{ image }}", command=["a"])
    other = project.new_function("g", kind="container", image="i", command=["a"])
    project.new_workflow("w", handler=render, description="{{ team }}")

    found = project.rendered(render)

    assert (function.specification.image, found.function("f").specification.image) == (
        "{{ image }}",
        "alpine:3",
    )
    assert found.function("g") is other
    assert (found.settings.labels, found.connections) == ({"team": "city"}, {"kfp": "kfp_test"})
    assert (found.workflow("w").handler, found.workflow("w").description) == (render, "city")
    assert found.workflow("w").project is found
