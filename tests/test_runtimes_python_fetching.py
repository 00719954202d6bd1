"""Sources that the pod fetches itself: the same as when the step was compiled, or not at all."""

import base64
import json
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources import Cache, Credentials, GitCredentials, Limits, Sources
from tests.git_server import Authority, GitHttpServer, Repository
from tests.http_server import HttpServer, file, redirect, status
from tests.python_steps import Step

CODE = b"def f(n: int) -> int:\n    return n + 1\n"
TREE = {
    "etl/__init__.py": b"",
    "etl/steps.py": b"from etl.other import add\ndef f(n: int) -> int:\n    return add(n)\n",
    "etl/other.py": b"def add(n):\n    return n + 1\n",
    "tests/big.txt": b"x" * 1000,
}


def zipped(files, prefix=""):
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(prefix + name, text)
    return content.getvalue()


@pytest.fixture
def sources(tmp_path):
    return Sources(cache=Cache(tmp_path / "cache", 2**30))


@pytest.fixture
def web():
    server = HttpServer()
    yield server
    server.stop()


@pytest.fixture
def step(tmp_path, sources):
    """Compile a step whose pod fetches its source."""

    def made(location, handler="f", sources=sources):
        function = {"handler": handler, "source": location, "fetch": "pod"}
        return Step(tmp_path, function, inputs={"n": 1}, sources=sources)

    return made


def test_a_file_is_downloaded_and_run(web, step):
    web.answers = {"/a/train.py": redirect("/b/train.py"), "/b/train.py": file(CODE)}
    compiled = step(web.url("/a/train.py"))

    assert not any("n + 1" in argument for argument in compiled.component.implementation.args)
    assert compiled.output()["parameterValues"] == {"Output": 2}


@pytest.mark.parametrize("prefix", ["", "etl-1.2/"])
def test_an_archive_is_downloaded_and_run(web, step, prefix):
    web.answers["/etl.zip"] = file(zipped({**TREE, "__MACOSX/x": b""}, prefix))

    compiled = step(web.url("/etl.zip", archive=True), "etl.steps:f")

    assert compiled.output()["parameterValues"] == {"Output": 2}


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("/train.py", CODE, CODE + b"#"),
        ("/etl.zip", zipped(TREE), zipped({**TREE, "etl/other.py": b"add = print"})),
        ("/etl.zip", zipped(TREE), zipped({**TREE, "etl/more.py": b""})),
    ],
)
def test_content_that_has_changed_since_is_not_run(web, step, path, before, after):
    web.answers[path] = file(before)
    archive = path.endswith(".zip")
    compiled = step(web.url(path, archive=archive), "etl.steps:f" if archive else "f")
    web.answers[path] = file(after)

    told = compiled.failure()

    assert f"{web.url(path)} has changed since the pipeline was compiled. Compile it again" in told
    assert "Traceback" not in told


def stalled(handler):
    handler.send(200, {"Content-Length": "100000"}, b"def f(")
    handler.server_of_tests.stopped.wait(20)


def dripping(handler):
    handler.send(200, {"Content-Length": "100000"})
    while not handler.server_of_tests.stopped.wait(0.05):
        handler.wfile.write(b"#")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (status(404), "/train.py answers 404 X."),
        (status(500), "/train.py answers 500 X."),
        (redirect("file:///etc/passwd"), "answers 302"),
        (redirect("ftp://127.0.0.1/x.py"), "answers 302"),
        (redirect("/train.py"), "answers 302"),
        (lambda handler: handler.connection.close(), "cannot be read from this pod: "),
        (file(b"#" * 20_000), "it has more than 10000 bytes."),
        (stalled, "cannot be read from this pod: timed out"),
        (dripping, "it takes more than 1 seconds."),
        (file(b"\0"), "has changed since the pipeline was compiled"),
    ],
)
def test_what_the_server_does_wrong_fails_the_step_with_one_line(web, step, tmp_path, answer, message):
    web.answers["/train.py"] = file(CODE)
    limits = Limits(download=10_000, timeout=1.0)
    compiled = step(web.url("/train.py"), sources=Sources(cache=Cache(tmp_path / "c", 2**20), limits=limits))
    web.answers["/train.py"] = answer

    told = compiled.failure()

    assert told.startswith("The step's source cannot be fetched: ")
    assert message in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            zipped({}),
            (
                "{} has changed since the pipeline was compiled. Compile it again, or give an address whose "
                "content stays."
            ),
        ),
        (b"no zip", "it is not a zip file that can be extracted: File is not a zip file"),
        (
            zipped({"../out.py": b""}),
            "its file '../out.py' is a link or leads out of the source's folder.",
        ),
        (
            zipped({"/abs.py": b""}),
            "its file '/abs.py' is a link or leads out of the source's folder.",
        ),
        (zipped({f"{n}.py": b"" for n in range(30)}), "it has more than 20 files."),
        (zipped({"bomb.py": b"0" * 1_000_000}), "it has more than 100000 bytes when it is extracted."),
    ],
)
def test_an_archive_that_is_not_what_it_was_does_no_harm(web, step, tmp_path, content, message):
    web.answers["/etl.zip"] = file(zipped(TREE))
    limits = Limits(extracted=100_000, files=20)
    sources = Sources(cache=Cache(tmp_path / "c", 2**20), limits=limits)
    compiled = step(web.url("/etl.zip", archive=True), "etl.steps:f", sources)
    web.answers["/etl.zip"] = file(content)

    told = compiled.failure()

    address = web.url("/etl.zip")
    assert told == f"The step's source cannot be fetched: {message.format(address)}\n"
    assert not list(tmp_path.rglob("out.py"))


@pytest.fixture
def repository(tmp_path):
    made = Repository.create(tmp_path / "repositories" / "etl.git")
    made.commit(TREE)
    return made


@pytest.fixture
def git_server(repository):
    server = GitHttpServer(repository.bare.parent)
    yield server
    server.stop()


def test_the_commit_of_the_compilation_is_fetched_though_the_branch_has_gone_on(repository, git_server, step):
    first = step(git_server.url("etl.git", "#main"), "etl.steps:f")
    repository.commit({"etl/other.py": "def add(n):\n    return n + 100\n"})
    second = step(git_server.url("etl.git", "#main"), "etl.steps:f")

    assert first.output()["parameterValues"] == {"Output": 2}
    assert second.output()["parameterValues"] == {"Output": 101}
    assert first.component != second.component


def test_a_folder_and_a_file_of_a_repository_are_found(repository, git_server, step):
    repository.commit({"flows/deep/steps.py": CODE.decode()})

    folder = step(git_server.url("etl.git", "#main:flows"), "deep.steps:f")
    single = step(git_server.url("etl.git", "#main:flows/deep/steps.py"))

    assert folder.output()["parameterValues"] == {"Output": 2}
    assert single.output()["parameterValues"] == {"Output": 2}


def test_a_link_within_a_repository_is_what_it_leads_to(repository, git_server, step):
    (repository.work / "etl").mkdir(exist_ok=True)
    (repository.work / "etl/alias.py").symlink_to("other.py")
    files = {name: content for name, content in TREE.items() if name != "etl/steps.py"}
    repository.commit({**files, "etl/steps.py": TREE["etl/steps.py"].replace(b"etl.other", b"etl.alias")})

    assert step(git_server.url("etl.git"), "etl.steps:f").output()["parameterValues"] == {"Output": 2}


def test_a_server_that_gives_tips_alone_is_asked_for_those(repository, step):
    server = GitHttpServer(repository.bare.parent, protocol=False)
    try:
        compiled = step(server.url("etl.git"), "etl.steps:f")
        repository.commit({"more.py": ""})

        assert compiled.output()["parameterValues"] == {"Output": 2}
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("login", "given"),
    [
        ("ann:s3cret", {"GIT_USERNAME": "ann", "GIT_PASSWORD": "s3cret"}),
        ("t0ken:x-oauth-basic", {"GIT_TOKEN": "t0ken"}),
        ("oauth2:glpat-t0ken", {"GIT_TOKEN": "glpat-t0ken"}),
    ],
)
def test_credentials_come_from_the_pods_environment_and_are_not_in_the_task(
    repository, step, tmp_path, login, given
):
    authority = Authority.create(tmp_path / "authority")
    server = GitHttpServer(repository.bare.parent, authority=authority, login=login)
    user, _, password = login.partition(":")
    credentials = GitCredentials(user, password, ca_certificate=str(authority.certificate))
    sources = Sources(cache=Cache(tmp_path / "c", 2**20), credentials=Credentials(git=credentials))
    trusted = {
        "GIT_SSL_CAINFO": str(authority.certificate),
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": "/nonexistent",
    }
    try:
        compiled = step(server.url("etl.git"), "etl.steps:f", sources)
        refused = compiled.failure(environment=trusted)
        written = compiled.output(environment={**trusted, **given})
    finally:
        server.stop()

    assert written["parameterValues"] == {"Output": 2}
    assert "give the step the `secrets` GIT_TOKEN, or GIT_USERNAME and GIT_PASSWORD." in refused
    secret = max(given.values(), key=len)
    task = json.dumps([compiled.component.implementation.command, compiled.component.implementation.args])
    assert secret not in task + refused
    assert base64.b64encode(login.encode()).decode() not in task


def test_an_image_without_git_is_told(git_server, step):
    compiled = step(git_server.url("etl.git"), "etl.steps:f")

    assert compiled.failure(environment={"PATH": "/nonexistent"}) == (
        "The step's source cannot be fetched: the image lacks the git program. Use an image that has it, or "
        "fetch='compiler'.\n"
    )


def test_a_commit_that_is_gone_and_a_server_that_stalls_are_told(repository, git_server, step, tmp_path):
    sources = Sources(cache=Cache(tmp_path / "c", 2**20), limits=Limits(timeout=3.0))
    compiled = step(git_server.url("etl.git"), "etl.steps:f", sources)
    repository.git("checkout", "-q", "--orphan", "new")
    repository.commit({"etl/steps.py": "def f(): ...\n"})
    for command in (["reflog", "expire", "--expire=now", "--all"], ["gc", "-q", "--prune=now"]):
        repository.git("-C", str(repository.bare), *command)

    gone = compiled.failure()
    git_server.stall = True
    stalled = compiled.failure()

    assert "The step's source cannot be fetched: commit " in gone
    assert "takes more than 3 seconds." in stalled


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/train.py?signature=abc", "source: has a query, which often is a signature"),
        ("/etl.txt", "step 'train', function 'trainer', source: "),
        ("/gone.py", "step 'train', function 'trainer', source: "),
    ],
)
def test_an_address_that_a_pod_cannot_have_is_refused_while_compiling(web, step, path, message):
    web.answers = {"/train.py": file(CODE), "/etl.txt": file(CODE)}

    with pytest.raises(SourceError) as caught:
        step(web.url(path))

    assert message in str(caught.value)
    assert "abc" not in str(caught.value)


def test_the_texts_for_the_pod_leave_nothing_of_this_package_in():
    from airflow_kfp_runtime.runtimes.python.pod import pod_text

    folder = Path(pod_text.__code__.co_filename).parent
    modules = sorted(path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "loading"))
    text = pod_text("loading", *modules)

    assert "airflow_kfp_runtime." not in text
    assert "{{" not in text
    assert text.count("from __future__") == 1
    compile(text, "pod", "exec")
