"""What an address over the network gives: one file, or an archive; kept in the cache by its hash."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.archive import extract
from airflow_kfp_runtime.sources.disk import PREFIX, temporary_files_explained
from airflow_kfp_runtime.sources.scheme import Fetched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_kfp_runtime.sources.http_client import Downloaded
    from airflow_kfp_runtime.sources.scheme import FetchRequest

#: What comes before ``://`` of an archive's scheme.
ARCHIVE = "zip+"

_FILE_NAME = re.compile(r"[^\x00-\x1f\x7f/\\:]+")
_ZIP_BEGINNINGS = (b"PK\x03\x04", b"PK\x05\x06")
_PAGE = re.compile(rb"\s*<(?:!doctype|html|head|body|\?xml|!--)", re.IGNORECASE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BEGINNING = 1024


def named_file(name: str, scheme: str, request: FetchRequest) -> str | None:
    """Return the name of the one file that an address names; ``None`` for an archive's address.

    :param name: the last part of the address's path.
    :param scheme: of the address, in lower case (``zip+https``).
    :raises SourceError: it names a file of another kind; the message says which scheme is for it.
    """
    if scheme.startswith(ARCHIVE):
        return None
    suffixes = [suffix for suffix in request.suffixes if name.endswith(suffix) and name != suffix]
    if suffixes and _FILE_NAME.fullmatch(name):
        return name
    archive = f"{ARCHIVE}{scheme}://"
    problem = (
        f"names a zip archive, which has the scheme {archive}"
        if name.lower().endswith(".zip")
        else f"names no file that ends in {' or '.join(request.suffixes)}"
    )
    examples = [f"{scheme}://.../etl{suffix}" for suffix in request.suffixes]
    examples.append(f"{archive}.../etl.zip")
    if scheme in ("https", "http"):
        examples.append(f"git+{scheme}://.../etl.git for a repository")
    raise SourceError(problem, field=request.field, allowed=examples)


def fetch_content(
    request: FetchRequest,
    name: str | None,
    key: str,
    download: Callable[[Mapping[str, str], IO[bytes]], Downloaded],
) -> Fetched:
    """Download what an address names into the cache, or find there what the server says is still the same.

    :param name: the file's, or ``None`` for an archive, which is extracted.
    :param key: tells the address from all others in the cache's notes.
    :param download: called with the headers that say which content is at hand, and with an open file.
    :raises SourceError: as ``download`` does; or what comes is something else, such as a login page.
    """
    known = request.cache.note(key) or {}
    found = request.cache.find(_key(name, known["version"])) if "version" in known else None
    with (
        temporary_files_explained(field=request.field),
        tempfile.NamedTemporaryFile(prefix=PREFIX) as file,
    ):
        answer = download(known["conditions"] if found else {}, file)
        if answer.sha256 is None:
            if found is None:
                raise SourceError("the server says that nothing known has not changed", field=request.field)
            return Fetched(found, name, known["version"])
        file.flush()
        folder = _kept(request, name, answer.sha256, Path(file.name))
    if conditions := _conditions(answer):
        request.cache.keep_note(key, {"version": answer.sha256, "conditions": conditions})
    return Fetched(folder, name, answer.sha256)


def _conditions(answer: Downloaded) -> dict[str, str]:
    """Return the headers that ask for this content only if it has changed."""
    if answer.etag:
        # Not with a date beside it, which servers should ignore then (RFC 9110) and some do not.
        return {"If-None-Match": answer.etag}
    return {"If-Modified-Since": answer.last_modified} if answer.last_modified else {}


def _kept(request: FetchRequest, name: str | None, version: str, file: Path) -> Path:
    _check_kind(file, name, request.field)

    def make(target: Path) -> None:
        if name is None:
            extract(file, target, request.limits, field=request.field)
        else:
            shutil.copyfile(file, target / name)

    return request.cache.entry(_key(name, version), make)


def _key(name: str | None, version: str) -> str:
    return f"archive {version}" if name is None else f"file {version} {name}"


def _check_kind(file: Path, name: str | None, field: str) -> None:
    with file.open("rb") as opened:
        beginning = opened.read(_BEGINNING).removeprefix(_BYTE_ORDER_MARK)
    if _PAGE.match(beginning):
        raise SourceError(
            "what comes is a web page: a login that stands before the file, or a page that shows it; use the "
            "address behind its 'raw' or 'download' link, or one that needs no login",
            field=field,
        )
    if name is None and not beginning.startswith(_ZIP_BEGINNINGS):
        raise SourceError("what comes is no zip archive", field=field)
