"""The address of a source in a git repository, read and checked before any program sees it.

The part after ``#`` is spelt as Docker spells a build context's: ``#ref``, ``#ref:path`` or ``#:path``. A
colon cannot be part of a ref (git-check-ref-format(1)), so the two cannot be mistaken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from airflow_kfp_runtime.errors import SourceError

#: Per scheme of a source the one of git's own addresses.
TRANSPORTS = {"git+https": "https", "git+http": "http", "git+ssh": "ssh", "git": "git"}

_EXAMPLE = "git+https://git.example.org/team/etl.git#v1.2:flows"
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
# What git-check-ref-format(1) forbids, and the operators of gitrevisions(7), which would name something else.
_NO_REF = re.compile(r"^[-/.]|[~^?*\[\\]|\.\.|//|/\.|@\{|(?:/|\.|\.lock)$|^@$")


@dataclass(frozen=True)
class GitAddress:
    """Where a source is in a git repository.

    :param transport: ``https``, ``http``, ``ssh`` or ``git``.
    :param user: who logs in by SSH; ``None`` for the other transports.
    :param server: the host, with its port where the address has one.
    :param path: of the repository on the server, beginning with ``/``.
    :param ref: a branch, a tag or a commit; ``None`` for the repository's default branch.
    :param inside: the folder or file in the repository that is the source; empty for all of it.
    """

    transport: str
    user: str | None
    server: str
    path: str
    ref: str | None
    inside: str

    @property
    def host(self) -> str:
        """The server without its port."""
        return re.sub(r":\d+$", "", self.server)

    @property
    def origin(self) -> str:
        """Scheme and server: ``https://git.example.org:8443``."""
        return f"{self.transport}://{self.server}"

    @property
    def url(self) -> str:
        """The repository's address for git; it holds no secret."""
        user = f"{self.user}@" if self.user else ""
        return f"{self.transport}://{user}{self.server}{self.path}"

    @classmethod
    def parse(cls, location: str, *, field: str) -> GitAddress:
        """Read an address.

        :param location: as the user wrote it.
        :param field: what the user calls it, for errors.
        :raises SourceError: it is no address of a repository, or one that could be taken for something else;
            the message repeats no part that can hold a password.
        """
        if _CONTROL.search(location):
            _refuse("holds a space or a control character", field)
        url, _, fragment = location.partition("#")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            # Its message may repeat a password: of `https://ann:secret/etl` it would be the port.
            _refuse("has no valid host and port", field)
        if parts.scheme not in TRANSPORTS or not url.lower().startswith(f"{parts.scheme}://"):
            _refuse("is no address of a git repository", field)
        transport = TRANSPORTS[parts.scheme]
        user, at, host = parts.netloc.rpartition("@")
        host = host.removesuffix(f":{port}") if port is not None else host.removesuffix(":")
        if at and transport != "ssh":
            _refuse(
                "holds a user or a password, which would be seen in logs and process lists; "
                "name a connection (git_conn_id) or set GIT_TOKEN instead",
                field,
            )
        if ":" in user:
            _refuse("holds a password; SSH logs in by a key, which git_conn_id names", field)
        if at and not _USER.fullmatch(user):
            _refuse("has a user that is no plain name", field)
        if not _HOST.fullmatch(host) or port == 0:
            _refuse("has no valid host and port", field)
        ref, _, inside = fragment.partition(":")
        return cls(
            transport=transport,
            user=(user or "git") if transport == "ssh" else None,
            server=host if port is None else f"{host}:{port}",
            path=_checked_path(parts.path, parts.query, field),
            ref=_checked_ref(ref, field),
            inside=_checked_inside(inside, field),
        )


def _checked_path(path: str, query: str, field: str) -> str:
    if query or path.strip("/") == "":
        _refuse("has a query (?)" if query else "names no repository on its server", field)
    decoded = unquote(path)
    if re.search(r"[\x00-\x1f\x7f\\]", decoded) or ".." in decoded.split("/") or path.startswith("//"):
        _refuse("has a path with '..', '//', a backslash or a control character", field)
    return path.rstrip("/")


def _checked_ref(ref: str, field: str) -> str | None:
    if _NO_REF.search(ref):
        _refuse(f"has the ref {ref!r}, which cannot be the name of a branch, a tag or a commit", field)
    return ref or None


def _checked_inside(path: str, field: str) -> str:
    path = path.removesuffix("/")
    if path and ("\\" in path or any(part in {"", ".", "..", ".git"} for part in path.split("/"))):
        _refuse(f"has the path {path!r}; it is relative to the repository and stays in it", field)
    if ":" in path or path.startswith("-"):
        _refuse(f"has the path {path!r}, which has a ':' or begins with '-'", field)
    return path


def _refuse(problem: str, field: str) -> NoReturn:
    raise SourceError(problem, field=field, allowed=[_EXAMPLE])
