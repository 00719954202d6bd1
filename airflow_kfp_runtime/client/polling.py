"""One poller for all runs of a server that somebody waits for: few requests, however many runs.

In each interval every run is asked for once, in batches of ids, and the server returns only those that have
ended (KFP 2.17, ``runs`` API: ``run_id IN (...)`` with ``state IN (...)``). A smaller batch per interval goes
the round and reads its runs whole, for their progress and to notice what that list does not show: a run that
was deleted, or is in a state that nobody has heard of. Among many runs, counting whole batches tells where
such a run is (``total_size`` is of all rows that the filter lets through, whatever the size of the page).
Where a server refuses such lists, each run is read by itself.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.client.filters import one_of
from airflow_kfp_runtime.client.models import Run, RunState
from airflow_kfp_runtime.client.poll_plan import Pace, Plan, Reading, Request
from airflow_kfp_runtime.client.renewal import RenewedClient
from airflow_kfp_runtime.client.watch import LONGEST_PAUSE, LONGEST_RETRY_AFTER, may_pass
from airflow_kfp_runtime.client.watched import Watched
from airflow_kfp_runtime.errors import ServerError, UnexpectedResponseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from airflow_kfp_runtime.client.call import Call
    from airflow_kfp_runtime.client.http import AsyncKfpClient
    from airflow_kfp_runtime.client.models import Page
    from airflow_kfp_runtime.client.settings import ClientSettings
    from airflow_kfp_runtime.client.watched import Look

#: The states in which a run is over, as the server's filter takes them.
_ENDED = [state.value for state in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED, RunState.SKIPPED)]

#: The states that a run can be in, as the server's filter takes them.
_KNOWN = [state.value for state in RunState if state is not RunState.UNKNOWN]

#: What a server, or a proxy, says to a list that it does not offer or allow, while it may show single runs.
_REFUSED = (400, 403, 404, 405, 414, 431, 501)

#: Seconds after which lists are tried again: the refusal may have been a proxy's, or the server is upgraded.
_LISTS_AGAIN = 600.0

#: The tasks of pollers: an event loop itself refers to them only weakly.
_polling: set[asyncio.Task[None]] = set()


class RunPoller:
    """Watches the runs of one server for any number of waiters in one event loop.

    It polls as long as a run is watched, and closes its client when the last waiter has left.

    :param connect: makes the client; called again after the server has refused the credentials.
    :param pace: how often and how much is asked for.
    """

    def __init__(self, connect: Callable[[], Awaitable[AsyncKfpClient]], pace: Pace | None = None) -> None:
        self._connect = connect
        self._pace = pace or Pace()
        self._watched: dict[str, list[Watched]] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def watched(self) -> int:
        """How many runs are watched."""
        return len(self._watched)

    @contextmanager
    def watching(self, run_id: str) -> Iterator[Watched]:
        """Watch a run while the block lasts; any number of waiters may come and go at any time."""
        watched = Watched()
        self._watched.setdefault(run_id, []).append(watched)
        if self._task is None or self._task.done():
            rounds = _Rounds(RenewedClient(self._connect), self._pace, self._watched)
            self._task = asyncio.get_running_loop().create_task(rounds.poll())
            _polling.add(self._task)
            self._task.add_done_callback(_polling.discard)
        try:
            yield watched
        finally:
            self._watched[run_id].remove(watched)
            if not self._watched[run_id]:
                del self._watched[run_id]
            if not self._watched:
                # Whoever joins next starts with a task and a client of its own, while these are closed.
                self._task.cancel()
                self._task = None


class _Rounds:
    """The rounds from the first waiter's coming to the last one's leaving.

    :param client: closed at the end.
    :param watched: whoever waits, by run; it changes while the rounds go on.
    """

    def __init__(self, client: RenewedClient, pace: Pace, watched: dict[str, list[Watched]]) -> None:
        self._client = client
        self._pace = pace
        self._watched = watched
        self._plan = Plan(pace)
        self._slots = asyncio.Semaphore(pace.parallel)
        self._telling = asyncio.Lock()
        self._under_way: dict[asyncio.Task[None], Request] = {}
        self._clock = asyncio.get_running_loop().time
        self._lists_again = 0.0
        self._not_before = 0.0
        self._was_answered = self._is_answered = False

    async def poll(self) -> None:
        """Poll until cancelled."""
        try:
            await self._poll()
        except Exception as error:  # noqa: BLE001 - whatever it is: those who wait must not wait for ever
            # At the very end, so that whoever has joined meanwhile is told as well.
            self._saw(list(self._watched), error)

    async def _poll(self) -> None:
        silent_rounds = 0
        try:
            while True:
                begun = self._clock()
                self._was_answered, self._is_answered = self._is_answered, False
                await self._round(begun)
                silent_rounds = 0 if self._is_answered else min(silent_rounds + 1, 10)
                pause = min(self._pace.interval * 2.0**silent_rounds, max(LONGEST_PAUSE, self._pace.interval))
                # A little off the beat, so that many triggerers do not ask at the same moment for ever.
                await self._until(begun + pause * random.uniform(0.95, 1.0))  # noqa: S311
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            await self._client.close()

    async def _round(self, begun: float) -> None:
        """Send the requests of a round, spread over the interval, without waiting for the slowest."""
        late = [request for request in self._under_way.values() if request.reading is not Reading.COUNT]
        requests = self._plan.requests(
            dict.fromkeys(self._watched),
            under_way={run_id for request in late for run_id in request.run_ids},
            lists=begun >= self._lists_again,
        )
        if len(late) < len(self._under_way):
            # Where a count takes that long, more of them would only be in the way.
            requests = [request for request in requests if request.reading is not Reading.COUNT]
        spacing = self._pace.interval / max(1, len(requests))
        turn = begun
        for request in requests:
            await self._until(turn)
            # What the server has put off keeps its distance as well.
            turn = max(turn, self._not_before) + spacing
            await self._slots.acquire()
            task = asyncio.get_running_loop().create_task(self._perform(request))
            self._under_way[task] = request
            task.add_done_callback(self._has_ended)
        if self._under_way and not self._is_answered:
            # Whether the server answers decides when the next round begins.
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    async def _until(self, moment: float) -> None:
        """Sleep until then, and for as long as the server wants to be left alone."""
        await asyncio.sleep(moment - self._clock())
        while self._not_before > self._clock():  # noqa: ASYNC110  it may put it off again meanwhile
            await asyncio.sleep(self._not_before - self._clock())

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._slots.release()

    async def _perform(self, request: Request) -> None:
        try:
            match request.reading:
                case Reading.SINGLE:
                    await self._read_each(request.run_ids)
                case Reading.COUNT:
                    await self._count(request.run_ids)
                case Reading.ENDED | Reading.WHOLE:
                    await self._list(request)
        except Exception as error:  # noqa: BLE001 - as of Airflow, which has no such connection any longer
            self._saw(request.run_ids, error)

    async def _list(self, request: Request) -> None:
        run_ids = request.run_ids
        filters = [one_of("run_id", run_ids)]
        if request.reading is Reading.ENDED:
            filters.append(one_of("state", _ENDED))

        def list_runs(settings: ClientSettings) -> Call[Page[Run]]:
            return calls.list_runs(
                *filters, namespace=settings.namespace, page_size=len(run_ids), read=Run.brief
            )

        try:
            page = await self._client.send(list_runs)
        except ServerError as error:
            if error.status in _REFUSED and not isinstance(error, UnexpectedResponseError):
                self._lists_again = self._clock() + _LISTS_AGAIN
                await self._read_each(run_ids)
            else:
                self._failed(run_ids, error)
            return
        self._answered(run_ids)
        # What a waiter does about its news takes a moment; many at once would keep all others waiting.
        async with self._telling:
            for run in page.items:
                self._saw([run.run_id], run)
                await asyncio.sleep(0)
        found = {run.run_id for run in page.items}
        absent = [run_id for run_id in run_ids if run_id not in found]
        if request.reading is Reading.ENDED:
            self._saw(absent, None)
        else:
            known = {run.run_id for run in page.items if run.state is not RunState.UNKNOWN}
            self._plan.was_listed(run_ids, known)
            await self._read_each(absent)

    async def _count(self, run_ids: Sequence[str]) -> None:
        """Find out whether some of the runs are gone; the requests beside this tell of errors."""
        filters = (one_of("run_id", run_ids), one_of("state", _KNOWN))
        try:
            page = await self._client.send(
                lambda settings: calls.list_runs(
                    *filters, namespace=settings.namespace, page_size=1, read=Run.brief
                )
            )
        except ServerError as error:
            self._heed(error)
            return
        self._is_answered = True
        does_count = page.total_size > 0 or not page.items
        if does_count and page.total_size < len(run_ids):
            self._plan.was_short(run_ids)

    async def _read_each(self, run_ids: Iterable[str]) -> None:
        """Read runs one by one; what the server says to one concerns no other."""
        for run_id in run_ids:
            await self._until(0)
            if run_id not in self._watched:
                continue
            try:
                run = await self._client.send(lambda _, run_id=run_id: calls.get_run(run_id, read=Run.brief))  # type: ignore[misc]
            except ServerError as error:
                self._failed([run_id], error)
            else:
                self._answered([run_id])
                self._saw([run_id], run)

    def _answered(self, run_ids: Iterable[str]) -> None:
        self._is_answered = True
        self._plan.was_read(run_ids)

    def _failed(self, run_ids: Sequence[str], error: ServerError) -> None:
        if isinstance(error, UnexpectedResponseError) or (error.status == 500 and self._is_one_of_them_bad()):
            self._plan.was_unreadable(run_ids)
        self._heed(error)
        self._is_answered = self._is_answered or not may_pass(error)
        self._saw(run_ids, error)

    def _is_one_of_them_bad(self) -> bool:
        """Return whether a 500 may be due to one of the runs, since the server answers otherwise.

        With few runs that is tried out; with many it would mean many requests to a server that has enough.
        """
        return self._is_answered or self._was_answered or len(self._watched) <= self._pace.whole

    def _heed(self, error: ServerError) -> None:
        """Leave the server alone for as long as it wants, and do not come back together with all others."""
        if error.retry_after is not None:
            pause = min(error.retry_after, LONGEST_RETRY_AFTER) + random.uniform(0, self._pace.interval)  # noqa: S311
            self._not_before = max(self._not_before, self._clock() + pause)

    def _saw(self, run_ids: Iterable[str], look: Look | Exception) -> None:
        for run_id in run_ids:
            for watched in self._watched.get(run_id, ()):
                watched.saw(look)
