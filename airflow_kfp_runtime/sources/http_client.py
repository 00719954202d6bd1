"""Downloads a file over HTTP within bounds, following redirects one by one.

It drives httpx's transport itself: its client would log every address with its query, which of a signed
address is the secret. The transport is the asynchronous one because only a task can be ended at a deadline
whatever it waits for: a name, a connection, a header or a body that comes byte by byte.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import IO, TYPE_CHECKING
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.http_errors import failure, refusal
from airflow_kfp_runtime.sources.location import Location

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    import httpx

    from airflow_kfp_runtime.sources.limits import Limits

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOT_MODIFIED = 304
#: What a server may send for whom it is not asked to; gzip is what object stores keep files in.
_GZIP = frozenset({"gzip", "x-gzip"})
_UNPACKED_AT_ONCE = 256 * 1024


@dataclass(frozen=True)
class Downloaded:
    """What a server has answered.

    :param sha256: of the content; ``None`` where the server says that it has not changed.
    :param etag: the server's name for this content, or ``None``.
    :param last_modified: when it changed, as the server writes it, or ``None``.
    """

    sha256: str | None
    etag: str | None
    last_modified: str | None


def download(
    url: str, headers: Mapping[str, str], target: IO[bytes], limits: Limits, *, field: str
) -> Downloaded:
    """Write what a URL gives into a file.

    :param url: with the scheme ``http`` or ``https``.
    :param headers: conditions under which the content is wanted.
    :param target: an open file.
    :param limits: bytes, seconds and redirects.
    :param field: what the user calls the address, for errors.
    :raises SourceError: the server refuses, cannot be reached or exceeds a limit; no message has a query.
    """
    body = _Body(target, limits.download, field)
    fetching = _Fetching(body, limits, field)
    # A thread has no event loop yet, which a notebook's or a triggerer's may have.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="source-download") as executor:
        return executor.submit(asyncio.run, fetching.run(url, headers)).result()


@dataclass
class _Body:
    """Writes a body, counting and hashing it; what is compressed is counted as it is unpacked."""

    target: IO[bytes]
    largest: int
    field: str
    size: int = 0
    digest: hashlib._Hash = dataclass_field(default_factory=hashlib.sha256)

    def write(self, content: bytes) -> None:
        self.size += len(content)
        if self.size > self.largest:
            raise SourceError(f"it has more than {self.largest} bytes", field=self.field)
        self.digest.update(content)
        self.target.write(content)

    def write_unpacked(self, content: bytes, unpacking: zlib._Decompress) -> None:
        while content:
            self.write(unpacking.decompress(content, _UNPACKED_AT_ONCE))
            content = unpacking.unconsumed_tail


@dataclass(frozen=True)
class _Fetching:
    """One download, over all its redirects."""

    body: _Body
    limits: Limits
    field: str

    async def run(self, url: str, headers: Mapping[str, str]) -> Downloaded:
        import httpx

        shown = Location.parse(url, field=self.field).shown
        try:
            return await asyncio.wait_for(self._follow(url, headers), self.limits.timeout)
        except asyncio.TimeoutError:
            raise SourceError(
                f"the download was ended after {self.limits.timeout:g} seconds, when {self.body.size} bytes "
                f"had come: {shown} is too slow, or has stopped answering",
                field=self.field,
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, zlib.error) as error:
            # What httpx says may hold the address; what it wraps does not.
            raise SourceError(failure(error, shown, self.limits), field=self.field) from None

    async def _follow(self, url: str, headers: Mapping[str, str]) -> Downloaded:
        import httpx

        context = httpx.create_ssl_context()
        for _ in range(self.limits.redirects + 1):
            async with self._transport(url, context) as transport:
                target = await self._ask(transport, url, headers)
            if isinstance(target, Downloaded):
                return target
            url = self._checked_redirect(url, target)
        raise SourceError(
            f"is redirected more than {self.limits.redirects} times, perhaps in a circle; name the address "
            "at the end of the way",
            field=self.field,
        )

    def _transport(self, url: str, context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
        import httpx

        parts = urlsplit(url)
        proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
        return httpx.AsyncHTTPTransport(verify=context, proxy=httpx.Proxy(proxy) if proxy else None)

    async def _ask(
        self, transport: httpx.AsyncHTTPTransport, url: str, headers: Mapping[str, str]
    ) -> Downloaded | str:
        """Return what has come, or where the server redirects to."""
        import httpx

        timeouts = httpx.Timeout(self.limits.timeout, connect=self.limits.connect_timeout)
        request = httpx.Request(
            "GET",
            url,
            headers={"User-Agent": "airflow-kfp-runtime", "Accept-Encoding": "identity", **headers},
            extensions={"timeout": timeouts.as_dict()},
        )
        response = await transport.handle_async_request(request)
        try:
            target = response.headers.get("Location")
            if response.status_code in _REDIRECTS and target:
                return str(target)
            unchanged = response.status_code == _NOT_MODIFIED and bool(headers)
            if not unchanged:
                await self._receive(response, url)
            return Downloaded(
                None if unchanged else self.body.digest.hexdigest(),
                response.headers.get("ETag"),
                response.headers.get("Last-Modified"),
            )
        finally:
            await response.aclose()

    async def _receive(self, response: httpx.Response, url: str) -> None:
        shown = Location.parse(url, field=self.field).shown
        if response.status_code != 200:
            raise SourceError(refusal(response, shown), field=self.field)
        declared = response.headers.get("Content-Length", "")
        if declared.isdigit() and int(declared) > self.limits.download:
            raise SourceError(
                f"it has {declared} bytes; the limit is {self.limits.download}", field=self.field
            )
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding in _GZIP:
            unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            async for chunk in response.aiter_raw():
                self.body.write_unpacked(chunk, unpacking)
        elif encoding in {"identity", ""}:
            async for chunk in response.aiter_raw():
                self.body.write(chunk)
        else:
            raise SourceError(
                f"{shown} sends it compressed ({encoding[:20]}) though it is asked for the plain file",
                field=self.field,
            )

    def _checked_redirect(self, url: str, target: str) -> str:
        place = f"{self.field}, redirected"
        try:
            joined = urljoin(url, target)
        except ValueError:
            raise SourceError("is no address that can be read", field=place) from None
        location = Location.parse(joined, field=place)
        if location.scheme not in {"http", "https"}:
            raise SourceError(
                f"is redirected to {location.shown!r}; only http:// and https:// are followed",
                field=self.field,
            )
        if location.scheme == "http" and urlsplit(url).scheme == "https":
            raise SourceError(
                f"is redirected from https to {location.shown!r}, which anybody on the way could change",
                field=self.field,
            )
        location.host_and_port(field=place)
        return joined.partition("#")[0]
