"""What went wrong between here and an HTTP server, and what to do about it; without the address's query."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.sources.limits import Limits

_LOGIN = (
    "it wants a login, or a newer signature if the address is a signed one; web addresses have no login: "
    "use one that is signed, s3:// with aws_conn_id, or git+https:// with git_conn_id"
)
#: For what may have passed in a moment.
LATER = "try again later, such as by the task's retries"
_ADVICE = {
    401: _LOGIN,
    403: _LOGIN,
    404: "there is no such file; check the address, or whether it can be seen without a login",
    407: "the proxy wants a login: write it into HTTP_PROXY and HTTPS_PROXY",
    410: "the file was removed",
    429: f"it was asked too often; {LATER}",
}


@dataclass(frozen=True)
class Refusal:
    """An answer that is not the file.

    :param status: its HTTP status.
    :param headers: with names in lower case.
    :param beginning: of its body.
    :param shown: the address, fit for messages.
    """

    status: int
    headers: Mapping[str, str]
    beginning: bytes
    shown: str


def explained(refusal: Refusal) -> str:
    """Return what to do about a refusal."""
    advice = _ADVICE.get(refusal.status, LATER if refusal.status >= 500 else "expected is 200 with the file")
    wait = refusal.headers.get("retry-after", "")
    after = f" (it asks for {wait} seconds)" if wait.isdigit() else ""
    return f"{refusal.shown} answers {refusal.status}: {advice}{after}"


def failure(error: Exception, shown: str, limits: Limits) -> str:
    """Return what a failed exchange means.

    :param error: httpx's, or zlib's.
    :param shown: the address, fit for messages.
    """
    import httpx

    cause = _root(error)
    match error:
        case _ if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {shown} is not trusted ({cause.verify_message}); for an authority of "
                "your own, set SSL_CERT_FILE to a file with its certificate"
            )
        case _ if isinstance(cause, ssl.SSLError):
            return (
                f"no TLS connection with {shown}: {cause.reason or 'it was ended'}; is it an http:// address?"
            )
        case httpx.ConnectTimeout():
            return f"no connection to {shown} within {limits.connect_timeout:g} seconds; {LATER}"
        case httpx.ProxyError():
            return f"the proxy does not connect to {shown}; check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
        case httpx.ConnectError():
            return f"no connection to {shown}: {_refusal_of_system(cause)}; check server and port"
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | UnicodeError():
            return f"{shown} is no address that can be asked"
        case httpx.TransportError():
            return f"{shown} ended the connection before all had come; {LATER}"
    return f"what {shown} sends is damaged"


def may_pass(error: Exception) -> bool:
    """Return whether what failed may succeed a moment later, unlike a certificate or an address."""
    import httpx

    return (
        isinstance(error, httpx.TransportError)
        and not isinstance(error, httpx.UnsupportedProtocol | httpx.ProxyError)
        and not isinstance(_root(error), ssl.SSLError)
    )


def _refusal_of_system(cause: BaseException) -> str:
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        # The text of asyncio's own error is the address.
        return os.strerror(cause.errno)
    # Looking up a name has numbers of its own, which are negative.
    return getattr(cause, "strerror", None) or "none of its addresses answers"


def _root(error: BaseException) -> BaseException:
    """Return the error that others were raised from, which httpcore has as their argument.

    Their context says less: its end may be what the caller was handling before.
    """
    while inner := error.__cause__ or next((one for one in error.args if isinstance(one, Exception)), None):
        error = inner
    return error
