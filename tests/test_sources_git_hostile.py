"""Repositories that were made to harm whoever fetches them."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.limits import Limits
from tests.git_fetching import fetching, files
from tests.git_server import GIT_ENVIRONMENT, GitHttpServer, Repository


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "repositories").mkdir()
    return Repository.create(tmp_path / "repositories" / "etl.git")


@pytest.fixture
def url(repository):
    server = GitHttpServer(repository.bare.parent)
    yield server.url("etl.git")
    server.stop()


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    made = fetching(tmp_path, monkeypatch)
    yield made
    assert not made.left_files()
    assert not made.left_processes()


def tree(repository: Repository, *entries: tuple[str, str, str, str]) -> str:
    """Write a tree of entries (mode, type, object, name), whose names nobody checks."""
    lines = [f"{mode} {kind} {named}\t{name}\n" for mode, kind, named, name in entries]
    return write(repository, "mktree", input="".join(lines))


def blob(repository: Repository, text: str) -> str:
    return write(repository, "hash-object", "-w", "--stdin", input=text)


def write(repository: Repository, *arguments: str, **options: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=repository.bare,
        env=GIT_ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
        **options,
    )
    return done.stdout.strip()


def commit(repository: Repository, tree: str) -> None:
    made = write(repository, "commit-tree", tree, "-m", "Hostile")
    write(repository, "update-ref", "refs/heads/main", made)


@pytest.mark.parametrize("name", ["..", ".git", ".GIT", "."])
def test_names_that_lead_out_or_into_the_repository_are_refused(repository, fetch, url, name):
    inner = tree(repository, ("100644", "blob", blob(repository, "evil"), "config"))
    commit(repository, tree(repository, ("040000", "tree", inner, name)))

    assert "git" in fetch.refused(url)
    assert not [path for path in fetch.folder.rglob("config") if path.read_text() == "evil"]


def test_a_link_is_not_written_through(repository, fetch, url, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    inner = tree(repository, ("100644", "blob", blob(repository, "evil"), "file"))
    link = ("120000", "blob", blob(repository, str(outside)), "a")
    commit(repository, tree(repository, link, ("040000", "tree", inner, "a")))

    # Git takes one of the two, or refuses both.
    with contextlib.suppress(SourceError):
        assert files(fetch(url)) in ({"a/file": "evil"}, {})

    assert not list(outside.iterdir())


def test_a_commit_of_countless_files_is_refused(repository, fetch, url):
    # Ten times the same folder, ten deep: a few objects that are ten thousand million files.
    top = tree(repository, ("100644", "blob", blob(repository, "x"), "file"))
    for _ in range(10):
        top = tree(repository, *(("040000", "tree", top, str(number)) for number in range(10)))
    commit(repository, top)

    assert "more branches, tags or files than" in fetch.refused(url)


def test_a_file_that_grows_when_it_is_unpacked_is_refused(repository, fetch, url):
    repository.commit({"zeros": b"\0" * 20_000_000})
    fetch.limits = Limits(download=1_000_000, extracted=10_000_000)

    assert "its files have 20000000 bytes, of 10000000 allowed" in fetch.refused(url)


def test_settings_in_a_repository_run_nothing(repository, fetch, url, tmp_path):
    touched = tmp_path / "touched"
    repository.commit(
        {
            "flow.py": "x",
            ".gitattributes": "* filter=own diff=own merge=own ident eol=lf\n",
            ".gitmodules": f'[submodule "a"]\n\tpath = a\n\turl = ext::touch% {touched}\n\tupdate = !touch\n',
            ".lfsconfig": "[lfs]\n\turl = http://127.0.0.1:1/\n",
        }
    )

    assert files(fetch(url))["flow.py"] == "x"
    assert not touched.exists()
