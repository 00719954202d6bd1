"""What a poller tells those who wait for a run."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from airflow_kfp_runtime.client.fate import Fate, fate_of
from airflow_kfp_runtime.client.models import Run
from airflow_kfp_runtime.errors import ServerError

#: What is known of a run after a look: the run itself, an error, or that it is going on.
Look: TypeAlias = "Run | ServerError | None"


class NoNewsError(Exception):
    """Nothing was heard of a run within the time that its waiter has.

    No ``TimeoutError``, which whatever keeps the poller from asking may be.
    """


class Watched:
    """A run that somebody waits for; :class:`~airflow_kfp_runtime.client.polling.RunPoller` makes it."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._newest: list[Look | Exception] = []
        self._is_failing = False

    async def look(self, seconds: float | None = None) -> Look:
        """Wait for the next thing worth knowing: the run as it is now, an error, or ``None``.

        ``None`` says, after an error, that the run is going on and its server answers again.

        :param seconds: how long to wait at most; ``None``: without a limit.
        :raises NoNewsError: there was no news within this time.
        :raises Exception: whatever keeps the poller from asking, as a connection that no longer exists.
        """
        # asyncio.wait_for of Python 3.10 and 3.11 can swallow a cancellation that meets the news.
        timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._news.set)
        try:
            await self._news.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._news.clear()
        if not self._newest:
            raise NoNewsError
        newest = self._newest.pop()
        if isinstance(newest, Exception) and not isinstance(newest, ServerError):
            raise newest
        return newest

    def saw(self, look: Look | Exception) -> None:
        """Hand on a look; that a run is going on as before is no news."""
        if look is None and not self._is_failing:
            return
        self._is_failing = isinstance(look, Exception)
        if any(isinstance(known, Run) and fate_of(known) is not Fate.GOING_ON for known in self._newest):
            # Nothing that comes after a run's end matters, such as a proxy's error or that it was deleted.
            return
        self._newest = [look]
        self._news.set()
