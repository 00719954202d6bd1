"""What an address over the network gives: one file, or an archive; kept in the cache by its hash."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.archive import extract
from airflow_kfp_runtime.sources.scheme import Fetched

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_kfp_runtime.sources.scheme import FetchRequest

#: What comes before ``://`` of an archive's scheme.
ARCHIVE = "zip+"

_FILE_NAME = re.compile(r"[^\x00-\x1f\x7f/\\:]+")
_ZIP_BEGINNINGS = (b"PK\x03\x04", b"PK\x05\x06")
_PAGE = re.compile(rb"\s*<(?:!doctype|html|head|body|\?xml|!--)", re.IGNORECASE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BEGINNING = 1024


def named_file(path: str, scheme: str, request: FetchRequest) -> str | None:
    """Return the name of the one file that an address names; ``None`` for an archive's address.

    :param path: of the address, without server and query, quoted as in URLs.
    :param scheme: of the address, in lower case (``zip+https``).
    :raises SourceError: it names a file of another kind; the message says which scheme is for it.
    """
    if scheme.startswith(ARCHIVE):
        return None
    name = unquote(path.rpartition("/")[2])
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
    raise SourceError(problem, field=request.field, allowed=[*examples, f"{archive}.../etl.zip"])


def find_content(request: FetchRequest, name: str | None, version: str) -> Fetched | None:
    """Return content that the cache has.

    :param name: the file's, or ``None`` for an archive.
    :param version: its SHA-256.
    """
    folder = request.cache.find(_key(name, version))
    return Fetched(folder, name, version) if folder else None


def keep_content(request: FetchRequest, name: str | None, version: str, file: Path) -> Fetched:
    """Put what was downloaded into the cache, an archive extracted.

    :param name: what the file is called there, or ``None`` for an archive.
    :param version: its SHA-256.
    :param file: holds it.
    :raises SourceError: it is something else, such as a login page.
    """
    _check_kind(file, name, request.field)

    def make(target: Path) -> None:
        if name is None:
            extract(file, target, request.limits, field=request.field)
        else:
            shutil.copyfile(file, target / name)

    return Fetched(request.cache.entry(_key(name, version), make), name, version)


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
