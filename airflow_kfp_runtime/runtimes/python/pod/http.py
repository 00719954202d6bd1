"""Downloads a source over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException

from airflow_kfp_runtime.runtimes.python.pod.checking import Bounds, fail


def downloaded(url: str, bounds: Bounds) -> bytes:
    """Return what is at an address; redirects lead to HTTP alone."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    request = urllib.request.Request(url, headers={"User-Agent": "airflow-kfp-runtime"})  # noqa: S310
    try:
        with opener.open(request, timeout=min(30, bounds.left())) as answer:
            return bounds.content(answer)
    except urllib.error.HTTPError as error:
        fail(f"{url} answers {error.code} {error.reason}.")
    except (OSError, HTTPException, ValueError) as error:
        fail(f"{url} cannot be read from this pod: {error}")
