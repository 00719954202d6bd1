"""The connections that sources are fetched with: of type ``git`` and of type ``aws``."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.hooks.aws import s3_credentials
from airflow_kfp_runtime.hooks.connections import BaseHook, checked_extra, place_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Connection

    from airflow_kfp_runtime.sources.credentials import GitCredentials, S3Credentials

_GIT_FIELDS = frozenset(
    {
        "ca_certificate",
        "key_file",
        "known_hosts",
        "known_hosts_file",
        "private_key",
        "private_key_passphrase",
        "strict_host_key_checking",
    }
)

# Fields of the git provider's connection that would change whom git talks to, or as whom.
_GIT_REFUSED = {
    "ssh_port": "write the port into the address: git+ssh://git@host:2222/team/etl.git",
    "ssh_config_file": "no configuration of ssh is read; give private_key or key_file, and known_hosts_file",
    "host_proxy_cmd": "it would run a program; fetch over git+https, whose proxy is https_proxy",
    "github_app_id": "give a token of the app as password",
    "github_installation_id": "give a token of the app as password",
}


class ConnectionCredentials:
    """The credentials that sources are fetched with, each read from its connection when a source needs it.

    A connection of type ``git``, as the git provider has it:

    - ``host``: a repository, or its server; the only server that gets the credentials. Empty: any.
    - ``login`` and ``password``: for HTTPS. A password alone is a token.
    - ``extra``, for SSH: ``private_key`` (the text) or ``key_file`` (a path on the worker),
      ``private_key_passphrase``, ``known_hosts`` (the text) or ``known_hosts_file``, and
      ``strict_host_key_checking``: ``yes``, which is the default here, or ``no``. For HTTPS:
      ``ca_certificate``, the path of a PEM file.

    A connection of type ``aws``: see :func:`~airflow_kfp_runtime.hooks.aws.s3_credentials`.

    :param git_conn_id: the connection for git; ``None`` has the environment say it (``GIT_TOKEN``, or
        ``GIT_USERNAME`` and ``GIT_PASSWORD``).
    :param aws_conn_id: the connection for S3; ``None`` has the environment say it.

    Reading one raises AirflowNotFoundException where there is no such connection, and DefinitionError where
    it is of another type, or a field is missing, unknown, wrong or cannot be used; the message names it.
    """

    def __init__(self, git_conn_id: str | None = None, aws_conn_id: str | None = None) -> None:
        self._git_conn_id = git_conn_id
        self._aws_conn_id = aws_conn_id

    @cached_property
    def git(self) -> GitCredentials | None:
        """Those of the connection for git."""
        if not self._git_conn_id:
            return None
        return git_credentials(BaseHook.get_connection(self._git_conn_id))

    @cached_property
    def s3(self) -> S3Credentials | None:
        """Those of the connection for S3."""
        if not self._aws_conn_id:
            return None
        return s3_credentials(BaseHook.get_connection(self._aws_conn_id))


def git_credentials(connection: Connection) -> GitCredentials:
    """Return what a connection of type ``git`` says; see :class:`ConnectionCredentials`.

    :raises DefinitionError: see there.
    """
    from airflow_kfp_runtime.sources.credentials import GitCredentials

    place = place_of(connection)
    for key, instead in _GIT_REFUSED.items():
        if connection.extra_dejson.get(key) not in (None, ""):
            raise DefinitionError(f"is not supported: {instead}", field=f"{place}, {key}")
    extra = checked_extra(connection, "git", _GIT_FIELDS)
    return GitCredentials(
        username=connection.login or None,
        password=connection.password or None,
        private_key=_text_or_file(extra, "private_key", "key_file", place),
        private_key_passphrase=_text(extra, "private_key_passphrase", place),
        known_hosts=_text_or_file(extra, "known_hosts", "known_hosts_file", place),
        strict_host_key_checking=_strict(extra.get("strict_host_key_checking", "yes"), place),
        ca_certificate=_text(extra, "ca_certificate", place),
        host=_server(connection),
    )


def _text(extra: Mapping[str, Any], key: str, place: str) -> str | None:
    value = extra.get(key)
    if value is not None and not isinstance(value, str):
        raise DefinitionError(f"is a {type(value).__name__}, not a text", field=f"{place}, {key}")
    return value


def _text_or_file(extra: Mapping[str, Any], key: str, file_key: str, place: str) -> str | None:
    text, file = _text(extra, key, place), _text(extra, file_key, place)
    if text is None and file is None:
        return None
    if file is None:
        return text
    if text is not None:
        raise DefinitionError(f"there is {file_key} as well; give one of them", field=f"{place}, {key}")
    try:
        return Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        # Not the text that cannot be decoded: it would be part of a key.
        reason = getattr(error, "strerror", None) or "it is no text"
        raise DefinitionError(
            f"{file!r} cannot be read on this machine: {reason}", field=f"{place}, {file_key}"
        ) from None


def _strict(value: object, place: str) -> bool:
    field = f"{place}, strict_host_key_checking"
    match str(value).lower():
        case "yes" | "true":
            return True
        case "no" | "off" | "false":
            return False
        case "accept-new" | "ask":
            raise DefinitionError(
                f"{value!r} trusts whatever answers first, and on a new worker that is each time; give 'yes' "
                "with known_hosts or known_hosts_file, or 'no' to check nothing",
                field=field,
            )
    raise DefinitionError(f"{value!r} is unknown", field=field, allowed=["yes", "no"])


def _server(connection: Connection) -> str | None:
    """Return host and port of what ``host`` names: a server, a repository's address, or git's short form."""
    written = (connection.host or "").strip()
    # A repository on the worker itself needs no credentials.
    if not written or written.startswith(("/", "~", ".")):
        return None
    place = f"{place_of(connection)}, host"
    server = urlsplit(written if "://" in written else f"//{written}").netloc
    user, _, host = server.rpartition("@")
    if "://" not in written and (short := re.fullmatch(r"([^/:]+):(?!\d+(?:/|$)).*", host)):
        host = short[1]
    if ":" in user:
        raise DefinitionError("holds a password; give it as login and password", field=place)
    if not host:
        raise DefinitionError(
            "names no server", field=place, allowed=["https://git.example.org/team/etl.git"]
        )
    if connection.port and not re.search(r":\d+$", host):
        host = f"{host}:{connection.port}"
    return host
