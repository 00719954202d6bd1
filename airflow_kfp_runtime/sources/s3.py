"""Sources in object stores: ``s3://bucket/etl.py`` and ``zip+s3://bucket/etl.zip``.

boto3 finds the credentials and signs; the download is that of web addresses, with its bounds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.redaction import Redaction
from airflow_kfp_runtime.sources.content import ARCHIVE, fetch_content, named_file
from airflow_kfp_runtime.sources.location import Location
from airflow_kfp_runtime.sources.scheme import SourceScheme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

    from airflow_kfp_runtime.sources.http_client import Downloaded
    from airflow_kfp_runtime.sources.scheme import Fetched, FetchRequest

#: Hadoop's clients have given the same objects three schemes.
_SPELLINGS = ("s3", "s3a", "s3n")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
#: A store that is busy answers so for a moment.
_ATTEMPTS = 3


@hookimpl
def source_schemes() -> Sequence[SourceScheme]:
    """Return the schemes of object stores."""
    return [SourceScheme(names=(*_SPELLINGS, *(f"{ARCHIVE}{name}" for name in _SPELLINGS)), fetch=fetch)]


def fetch(request: FetchRequest) -> Fetched:
    """Bring an object, or the files of an archive, into the cache.

    :raises SourceError: the address is wrong, boto3 is not installed, there are no credentials, the store
        refuses or cannot be reached, what comes is something else, or a limit is exceeded.
    """
    bucket, key, scheme = _address(request)
    name = named_file(key.rpartition("/")[2], scheme, request)
    # boto3 takes its time to import.
    from airflow_kfp_runtime.sources.http_client import Downloading
    from airflow_kfp_runtime.sources.s3_errors import explained
    from airflow_kfp_runtime.sources.s3_signing import given_credentials, signed_url, tls_context

    credentials = given_credentials(request.credentials.s3, field=request.field)
    redaction = Redaction((credentials.secret_key, credentials.session_token))
    with redaction.in_logs():
        url = signed_url(bucket, key, credentials, request.limits, field=request.field)
    downloading = Downloading(
        limits=request.limits,
        field=request.field,
        context=tls_context(credentials, field=request.field),
        explain=lambda refusal: redaction.text(explained(refusal, bucket, key)),
        attempts=_ATTEMPTS,
    )

    def download(conditions: Mapping[str, str], target: IO[bytes]) -> Downloaded:
        return downloading.download(url, conditions, target)

    return fetch_content(request, name, f"s3 {credentials.endpoint_url or ''} {bucket} {key}", download)


def _address(request: FetchRequest) -> tuple[str, str, str]:
    """Return bucket, key and scheme of an address."""
    location = Location.parse(request.location, field=request.field)
    scheme = location.scheme or ""
    bucket, _, key = location.rest.partition("/")
    if "@" in bucket:
        raise SourceError(
            "holds a user or keys, which would be seen in logs; name a connection (aws_conn_id) or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead",
            field=request.field,
        )
    # A key may have any character; and no store has one that begins with "/", as some tools write it.
    key = key if location.fragment is None else f"{key}#{location.fragment}"
    key = key.lstrip("/")
    if not bucket:
        problem = "names no bucket"
    elif not _BUCKET.fullmatch(bucket):
        problem = f"{bucket!r} is not the name of a bucket"
    else:
        problem = "" if key else "names no key in its bucket"
    if problem:
        raise SourceError(
            problem,
            field=request.field,
            allowed=[f"{scheme}://bucket/folder/etl.{'zip' if scheme.startswith(ARCHIVE) else 'py'}"],
        )
    return bucket, key, scheme
