"""The command ``compile`` as a process: a file that a KFP dashboard imports, or one line on what is wrong."""

import os
import subprocess
import sys
import zipfile

import pytest

from airflow_kfp_runtime import __version__
from airflow_kfp_runtime.compiler import PipelinePackage
from tests import kfp_ir
from tests.git_server import Authority, GitHttpServer, Repository

PIPELINE = '''
"""Pipelines to compile."""

from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.project import Project

project = Project("demo")
project.new_function("say", kind="container", image="alpine", command=["echo", "$(inputs.x)"])


def handler(text: str = "größer"):
    """Say it."""
    with pipeline_context() as pc:
        pc.step(name="say it", function="say", inputs={"x": text})


def settled():
    with pipeline_context() as pc:
        pc.step(name="say it", function="say", inputs={"x": "x"}, timeout=60, runtime_class="nvidia")


def wrong(text: str):
    with pipeline_context() as pc:
        pc.step(name="say it", function="say", inptus={"x": text})


def raises():
    with pipeline_context():
        return {}["own mistake"]


def addn(a: int, n: int):
    return a + n


def reads(path: str):
    return open(path).read()
'''


def run(folder, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "airflow_kfp_runtime", *arguments],
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pipeline.py").write_text(PIPELINE, encoding="utf-8")
    return tmp_path


def test_compile_writes_the_file_that_a_dashboard_imports(folder):
    done = run(folder, "compile", "pipeline.py:handler", "-o", "pipeline.yaml")

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == "Wrote pipeline 'handler' to pipeline.yaml\n"
    package = PipelinePackage.load(folder / "pipeline.yaml")
    kfp_ir.check(package.pipeline_spec)
    assert package.pipeline_spec["pipelineInfo"] == {"name": "handler", "description": "Say it."}
    assert package.parameters["text"]["defaultValue"] == "größer"


def test_compile_writes_to_standard_output_and_takes_options(folder):
    done = run(
        folder,
        "compile",
        "pipeline.py:handler",
        "--name",
        "My Pipe",
        "--collect-outputs",
        "--disable-caching",
    )

    assert done.returncode == 0, done.stderr
    package = PipelinePackage.load(done.stdout)
    assert package.name == "my-pipe"
    tasks = package.pipeline_spec["root"]["dag"]["tasks"]
    assert set(tasks) == {"say-it", "collect-outputs"}
    assert tasks["say-it"]["cachingOptions"] == {}


def test_kubernetes_settings_are_the_second_document(folder):
    refused = run(folder, "compile", "pipeline.py:settled")
    warned = run(folder, "compile", "pipeline.py:settled", "--settings-policy", "warn")

    assert refused.returncode == 1
    assert refused.stderr.startswith("error: step 'say it', runtime_class: KFP cannot express it.")
    assert warned.returncode == 0
    assert warned.stderr.startswith("warning: step 'say it': runtime_class is left out.")
    package = PipelinePackage.load(warned.stdout)
    kfp_ir.check(package.pipeline_spec, package.platform_spec)
    executors = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors == {"exec-say-it": {"activeDeadlineSeconds": "60"}}


def test_the_project_is_chosen_by_name_where_there_are_several(folder):
    source = PIPELINE + "\nother = Project('other')\n"
    (folder / "pipeline.py").write_text(source, encoding="utf-8")

    unclear = run(folder, "compile", "pipeline.py:handler")
    unknown = run(folder, "compile", "pipeline.py:handler", "--project", "third")
    named = run(folder, "compile", "pipeline.py:handler", "--project", "demo")

    assert (unclear.returncode, unknown.returncode, named.returncode) == (1, 1, 0)
    assert unclear.stderr == (
        "error: --project: several projects are in the module: choose one. Allowed: demo, other\n"
    )
    assert unknown.stderr == "error: --project: there is no 'third'. Allowed: demo, other\n"


PROJECT = """
name: shared
functions:
  say: {kind: container, image: busybox, command: [echo, $(inputs.x)]}
workflows:
  etl: {code_src: flow.py, handler: handler}
"""


def test_the_functions_of_a_projects_file_come_first(folder):
    (folder / "project.yaml").write_text(PROJECT, encoding="utf-8")
    (folder / "flow.py").write_text(PIPELINE, encoding="utf-8")

    workflow = run(folder, "compile", "project.yaml:etl")
    handler = run(folder, "compile", "pipeline.py:handler", "--project", "project.yaml", "--name", "etl")
    unknown = run(folder, "compile", "project.yaml:elt")
    twice = run(folder, "compile", "project.yaml:etl", "--project", "shared")

    assert (workflow.stderr, handler.stderr) == ("", "")
    package = PipelinePackage.load(workflow.stdout)
    container = package.pipeline_spec["deploymentSpec"]["executors"]["exec-say-it"]["container"]
    assert (package.name, container["image"]) == ("etl", "busybox")
    assert PipelinePackage.load(handler.stdout) == package
    assert unknown.stderr == "error: workflow: project 'shared' has no workflow 'elt'. Allowed: etl\n"
    assert twice.stderr == "error: --project: SOURCE is a project already\n"


def test_a_template_that_a_pipeline_needs_is_refused_and_any_other_is_not(folder):
    templated = PROJECT.replace("image: busybox", 'image: "{{ params.image }}"')
    assert templated != PROJECT
    beside = PROJECT + 'connections: {kfp: "{{ var.value.kfp }}"}\n'
    (folder / "flow.py").write_text(PIPELINE, encoding="utf-8")
    (folder / "templated.yaml").write_text(templated, encoding="utf-8")
    (folder / "beside.yaml").write_text(beside, encoding="utf-8")

    refused = run(folder, "compile", "templated.yaml:etl")

    assert refused.returncode == 1
    assert refused.stderr.endswith(
        "function 'say', image: '{{ params.image }}' is a template, which an Airflow task fills in: to "
        "compile it here, write a value in its place\n"
    )
    assert run(folder, "compile", "beside.yaml:etl").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["pipeline.py"],
            "error: 'pipeline.py' names no handler. Allowed: SOURCE:HANDLER, --handler HANDLER",
        ),
        (["pipeline.py:eval('1')"], "error: \"pipeline.py:eval('1')\" names no handler. Allowed: "),
        (["missing.py:handler"], "error: SOURCE: there is no file or folder 'missing.py'; looked for "),
        (["ftp://host/etl.zip:handler"], "error: SOURCE: 'ftp' is not the scheme of a source. Allowed: "),
        (
            ["pipeline.py:handler", "--project", "demo", "--handler", "x"],
            "no file or folder 'pipeline.py:handler'",
        ),
        (
            ["pipeline.py:hanlder"],
            "pipeline.py has no function 'hanlder'. Allowed: addn, handler, raises, reads, settled, wrong",
        ),
        (
            ["pipeline.py:wrong"],
            "'say it', inptus: 'inptus' is not a parameter of a step (pipeline.py:{line}). Allowed: inputs",
        ),
        (
            ["pipeline.py:handler", "-o", "missing/p.yaml"],
            "error: missing/p.yaml: cannot be written: No such file",
        ),
        (["pipeline.py:handler", "--name=---"], "error: pipeline name: '---' has no letter or digit"),
    ],
)
def test_a_mistake_is_one_line_and_status_1(folder, arguments, expected):
    done = run(folder, "compile", *arguments)

    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert expected.format(line=_line("inptus")) in done.stderr


def _line(text):
    """Return the number of the line of the pipeline that holds a text."""
    return PIPELINE[: PIPELINE.index(text)].count("\n") + 1


def test_a_mistake_of_the_handlers_own_is_named_with_its_line(folder):
    done = run(folder, "compile", "pipeline.py:raises")

    assert done.returncode == 1
    assert done.stderr == (
        "error: handler 'raises': KeyError: 'own mistake'\n"
        f'  File "pipeline.py", line {_line("own mistake")}, in raises\n'
        '    return {}["own mistake"]\n'
    )


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("addn", "handler 'addn': argument 'a' is known only while the pipeline runs"),
        ("reads", "handler 'reads': TypeError: expected str"),
    ],
)
def test_a_function_that_is_no_handler_is_told_what_a_handler_does(folder, function, problem):
    done = run(folder, "compile", f"pipeline.py:{function}")

    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {problem}")
    assert "a handler writes steps in a pipeline_context()" in done.stderr


@pytest.mark.parametrize(
    "source",
    [
        ["flows.zip:flows.etl:handler"],
        ["flows.zip:flows.etl.handler"],
        ["--handler", "flows.etl:handler", "flows.zip"],
        ["flows:etl:handler"],
    ],
)
def test_archives_folders_and_repositories_compile_too(folder, source):
    flows = folder / "flows"
    flows.mkdir()
    (folder / "pipeline.py").rename(flows / "etl.py")
    with zipfile.ZipFile(folder / "flows.zip", "w") as archive:
        archive.write(flows / "etl.py", "flows/etl.py")

    done = run(folder, "compile", *source)

    assert done.returncode == 0, done.stderr
    assert PipelinePackage.load(done.stdout).name == "handler"


def test_a_private_repository_compiles_with_credentials_of_the_environment(folder, tmp_path):
    authority = Authority.create(tmp_path / "certificates")
    repository = Repository.create(tmp_path / "etl.git")
    source = PIPELINE.replace('image="alpine"', "image=__import__('os').environ.get('GIT_TOKEN', 'unseen')")
    repository.commit({"flows/etl.py": source})
    repository.git("tag", "v1")
    repository.git("push", "-q", "origin", "v1")
    server = GitHttpServer(tmp_path, authority, login="oauth2:glpat-word")
    credentials = {"GIT_TOKEN": "glpat-word", "GIT_SSL_CAINFO": str(authority.certificate)}
    try:
        url = server.url("etl.git", "#v1")
        done = run(folder, "compile", f"{url}:flows.etl:handler", **credentials)
        again = run(folder, "compile", url, "--handler", "flows.etl.handler", **credentials)
        refused = run(
            folder, "compile", f"{url}:flows.etl:handler", GIT_SSL_CAINFO=str(authority.certificate)
        )
    finally:
        server.stop()

    assert done.returncode == 0, done.stderr
    assert again.stdout == done.stdout
    assert "image: unseen" in done.stdout
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: SOURCE: ")


def test_version_and_help_name_the_commands(folder):
    assert run(folder, "--version").stdout == f"{__version__}\n"
    text = run(folder, "--help").stdout
    assert "compile" in text
    assert "serve" in text
    assert run(folder).returncode == 2
