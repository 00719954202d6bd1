"""Signs requests to object stores with boto3, by credentials that are given or are in the environment."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.credentials import S3Credentials
from airflow_kfp_runtime.sources.location import Location

if TYPE_CHECKING:
    from boto3.session import Session

    from airflow_kfp_runtime.sources.limits import Limits

_DEFAULT_REGION = "us-east-1"
#: Seconds that the clocks of store and client may differ.
_CLOCK_DIFFERENCE = 300
_ENDPOINTS = ("S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS = ("S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def given_credentials(given: S3Credentials | None, *, field: str) -> S3Credentials:
    """Return the credentials that were given, or those of the environment in DigitalHub's names.

    What neither of them says is left to boto3, which reads AWS's own files and services.

    :param field: what the user calls the source, for errors.
    :raises SourceError: a variable has a value that it cannot have.
    """
    if given is not None:
        return given
    path_style = os.environ.get("S3_PATH_STYLE", "").lower()
    if path_style and path_style not in _TRUTH:
        raise SourceError(
            f"the environment variable S3_PATH_STYLE is {path_style!r}",
            field=field,
            allowed=["true", "false"],
        )
    return S3Credentials(
        access_key=_variable("AWS_ACCESS_KEY_ID", "S3_ACCESS_KEY_ID"),
        secret_key=_variable("AWS_SECRET_ACCESS_KEY", "S3_SECRET_ACCESS_KEY"),
        session_token=_variable("AWS_SESSION_TOKEN", "S3_SESSION_TOKEN"),
        endpoint_url=_variable(*_ENDPOINTS),
        region=_variable(*_REGIONS),
        path_style=_TRUTH.get(path_style),
        ca_certificate=_variable("AWS_CA_BUNDLE"),
        signature_version=_variable("S3_SIGNATURE_VERSION") or "s3v4",
    )


def signed_url(bucket: str, key: str, credentials: S3Credentials, limits: Limits, *, field: str) -> str:
    """Return an address with which an object can be read for as long as a fetch may take.

    Making it asks the store nothing.

    :raises SourceError: boto3 is not installed, finds no credentials, or cannot sign with these.
    """
    try:
        import boto3.session
        from botocore.exceptions import BotoCoreError, NoCredentialsError
    except ImportError:
        raise SourceError(
            "is in an object store, which boto3 reads; install it: pip install 'airflow-kfp-runtime[s3]'",
            field=field,
        ) from None
    _check(credentials, field)
    try:
        session = boto3.session.Session(
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.session_token,
            region_name=credentials.region,
        )
        url = _client(session, credentials).generate_presigned_url(
            "get_object",
            Params={"Bucket": bucket, "Key": key},
            ExpiresIn=int(limits.timeout) + _CLOCK_DIFFERENCE,
        )
    except NoCredentialsError:
        raise SourceError(
            "no credentials for the object store are found; name a connection (aws_conn_id) or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            field=field,
        ) from None
    except (BotoCoreError, ValueError) as error:
        # botocore checks parameters and files of AWS with both; its messages name fields, not secrets.
        raise SourceError(f"boto3 cannot sign the request: {error}", field=field) from None
    return str(url)


def _check(credentials: S3Credentials, field: str) -> None:
    _check_endpoint(credentials.endpoint_url, field)
    if bool(credentials.access_key) != bool(credentials.secret_key):
        raise SourceError(
            "the credentials for the object store have one key without the other; give both, or neither to "
            "have boto3 find its own",
            field=field,
        )


def _client(session: Session, credentials: S3Credentials) -> Any:
    from botocore.config import Config

    return session.client(
        "s3",
        endpoint_url=credentials.endpoint_url or None,
        region_name=session.region_name or _DEFAULT_REGION,
        config=Config(
            signature_version=credentials.signature_version,
            s3={"addressing_style": _addressing_style(credentials)},
        ),
    )


def tls_context(credentials: S3Credentials, *, field: str) -> ssl.SSLContext | None:
    """Return what a store's certificate is checked with; ``None`` for the usual authorities.

    :raises SourceError: the file of certificates cannot be read.
    """
    match credentials.ca_certificate:
        case None | True:
            return None
        case False:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        case path:
            try:
                return ssl.create_default_context(cafile=str(path))
            except (OSError, ssl.SSLError) as error:
                raise SourceError(
                    f"the certificates of the object store cannot be read from {path!r}: "
                    f"{error.strerror or error}",
                    field=field,
                ) from None


def _check_endpoint(endpoint: str | None, field: str) -> None:
    if not endpoint:
        return
    location = Location.parse(endpoint, field=f"{field}, endpoint_url")
    if location.scheme not in {"http", "https"}:
        raise SourceError(
            f"the endpoint {location.shown!r} of the object store is no web address",
            field=field,
            allowed=["http://...", "https://..."],
        )
    location.host_and_port(field=f"{field}, endpoint_url")


def _addressing_style(credentials: S3Credentials) -> str:
    match credentials.path_style:
        case None:
            # Stores of one's own seldom have a name for each bucket.
            return "path" if credentials.endpoint_url else "auto"
        case True:
            return "path"
        case False:
            return "virtual"


def _variable(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
