"""Projects from files of this package's own form."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
import re
import textwrap
from pathlib import Path

import pytest

from airflow_kfp_runtime.compiler import compile_handler, compile_steps
from airflow_kfp_runtime.errors import DefinitionError, FunctionError, SettingError, SourceError
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.sources import Sources

PROJECT = """
name: parking
description: Where cars may stand.
connections: {kfp: kfp_production, digitalhub: platform}
settings:
  labels: {team: city}
  resources: {mem: 1Gi}
functions:
  download:
    kind: python
    source: src/download.py
    handler: download
    python_version: "3.12"
    description: Gets the list.
    uuid: 00000000-0000-4000-8000-000000000001
  count:
    kind: container
    image: alpine:3
    command: [sh, -c, 'wc -l "$1" > "$2"', sh, $(inputs.table), $(outputs.lines)]
    settings: {resources: {mem: 2Gi}}
workflows:
  etl:
    code_src: flows/etl.py
    handler: pipeline
"""

DOWNLOAD = "def download(url: str) -> str:\n    return url\n"

ETL = """
from airflow_kfp_runtime.dsl import pipeline_context
from steps import first

def pipeline(url: str):
    with pipeline_context() as pc:
        first(pc, url)
"""

STEPS = """
def first(pc, url):
    pc.step(name="get", function="download", inputs={"url": url})
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(
        tmp_path / "parking",
        {
            "project.yaml": PROJECT,
            "src/download.py": DOWNLOAD,
            "flows/etl.py": ETL,
            "flows/steps.py": STEPS,
        },
    )


def test_a_file_says_all_of_a_project(folder):
    project = Project.load(folder / "project.yaml")

    assert (project.name, project.description) == ("parking", "Where cars may stand.")
    assert project.connections == {"kfp": "kfp_production", "digitalhub": "platform"}
    assert project.settings.labels == {"team": "city"}
    download = project.function("download")
    assert (download.kind.name, download.specification.image) == ("python", "python:3.12-slim")
    assert (download.description, download.uuid) == ("Gets the list.", "00000000-0000-4000-8000-000000000001")
    assert project.function("count").settings.resources.memory_request == "2Gi"
    assert project.workflow("etl").project is project


def test_paths_begin_at_the_file_wherever_the_process_is(folder, monkeypatch):
    monkeypatch.chdir("/")
    project = Project.load(folder)

    package = compile_handler(project.workflow("etl"))

    assert "def download" in json.dumps(package.pipeline_spec)


def test_a_relative_path_begins_at_the_folders_of_sources_or_at_the_working_directory(folder, monkeypatch):
    sources = Sources(folders=(folder / "src", folder.parent))
    monkeypatch.chdir(folder)

    assert Project.load("parking", sources=sources).name == "parking"
    assert Project.load("project.yaml").name == "parking"


def test_the_file_alone_is_read(folder):
    for other in ("src/download.py", "flows/etl.py", "flows/steps.py"):
        (folder / other).unlink()

    assert sorted(Project.load(folder).functions) == ["count", "download"]


@pytest.mark.parametrize("name", ["project.yml", "project.json", "projects-parking.yaml"])
def test_the_file_may_have_other_names(tmp_path, name):
    (tmp_path / name).write_text(
        json.dumps({"name": "p", "functions": {"f": {"handler": "f", "code": "x"}}}, indent="\t")
    )

    assert list(Project.load(tmp_path).functions) == ["f"]


def test_functions_and_workflows_may_be_lists(tmp_path):
    text = """
    name: p
    functions:
      - {name: a, kind: container, image: i, command: [a]}
      - {name: b, handler: f, code: "def f(): pass"}
    workflows:
      - {name: w, handler: f, code: "def f(): pass", labels: [x], description: d, lang: python, tag: t}
    """
    project = Project.load(write(tmp_path, {"project.yaml": text}))

    assert list(project.functions) == ["a", "b"]
    assert project.workflow("w").labels == ("x",)


def test_every_form_of_a_source_has_its_path_resolved(tmp_path):
    encoded = base64.b64encode(b"def f(): pass").decode()
    text = f"""
    name: p
    functions:
      older: {{source: {{source: src/f.py, handler: f, lang: python}}}}
      alias: {{code_src: src/f.py, handler: f}}
      absolute: {{source: /src/f.py, handler: f}}
      address: {{source: "git+https://git.example.org/etl.git#v1", handler: "m:f"}}
      text: {{base64: {encoded}, handler: f}}
    workflows:
      older: {{source: {{source: flows/w.py, handler: f}}}}
      address: {{code_src: "git+https://git.example.org/etl.git#v1", handler: "m:f"}}
    """
    project = Project.load(write(tmp_path, {"project.yaml": text}))

    def source(name: str) -> str:
        return str(project.function(name).specification.source)

    inside = str(tmp_path / "src/f.py")
    assert (source("older"), source("alias"), source("absolute")) == (inside, inside, "/src/f.py")
    assert source("address") == "git+https://git.example.org/etl.git#v1"
    assert project.workflow("older").code_src == str(tmp_path / "flows/w.py")
    assert project.workflow("address").code_src == "git+https://git.example.org/etl.git#v1"


def test_a_project_is_shared_and_compiling_does_not_change_it(folder):
    project = Project.load(folder)
    before = copy.deepcopy((project.functions, project.connections, project.settings, [*project.workflows]))
    steps = [{"name": "n", "function": "count", "inputs": {"table": "a"}, "outputs": {"lines": "lines"}}]

    first = compile_steps(steps, name="first", project=project, settings={"labels": {"team": "other"}})
    second = compile_steps(steps, name="first", project=project)

    assert first.content_hash != second.content_hash
    assert (
        compile_steps(steps, name="first", project=copy.deepcopy(project)).content_hash == second.content_hash
    )
    assert (project.functions, project.connections, project.settings, [*project.workflows]) == before


def test_settings_of_the_project_are_below_all_others(folder):
    project = Project.load(folder)
    steps = [
        {"name": "a", "function": "count", "inputs": {"table": "t"}, "outputs": {"lines": "lines"}},
        {"name": "b", "function": "download", "inputs": {"url": "u"}, "labels": {"own": "1"}},
    ]

    package = compile_steps(steps, name="p", project=project, settings={"labels": {"team": "other"}})
    alone = compile_steps(steps, name="p", project=project)

    def labels(package):
        executors = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        return sorted((config["podMetadata"]["labels"] for config in executors.values()), key=len)

    assert labels(package) == [{"team": "other"}, {"team": "other", "own": "1"}]
    assert labels(alone) == [{"team": "city"}, {"team": "city", "own": "1"}]
    written = json.dumps(package.pipeline_spec)
    assert ("1Gi" in written, "2Gi" in written) == (True, True)


def test_a_workspace_of_the_project_is_one_of_each_run(tmp_path):
    text = """
    name: p
    settings: {workspace: {size: 1Gi}}
    functions: {f: {kind: container, image: i, command: [a]}}
    """
    project = Project.load(write(tmp_path, {"project.yaml": text}))

    def size(settings):
        package = compile_steps(
            [{"name": "s", "function": "f"}], name="p", project=project, settings=settings
        )
        return package.platform_spec["platforms"]["kubernetes"]["pipelineConfig"]["workspace"]["size"]

    assert (size(None), size({"workspace": {"size": "2Gi"}})) == ("1Gi", "2Gi")


def test_the_example_of_the_documentation_loads(tmp_path):
    page = (Path(__file__).parent.parent / "docs" / "projects.md").read_text(encoding="utf-8")
    example = re.search(r"left out:\n\n((?:    .*\n|\n)+)", page)
    project = Project.load(write(tmp_path, {"project.yaml": textwrap.dedent(example[1])}))

    assert {name: function.kind.name for name, function in project.functions.items()} == {
        "download": "python",
        "count": "container",
        "report": "digitalhub",
    }
    assert project.rendered(lambda _: "alpine:3").function("count").specification.image == "alpine:3"


def test_a_project_passes_to_another_process(folder):
    project = pickle.loads(pickle.dumps(Project.load(folder)))

    assert compile_handler(project.workflow("etl")).name == "etl"
    assert project.rendered(str) is project


HEAD = "name: p\n"
FUNCTION = "name: p\nfunctions:\n  f:\n"

#: Text of the file, class of the error, and what its message begins with after the file's name.
WRONG = [
    ("name: [p]\n", SourceError, ":1:1: name: is a list, not a text: put it in quotes"),
    ("name: 5\n", SourceError, ":1:1: name: is 5, not a text: put it in quotes"),
    ("name: ''\n", SourceError, ":1:1: name: is missing"),
    ("name:\n", SourceError, ":1:1: name: is missing"),
    ("description: d\n", SourceError, ":1:1: name: is missing"),
    (HEAD + "fucntions: {}\n", SourceError, ":2:1: fucntions: is unknown. Allowed: functions"),
    (
        FUNCTION + "    name: g\n    handler: f\n    code: x\n",
        SourceError,
        ":4:5: function 'f', name: is another name than its key",
    ),
    (
        FUNCTION + "    source: a.py\n    code_src: b.py\n    handler: f\n",
        FunctionError,
        ":3:3: function 'f': code_src and source differ; give one of them",
    ),
    (
        HEAD + "workflows:\n  w: {handler: f, code: x, project: q}\n",
        SourceError,
        ":3:28: workflow 'w', project: is another project than 'p'",
    ),
    (
        HEAD + "workflows:\n  w: {handler: f, code: x, cls: q}\n",
        SourceError,
        ":3:28: workflow 'w', cls: is not a field of a workflow",
    ),
    (HEAD + "functions: f\n", SourceError, ":2:1: functions: is the text 'f', not a mapping or a list"),
    (HEAD + "functions:\n  - {kind: python}\n", SourceError, ":3:5: functions[0].name: is missing"),
    (HEAD + "functions:\n  - x\n", SourceError, ":3:5: functions[0].name: is missing"),
    (
        HEAD + "workflows:\n  - {name: w, handler: f, code: x}\n  - {name: w, handler: f, code: x}\n",
        SourceError,
        ":4:5: workflows[1].name: 'w' stands here twice, first in line 3",
    ),
    (FUNCTION, SourceError, ":3:3: function 'f': is nothing, not a mapping of its fields"),
    (FUNCTION + "    - kind\n", SourceError, ":3:3: function 'f': is a list, not a mapping of its fields"),
    (
        FUNCTION + "    kind: pyton\n",
        FunctionError,
        ":4:5: function 'f', kind: 'pyton' is not a kind of function. Allowed: ",
    ),
    (FUNCTION + "    kind: [python]\n", FunctionError, ":4:5: function 'f', kind: ['python'] is not a text"),
    (
        FUNCTION + "    kind: container\n    image: i\n    comand: [a]\n",
        FunctionError,
        ":6:5: function 'f', comand: is not a field of this kind. Allowed: command",
    ),
    (
        FUNCTION + "    kind: container\n    command: [a]\n",
        FunctionError,
        ":3:3: function 'f', image: is missing",
    ),
    (
        FUNCTION + "    kind: container\n    image: i\n    command:\n      - a\n      - 5\n",
        FunctionError,
        ":8:9: function 'f', command[1]: is 5, not a text or a mapping",
    ),
    (
        FUNCTION + "    handler: f\n    code: x\n    python_version: 3.10\n",
        FunctionError,
        ":3:3: function 'f': python_version: 3.1 is not a version",
    ),
    (
        FUNCTION + "    handler: 5\n    code: x\n",
        FunctionError,
        ":4:5: function 'f', handler: is 5, not a function or a text",
    ),
    (
        FUNCTION + "    handler: f\n    code: x\n    requirements: pandas\n",
        FunctionError,
        ":6:5: function 'f', requirements: 'pandas' is a text, not a list: write [\"pandas\"]",
    ),
    (
        FUNCTION + "    handler: f\n    code: x\n    embedded: maybe\n",
        FunctionError,
        ":6:5: function 'f', embedded: 'maybe' is not true or false",
    ),
    (
        FUNCTION + "    handler: f\n    code: x\n    settings:\n      volumes:\n        - {name: 5}\n",
        SettingError,
        ":8:12: function 'f', settings.volumes[0].name: is 5, not a text",
    ),
    (
        FUNCTION + "    handler: f\n    code: x\n    settings: [a]\n",
        SettingError,
        ":6:5: function 'f', settings: is a list, not a mapping",
    ),
    (HEAD + "settings: 5\n", SourceError, ":2:1: settings: is 5, not a mapping"),
    (
        HEAD + "settings:\n  resources: {cpuu: 1}\n",
        SettingError,
        ":3:15: project 'p', settings.resources.cpuu: is unknown. Allowed: cpu",
    ),
    (
        HEAD + "settings:\n  labels: {a: 1}\n",
        SettingError,
        ":3:12: project 'p', settings.labels.a: is 1, not a text: put it in quotes",
    ),
    (HEAD + "connections: [a]\n", SourceError, ":2:1: connections: is a list, not a mapping"),
    (
        HEAD + "connections:\n  kpf: a\n",
        DefinitionError,
        ":3:3: project 'p', connections.kpf: is unknown. Allowed: kfp",
    ),
    (
        HEAD + "connections:\n  aws:\n",
        DefinitionError,
        ":3:3: project 'p', connections.aws: None is not the id of a connection",
    ),
    (
        HEAD + "workflows:\n  w: {handler: f}\n",
        SourceError,
        ":3:3: workflow 'w': has no source",
    ),
    (
        HEAD + "workflows:\n  w: {handler: f, code: x, handlr: f}\n",
        SourceError,
        ":3:28: workflow 'w', handlr: ",
    ),
    (
        HEAD + "workflows:\n  w: {handler: f, code: x, kind: dbt}\n",
        SourceError,
        ":3:28: workflow 'w', kind: 'dbt' is not the kind of a workflow. Allowed: kfp",
    ),
    (
        HEAD + "workflows:\n  w:\n    source:\n      sorce: f.py\n      handler: f\n",
        SourceError,
        ":5:7: workflow 'w', source['sorce']: is unknown",
    ),
    (
        HEAD + "functions:\n  f: {kind: workflow, workflow: elt}\nworkflows:\n  etl: {handler: f, code: x}\n",
        FunctionError,
        ":3:23: function 'f', workflow: project 'p' has no workflow 'elt'. Allowed: etl",
    ),
    (HEAD + "name: q\n", SourceError, ":2:1: 'name' stands here twice, first in line 1"),
    (HEAD + "---\nname: q\n", SourceError, ":3:1: is a further document: a project's file has one"),
    (HEAD + "functions: {f: {handler: f, code: x}}}\n", SourceError, ":2:38: is not YAML: "),
    ("- name: p\n", SourceError, ":1:1: is a list, not a mapping"),
    ("just a text\n", SourceError, ":1:1: is the text 'just a text', not a mapping"),
    ("", SourceError, ": is empty. Allowed: name, description"),
    ("# nothing\n", SourceError, ": is empty. Allowed: name, description"),
]


@pytest.mark.parametrize(("text", "error", "expected"), WRONG)
def test_what_is_wrong_has_its_line_and_column(tmp_path, text, error, expected):
    file = tmp_path / "project.yaml"
    file.write_text(text)

    with pytest.raises(DefinitionError) as caught:
        Project.load(file)

    assert str(caught.value).startswith(f"{file}{expected}")
    assert type(caught.value) is error


def test_all_problems_are_listed_in_the_order_of_the_file(tmp_path):
    text = """\
    name: p
    nmae: q
    connections: {kpf: a}
    settings: {timeout: 1m}
    functions:
      f: {kind: container, image: 5, command: [], xyz: 1}
      g: {handler: f, code: x, requirements: [a b], settings: {retries: -1}}
    workflows:
      w: {code: x}
    """
    write(tmp_path, {"project.yaml": text})

    with pytest.raises(DefinitionError) as caught:
        Project.load(tmp_path)

    first, *lines = str(caught.value).splitlines()
    assert first == f"{tmp_path / 'project.yaml'} has 9 problems:"
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4", "6", "6", "6", "7", "7", "9"]


def test_problems_of_one_kind_are_an_error_of_that_kind(tmp_path):
    write(
        tmp_path,
        {
            "project.yaml": HEAD
            + "settings: {a: 1}\nfunctions: {f: {code: x, handler: f, settings: {a: 1}}}\n"
        },
    )

    with pytest.raises(SettingError, match="has 2 problems"):
        Project.load(tmp_path)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("nowhere.yaml", "project 'nowhere.yaml': there is no such file or folder; looked for '/"),
        (
            "empty",
            "has no project files. Allowed: project.yaml, project.yml, project.json, one projects-*.yaml",
        ),
        ("several", "has several project files: projects-a.yaml, projects-b.yaml. Allowed: project.yaml"),
        ("secret.yaml", "secret.yaml: cannot be read: "),
        (
            "git@example.org:etl.git",
            "project: is git's short form of an SSH address. Allowed: git+ssh://git@",
        ),
        ("", "project: is empty"),
        ("ftp://example.org/p.yaml", "project: 'ftp' is not the scheme of a source"),
        ("https://user:hunter2@example.org/p.yaml", "project: "),
    ],
)
def test_a_file_that_cannot_be_had_is_an_error(tmp_path, monkeypatch, location, expected):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "several", {"projects-a.yaml": "name: a", "projects-b.yaml": "name: b"})
    # A link to itself can be read by nobody, not even by root.
    (tmp_path / "secret.yaml").symlink_to("/proc/self/mem")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SourceError) as caught:
        Project.load(location)

    assert expected in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_device_or_pipe_does_not_hold_up_the_reader(tmp_path):
    os.mkfifo(tmp_path / "project.yaml")

    with pytest.raises(SourceError, match="is not a file"):
        Project.load(tmp_path / "project.yaml")
