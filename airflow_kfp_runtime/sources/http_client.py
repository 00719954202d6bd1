"""Downloads a file over HTTP within bounds, following redirects one by one.

It drives httpx's transport itself: its client would log every address with its query, which of a signed
address is the secret. The transport is the asynchronous one because only a task can be ended at a deadline
whatever it waits for: a name, a connection, a header or a body that comes byte by byte.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING
from urllib.parse import parse_qsl, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.redaction import Redaction
from airflow_kfp_runtime.sources.http_errors import Refusal, explained, failure, may_pass
from airflow_kfp_runtime.sources.location import Location

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from airflow_kfp_runtime.sources.limits import Limits

_OK, _NOT_MODIFIED = 200, 304
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: With these the same request may succeed a moment later.
_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_FIRST_WAIT = 0.25
#: What a server may send for whom it is not asked to; gzip is what object stores keep files in.
_GZIP = frozenset({"gzip", "x-gzip"})
_UNPACKED_AT_ONCE = 256 * 1024
#: Characters; shorter values of a query are found in words that have nothing to do with them.
_SHORTEST_SECRET = 6
#: How much of a refusal is read for its reason.
_REASON = 16 * 1024


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


@dataclass(frozen=True)
class Downloading:
    """How files are downloaded.

    :param limits: bytes, seconds and redirects.
    :param field: what the user calls the address, for errors.
    :param context: for TLS; ``None`` trusts the usual authorities, or those of ``SSL_CERT_FILE``.
    :param explain: says what a refusal means.
    :param attempts: how often a server is asked that fails for the moment.
    """

    limits: Limits
    field: str
    context: ssl.SSLContext | None = None
    explain: Callable[[Refusal], str] = explained
    attempts: int = 1

    def download(self, url: str, conditions: Mapping[str, str], target: IO[bytes]) -> Downloaded:
        """Write what a URL gives into a file.

        :param url: with the scheme ``http`` or ``https``.
        :param conditions: headers that say when the content is wanted.
        :param target: an open, empty file.
        :raises SourceError: the server refuses, cannot be reached or exceeds a limit; no message has a query.
        """
        downloading = self._until_deadline(url, conditions, target)
        if not _has_event_loop():
            # In this thread, so that a signal that ends the task ends the download too.
            return asyncio.run(downloading)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="source-download") as executor:
            return executor.submit(asyncio.run, downloading).result()

    async def _until_deadline(self, url: str, conditions: Mapping[str, str], target: IO[bytes]) -> Downloaded:
        try:
            return await asyncio.wait_for(
                self._with_attempts(url, conditions, target), timeout=self.limits.timeout
            )
        except asyncio.TimeoutError:
            raise SourceError(
                f"the download was ended after {self.limits.timeout:g} seconds, when {target.tell()} bytes "
                f"had come: {self._shown(url)} is too slow, or has stopped answering",
                field=self.field,
            ) from None
        except _TransientError as error:
            raise SourceError(error.problem, field=self.field) from None

    async def _with_attempts(self, url: str, conditions: Mapping[str, str], target: IO[bytes]) -> Downloaded:
        for attempt in range(1, self.attempts):
            try:
                return await self._follow(url, conditions, _Body(target, self.limits.download, self.field))
            except _TransientError:  # noqa: PERF203 - a download takes longer than a try
                await asyncio.sleep(_FIRST_WAIT * 2**attempt)
                target.seek(0)
                target.truncate()
        return await self._follow(url, conditions, _Body(target, self.limits.download, self.field))

    async def _follow(self, url: str, conditions: Mapping[str, str], body: _Body) -> Downloaded:
        import httpx

        context = self.context or httpx.create_ssl_context()
        for _ in range(self.limits.redirects + 1):
            try:
                async with _transport(url, context) as transport:
                    answer = await self._ask(transport, url, conditions, body)
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, ssl.SSLError, zlib.error) as error:
                # What httpx says may hold the address; what it wraps does not. It wraps not all of TLS.
                kind = _TransientError if may_pass(error) else SourceError
                raise kind(failure(error, self._shown(url), self.limits), field=self.field) from None
            if isinstance(answer, Downloaded):
                return answer
            url = self._redirected(url, answer)
        raise SourceError(
            f"is redirected more than {self.limits.redirects} times, perhaps in a circle; name the address "
            "at the end of the way",
            field=self.field,
        )

    async def _ask(
        self, transport: httpx.AsyncHTTPTransport, url: str, conditions: Mapping[str, str], body: _Body
    ) -> Downloaded | str:
        """Return what has come, or where the server redirects to."""
        import httpx

        timeouts = httpx.Timeout(self.limits.timeout, connect=self.limits.connect_timeout)
        request = httpx.Request(
            "GET",
            url,
            headers={"User-Agent": "airflow-kfp-runtime", "Accept-Encoding": "identity", **conditions},
            extensions={"timeout": timeouts.as_dict()},
        )
        # httpcore logs the headers of an answer: a redirect often leads to the same address, query included.
        with _redaction_of(url).in_logs():
            response = await transport.handle_async_request(request)
        try:
            target = response.headers.get("Location")
            if response.status_code in _REDIRECTS and target:
                return str(target)
            unchanged = response.status_code == _NOT_MODIFIED and bool(conditions)
            if not unchanged:
                await self._receive(response, url, body)
            return Downloaded(
                None if unchanged else body.digest.hexdigest(),
                response.headers.get("ETag"),
                response.headers.get("Last-Modified"),
            )
        finally:
            await response.aclose()

    async def _receive(self, response: httpx.Response, url: str, body: _Body) -> None:
        if response.status_code != _OK:
            kind = _TransientError if response.status_code in _TRANSIENT else SourceError
            reason = self.explain(await _refusal(response, self._shown(url)))
            raise kind(reason, field=self.field)
        declared = response.headers.get("Content-Length", "")
        if declared.isdigit() and int(declared) > self.limits.download:
            raise SourceError(
                f"it has {declared} bytes; the limit is {self.limits.download}", field=self.field
            )
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding in _GZIP:
            async for chunk in response.aiter_raw():
                body.write_unpacked(chunk)
            body.check_unpacked()
        elif encoding in {"identity", ""}:
            async for chunk in response.aiter_raw():
                body.write(chunk)
        else:
            raise SourceError(
                f"{self._shown(url)} sends it compressed ({encoding[:20]}) though it is asked for the plain "
                "file",
                field=self.field,
            )

    def _redirected(self, url: str, target: str) -> str:
        """Return the address that a server redirects to, if it may be followed."""
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
        if location.scheme == "http" and urlsplit(url).scheme.lower() == "https":
            raise SourceError(
                f"is redirected from https to {location.shown!r}, which anybody on the way could change",
                field=self.field,
            )
        location.host_and_port(field=place)
        return joined.partition("#")[0]

    def _shown(self, url: str) -> str:
        return Location.parse(url, field=self.field).shown


def _redaction_of(url: str) -> Redaction:
    """Return what takes the query of a signed address out of a text."""
    query = urlsplit(url).query
    return Redaction((query, *(value for _, value in parse_qsl(query))), shortest=_SHORTEST_SECRET)


class _TransientError(SourceError):
    """A failure after which the same request may succeed."""


class _Body:
    """Writes a body, counting and hashing it; what is compressed is counted as it is unpacked."""

    def __init__(self, target: IO[bytes], largest: int, field: str) -> None:
        self.digest = hashlib.sha256()
        self._target = target
        self._largest = largest
        self._field = field
        self._size = 0
        self._unpacking: zlib._Decompress | None = None

    def write(self, content: bytes) -> None:
        self._size += len(content)
        if self._size > self._largest:
            raise SourceError(f"it has more than {self._largest} bytes", field=self._field)
        self.digest.update(content)
        self._target.write(content)

    def write_unpacked(self, content: bytes) -> None:
        """Write what gzip has packed: one member after the other, as ``gzip`` itself appends them (RFC 1952).

        :raises zlib.error: it is something else.
        """
        while content:
            if self._unpacking is None or self._unpacking.eof:
                self._unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            self.write(self._unpacking.decompress(content, _UNPACKED_AT_ONCE))
            content = self._unpacking.unconsumed_tail or self._unpacking.unused_data

    def check_unpacked(self) -> None:
        """Raise a ``zlib.error`` where what gzip has packed ends too early: zlib itself would not say so."""
        if self._unpacking is not None and not self._unpacking.eof:
            raise zlib.error("the compressed content ends too early")


def _has_event_loop() -> bool:
    """Whether one runs in this thread, as in a notebook: it would not have a second one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _transport(url: str, context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    import httpx

    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    return httpx.AsyncHTTPTransport(verify=context, proxy=httpx.Proxy(proxy) if proxy else None)


async def _refusal(response: httpx.Response, shown: str) -> Refusal:
    beginning = b""
    async for chunk in response.aiter_raw():
        beginning += chunk
        if len(beginning) >= _REASON:
            break
    return Refusal(response.status_code, dict(response.headers), beginning[:_REASON], shown)
