"""What a connection of type ``aws`` says about reading from S3."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.hooks.connections import checked_extra, place_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Connection

    from airflow_kfp_runtime.sources.credentials import S3Credentials

_FIELDS = frozenset(
    {
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "config_kwargs",
        "endpoint_url",
        "region_name",
        "service_config",
        "verify",
    }
)
# The Amazon provider turns these into keys, by asking AWS or by reading files.
_FIELDS_OF_PROVIDER = frozenset(
    {"assume_role_kwargs", "assume_role_method", "profile_name", "role_arn", "session_kwargs"}
)
# botocore's settings of connections in general: the limits of sources stand in for them.
_IGNORED_SETTINGS = frozenset(
    {"connect_timeout", "max_pool_connections", "read_timeout", "retries", "user_agent", "user_agent_extra"}
)
_ADDRESSING_STYLES = {"auto": None, "path": True, "virtual": False}


def s3_credentials(connection: Connection) -> S3Credentials:
    """Return what a connection of type ``aws`` says, as the Amazon provider reads it.

    - ``login`` and ``password``, or ``aws_access_key_id`` and ``aws_secret_access_key`` in ``extra``: the
      keys. Without them boto3 finds its own.
    - ``extra``: ``aws_session_token``; ``region_name``; ``endpoint_url``, or that of ``s3`` in
      ``service_config``; ``verify``, false or the path of a PEM file; ``config_kwargs`` with
      ``{"s3": {"addressing_style": "path"}}``. ``role_arn``, ``profile_name`` and the like have the
      Amazon provider get the keys, if it is installed.

    :raises DefinitionError: the connection is of another type, or a field is unknown, wrong or cannot be
        used; the message names it.
    """
    place = place_of(connection)
    extra = checked_extra(connection, "aws", _FIELDS | _FIELDS_OF_PROVIDER)
    if connection.host:
        raise DefinitionError(
            "is not read from a connection of type 'aws'; give the store's address as endpoint_url",
            field=f"{place}, host",
        )
    needs_provider = sorted(_FIELDS_OF_PROVIDER & extra.keys())
    if needs_provider:
        keys = _keys_of_provider(connection, needs_provider[0])
    else:
        keys = _keys(connection, extra, place)
    service = _mapping(_mapping(extra.get("service_config"), f"{place}, service_config").get("s3"), place)
    return replace(
        keys,
        endpoint_url=service.get("endpoint_url", extra.get("endpoint_url")),
        region=extra.get("region_name"),
        path_style=_path_style(extra.get("config_kwargs"), f"{place}, config_kwargs"),
        ca_certificate=_certificate(extra.get("verify"), f"{place}, verify"),
    )


def _keys(connection: Connection, extra: Mapping[str, Any], place: str) -> S3Credentials:
    from airflow_kfp_runtime.sources.credentials import S3Credentials

    access_key, secret_key = extra.get("aws_access_key_id"), extra.get("aws_secret_access_key")
    if connection.login and connection.password:
        access_key, secret_key = connection.login, connection.password
    if bool(access_key) != bool(secret_key) or (not access_key and (connection.login or connection.password)):
        raise DefinitionError("has one key without the other; give login and password", field=place)
    session_token = extra.get("aws_session_token")
    if session_token and not access_key:
        raise DefinitionError("belongs to keys; give login and password", field=f"{place}, aws_session_token")
    return S3Credentials(access_key, secret_key, session_token)


def _keys_of_provider(connection: Connection, field: str) -> S3Credentials:
    from airflow_kfp_runtime.sources.credentials import S3Credentials

    try:
        from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    except ImportError:
        raise DefinitionError(
            "needs the Amazon provider: install apache-airflow-providers-amazon, or give keys as login and "
            "password",
            field=f"{place_of(connection)}, {field}",
        ) from None
    found = AwsBaseHook(aws_conn_id=connection.conn_id, client_type="s3").get_session().get_credentials()
    if found is None:
        raise DefinitionError("leads to no keys", field=f"{place_of(connection)}, {field}")
    # Those of a role last for a while, by AWS's default an hour: longer than a fetch.
    frozen = found.get_frozen_credentials()
    return S3Credentials(frozen.access_key, frozen.secret_key, frozen.token)


def _mapping(value: object, place: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DefinitionError(f"is a {type(value).__name__}, not a mapping", field=place)
    return value


def _path_style(value: object, place: str) -> bool | None:
    settings = _mapping(value, place)
    s3 = _mapping(settings.get("s3"), f"{place}['s3']")
    known = {*_IGNORED_SETTINGS, "s3"}
    if unknown := sorted({*settings} - known) or sorted({*s3} - {"addressing_style"}):
        raise DefinitionError(
            f"{unknown[0]!r} is not supported", field=place, allowed=["s3.addressing_style"]
        )
    style = s3.get("addressing_style", "auto")
    if style not in _ADDRESSING_STYLES:
        raise DefinitionError(
            f"{style!r} is no addressing style", field=place, allowed=sorted(_ADDRESSING_STYLES)
        )
    return _ADDRESSING_STYLES[style]


def _certificate(value: object, place: str) -> str | bool | None:
    if value is None or value is True:
        return None
    if value is False or isinstance(value, str):
        return value
    raise DefinitionError(
        f"{value!r} is neither true, false nor the path of a PEM file", field=place, allowed=["true", "false"]
    )
