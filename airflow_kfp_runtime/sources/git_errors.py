"""What git and ssh say when a fetch fails, as what has happened and what to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_kfp_runtime.sources.git_address import GitAddress

_CREDENTIALS = "check the login of git_conn_id, or GIT_TOKEN, or GIT_USERNAME and GIT_PASSWORD"

# The words of git 2.30 to 2.50, OpenSSH and curl (with OpenSSL and GnuTLS) in English, which GitPython asks
# for. The first that matches explains a failure: further down are those that others bring with them.
_EXPLANATIONS: dict[str, str] = {
    r"REMOTE HOST IDENTIFICATION HAS CHANGED": (
        "{server} shows another host key than the known hosts have: it was set up anew, or is not the server "
        "that it claims to be; ask who runs it before you change known_hosts"
    ),
    r"Host key verification failed": (
        "the host key of {server} is not among the known hosts; put it into known_hosts or "
        "known_hosts_file of git_conn_id, as `ssh-keyscan` prints it and who runs the server confirms it"
    ),
    r"incorrect passphrase|Load key .*(?:invalid format|error in libcrypto)": (
        "the private key cannot be read; check private_key, key_file and private_key_passphrase of "
        "git_conn_id"
    ),
    r"Permission denied \(": (
        "{server} does not accept the key for user {user!r}; give private_key or key_file of git_conn_id, "
        "with private_key_passphrase if it has one, and register its public key with the repository"
    ),
    r"cannot run ssh|ssh: not found": (
        "needs the ssh program, which is not on the PATH; install the system's package openssh-client"
    ),
    r"Authentication failed|The requested URL returned error: 40[13]": (
        "{server} refuses the login; " + _CREDENTIALS
    ),
    r"could not read (?:Username|Password)": (
        "{server} wants a login, which may also mean that it has no repository {path!r}; " + _CREDENTIALS
    ),
    r"certificate|SSL|TLS": (
        "no trusted connection to {server}; if an authority of your own has signed its certificate, give the "
        "authority's as ca_certificate of git_conn_id, or in GIT_SSL_CAINFO"
    ),
    r"transport '\w+' not allowed|Protocol .* (?:not supported|disabled)|redirect": (
        "{server} redirects to where git may not follow; write the address that it redirects to, if you "
        "trust it"
    ),
    r"(?:not|n't) resolve host|Name or service not known|name resolution|unable to look up": (
        "the host of {server} is unknown; check its name and this machine's network"
    ),
    r"Operation too slow|timed out": "{server} does not answer; check host, port and network",
    r"not found|not appear to be a git|error: 404|access denied or repository not exported": (
        "{server} has no repository {path!r} that this login may read; check the path"
    ),
    r"[Cc]onnect|No route to host|unreachable|early EOF|hung up": (
        "{server} cannot be reached, or has closed the connection; check host, port and network"
    ),
}


def explained(output: str, address: GitAddress) -> str:
    """Return what a failure means and what to do, and git's own last words.

    :param output: what git wrote to standard error, without secrets.
    """
    words = " ".join(re.sub(r"[^\x20-\x7e]", " ", output).split())
    for pattern, explanation in _EXPLANATIONS.items():
        if re.search(pattern, words):
            said = explanation.format(server=address.server, user=address.user, path=address.path)
            return f"{said} (git: {words[-500:]})"
    return f"git cannot fetch from {address.server}: {words[-500:] or 'it gave no reason'}"
