"""Projects from addresses: their functions and workflows are found when nothing of the fetch is left."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path

import pytest

from airflow_kfp_runtime.compiler import compile_handler, compile_steps
from airflow_kfp_runtime.errors import DefinitionError, SourceError
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.sources import Cache, Sources
from tests import http_server
from tests.git_server import GitHttpServer, Repository

PROJECT = """
name: parking
functions:
  double: {source: src/double.py, handler: double}
  halve: {source: {source: src/halves, handler: "numbers:halve"}}
workflows:
  etl: {code_src: flows/etl.py, handler: pipeline}
"""

FILES = {
    "project.yaml": PROJECT,
    "src/double.py": "def double(n: int) -> int:\n    return n * 2\n",
    "src/halves/numbers.py": "from halves_help import half\ndef halve(n: int) -> int:\n    return half(n)\n",
    "src/halves/halves_help.py": "def half(n):\n    return n // 2\n",
    "flows/etl.py": """
from airflow_kfp_runtime.dsl import pipeline_context

def pipeline(n: int = 1):
    with pipeline_context() as pc:
        doubled = pc.step(name="first", function="double", inputs={"n": n})
        pc.step(name="second", function="halve", inputs={"n": doubled.outputs["Output"]})
""",
}


@pytest.fixture
def sources(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield Sources(cache=Cache(tmp_path / "cache", 1024**3))
    assert list(temporary.iterdir()) == []


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "repositories").mkdir()
    return Repository.create(tmp_path / "repositories" / "parking.git")


@pytest.fixture
def server(tmp_path, repository):
    started = GitHttpServer(tmp_path / "repositories")
    yield started
    started.stop()


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "parking.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for name, text in FILES.items():
            opened.writestr(name, text)
    return path


@pytest.fixture
def web():
    started = http_server.HttpServer()
    yield started
    started.stop()


def tasks(project, sources):
    package = compile_handler(project.workflow("etl"), sources=sources)
    return sorted(package.pipeline_spec["root"]["dag"]["tasks"])


def test_a_project_from_git_names_the_commit_that_it_is_of(repository, server, sources):
    commit = repository.commit(FILES)
    location = server.url("parking.git", "#main")

    project = Project.load(location, sources=sources)

    inside = f"{server.url('parking.git')}#{commit}:"
    assert project.function("double").specification.source == f"{inside}src/double.py"
    assert project.function("halve").specification.source == f"{inside}src/halves"
    assert project.workflow("etl").code_src == f"{inside}flows/etl.py"


def test_a_project_from_git_stays_at_its_commit(repository, server, sources):
    repository.commit(FILES)
    project = Project.load(server.url("parking.git", "#main"), sources=sources)
    repository.commit({"flows/etl.py": "raise SystemExit", "src/double.py": "raise SystemExit"})

    assert tasks(project, sources) == ["first", "second"]


@pytest.mark.parametrize("fragment", ["#main:teams/parking", "#main:teams/parking/project.yaml"])
def test_a_project_may_be_a_folder_or_a_file_of_a_repository(repository, server, sources, fragment):
    commit = repository.commit({f"teams/parking/{name}": text for name, text in FILES.items()})

    project = Project.load(server.url("parking.git", fragment), sources=sources)

    assert (
        project.workflow("etl").code_src == f"{server.url('parking.git')}#{commit}:teams/parking/flows/etl.py"
    )
    assert tasks(project, sources) == ["first", "second"]


def test_a_project_in_an_archive_is_found_in_it_again(archive, sources):
    project = Project.load(archive, sources=sources)

    assert project.function("double").specification.code == FILES["src/double.py"]
    assert project.function("halve").specification.source == str(archive)
    assert project.function("halve").specification.handler == "src.halves.numbers:halve"
    assert (project.workflow("etl").code_src, project.workflow("etl").handler) == (
        str(archive),
        "flows.etl:pipeline",
    )
    assert tasks(project, sources) == ["first", "second"]


def test_a_projects_file_may_be_fetched_alone(web, sources):
    only_files = PROJECT.replace("src/halves", "src/halves.py").replace("numbers:halve", "halve")
    files = {**FILES, "project.yaml": only_files, "src/halves.py": "def halve(n: int): ...\n"}
    for name, text in files.items():
        web.answers[f"/parking/{name}"] = http_server.file(text.encode())

    project = Project.load(web.url("/parking/project.yaml"), sources=sources)

    assert project.function("double").specification.source == web.url("/parking/src/double.py")
    assert project.workflow("etl").code_src == web.url("/parking/flows/etl.py")
    assert tasks(project, sources) == ["first", "second"]


def test_the_code_in_a_fetched_project_reads_no_file_of_this_machine(web, tmp_path, sources):
    (tmp_path / "private.py").write_text("def private(): ...\n")
    code = f"""
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.project import Project
own = Project("own")
own.new_function("private", source={str(tmp_path / "private.py")!r}, handler="private")
def pipeline():
    with pipeline_context() as pc:
        pc.step(name="read", function="private")
"""
    workflows = {"etl": {"code": code, "handler": "pipeline"}}
    text = json.dumps({"name": "parking", "workflows": workflows})
    web.answers["/project.json"] = http_server.file(text.encode())
    (tmp_path / "project.json").write_text(text)

    fetched = Project.load(web.url("/project.json"), sources=sources)
    with pytest.raises(DefinitionError, match="is not a file or folder of the source that was fetched"):
        compile_handler(fetched.workflow("etl"), sources=sources)
    assert compile_handler(Project.load(tmp_path / "project.json").workflow("etl"), sources=sources)


def test_a_project_in_an_archive_of_the_web_is_found_in_it_again(web, archive, sources):
    web.answers["/parking.zip"] = http_server.file(archive.read_bytes())
    address = web.url("/parking.zip", archive=True)

    project = Project.load(address, sources=sources)

    assert project.workflow("etl").code_src == address
    assert tasks(project, sources) == ["first", "second"]


def test_a_component_in_an_archive_is_found_in_it_again(tmp_path, sources):
    archive = tmp_path / "p.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(
            "project.yaml", "name: p\nfunctions:\n  e: {kind: component, source: components/echo.yaml}\n"
        )
        opened.writestr("components/echo.yaml", "implementation: {container: {image: i, command: [echo]}}\n")
        opened.writestr("README.md", "")

    project = Project.load(archive, sources=sources)
    package = compile_steps([{"name": "a", "function": "e"}], name="n", project=project, sources=sources)

    assert list(package.step_names) == ["a"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("source: ../other.py, handler: f", "source: '../other.py' is not one of the project's own files"),
        (
            "source: /etc/other.py, handler: f",
            "source: '/etc/other.py' is not one of the project's own files",
        ),
        (
            "source: my-code, handler: f",
            "source: 'my-code' cannot be a module: its names need letters, digits",
        ),
    ],
)
def test_a_path_that_cannot_be_found_again_is_refused_with_its_place(tmp_path, sources, fields, expected):
    archive = tmp_path / "p.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("project.yaml", f"name: p\nfunctions:\n  f: {{{fields}}}\n")
        opened.writestr("src/double.py", "")

    with pytest.raises(SourceError) as caught:
        Project.load(archive, sources=sources)

    assert str(caught.value).startswith(f"{archive} project.yaml:3:7: function 'f', {expected}")


def test_a_template_in_a_path_is_resolved_when_it_is_rendered(repository, server, sources):
    commit = repository.commit(
        {**FILES, "project.yaml": PROJECT.replace("flows/etl.py", '"{{ folder }}/etl.py"')}
    )
    project = Project.load(server.url("parking.git"), sources=sources)

    found = project.rendered(lambda text: text.replace("{{ folder }}", "flows"))

    assert found.workflow("etl").code_src == f"{server.url('parking.git')}#{commit}:flows/etl.py"


def test_problems_name_the_file_in_its_source(repository, server, sources):
    repository.commit({"project.yaml": "name: p\nfunctions: {f: {kind: container}}\n"})

    with pytest.raises(DefinitionError, match=r"git project\.yaml:2:13: function 'f', image: is missing"):
        Project.load(server.url("parking.git"), sources=sources)


def test_a_source_without_a_project_is_refused(repository, server, sources):
    repository.commit({"flow.py": ""})

    with pytest.raises(SourceError, match=r"has no project files\. Allowed: project.yaml, project.yml"):
        Project.load(server.url("parking.git"), sources=sources)


def test_an_exported_project_is_fetched_with_the_files_beside_it(repository, server, sources):
    exports = Path(__file__).parent / "digitalhub_exports"
    files = {str(file.relative_to(exports)): file.read_text() for file in exports.rglob("*.y*ml")}
    commit = repository.commit({**files, "flows/etl.py": ""})

    project = Project.load(server.url("parking.git"), sources=sources)

    assert sorted(project.functions) == sorted(Project.load(exports).functions)
    assert project.workflow("etl").code_src == f"{server.url('parking.git')}#{commit}:flows/etl.py"
    assert "aggregate" in json.dumps(project.function("aggregate").specification.code)
