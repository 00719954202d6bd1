"""Sources at web addresses: ``https://host/etl.py`` and ``zip+https://host/etl.zip``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.sources.content import ARCHIVE, fetch_content, named_file
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
    """Bring a file or an archive into the cache.

    :raises SourceError: the address is wrong, the server refuses or cannot be reached, what comes is
        something else, or a limit is exceeded.
    """
    location = Location.parse(request.location, field=request.field)
    location.host_and_port(field=request.field)
    if location.fragment is not None:
        raise SourceError("has a part after '#', which only git addresses have", field=request.field)
    scheme = location.scheme or ""
    url = f"{scheme.removeprefix(ARCHIVE)}://{location.rest}"
    name = named_file(unquote(urlsplit(url).path.rpartition("/")[2]), scheme, request)
    # httpx takes its time to import.
    from airflow_kfp_runtime.sources.http_client import Downloading

    downloading = Downloading(request.limits, request.field)
    return fetch_content(request, name, url, partial(downloading.download, url))
