"""What a source is fetched with; none of it is shown in a representation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class GitCredentials:
    """Who fetches from a git server.

    :param username: for HTTP; ``None`` where the password alone says it.
    :param password: for HTTP: a password or a token.
    :param private_key: for SSH: the key's text, in OpenSSH or PEM form.
    :param private_key_passphrase: what it is encrypted with, or ``None``.
    :param known_hosts: for SSH: the text of a ``known_hosts`` file; ``None`` uses the user's own.
    :param strict_host_key_checking: for SSH: refuse a host that ``known_hosts`` does not have.
    :param ca_certificate: for HTTPS: path of a PEM file with the certificates to trust; ``None`` uses the
        system's.
    :param host: the only server that gets them (``git.example.org``, or ``git.example.org:8443`` for one
        port of it); ``None`` for any that a source names.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    private_key_passphrase: str | None = field(default=None, repr=False)
    known_hosts: str | None = None
    strict_host_key_checking: bool = True
    ca_certificate: str | None = None
    host: str | None = None


@dataclass(frozen=True)
class S3Credentials:
    """Who reads from an object store.

    :param access_key: ``None`` leaves finding the credentials to boto3.
    :param secret_key: belongs to it.
    :param session_token: for temporary credentials.
    :param endpoint_url: the store's address; ``None`` for AWS.
    :param region: ``None`` for boto3's default.
    :param path_style: put the bucket into the path, not the host name; ``None`` does it where there is an
        ``endpoint_url``.
    :param ca_certificate: path of a PEM file, or ``False`` to check none; ``None`` uses the system's.
    :param signature_version: ``s3v4``, or ``s3`` for stores that know the older one only.
    """

    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    endpoint_url: str | None = None
    region: str | None = None
    path_style: bool | None = None
    ca_certificate: str | bool | None = None
    signature_version: str = "s3v4"


class CredentialsLookup(Protocol):
    """Has the credentials of all schemes, or finds them when a source needs them."""

    @property
    def git(self) -> GitCredentials | None:
        """Those for git; ``None`` takes them from the environment."""

    @property
    def s3(self) -> S3Credentials | None:
        """Those for S3; ``None`` takes them from the environment."""


@dataclass(frozen=True)
class Credentials:
    """The credentials of all schemes.

    :param git: ``None`` takes them from the environment (``GIT_TOKEN``, or ``GIT_USERNAME`` and
        ``GIT_PASSWORD``), as DigitalHub's runtime does.
    :param s3: ``None`` takes them from the environment (``S3_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, ...).
    """

    git: GitCredentials | None = None
    s3: S3Credentials | None = None
