"""Sources from git over HTTPS: a real server, refs of all sorts, the cache, and limits."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from airflow_kfp_runtime.plugins import source_scheme
from airflow_kfp_runtime.sources import git
from airflow_kfp_runtime.sources.credentials import Credentials, GitCredentials
from airflow_kfp_runtime.sources.limits import Limits
from airflow_kfp_runtime.sources.sources import Sources
from tests.git_fetching import fetching, files
from tests.git_server import Authority, GitDaemon, GitHttpServer, Repository


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "repositories").mkdir()
    return Repository.create(tmp_path / "repositories" / "etl.git")


@pytest.fixture
def serve(tmp_path, authority):
    """Start servers of the repositories; they are stopped at the end."""
    servers = []

    def start(**options: object) -> GitHttpServer:
        servers.append(GitHttpServer(tmp_path / "repositories", **{"authority": authority, **options}))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def fetch(tmp_path, monkeypatch, authority):
    made = fetching(tmp_path, monkeypatch)
    made.credentials = GitCredentials(ca_certificate=str(authority.certificate))
    yield made
    assert not made.left_files()
    assert not made.left_processes()


@pytest.mark.parametrize("name", ["git+https", "git+http", "git+ssh", "git", "GIT+HTTPS"])
def test_the_schemes_are_known(name):
    assert source_scheme(name, field="code_src").fetch is git.fetch


def test_the_default_branch_is_fetched_without_the_repository_itself(repository, serve, fetch):
    commit = repository.commit({"flow.py": "x = 1\n", "package/steps.py": "y = 2\n"})

    fetched = fetch(serve().url("etl.git"))

    assert files(fetched) == {"flow.py": "x = 1\n", "package/steps.py": "y = 2\n"}
    assert (fetched.version, fetched.file) == (commit, None)


def test_branches_tags_and_commits_are_found(repository, serve, fetch):
    first = repository.commit({"flow.py": "first"})
    repository.git("tag", "light")
    repository.git("tag", "--annotate", "annotated", "--message", "A tag")
    repository.git("push", "-q", "origin", "--tags")
    second = repository.commit({"flow.py": "second"}, push="feature/two")
    repository.commit({"flow.py": "third"})
    server = serve()

    for ref, commit, text in [
        ("light", first, "first"),
        ("annotated", first, "first"),
        ("refs/tags/annotated", first, "first"),
        ("feature/two", second, "second"),
        (first, first, "first"),
        (first[:7], first, "first"),
    ]:
        fetched = fetch(server.url("etl.git", f"#{ref}"))
        assert (fetched.version, files(fetched)) == (commit, {"flow.py": text}), ref


def test_of_a_tag_and_a_branch_of_one_name_the_tag_is_meant(repository, serve, fetch):
    tagged = repository.commit({"flow.py": "tag"})
    repository.git("tag", "same")
    repository.git("push", "-q", "origin", "--tags")
    branch = repository.commit({"flow.py": "branch"}, push="same")
    server = serve()

    assert fetch(server.url("etl.git", "#same")).version == tagged
    assert fetch(server.url("etl.git", "#refs/heads/same")).version == branch


def test_a_folder_is_a_source_of_its_own(repository, serve, fetch):
    repository.commit({"flows/daily/flow.py": "daily", "flows/daily/lib/a.py": "a", "setup.py": "no"})

    assert files(fetch(serve().url("etl.git", "#main:flows/daily"))) == {"flow.py": "daily", "lib/a.py": "a"}


def test_a_file_comes_with_its_neighbours(repository, serve, fetch):
    repository.commit({"flows/daily.py": "daily", "flows/lib.py": "lib", "setup.py": "no"})
    server = serve()

    fetched = fetch(server.url("etl.git", "#main:flows/daily.py"))

    assert fetched.file == "daily.py"
    assert files(fetched) == {"daily.py": "daily", "lib.py": "lib"}
    assert fetch(server.url("etl.git", "#:setup.py")).file == "setup.py"


def test_a_commit_in_the_cache_is_not_fetched_again(repository, serve, fetch):
    first = repository.commit({"flow.py": "first"})
    server = serve()
    fetch(server.url("etl.git", "#main"))
    assert server.fetches() == 1

    fetch(server.url("etl.git", "#main"))
    fetch(server.url("etl.git"))
    assert server.fetches() == 1

    asked = len(server.requests)
    assert fetch(server.url("etl.git", f"#{first}")).version == first
    assert len(server.requests) == asked


def test_an_abbreviation_in_the_cache_is_not_looked_up_again(repository, serve, fetch):
    first = repository.commit({"flow.py": "first"})
    repository.commit({"flow.py": "second"})
    server = serve()
    fetch(server.url("etl.git", f"#{first[:9]}"))
    fetches = server.fetches()

    assert fetch(server.url("etl.git", f"#{first[:9]}")).version == first
    assert server.fetches() == fetches


@pytest.mark.parametrize("force", [False, True])
def test_a_branch_that_has_moved_gives_its_new_commit(repository, serve, fetch, force):
    before = repository.commit({"flow.py": "before"})
    server = serve()
    old = fetch(server.url("etl.git", "#main"))
    if force:
        repository.git("checkout", "-q", "--orphan", "rewritten")
    after = repository.commit({"flow.py": "after"})

    new = fetch(server.url("etl.git", "#main"))

    assert (old.version, new.version) == (before, after)
    assert (files(old), files(new)) == ({"flow.py": "before"}, {"flow.py": "after"})


def test_sources_open_a_repository_as_a_copy_of_their_own(repository, serve, fetch):
    commit = repository.commit({"flow.py": "x"})
    sources = Sources(credentials=Credentials(git=fetch.credentials), cache=fetch.cache)
    location = serve().url("etl.git", "#main:flow.py")

    with sources.open(location) as opened:
        assert (opened.file, opened.version, files(opened)) == ("flow.py", commit, {"flow.py": "x"})
        (opened.folder / "flow.py").write_text("changed")
    with sources.open(location) as opened:
        assert files(opened) == {"flow.py": "x"}


def test_two_processes_fetch_a_commit_once(repository, serve, fetch, tmp_path, authority):
    repository.commit({"flow.py": "x"})
    server = serve()
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from airflow_kfp_runtime.sources.cache import Cache\n"
        "from airflow_kfp_runtime.sources.credentials import Credentials\n"
        "from airflow_kfp_runtime.sources.git import fetch\n"
        "from airflow_kfp_runtime.sources.limits import Limits\n"
        "from airflow_kfp_runtime.sources.scheme import FetchRequest\n"
        "cache = Cache(Path(sys.argv[2]), 2**30)\n"
        "fetched = fetch(FetchRequest(sys.argv[1], 'code_src', Credentials(), Limits(), cache))\n"
        "print((fetched.folder / 'flow.py').read_text())\n"
    )
    command = [sys.executable, "-c", script, server.url("etl.git"), str(tmp_path / "shared")]
    environment = {**os.environ, "GIT_SSL_CAINFO": str(authority.certificate)}
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]

    assert [process.communicate()[0] for process in processes] == ["x\n", "x\n"]
    assert server.fetches() == 1


def test_a_server_of_the_older_protocol_gives_any_commit_too(repository, serve, fetch):
    first = repository.commit({"flow.py": "first"})
    repository.git("tag", "--annotate", "v1", "--message", "A tag")
    repository.git("push", "-q", "origin", "--tags")
    middle = repository.commit({"flow.py": "middle"})
    repository.commit({"flow.py": "last"})
    server = serve(protocol=False)

    for ref, commit in [("v1", first), (middle, middle), (middle[:8], middle)]:
        assert fetch(server.url("etl.git", f"#{ref}")).version == commit
    assert "has no commit " + "1" * 40 in fetch.refused(server.url("etl.git", "#" + "1" * 40))


def test_plain_http_and_the_git_protocol_work_without_a_login(
    repository, serve, fetch, tmp_path, monkeypatch
):
    repository.commit({"flow.py": "x"})
    server = serve(authority=None)
    daemon = GitDaemon(tmp_path / "repositories")
    # A token of the environment is for HTTPS: it would be readable on the way.
    monkeypatch.setenv("GIT_TOKEN", "the-token")
    fetch.credentials = None
    try:
        assert files(fetch(server.url("etl.git"))) == files(fetch(daemon.url("etl.git"))) == {"flow.py": "x"}
    finally:
        daemon.stop()
    assert {request.login for request in server.requests} == {None}


def test_submodules_and_large_files_stay_what_they_are_in_the_repository(repository, serve, fetch):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},library")
    repository.git("config", "advice.addEmbeddedRepo", "false")
    (repository.work / "library").mkdir()
    repository.commit({"flow.py": "x", "data.bin": pointer, ".gitattributes": "*.bin filter=lfs\n"})

    fetched = fetch(serve().url("etl.git"))

    assert (fetched.folder / "data.bin").read_text() == pointer
    assert not [
        path for path in fetched.folder.rglob("*") if path.is_relative_to(fetched.folder / "library/.git")
    ]


def test_no_configuration_of_the_machine_takes_part(repository, serve, fetch, tmp_path, monkeypatch):
    repository.commit({"flow.py": "x", ".gitattributes": "*.py filter=own\n"})
    server = serve()
    home, touched = tmp_path / "home", tmp_path / "touched"
    home.mkdir()
    configuration = home / ".gitconfig"
    configuration.write_text(
        f'[filter "own"]\n\tsmudge = touch {touched}\n\trequired = true\n'
        f"[init]\n\ttemplateDir = {home}\n[core]\n\tfsmonitor = touch {touched}\n"
        f'[credential]\n\thelper = "!touch {touched}"\n[url "http://127.0.0.1:1/"]\n\tinsteadOf = https://\n'
    )
    for name, value in {
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(configuration),
        "GIT_CONFIG_SYSTEM": str(configuration),
        "GIT_ASKPASS": f"touch {touched}",
        "GIT_SSH_COMMAND": f"touch {touched}",
        "GIT_DIR": str(home),
        "GIT_WORK_TREE": str(home),
        "GIT_INDEX_FILE": str(home / "index"),
        "GIT_SSL_NO_VERIFY": "1",
    }.items():
        monkeypatch.setenv(name, value)

    assert files(fetch(server.url("etl.git")))["flow.py"] == "x"
    assert "no trusted connection" in fetch.refused(server.url("etl.git", "#main"), ca_certificate=os.devnull)
    assert not touched.exists()


def test_links_within_the_source_stay(repository, serve, fetch):
    (repository.work / "link.py").symlink_to("flow.py")
    (repository.work / "circle").symlink_to("circle")
    repository.commit({"flow.py": "x"})

    fetched = fetch(serve().url("etl.git"))

    assert (fetched.folder / "link.py").read_text() == "x"
    assert (fetched.folder / "link.py").is_symlink()


@pytest.mark.parametrize(
    ("target", "fragment"),
    [("/etc/passwd", ""), ("../../other.py", ""), ("../other.py", "#main:flows")],
)
def test_links_out_of_the_source_are_refused(repository, serve, fetch, target, fragment):
    (repository.work / "flows").mkdir()
    (repository.work / "flows" / "link").symlink_to(target)
    repository.commit({"other.py": "x"})

    message = fetch.refused(serve().url("etl.git", fragment))

    assert f"link' to '{target}' leads out of the source" in message
    assert not list((fetch.folder / "cache").rglob("link"))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(download=200_000), "takes more than 200000 bytes"),
        (Limits(extracted=200_000), "bytes, of 200000 allowed; name a folder"),
        (Limits(files=5), "files and folders, of 5 allowed; name a folder"),
    ],
)
def test_what_is_too_large_is_refused(repository, serve, fetch, limits, message):
    repository.commit({"large.bin": os.urandom(300_000), "a/b/c/d/e.py": "x", "small/flow.py": "x"})
    server = serve()
    allowed, fetch.limits = fetch.limits, limits

    assert message in fetch.refused(server.url("etl.git"))

    fetch.limits = replace(limits, download=allowed.download)
    assert files(fetch(server.url("etl.git", "#main:small"))) == {"flow.py": "x"}


def test_a_server_that_stalls_is_left(repository, serve, fetch):
    fetch.limits = Limits(timeout=0.5)

    assert "ended after 0.5 seconds" in fetch.refused(serve(stall=True).url("etl.git"))


def test_what_cannot_be_found_is_said(repository, serve, fetch):
    server = serve()
    assert "has no commit yet" in fetch.refused(server.url("etl.git"))

    repository.commit({"flow.py": "x"}, push="other")
    assert "default branch of the repository does not exist" in fetch.refused(server.url("etl.git"))
    repository.commit({"flow.py": "x", "parts/load.py": ""})
    for number in range(12):
        repository.git("push", "-q", "origin", f"HEAD:refs/heads/branch-{number:02}")
    unknown = fetch.refused(server.url("etl.git", "#mian"))
    assert unknown.endswith("has no branch, tag or commit 'mian'. Allowed: main")
    assert "no branch, tag or commit 'abcdef12'" in fetch.refused(server.url("etl.git", "#abcdef12"))
    assert "has no commit " + "1" * 40 in fetch.refused(server.url("etl.git", "#" + "1" * 40))
    assert "has no folder 'flows' at commit" in fetch.refused(server.url("etl.git", "#main:flows"))
    assert "has no folder 'flows' at commit" in fetch.refused(server.url("etl.git", "#main:flows/etl.py"))
    assert fetch.refused(server.url("etl.git", "#main:part")).endswith(". Allowed: parts")
    assert "has no folder 'flow.txt' at commit" in fetch.refused(server.url("etl.git", "#main:flow.txt"))
    assert "has no file 'flow2.py' at commit" in fetch.refused(server.url("etl.git", "#main:flow2.py"))
    assert "has no repository '/other.git'" in fetch.refused(server.url("other.git"))


def test_servers_that_cannot_be_reached_or_trusted_are_said(repository, serve, fetch, authority, tmp_path):
    repository.commit({"flow.py": "x"})
    server = serve()
    other = Authority.create(tmp_path / "other")

    assert "no trusted connection to 127.0.0.1" in fetch.refused(
        server.url("etl.git"), ca_certificate=str(other.certificate)
    )
    assert "cannot be reached" in fetch.refused("git+https://127.0.0.1:1/etl.git")
    assert "cannot be reached" in fetch.refused("git://127.0.0.1:1/etl.git")
    assert "host of git.invalid is unknown" in fetch.refused("git+https://git.invalid/etl.git")


def test_redirects_lead_only_to_where_the_scheme_allows(repository, serve, fetch):
    repository.commit({"flow.py": "x"})
    secure, plain = serve(), serve(authority=None)

    to_secure = serve(redirect=f"https://localhost:{secure.port}")
    assert files(fetch(to_secure.url("etl.git"))) == {"flow.py": "x"}

    to_plain = serve(redirect=f"http://{plain.address}")
    assert "redirects to where git may not follow" in fetch.refused(to_plain.url("etl.git"))
    assert not plain.requests

    to_file = serve(redirect=f"file://{repository.bare}")
    assert "redirects to where git may not follow" in fetch.refused(to_file.url("etl.git"))
    in_circles = serve(redirect="")
    assert "redirects" in fetch.refused(in_circles.url("etl.git"))


def test_a_missing_git_program_is_named(repository, serve, fetch, monkeypatch, tmp_path):
    url = serve().url("etl.git")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "env").symlink_to("/usr/bin/env")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert "needs the git program, which is not on the PATH" in fetch.refused(url)

    # In a process that has not imported GitPython yet, its import fails.
    code = (
        "from airflow_kfp_runtime.sources.git_program import GitProgram\n"
        "from pathlib import Path\n"
        "GitProgram(Path('/'), {}, {}, 1, 1, 1, 'code_src').run('version')\n"
    )
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "SourceError: code_src: needs the git program" in failed.stderr
