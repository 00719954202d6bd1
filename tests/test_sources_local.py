"""Sources on this machine: files, archives and folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources import Cache, Limits, Sources
from tests.source_opening import Opening, texts, zip_of


@pytest.fixture
def opening(tmp_path, monkeypatch):
    made = Opening(tmp_path, monkeypatch)
    yield made
    assert made.left() == []


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_file_is_used_where_it_is_with_its_neighbours(tmp_path):
    write(tmp_path, {"flows/etl.py": "import shared", "flows/shared.py": ""})

    with Sources((tmp_path,)).open("flows/etl.py") as source:
        assert (source.folder, source.file) == (tmp_path / "flows", "etl.py")
        assert texts(source.folder) == {"etl.py": "import shared", "shared.py": ""}


def test_a_folder_is_used_where_it_is(tmp_path):
    write(tmp_path, {"flows/etl.py": "1"})

    with Sources((tmp_path,)).open("flows") as source:
        assert (source.folder, source.file) == (tmp_path / "flows", None)


def test_an_archive_is_extracted_for_the_length_of_the_block(tmp_path):
    (tmp_path / "etl.zip").write_bytes(zip_of({"etl.py": "1"}))

    with Sources((tmp_path,)).open("etl.zip") as source:
        assert texts(source.folder) == {"etl.py": "1"}
        assert source.file is None
        (source.folder / "etl.py").write_text("changed")

    assert not source.folder.exists()
    with Sources((tmp_path,)).open("etl.zip") as source:
        assert texts(source.folder) == {"etl.py": "1"}


def test_folders_are_looked_through_in_their_order(tmp_path):
    write(tmp_path, {"first/a.py": "first", "second/a.py": "second", "second/b.py": "second"})
    sources = Sources((tmp_path / "first", tmp_path / "second"))

    for name, folder in (("a.py", "first"), ("b.py", "second"), (str(tmp_path / "second/a.py"), "second")):
        with sources.open(name) as source:
            assert source.folder == tmp_path / folder


def test_without_folders_paths_begin_at_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path, {"etl.py": "1"})
    monkeypatch.chdir(tmp_path)

    with Sources().open("etl.py") as source:
        assert source.folder == tmp_path


def test_the_author_of_a_dag_may_lead_out_of_its_folder(tmp_path):
    write(tmp_path, {"dags/team/dag.py": "", "shared/etl.py": "1"})
    (tmp_path / "dags/linked.py").symlink_to("../shared/etl.py")

    for path in ("../shared/etl.py", "linked.py"):
        with Sources((tmp_path / "dags",)).open(path) as source:
            assert source.folder == tmp_path / "shared"


def test_other_kinds_of_files_are_opened_for_who_asks_for_them(opening):
    write(opening.folder, {"component.yaml": "name: c"})

    assert opening("component.yaml", suffixes=(".yaml", ".yml")) == {"component.yaml": "name: c"}


@pytest.mark.parametrize("path", ["etl.py", "flows", "etl.zip"])
def test_the_version_is_that_of_the_content(opening, path):
    write(opening.folder, {"etl.py": "1", "flows/etl.py": "1", "flows/b/c.py": "1"})
    (opening.folder / "etl.zip").write_bytes(zip_of({"etl.py": "1"}))
    first = opening.version(path)
    os.utime(opening.folder / path, (1, 1))
    write(opening.folder, {"flows/__pycache__/etl.pyc": "1", "flows/.git/HEAD": "1"})
    assert opening.version(path) == first

    write(opening.folder, {"etl.py": "2", "flows/b/c.py": "2"})
    (opening.folder / "etl.zip").write_bytes(zip_of({"etl.py": "2"}))

    assert opening.version(path) != first


def test_the_version_of_a_folder_is_that_of_its_names_too(opening):
    write(opening.folder, {"one/a.py": "1", "two/b.py": "1"})

    assert opening.version("one") != opening.version("two")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.py", "there is no file or folder 'missing.py'; looked for '{folder}/missing.py'"),
        ("flows.etl", "there is no file or folder 'flows.etl'"),
        ("~/etl.py", "looked for '{folder}/~/etl.py'"),
        ("etl.txt", "is a file that is no source. Allowed: a file that ends in .py, .zip, a folder"),
        ("etl.tar.gz", "is a file that is no source"),
        ("etl.PY", "is a file that is no source"),
        ("pipe.py", "there is no file or folder 'pipe.py'"),
        ("circle.py", "there is no file or folder 'circle.py'"),
        ("dangling.py", "there is no file or folder 'dangling.py'"),
        ("large.py", "has more than the 1000 bytes of the limit"),
        ("large.zip", "has more than the 1000 bytes of the limit"),
        ("many", "has more than 5 files or 2000 bytes; name a folder"),
        ("heavy", "has more than 5 files or 2000 bytes; name a folder"),
        ("x" * 300, "there is no file or folder"),
        ("file:///etl.py", "Allowed: the path itself"),
        ("ftp://example.org/etl.py", "'ftp' is not the scheme of a source. Allowed: a path without a scheme"),
        ("", "is empty"),
    ],
)
def test_a_path_that_is_wrong_is_refused(opening, path, message):
    opening.limits = Limits(download=1000, extracted=2000, files=5)
    folder = opening.folder
    write(
        folder,
        {"etl.txt": "", "etl.tar.gz": "", "etl.PY": "", "large.py": "#" * 1001, "large.zip": "#" * 1001},
    )
    write(folder, {f"many/{number}.py": "" for number in range(6)})
    write(folder, {f"heavy/{number}.py": "#" * 900 for number in range(3)})
    os.mkfifo(folder / "pipe.py")
    (folder / "circle.py").symlink_to("circle.py")
    (folder / "dangling.py").symlink_to("nothing.py")

    assert message.format(folder=folder) in opening.refused(path)


def test_a_file_that_cannot_be_read_is_said_so(opening, monkeypatch):
    write(opening.folder, {"etl.py": "1"})

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Root, as whom tests run in containers, may read every file.
    monkeypatch.setattr(Path, "open", refuse)

    assert "etl.py' cannot be read: Permission denied" in opening.refused("etl.py")


@given(st.text())
def test_any_path_is_found_or_refused(text):
    # What begins with "/" might be a folder of this machine.
    sources = Sources((Path("/nonexistent"),), cache=Cache(Path("/nonexistent")))
    try:
        with sources.open(text.lstrip("/")) as source:
            assert source.folder.is_absolute()
    except SourceError:
        pass
