"""What went wrong between here and an HTTP server, and what to do about it; without the address's query."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from airflow_kfp_runtime.sources.limits import Limits

_LOGIN = (
    "it wants a login, or a newer signature if the address is a signed one; web addresses have no login: "
    "use one that is signed, s3:// with aws_conn_id, or git+https:// with git_conn_id"
)
_LATER = "try again later, such as by the task's retries"
_ADVICE = {
    401: _LOGIN,
    403: _LOGIN,
    404: "there is no such file; check the address, or whether it can be seen without a login",
    407: "the proxy wants a login: write it into HTTP_PROXY and HTTPS_PROXY",
    410: "the file was removed",
    429: f"it was asked too often; {_LATER}",
}


def refusal(response: httpx.Response, shown: str) -> str:
    """Return why an answer is not the file.

    :param shown: the address, fit for messages.
    """
    status = response.status_code
    advice = _ADVICE.get(status, _LATER if status >= 500 else "expected is 200 with the file")
    wait = response.headers.get("Retry-After", "")
    after = f" (it asks for {wait} seconds)" if wait.isdigit() else ""
    return f"{shown} answers {status}: {advice}{after}"


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
            return f"no connection to {shown} within {limits.connect_timeout:g} seconds; {_LATER}"
        case httpx.ProxyError():
            return f"the proxy does not connect to {shown}; check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
        case httpx.ConnectError():
            return f"no connection to {shown}: {_refusal_of_system(cause)}; check server and port"
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | UnicodeError():
            return f"{shown} is no address that can be asked"
        case httpx.TransportError():
            return f"{shown} ended the connection before all had come; {_LATER}"
    return f"what {shown} sends is damaged"


def _refusal_of_system(cause: BaseException) -> str:
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        # The text of asyncio's own error is the address.
        return os.strerror(cause.errno)
    # Looking up a name has numbers of its own, which are negative.
    return getattr(cause, "strerror", None) or "none of its addresses answers"


def _root(error: BaseException) -> BaseException:
    """Return the error that others were raised for."""
    seen = {id(error)}
    while (inner := error.__cause__ or error.__context__) is not None and id(inner) not in seen:
        seen.add(id(inner))
        error = inner
    return error
