"""What git gets for one fetch: settings of its own, and credentials that only it can see.

Nothing that the machine is set up with takes part: no configuration of git or ssh, no hooks, filters,
credential helpers or ``~/.netrc``. A password reaches git through a credential helper that is a line of
shell, which git asks for one server only (gitcredentials(7), "Credential contexts"), so that a redirect to
another does not get it; the line reads the password from the environment of git's own process.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from typing import TYPE_CHECKING, NoReturn

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.redaction import Redaction
from airflow_kfp_runtime.sources.credentials import GitCredentials

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airflow_kfp_runtime.sources.git_address import GitAddress
    from airflow_kfp_runtime.sources.limits import Limits

_USERNAME, _PASSWORD, _PASSPHRASE = (
    f"AIRFLOW_KFP_RUNTIME_GIT_{name}" for name in ("USERNAME", "PASSWORD", "PASSPHRASE")
)
# `printf` is part of the shell, so the values do not become arguments of a process.
_HELPER = (
    '!f() { test "$1" = get || return 0; '
    f'printf "username=%s\\npassword=%s\\n" "${_USERNAME}" "${_PASSWORD}"; }}; f'
)
# Tokens that a server takes as the password of `oauth2`; any other is a user name (DigitalHub's rule).
_OAUTH_TOKENS = ("github_pat_", "glpat")
# Redirects stay within these: a server may send from http to https, never back.
_REDIRECT_TRANSPORTS = {"http": "http:https"}
# Seconds without a byte after which an HTTP server counts as gone; git has it send one every five.
_STALLED = 30
# Certificates that the machine trusts; all other GIT_ variables are dropped.
_CERTIFICATES = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH")


def git_credentials(given: GitCredentials | None, address: GitAddress, *, field: str) -> GitCredentials:
    """Return what is used for an address.

    :param given: the caller's; ``None`` takes ``GIT_TOKEN``, else ``GIT_USERNAME`` and ``GIT_PASSWORD``,
        from the environment, for HTTPS only: they are not bound to a server, and must not cross a network in
        clear.
    :param field: what the user calls the source, for errors.
    :raises SourceError: they are for another server, or cannot be used as they are.
    """
    if given is None:
        given = _from_environment() if address.transport == "https" else GitCredentials()
    if given.host is not None and given.host.lower() not in {address.server.lower(), address.host.lower()}:
        _refuse(f"its server is {address.server}, but the credentials are for {given.host}", field)
    if any(re.search(r"[\x00-\x1f\x7f]", text) for text in (given.username or "", given.password or "")):
        _refuse("the user name or the password of its credentials holds a line break", field)
    return given


def _from_environment() -> GitCredentials:
    if token := os.environ.get("GIT_TOKEN"):
        return GitCredentials(password=token)
    username, password = os.environ.get("GIT_USERNAME"), os.environ.get("GIT_PASSWORD")
    if username and password:
        return GitCredentials(username=username, password=password)
    return GitCredentials()


def configuration(address: GitAddress, credentials: GitCredentials, limits: Limits) -> dict[str, str]:
    """Return git's settings for a fetch (git-config(1)); none is a secret."""
    settings = {
        "core.hooksPath": os.devnull,
        "core.attributesFile": os.devnull,
        "core.fsmonitor": "false",
        "core.autocrlf": "false",
        "core.symlinks": "true",
        # Larger files are not held in memory while a pack is unpacked.
        "core.bigFileThreshold": "8m",
        # One pack, whose size can be watched; and nothing that goes on in the background.
        "fetch.unpackLimit": "1",
        "gc.auto": "0",
        "maintenance.auto": "false",
        "submodule.recurse": "false",
        "protocol.version": "2",
        "http.followRedirects": "initial",
        "http.sslVerify": "true",
        "http.lowSpeedLimit": "1",
        "http.lowSpeedTime": str(max(1, int(min(limits.timeout, _STALLED)))),
        "credential.helper": "",
    }
    if credentials.password and address.transport in {"http", "https"}:
        settings[f"credential.{address.origin}.helper"] = _HELPER
    return settings


def environment(
    address: GitAddress, credentials: GitCredentials, limits: Limits, folder: Path
) -> Mapping[str, str]:
    """Return what is added to git's environment, and write the files that ssh needs.

    :param folder: private, and removed after the fetch.
    """
    added = {
        **_certificates(credentials),
        # git reads ~/.gitconfig and curl ~/.netrc; ssh does not look here for its own files.
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": _REDIRECT_TRANSPORTS.get(address.transport, address.transport),
    }
    match address.transport:
        case "https" | "http" if credentials.password:
            username, password = _login(credentials.username, credentials.password)
            return {**added, _USERNAME: username, _PASSWORD: password}
        case "ssh":
            return {**added, **_ssh(credentials, limits, folder)}
    return added


def _certificates(credentials: GitCredentials) -> dict[str, str]:
    if credentials.ca_certificate is not None:
        return {"GIT_SSL_CAINFO": credentials.ca_certificate}
    return {name: os.environ[name] for name in _CERTIFICATES if name in os.environ}


def redaction_of(credentials: GitCredentials) -> Redaction:
    """Return what takes these credentials' secrets out of a text."""
    key = (credentials.private_key or "").splitlines()
    return Redaction((credentials.password, credentials.private_key_passphrase, *key))


def _login(username: str | None, password: str) -> tuple[str, str]:
    if username is not None:
        return username, password
    if password.startswith(_OAUTH_TOKENS):
        return "oauth2", password
    return password, "x-oauth-basic"


def _ssh(credentials: GitCredentials, limits: Limits, folder: Path) -> dict[str, str]:
    options = {
        # A master connection would go on after the fetch.
        "ControlMaster": "no",
        "ControlPath": "none",
        "ConnectTimeout": str(max(1, int(limits.connect_timeout))),
        "ServerAliveInterval": "15",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "StrictHostKeyChecking": "yes" if credentials.strict_host_key_checking else "no",
        "UpdateHostKeys": "no",
        "BatchMode": "yes",
    }
    if credentials.known_hosts is not None:
        options["UserKnownHostsFile"] = _written(folder / "known_hosts", credentials.known_hosts)
        options["GlobalKnownHostsFile"] = os.devnull
    elif not credentials.strict_host_key_checking:
        options["UserKnownHostsFile"] = options["GlobalKnownHostsFile"] = os.devnull
    added = {"GIT_SSH_VARIANT": "ssh"}
    if credentials.private_key:
        options |= {"IdentitiesOnly": "yes", "IdentityAgent": "none"}
        options["IdentityFile"] = _written(folder / "key", credentials.private_key)
        if credentials.private_key_passphrase:
            # In batch mode ssh does not ask for a passphrase; of all questions only that one is left.
            options |= {"BatchMode": "no", "NumberOfPasswordPrompts": "1"}
            script = folder / "passphrase"
            _written(script, f"#!/bin/sh\nprintf '%s\\n' \"${_PASSPHRASE}\"\n", executable=True)
            added |= {
                "SSH_ASKPASS": str(script),
                "SSH_ASKPASS_REQUIRE": "force",
                "DISPLAY": os.environ.get("DISPLAY", ":"),
                _PASSPHRASE: credentials.private_key_passphrase,
            }
    # -F none: no configuration of the machine, neither the user's nor the system's.
    command = ["ssh", "-F", "none"]
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    return {**added, "GIT_SSH_COMMAND": shlex.join(command)}


def _written(file: Path, text: str, *, executable: bool = False) -> str:
    mode = stat.S_IRWXU if executable else stat.S_IRUSR | stat.S_IWUSR
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", newline="\n") as target:
        # A web form gives other line ends, and drops the last; ssh refuses a key without it.
        target.write(text.replace("\r\n", "\n").rstrip("\n") + "\n")
    return str(file)


def _refuse(problem: str, field: str) -> NoReturn:
    raise SourceError(problem, field=field)
