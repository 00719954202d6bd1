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

#: What comes before ``://`` of an archive's scheme.
_ARCHIVE = "zip+"


def fetching_program(location: str, fetched: Fetched, file: str, function: str, limits: Limits) -> str:
    """Return the text of a module that fetches a source in the pod and has its function.

    :param location: the address.
    :param fetched: what is there now: a git commit is pinned, other content has to be the same in the pod.
    :param file: the function's file in it.
    :param limits: the pod's, too.
    :raises SourceError: the address cannot be fetched in a pod.
    """
    modules, folder = _getting(location, fetched, file)
    bounds = {
        "download": limits.download,
        "extracted": limits.extracted,
        "files": limits.files,
        "seconds": limits.timeout,
    }
    return (
        f"{pod_text('loading', 'checking', *modules)}bounds = Bounds({bounds!r})\n"
        f"{function} = function_of({folder}, {file!r}, {function!r})\n"
    )


def _getting(location: str, fetched: Fetched, file: str) -> tuple[tuple[str, ...], str]:
    """Return the modules that fetch a source, and the expression that gives its folder in the pod."""
    scheme = Location.parse(location, field="source").scheme or ""
    folder = f"new_folder({package_name(fetched.folder)!r})"
    if scheme.startswith("git"):
        return ("git",), f"repository({_commit(location, fetched)!r}, {folder}, bounds)"
    module, place, content = _content(scheme, location)
    if scheme.startswith(_ARCHIVE):
        digest = digest_of(str(fetched.folder))
        return (module, "zip"), f"checked(extracted({content}, {folder}, bounds), {digest!r}, {place!r})"
    digest = digest_of(str(fetched.folder), [file])
    return (module,), f"checked(written({content}, {folder}, {file!r}), {digest!r}, {place!r})"


def _content(scheme: str, location: str) -> tuple[str, str, str]:
    """Return the module that downloads a file, what messages call its place, and the expression for it."""
    rest = location.partition("://")[2]
    if "s3" in scheme:
        # A key may have any character; no store has one that begins with "/".
        bucket, _, key = rest.partition("/")
        key = key.lstrip("/")
        return "s3", f"s3://{bucket}/{key}", f"object_of({bucket!r}, {key!r}, bounds)"
    url = f"{scheme.removeprefix(_ARCHIVE)}://{rest}"
    if "?" in url:
        raise SourceError(
            "has a query, which often is a signature, and an address that a pod fetches from is part of the "
            "pipeline, for everybody to read; use fetch='compiler', or an address without a query",
            field="source",
        )
    return "http", url, f"downloaded({url!r}, bounds)"


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
