"""Sources at web addresses: ``https://host/etl.py`` and ``zip+https://host/etl.zip``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.sources.content import ARCHIVE, find_content, keep_content, named_file
from airflow_kfp_runtime.sources.location import Location
from airflow_kfp_runtime.sources.scheme import SourceScheme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_kfp_runtime.sources.scheme import Fetched, FetchRequest

_SCHEMES = ("https", "http", "zip+https", "zip+http")


@hookimpl
def source_schemes() -> Sequence[SourceScheme]:
    """Return the schemes of web addresses."""
    return [SourceScheme(names=_SCHEMES, fetch=fetch)]


def fetch(request: FetchRequest) -> Fetched:
    """Bring a file or an archive into the cache, or find there what the server says is still the same.

    :raises SourceError: the address is wrong, the server refuses or cannot be reached, what comes is
        something else, or a limit is exceeded.
    """
    location = Location.parse(request.location, field=request.field)
    location.host_and_port(field=request.field)
    if location.fragment is not None:
        raise SourceError("has a part after '#', which only git addresses have", field=request.field)
    scheme = location.scheme or ""
    url = f"{scheme.removeprefix(ARCHIVE)}://{location.rest}"
    name = named_file(urlsplit(url).path, scheme, request)
    known = request.cache.note(url) or {}
    found = find_content(request, name, known["version"]) if "version" in known else None
    from airflow_kfp_runtime.sources.http_client import download

    with tempfile.NamedTemporaryFile(prefix="airflow-kfp-runtime-source-") as file:
        conditions = known["conditions"] if found else {}
        answer = download(url, conditions, file, request.limits, field=request.field)
        if answer.sha256 is None and found is not None:
            return found
        file.flush()
        fetched = keep_content(request, name, str(answer.sha256), Path(file.name))
    validators = {"If-None-Match": answer.etag, "If-Modified-Since": answer.last_modified}
    conditions = {header: value for header, value in validators.items() if value}
    if conditions:
        request.cache.keep_note(url, {"version": fetched.version, "conditions": conditions})
    return fetched
