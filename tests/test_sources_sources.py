"""Sources as their users open them: whichever scheme, a folder for the length of a block."""

from __future__ import annotations

import base64
import subprocess
import sys
import tempfile

import pytest

from airflow_kfp_runtime import plugins
from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.sources import Credentials, Limits, S3Credentials, Sources
from airflow_kfp_runtime.sources.inline import decoded, open_text
from airflow_kfp_runtime.sources.scheme import Fetched, SourceScheme
from tests.source_opening import Opening, texts


@pytest.fixture
def opening(tmp_path, monkeypatch):
    made = Opening(tmp_path, monkeypatch)
    yield made
    assert made.left() == []


@pytest.fixture
def notebooks():
    """A scheme that a plugin adds; the requests that it gets."""
    requests = []

    class Plugin:
        @staticmethod
        @hookimpl
        def source_schemes():
            return [SourceScheme(("notebook",), fetch)]

    def fetch(request):
        def make(folder):
            (folder / "flows").mkdir()
            (folder / "flows" / "etl.py").write_text("1")
            (folder / "etl.py").symlink_to("flows/etl.py")

        requests.append(request)
        return Fetched(request.cache.entry(request.location, make), "etl.py", "v1")

    manager = plugins.plugin_manager()
    manager.register(Plugin, name="notebooks")
    yield requests
    manager.unregister(name="notebooks")


def test_a_scheme_of_a_plugin_is_asked_with_all_that_was_given(opening, notebooks):
    opening("NOTEBOOK://Team/etl", field="source", suffixes=[".py", ".ipynb"])

    [request] = notebooks
    assert request.location == "NOTEBOOK://Team/etl"
    assert (request.field, request.suffixes) == ("source", (".py", ".ipynb"))
    assert (request.credentials, request.limits) == (opening.credentials, opening.limits)


def test_code_gets_a_copy_and_cannot_change_the_cache(opening, notebooks):
    with opening.sources.open("notebook://etl") as source:
        assert (source.file, source.version) == ("etl.py", "v1")
        assert (source.folder / "etl.py").is_symlink()
        (source.folder / "flows" / "etl.py").write_text("changed")
        (source.folder / "more.py").write_text("2")

    assert not source.folder.exists()
    with opening.sources.open("notebook://etl") as source:
        assert texts(source.folder) == {"etl.py": "1", "flows/etl.py": "1"}


def test_code_that_fails_leaves_no_copy(opening, notebooks):
    def run() -> None:
        with opening.sources.open("notebook://etl") as source:
            (source.folder / "flows").rename(source.folder / "moved")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()

    assert opening.left() == []


def test_a_copy_that_has_no_room_is_said_so(opening, notebooks, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copytree", refuse)

    assert "No space left on device; free space there or set TMPDIR" in opening.refused("notebook://etl")


def test_a_temporary_folder_that_is_not_there_is_said_so(opening, notebooks, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(opening.folder / "missing"))

    said = opening.refused("notebook://etl")

    assert "code_src: cannot be written to a temporary folder: No such file or directory; free" in said


def test_a_text_is_a_file_like_all_others():
    with open_text("x = 'é'", name="flow") as source:
        assert texts(source.folder) == {"flow.py": "x = 'é'"}
        assert source.file == "flow.py"

    assert not source.folder.exists()


@pytest.mark.parametrize(
    "encoded",
    [
        base64.b64encode("é = 1".encode()).decode(),
        base64.encodebytes("é = 1".encode()).decode(),
        base64.b64encode("é = 1".encode("utf-8-sig")).decode(),
    ],
)
def test_base64_is_decoded(encoded):
    assert decoded(encoded) == "é = 1"


@pytest.mark.parametrize("encoded", ["def pipeline():", "YQ", "YQ==YQ==", "/w==", "é"])
def test_what_is_no_base64_of_text_is_refused(encoded):
    with pytest.raises(SourceError, match="code: is not base64 of UTF-8 text") as refused:
        decoded(encoded, field="code")

    assert encoded not in str(refused.value)


def test_secrets_are_in_no_representation():
    secret = S3Credentials(access_key="AKIATESTS", secret_key="hunter2", session_token="hunter2")

    assert "hunter2" not in repr(Sources(credentials=Credentials(s3=secret)))


def test_the_defaults_of_the_limits_are_those_of_the_documentation():
    limits = Limits()

    assert (limits.download, limits.extracted) == (100 * 1024**2, 300 * 1024**2)
    assert (limits.files, limits.ratio, limits.redirects) == (10_000, 200, 5)
    assert (limits.connect_timeout, limits.timeout) == (10, 120)


def test_naming_limits_and_sources_loads_nothing_heavy():
    heavy = {"boto3", "httpx", "git", "filelock", "asyncio", "pydantic"}
    program = (
        "import sys; from airflow_kfp_runtime.sources import Credentials, Limits, Sources; Sources(); "
        f"from airflow_kfp_runtime.sources import http, s3; print(sorted({heavy!r} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    import airflow_kfp_runtime.sources as package

    with pytest.raises(AttributeError, match="has no attribute 'Source'"):
        _ = package.Source
