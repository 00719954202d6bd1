"""Where a source is, as a user writes it: a path, or a scheme with what belongs to it.

Nothing here asks the network or the disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

from airflow_kfp_runtime.errors import SourceError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: ``git@github.com:team/etl.git``, which git and ssh take for ``ssh://``.
_SSH_SHORT_FORM = re.compile(r"([A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+):([^\\]+)")
#: ``ext::sh -c ...``: git runs a helper of that name.
_GIT_HELPER = re.compile(r"[A-Za-z0-9_-]+::")
_PORTS = range(1, 65536)
_NO_HOST = re.compile(r"[\s%]")
_EXAMPLES = ("flows/etl.py", "https://example.org/etl.py", "git+https://git.example.org/team/etl.git#v1")


@dataclass(frozen=True)
class Location:
    """A source's place.

    :param scheme: what stands before ``://``, in lower case; ``None`` for a path on this machine.
    :param rest: what follows it, up to the fragment; of a path all of it.
    :param fragment: what follows ``#``; ``None`` where there is none, as in a path.
    """

    scheme: str | None
    rest: str
    fragment: str | None = None

    @classmethod
    def parse(cls, text: str, *, field: str) -> Location:
        """Read a location.

        :param text: as the user wrote it.
        :param field: what the user calls it, for errors.
        :raises SourceError: it is empty, has control characters, or is of a form that is never accepted; the
            message says what to write instead and repeats nothing that can be a secret.
        """
        if not text.strip():
            _refuse("is empty", field)
        if _CONTROL.search(text):
            _refuse("holds a control character, such as the end of a line", field)
        match = _SCHEME.match(text)
        if match is None:
            return cls(None, _checked_path(text, field))
        scheme = match[1].lower()
        rest, hash_sign, fragment = text[match.end() :].partition("#")
        if scheme == "file":
            raise SourceError("begins with 'file://'", field=field, allowed=["the path itself, without it"])
        return cls(scheme, rest, fragment if hash_sign else None)

    @property
    def shown(self) -> str:
        """The location for messages and logs: without user, password, the query and the fragment."""
        if self.scheme is None:
            return self.rest
        everything = self.rest if self.fragment is None else f"{self.rest}#{self.fragment}"
        before, at, after = everything.rpartition("@")
        authority = re.split(r"[/?#]", everything, maxsplit=1)[0]
        # A password may hold any character that should have been quoted, such as "/" or "#".
        hidden = bool(at) and ("@" in authority or ":" in before)
        plain = re.split(r"[?#]", after if hidden else everything, maxsplit=1)[0]
        return f"{self.scheme}://{'***@' if hidden else ''}{plain}{'?***' if '?' in everything else ''}"

    def host_and_port(self, *, field: str) -> tuple[str, int | None]:
        """Return the server's name, in lower case, and its port where the location has one.

        :param field: what the user calls the location, for errors.
        :raises SourceError: there is no valid server, or a user or password before it.
        """
        try:
            parts = urlsplit(f"//{self.rest}")
            user, host, port = parts.username, parts.hostname, parts.port
        except ValueError:
            # Its message may repeat a password.
            _refuse("has no valid server and port", field)
        if user is not None:
            _refuse(
                "holds a user or a password, which would be seen in logs; give them in a connection, or use "
                "an address that is signed",
                field,
            )
        if not host or (port is not None and port not in _PORTS) or _NO_HOST.search(host):
            _refuse("has no valid server and port", field)
        return host, port


def _checked_path(text: str, field: str) -> str:
    if match := _SSH_SHORT_FORM.fullmatch(text):
        raise SourceError(
            "is git's short form of an SSH address", field=field, allowed=[f"git+ssh://{match[1]}/{match[2]}"]
        )
    if _GIT_HELPER.match(text):
        _refuse("names a helper program of git ('::'), which is never run", field)
    if text.startswith("-"):
        _refuse("begins with '-', which programs take for an option", field)
    return text


def _refuse(problem: str, field: str) -> NoReturn:
    raise SourceError(problem, field=field, allowed=_EXAMPLES)
