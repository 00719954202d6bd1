"""A source that the pod fetches itself: what it is told, so that it gets what was there at compile time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.runtimes.python.archive import package_name
from airflow_kfp_runtime.runtimes.python.pod import pod_text
from airflow_kfp_runtime.runtimes.python.pod.checking import digest_of
from airflow_kfp_runtime.sources.git_address import GitAddress
from airflow_kfp_runtime.sources.location import Location

if TYPE_CHECKING:
    from airflow_kfp_runtime.sources.limits import Limits
    from airflow_kfp_runtime.sources.scheme import Fetched


def fetching_program(location: str, fetched: Fetched, file: str, function: str, limits: Limits) -> str:
    """Return the text of a module that fetches a source in the pod and has its function.

    :param location: the address.
    :param fetched: what is there now: a git commit is pinned, other content has to be the same in the pod.
    :param file: the function's file in it.
    :param limits: the pod's, too.
    :raises SourceError: the address cannot be fetched in a pod.
    """
    parsed = Location.parse(location, field="source")
    scheme = parsed.scheme or ""
    package = package_name(fetched.folder)
    parts = ["loading", "checking"]
    if scheme.startswith("git"):
        parts.append("git")
        expression = f"repository({_commit(location, fetched)!r}, new_folder({package!r}), bounds)"
    else:
        if "s3" in scheme:
            parts.append("s3")
            # A key may have any character; no store has one that begins with "/".
            bucket, _, key = location.partition("://")[2].partition("/")
            place = f"s3://{bucket}/{key.lstrip('/')}"
            content = f"object_of({bucket!r}, {key.lstrip('/')!r}, bounds)"
        else:
            parts.append("http")
            place = f"{scheme.removeprefix('zip+')}://{parsed.rest}"
            content = f"downloaded({_without_query(place)!r}, bounds)"
        if scheme.startswith("zip+"):
            parts.append("zip")
            digest = digest_of(str(fetched.folder))
            placed = f"extracted({content}, new_folder({package!r}), bounds)"
        else:
            digest = digest_of(str(fetched.folder), [file])
            placed = f"written({content}, new_folder({package!r}), {file!r})"
        expression = f"checked({placed}, {digest!r}, {place!r})"
    bounds = {
        "download": limits.download,
        "extracted": limits.extracted,
        "files": limits.files,
        "seconds": limits.timeout,
    }
    return (
        f"{pod_text(*parts)}bounds = Bounds({bounds!r})\n"
        f"{function} = function_of({expression}, {file!r}, {function!r})\n"
    )


def _without_query(url: str) -> str:
    if "?" in url:
        raise SourceError(
            "has a query, which often is a signature, and an address that a pod fetches from is part of the "
            "pipeline, for everybody to read; use fetch='compiler', or an address without a query",
            field="source",
        )
    return url


def _commit(location: str, fetched: Fetched) -> dict[str, str]:
    """Return the commit that the pod fetches, and from where."""
    address = GitAddress.parse(location, field="source")
    commit = re.match(r"[0-9a-f]{40,64}", fetched.version)
    if commit is None:
        raise SourceError(
            f"its version {fetched.version!r} is no commit, which a pod could fetch", field="source"
        )
    return {
        "url": address.url,
        "origin": address.origin,
        "commit": commit[0],
        "inside": address.inside,
        "folder": address.inside if fetched.file is None else address.inside.rpartition("/")[0],
    }
