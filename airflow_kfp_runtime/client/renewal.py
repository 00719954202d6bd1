"""A client whose credentials are renewed when the server refuses them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from airflow_kfp_runtime.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from airflow_kfp_runtime.client.call import Call
    from airflow_kfp_runtime.client.http import AsyncKfpClient
    from airflow_kfp_runtime.client.settings import ClientSettings

T = TypeVar("T")


@dataclass(eq=False)
class _Lease:
    """A client and how many requests use it."""

    client: AsyncKfpClient
    users: int = 0


class RenewedClient:
    """Sends calls; after a 401 it makes a new client, since there may be new credentials by now.

    :param connect: makes a client; what it raises, :meth:`send` raises.
    """

    def __init__(self, connect: Callable[[], Awaitable[AsyncKfpClient]]) -> None:
        self._connect = connect
        self._connecting = asyncio.Lock()
        self._lease: _Lease | None = None

    async def send(self, make_call: Callable[[ClientSettings], Call[T]]) -> T:
        """Perform a call, once more with new credentials where the server refuses those at hand.

        :param make_call: makes the call from the settings of the client that sends it.
        :raises AuthenticationError: the server refuses the new credentials too.
        """
        try:
            return await self._send(make_call)
        except AuthenticationError:
            return await self._send(make_call)

    async def close(self) -> None:
        """Close the connections; nothing may be under way."""
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.client.close()

    async def _send(self, make_call: Callable[[ClientSettings], Call[T]]) -> T:
        async with self._leased() as lease:
            try:
                return await lease.client.send(make_call(lease.client.settings))
            except AuthenticationError:
                if self._lease is lease:
                    self._lease = None
                raise

    @asynccontextmanager
    async def _leased(self) -> AsyncIterator[_Lease]:
        async with self._connecting:
            lease = self._lease
            if lease is None:
                lease = self._lease = _Lease(await self._connect())
        lease.users += 1
        try:
            yield lease
        finally:
            lease.users -= 1
            # A client that was refused is closed by the last request that uses it.
            if lease is not self._lease and not lease.users:
                await lease.client.close()
