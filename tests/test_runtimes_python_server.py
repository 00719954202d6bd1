"""Python functions from everywhere, compiled with a pipeline and run by the embedded server."""

import zipfile
from io import BytesIO

import pytest

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.runtimes.python.command import LARGEST_CONTAINER
from airflow_kfp_runtime.sources import Cache, Credentials, GitCredentials, Sources
from tests.embedded_engine import running_server
from tests.embedded_settings import put
from tests.git_server import Authority, GitHttpServer, Repository
from tests.http_server import HttpServer, file

#: A large package: much more than 128 KiB, of which the function needs all.
TREE = {
    "etl/__init__.py": "",
    "etl/steps.py": (
        "from kfp.dsl import Dataset, Input, Output\n"
        "from etl.table import TABLE\n"
        "from . import words\n"
        "def load(rows: Output[Dataset], n: int) -> int:\n"
        "    with open(rows.path, 'w') as out:\n"
        "        out.write('\\n'.join(words.spell(TABLE[k]) for k in range(n)))\n"
        "    return len(TABLE)\n"
        "def count(rows: Input[Dataset]) -> str:\n"
        "    with open(rows.path) as given:\n"
        "        return given.read().replace('\\n', '+')\n"
    ),
    "etl/words.py": "def spell(n):\n    return f'<{n}>'\n",
    "etl/table.py": "TABLE = [\n" + "".join(f"    {n % 100},  # row {n}\n" for n in range(30_000)) + "]\n",
}
LARGE = (
    TREE["etl/table.py"]
    + TREE["etl/words.py"]
    + (
        "def load(rows: Output[Dataset], n: int) -> int:\n"
        "    with open(rows.path, 'w') as out:\n"
        "        out.write('\\n'.join(spell(TABLE[k]) for k in range(n)))\n"
        "    return len(TABLE)\n"
        "def count(rows: Input[Dataset]) -> str:\n"
        "    with open(rows.path) as given:\n"
        "        return given.read().replace('\\n', '+')\n"
    )
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("python") / "data") as running:
        yield running


@pytest.fixture
def sources(tmp_path):
    return Sources(folders=(tmp_path,), cache=Cache(tmp_path / "cache"))


def write_tree(folder):
    for name, text in TREE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def zipped():
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in TREE.items():
            archive.writestr(name, text)
    return content.getvalue()


def compiled(sources, module="etl.steps:", step=None, **function):
    project = Project("acme")
    for name in ("load", "count"):
        project.new_function(name, kind="python", handler=f"{module}{name}", **function)

    def pipeline(n: int = 3):
        with pipeline_context() as pc:
            load = pc.step(
                name="load",
                function="load",
                inputs={"n": n},
                values=["size"],
                outputs={"rows": "rows"},
                **(step or {}),
            )
            count = pc.step(
                name="count", function="count", inputs={"rows": load.outputs["rows"]}, **(step or {})
            )
        return {"size": load.outputs["size"], "text": count.outputs["Output"]}

    return compile_handler(pipeline, project=project, sources=sources)


def assert_runs(server, package):
    done = server.run(package.pipeline_spec, {}, package.platform_spec)
    log = server.log(done, "load")
    assert done.state == "SUCCEEDED", log
    tasks = server.tasks(done)
    assert tasks["load"].outputs["parameters"]["size"] == 30_000
    assert tasks["count"].outputs["parameters"]["Output"] == "<0>+<1>+<2>"
    return log


@pytest.mark.parametrize("form", ["folder", "zip", "one large file", "text"])
def test_sources_of_this_machine_travel_and_run(server, sources, tmp_path, form):
    match form:
        case "folder":
            write_tree(tmp_path / "src")
            package = compiled(sources, source="src")
        case "zip":
            (tmp_path / "src.zip").write_bytes(zipped())
            package = compiled(sources, source="src.zip")
        case "one large file":
            (tmp_path / "large.py").write_text(LARGE)
            package = compiled(sources, module="", source="large.py")
        case "text":
            package = compiled(sources, module="", code=LARGE)

    assert len(TREE["etl/table.py"]) > 2 * LARGEST_CONTAINER
    for executor in package.pipeline_spec["deploymentSpec"]["executors"].values():
        assert max(len(argument) for argument in executor["container"]["args"]) < LARGEST_CONTAINER
    assert_runs(server, package)


@pytest.mark.parametrize("fetch", ["compiler", "pod"])
def test_an_archive_on_the_web_runs(server, sources, fetch):
    web = HttpServer(answers={"/src.zip": file(zipped())})
    try:
        package = compiled(sources, source=web.url("/src.zip", archive=True), fetch=fetch)
        before = len(web.requests)
        assert_runs(server, package)
        # Each pod by itself, or none.
        assert len(web.requests) - before == (2 if fetch == "pod" else 0)
    finally:
        web.stop()


@pytest.mark.parametrize("fetch", ["compiler", "pod"])
def test_a_private_repository_runs_with_credentials_of_a_secret(server, tmp_path, fetch):
    repository = Repository.create(tmp_path / "repositories" / "etl.git")
    repository.commit({f"flows/{name}": text for name, text in TREE.items()})
    authority = Authority.create(tmp_path / "authority")
    git = GitHttpServer(repository.bare.parent, authority=authority, login="ann:s3cret")
    credentials = GitCredentials("ann", "s3cret", ca_certificate=str(authority.certificate))
    sources = Sources(cache=Cache(tmp_path / "cache"), credentials=Credentials(git=credentials))
    put(server.places.data / "secrets", "git", GIT_USERNAME="ann", GIT_PASSWORD="s3cret")
    step = {
        "secrets": [{"name": "git", "keys": ["GIT_USERNAME", "GIT_PASSWORD"]}],
        "envs": [{"name": "GIT_SSL_CAINFO", "value": str(authority.certificate)}],
    }
    try:
        package = compiled(sources, source=git.url("etl.git", "#main:flows"), fetch=fetch, step=step)
        again = compiled(sources, source=git.url("etl.git", "#main:flows"), fetch=fetch, step=step)
        repository.commit({"flows/etl/words.py": "def spell(n):\n    return 'changed'\n"})
        log = assert_runs(server, package)
        changed = compiled(sources, source=git.url("etl.git", "#main:flows"), fetch=fetch, step=step)
    finally:
        git.stop()

    assert package.content_hash == again.content_hash != changed.content_hash
    assert "s3cret" not in package.to_yaml() + log


def test_every_step_is_told_which_of_its_functions_source_is_wrong(sources, tmp_path):
    write_tree(tmp_path / "src")

    with pytest.raises(
        DefinitionError, match=r"step 'load', function 'load', handler: the source has no module 'x'"
    ):
        compiled(sources, module="x:", source="src")
