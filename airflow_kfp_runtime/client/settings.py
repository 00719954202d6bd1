"""Where a Kubeflow Pipelines server is and how to speak to it."""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_kfp_runtime.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The header that names the user to a multi-user server behind a trusted proxy. It is no secret: a refusal
#: that names the user says whom to give rights to.
USER_HEADER = "kubeflow-userid"


@dataclass(frozen=True)
class ClientSettings:
    """The address of a KFP server, the credentials for it, and how long to wait for it.

    ``repr`` shows no secret: neither token nor headers nor cookies.

    :param host: the server's base URL with its scheme; a path is kept
        (``https://kubeflow.example/pipeline``).
    :param token: a bearer token. Give this or ``token_file``.
    :param token_file: a file with a bearer token, read anew for each request since projected service account
        tokens rotate (in a cluster: ``/var/run/secrets/kubeflow/pipelines/token``).
    :param headers: sent with each request, such as ``{"kubeflow-userid": "user@example.com"}``.
    :param cookies: sent with each request, such as the session cookie of Dex or oauth2-proxy.
    :param verify: whether TLS certificates are checked, or the path of a file with the CA to check against.
    :param namespace: the user's namespace on a multi-user server; ``None`` on a single-user one.
    :param ui_url: the base URL of the dashboard, for links; ``None``: the host.
    :param metadata_url: the base URL of ML Metadata's gRPC-web endpoint; ``None``: the host, which is right
        where that is the KFP UI.
    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds to wait for the next bytes of an answer.
    :param call_timeout: seconds that reading one answer may take altogether.
    :raises DefinitionError: if a URL has no scheme or holds a password, both tokens are given, or a timeout
        is not positive.
    """

    host: str
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True
    namespace: str | None = None
    ui_url: str | None = None
    metadata_url: str | None = None
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    call_timeout: float = 300.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", _base_url("host", self.host))
        for name in ("ui_url", "metadata_url"):
            url = getattr(self, name)
            object.__setattr__(self, name, _base_url(name, url) if url else None)
        for name in ("headers", "cookies"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if self.token and self.token_file:
            raise DefinitionError("is given beside token_file; give one of them", field="token")
        for name in ("connect_timeout", "read_timeout", "call_timeout"):
            if not getattr(self, name) > 0:
                raise DefinitionError(f"{getattr(self, name)!r} is not a positive number", field=name)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by value: a read-only view of a mapping cannot be pickled."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values |= {"headers": dict(self.headers), "cookies": dict(self.cookies)}
        return (_settings, (values,))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that may appear in no message: token, cookies, and headers but the user's name."""
        headers = (value for name, value in self.headers.items() if name.lower() != USER_HEADER)
        parts = (part for value in headers for part in _parts(value))
        values = (self.token, *parts, *self.cookies.values())
        return tuple(value for value in values if value)


def _settings(values: dict[str, object]) -> ClientSettings:
    return ClientSettings(**values)  # type: ignore[arg-type]


def _parts(header: str) -> Iterator[str]:
    """Return a header's value, and of ``Bearer ...``, ``Basic ...`` and the like what follows, read."""
    yield header
    scheme, _, credentials = header.strip().partition(" ")
    yield credentials
    if scheme.lower() == "basic":
        with suppress(ValueError):
            yield base64.b64decode(credentials).decode().partition(":")[2]


def _base_url(name: str, url: str) -> str:
    # Wherever it stands: a password may hold any character that should have been quoted, such as "/" or "#".
    if "@" in url:
        raise DefinitionError("holds a user or a password; use token, headers or cookies instead", field=name)
    try:
        parts = urlsplit(url.strip())
        has_address = bool(parts.hostname) and parts.port != 0
        # What a look-up of the name would do, with an error that is none of the client's.
        (parts.hostname or "").encode("idna")
    except ValueError:  # also of a port that is no number, a broken IPv6 address or an empty label
        has_address = False
    if not has_address or parts.scheme not in ("http", "https"):
        raise DefinitionError(
            f"{url!r} is not a base URL", field=name, allowed=["http://host[:port]", "https://host[:port]"]
        )
    if parts.query or parts.fragment:
        raise DefinitionError("has a query or a fragment; give the base URL only", field=name)
    return url.strip().rstrip("/")
