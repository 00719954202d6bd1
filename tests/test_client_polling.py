"""The poller that all waiters of a server share: few requests, and nobody is forgotten, whatever happens."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
import threading
import time
import uuid
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_kfp_runtime.client import AsyncKfpClient, ClientSettings, RunRequest, calls, polling
from airflow_kfp_runtime.client.filters import one_of
from airflow_kfp_runtime.client.models import Run, RunState
from airflow_kfp_runtime.client.poll_plan import Pace, Plan, Reading
from airflow_kfp_runtime.client.polling import RunPoller
from airflow_kfp_runtime.client.transport import result_of
from airflow_kfp_runtime.client.watched import NoNewsError, Watched
from airflow_kfp_runtime.compiler import compile_steps
from airflow_kfp_runtime.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    ServerUnavailableError,
    UnexpectedResponseError,
)
from airflow_kfp_runtime.project import Project
from tests.fault_proxy import (
    FaultProxy,
    Request,
    answers,
    delayed,
    drop,
    malformed,
    page,
    refuses,
    slow,
    truncated,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FAST = Pace(interval=0.1, batch=3, whole=2)
LISTS, ONE = "/runs$", "/runs/[^/]+$"

PROJECT = Project("tests")
PROJECT.new_function("nap", kind="container", image="alpine", command=["sleep", "0.3"])
PROJECT.new_function("sleep", kind="container", image="alpine", command=["sleep", "300"])


def submit(client, function: str = "nap") -> str:
    package = compile_steps([{"name": function, "function": function}], name=function, project=PROJECT)
    request = RunRequest(str(uuid.uuid4()), function, pipeline_spec=package.pipeline_spec)
    return client.send(calls.create_run(request)).run_id


def poller_of(url: str, pace: Pace = FAST, **fields: object) -> RunPoller:
    async def connect() -> AsyncKfpClient:
        return AsyncKfpClient(ClientSettings(url, **fields))

    return RunPoller(connect, pace)


@pytest.fixture
def proxy(kfp_server):
    with FaultProxy(kfp_server.url) as proxy:
        yield proxy


async def look_until(watched: Watched, wanted) -> Run | ServerError | None:
    """The first look of this kind: a state, a type of error, or ``None``."""
    deadline = time.monotonic() + 30
    while True:
        look = await watched.look(deadline - time.monotonic())
        if look is wanted or (isinstance(look, Run) and look.state is wanted):
            return look
        if isinstance(wanted, type) and isinstance(look, wanted):
            return look


async def end_of(poller: RunPoller, run_id: str) -> Run:
    with poller.watching(run_id) as watched:
        return await look_until(watched, RunState.SUCCEEDED)


async def settle() -> None:
    """Wait until the pollers that nobody needs have closed their clients."""
    await asyncio.gather(*polling._polling, return_exceptions=True)


async def test_each_of_many_runs_is_seen_to_end(kfp_client, proxy):
    run_ids = [submit(kfp_client) for _ in range(8)]
    poller = poller_of(proxy.url)

    ended = await asyncio.gather(*(end_of(poller, run_id) for run_id in run_ids))
    await settle()

    assert [run.run_id for run in ended] == run_ids
    assert proxy.sent("GET", ONE) == 0
    assert poller.watched == 0


async def test_several_may_wait_for_one_run(kfp_client, kfp_server):
    run_id = submit(kfp_client)
    poller = poller_of(kfp_server.url)

    ended = await asyncio.gather(*(end_of(poller, run_id) for _ in range(3)))

    assert {run.run_id for run in ended} == {run_id}


async def test_a_run_that_was_deleted_is_noticed(kfp_client, kfp_server):
    run_ids = [submit(kfp_client, "sleep") for _ in range(4)]
    poller = poller_of(kfp_server.url)
    with ExitStack() as stack:
        watched = [stack.enter_context(poller.watching(run_id)) for run_id in run_ids]
        await look_until(watched[0], RunState.RUNNING)
        for run_id in run_ids:
            kfp_client.send(calls.terminate_run(run_id))
        kfp_client.send(calls.delete_run(run_ids[3]))

        assert "404" in str(await look_until(watched[3], NotFoundError))
        await look_until(watched[0], RunState.FAILED)


@pytest.mark.parametrize(
    "fault", [refuses(400, 3, "no such filter"), refuses(403, 7, "may not list"), answers(414, b"too long")]
)
async def test_where_lists_are_refused_each_run_is_read_by_itself(kfp_client, proxy, fault):
    proxy.fail("GET", LISTS, fault, times=math.inf)
    run_ids = [submit(kfp_client) for _ in range(4)]
    poller = poller_of(proxy.url)

    await asyncio.gather(*(end_of(poller, run_id) for run_id in run_ids))

    # Those of the first round at most, and none after.
    assert proxy.sent("GET", LISTS) <= 4


async def test_lists_are_tried_again_after_a_while(kfp_client, proxy, monkeypatch):
    monkeypatch.setattr(polling, "_LISTS_AGAIN", 0.2)
    proxy.fail("GET", LISTS, refuses(400, 3, "not now"))
    run_ids = [submit(kfp_client) for _ in range(4)]
    poller = poller_of(proxy.url)

    await asyncio.gather(*(end_of(poller, run_id) for run_id in run_ids))

    assert proxy.reached("GET", LISTS) > 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (answers(503, Retry_After="0.2"), ServerUnavailableError),
        (refuses(500, 13, "the database is away"), ServerError),
        (page(502), ServerUnavailableError),
        (malformed(), UnexpectedResponseError),
        (truncated, ServerUnavailableError),
        (drop(), ServerUnavailableError),
    ],
    ids=["busy", "500", "page", "malformed", "truncated", "no answer"],
)
async def test_what_passes_is_told_and_then_that_the_server_answers_again(kfp_client, proxy, fault, kind):
    run_id = submit(kfp_client, "sleep")
    poller = poller_of(proxy.url)
    with poller.watching(run_id) as watched:
        await look_until(watched, RunState.RUNNING)
        proxy.fail("GET", "/runs", fault, times=2)

        assert isinstance(await look_until(watched, ServerError), kind)
        await look_until(watched, RunState.RUNNING)
    kfp_client.send(calls.terminate_run(run_id))


async def test_a_body_that_trickles_in_is_given_up_and_the_run_read_again(kfp_client, proxy):
    run_id = submit(kfp_client, "sleep")
    with poller_of(proxy.url, call_timeout=1.0).watching(run_id) as watched:
        await look_until(watched, RunState.RUNNING)
        proxy.fail("GET", "/runs", slow(0.1))

        assert "took longer than 1 s" in str(await look_until(watched, ServerUnavailableError))
        await look_until(watched, RunState.RUNNING)
    kfp_client.send(calls.terminate_run(run_id))


async def test_a_server_that_does_not_answer_is_asked_less_and_less_often(proxy):
    proxy.fail("GET", "/runs", answers(503), times=math.inf)
    with poller_of(proxy.url).watching("1") as watched:
        await watched.look(30)
        began = time.monotonic()
        for _ in range(3):
            await watched.look(30)

    # Intervals of 0.1 s, doubled each time, and a little off the beat.
    assert time.monotonic() - began >= 0.95 * (0.2 + 0.4 + 0.8) - 0.2


async def test_a_server_that_says_when_to_ask_again_is_left_alone_until_then(kfp_client, proxy):
    proxy.fail("GET", "/runs", answers(429, Retry_After="1"))
    run_id = submit(kfp_client)
    poller = poller_of(proxy.url)
    began = time.monotonic()

    await end_of(poller, run_id)

    assert time.monotonic() - began >= 1


async def test_after_a_401_the_connection_is_read_again(kfp_client, proxy):
    connected: list[AsyncKfpClient] = []

    async def connect() -> AsyncKfpClient:
        connected.append(AsyncKfpClient(ClientSettings(proxy.url, token=f"token {len(connected)}")))
        return connected[-1]

    def expired(request: Request):
        return (
            answers(401, b"{}")(request)
            if "token 0" in request.headers["authorization"]
            else request.forward()
        )

    proxy.fail("GET", "/runs", expired, times=math.inf)
    run_ids = [submit(kfp_client) for _ in range(7)]
    poller = RunPoller(connect, FAST)

    await asyncio.gather(*(end_of(poller, run_id) for run_id in run_ids))
    await settle()

    assert len(connected) == 2
    assert all(client._http.is_closed for client in connected)


async def test_credentials_that_stay_refused_are_told(proxy):
    proxy.fail("GET", "/runs", answers(401, b"{}"), times=math.inf)
    with poller_of(proxy.url).watching("1") as watched:
        assert isinstance(await watched.look(30), AuthenticationError)


async def test_a_client_that_cannot_be_made_is_told_to_everybody():
    async def connect() -> AsyncKfpClient:
        raise LookupError("no such connection")

    poller = RunPoller(connect, FAST)
    with ExitStack() as stack:
        watched = [stack.enter_context(poller.watching(str(number))) for number in range(5)]
        for one in watched:
            with pytest.raises(LookupError, match="no such connection"):
                await one.look(30)


async def test_whoever_joins_while_a_poller_that_has_failed_closes_is_told_as_well(monkeypatch):
    closes, may_close = asyncio.Event(), asyncio.Event()

    async def close(self) -> None:
        closes.set()
        await may_close.wait()

    def requests(*_: object, **__: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(polling.RenewedClient, "close", close)
    monkeypatch.setattr(Plan, "requests", requests)
    poller = poller_of("http://127.0.0.1:9")
    with poller.watching("1") as first:
        await closes.wait()
        with poller.watching("2") as second:
            may_close.set()
            for watched in (first, second):
                with pytest.raises(LookupError, match="a bug"):
                    await watched.look(10)


@pytest.mark.parametrize(
    "fault", [malformed(), refuses(500, 13, "cannot read a row")], ids=["malformed", "500"]
)
@pytest.mark.parametrize("pace", [FAST, Pace(interval=0.1)], ids=["among many", "among few"])
async def test_a_run_that_cannot_be_read_hides_no_other(kfp_client, proxy, fault, pace):
    bad, *good = [submit(kfp_client) for _ in range(6)]

    def unreadable(request: Request):
        asks_for_it = bad in unquote(unquote(request.target))
        return fault(request) if asks_for_it else request.forward()

    proxy.fail("GET", "/runs", unreadable, times=math.inf)
    poller = poller_of(proxy.url, pace)
    with poller.watching(bad) as watched:
        await asyncio.gather(*(end_of(poller, run_id) for run_id in good))

        assert isinstance(await look_until(watched, ServerError), ServerError)


async def test_a_server_that_fails_altogether_is_not_asked_for_each_of_many_runs(proxy):
    proxy.fail("GET", "/runs", refuses(500, 13, "the database is away"), times=math.inf)
    poller = poller_of(proxy.url, Pace(interval=0.01, batch=3, whole=2))
    with ExitStack() as stack:
        watched = [stack.enter_context(poller.watching(str(uuid.uuid4()))) for _ in range(9)]
        for _ in range(4):
            assert isinstance(await watched[0].look(30), ServerError)

    assert proxy.sent("GET", ONE) == 0


async def test_requests_that_a_server_has_put_off_are_spread_again(proxy):
    times: list[float] = []
    enough = threading.Event()

    def busy_at_first(request: Request):
        times.append(time.monotonic())
        if len(times) == 8:
            enough.set()
        return answers(429, Retry_After="1.5")(request) if len(times) == 1 else request.forward()

    proxy.fail("GET", LISTS, busy_at_first, times=math.inf)
    poller = poller_of(proxy.url, Pace(interval=1.0, batch=2, whole=1))
    with ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(poller.watching(str(uuid.uuid4())))
        await asyncio.to_thread(enough.wait, 30)
    await settle()

    # One or two were on their way before the refusal arrived.
    pauses = [later - earlier for earlier, later in itertools.pairwise(times[:8])]
    assert max(pauses) >= 1.2
    after = times[1 + pauses.index(max(pauses)) : 8]
    assert after[-1] - after[0] >= (len(after) - 1) / 8 / 2


async def test_a_request_that_hangs_holds_up_no_other(kfp_client, proxy):
    run_ids = [submit(kfp_client) for _ in range(6)]

    def hanging(request: Request):
        slow = run_ids[0] in unquote(unquote(request.target)) and "state" in unquote(unquote(request.target))
        return delayed(60)(request) if slow else request.forward()

    proxy.fail("GET", "/runs", hanging, times=math.inf)
    poller = poller_of(proxy.url, Pace(interval=0.1, batch=2, whole=1))

    await asyncio.wait_for(asyncio.gather(*(end_of(poller, run_id) for run_id in run_ids[2:])), 30)


async def test_whoever_joins_right_after_the_last_has_left_is_served(kfp_client, proxy):
    run_id = submit(kfp_client)
    poller = poller_of(proxy.url)
    proxy.fail("GET", "/runs", delayed(0.2), times=3)
    for _ in range(5):
        with poller.watching(run_id):
            await asyncio.sleep(0.03)

    assert (await end_of(poller, run_id)).run_id == run_id
    await settle()


async def test_a_waiter_that_is_cancelled_leaves_nothing_behind(proxy):
    arrived = threading.Event()

    def hanging(request: Request):
        arrived.set()
        return delayed(60)(request)

    proxy.fail("GET", "/runs", hanging, times=math.inf)
    poller = poller_of(proxy.url)

    async def wait() -> None:
        with poller.watching("1") as watched:
            await watched.look()

    waiting = asyncio.create_task(wait())
    await asyncio.to_thread(arrived.wait, 30)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await asyncio.wait_for(settle(), 10)
    assert poller.watched == 0
    assert len(asyncio.all_tasks()) == 1


def test_a_loop_that_ends_while_somebody_waits_ends(kfp_server):
    async def end_amid() -> None:
        with poller_of(kfp_server.url).watching(str(uuid.uuid4())) as watched:
            await watched.look(30)
            asyncio.create_task(watched.look())  # noqa: RUF006
            await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(end_amid(), 30))


async def test_no_news_within_the_time_is_an_error_of_its_own():
    watched = Watched()
    with pytest.raises(NoNewsError):
        await watched.look(0.01)
    watched.saw(Run("1"))

    assert await watched.look(0.01) == Run("1")


async def test_the_end_of_a_run_is_not_lost_to_what_comes_after_it():
    watched = Watched()
    watched.saw(Run("1", state=RunState.SUCCEEDED))
    watched.saw(NotFoundError("it was deleted"))

    assert (await watched.look(1)).state is RunState.SUCCEEDED


async def test_that_a_run_goes_on_is_news_only_after_an_error():
    watched = Watched()
    watched.saw(None)
    with pytest.raises(NoNewsError):
        await watched.look(0.01)
    watched.saw(ServerUnavailableError("away"))
    watched.saw(None)

    assert await watched.look(1) is None


class ScriptedServer:
    """Answers as KFP does, from a table of states, in the loop of the test."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.tasks: list[dict[str, object]] = []
        self.lists: list[str] = []
        self.counts = True

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                status, body = self._answer(head.split()[1].decode())
                text = json.dumps(body).encode()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(text)) + text)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, target: str) -> tuple[int, dict[str, object]]:
        parts = urlsplit(target)
        if one := re.search("/runs/(.+)", parts.path):
            known = self.states.get(one[1])
            return (200, self._row(one[1])) if known else (404, {"code": 5, "message": "not found"})
        predicates = json.loads(unquote(parse_qs(parts.query)["filter"][0]))["predicates"]
        wanted = {row["key"]: row["string_values"]["values"] for row in predicates}
        page_size = int(parse_qs(parts.query)["page_size"][0])
        rows = [
            self._row(run_id)
            for run_id in wanted["run_id"]
            if run_id in self.states and self.states[run_id] in wanted.get("state", self.states.values())
        ]
        self.lists.append("whole" if "state" not in wanted else "count" if page_size == 1 else "ended")
        total = {"total_size": len(rows)} if self.counts else {}
        return 200, {"runs": rows[:page_size], **total} if rows else {}

    def _row(self, run_id: str) -> dict[str, object]:
        return {"run_id": run_id, "state": self.states[run_id], "run_details": {"task_details": self.tasks}}


@pytest.mark.parametrize("change", ["deleted", "ended in an unknown state"])
async def test_what_no_list_of_ended_runs_shows_is_noticed_early_among_many(change):
    server = ScriptedServer()
    server.states = {str(number): "RUNNING" for number in range(100)}
    async with server.listening() as url:
        poller = poller_of(url, Pace(interval=0.05, batch=10, whole=1))
        with ExitStack() as stack:
            watched = [stack.enter_context(poller.watching(run_id)) for run_id in server.states]
            await look_until(watched[0], RunState.RUNNING)
            # From now on the 99 others would be read whole before it.
            before = len(server.lists)
            if change == "deleted":
                del server.states["0"]
                await look_until(watched[0], NotFoundError)
            else:
                server.states["0"] = "EXPIRED"
                await look_until(watched[0], RunState.UNKNOWN)
        await settle()

    # After ten counts at most, and then a batch of ten, unless answers come late.
    assert server.lists[before:].count("whole") < 80


async def test_a_server_that_does_not_count_is_polled_as_before():
    server = ScriptedServer()
    server.states = {str(number): "RUNNING" for number in range(40)}
    server.counts = False
    async with server.listening() as url:
        poller = poller_of(url, Pace(interval=0.02, batch=10, whole=1))
        with ExitStack() as stack:
            watched = [stack.enter_context(poller.watching(run_id)) for run_id in server.states]
            await look_until(watched[-1], RunState.RUNNING)
        await settle()

    assert "count" in server.lists
    assert server.lists.count("whole") <= 45


async def learn(poller: RunPoller, run_id: str) -> str:
    """How the run ended, as a waiter learns it."""
    with poller.watching(run_id) as watched:
        while True:
            look = await watched.look(20)
            if isinstance(look, NotFoundError):
                return "deleted"
            if look is not None and look.state is not RunState.RUNNING:
                return look.state.value


async def play(history: list[tuple[int, str]], server: ScriptedServer, poller: RunPoller) -> None:
    """Let waiters join and leave while runs end and are deleted; then let all runs end."""
    waiting: dict[str, list[asyncio.Task]] = {}
    for number, action in history:
        run_id = str(number)
        match action:
            case "join":
                waiting.setdefault(run_id, []).append(asyncio.create_task(learn(poller, run_id)))
            case "leave" if waiting.get(run_id):
                waiting[run_id].pop().cancel()
            case "end" if run_id in server.states:
                server.states[run_id] = "FAILED"
            case "delete":
                server.states.pop(run_id, None)
            case "pause":
                await asyncio.sleep(0.01)
    server.states = dict.fromkeys(server.states, "FAILED")
    for run_id, tasks in waiting.items():
        # A run that ended before it was deleted may be seen as either.
        possible = {"FAILED"} if run_id in server.states else {"deleted", "FAILED"}
        assert set(await asyncio.gather(*tasks)) <= possible


ACTIONS = st.sampled_from(["join", "leave", "end", "delete", "pause"])


@given(st.lists(st.tuples(st.integers(0, 5), ACTIONS), max_size=25))
@settings(max_examples=25)
def test_whoever_stays_learns_how_its_run_ended_whoever_else_comes_and_goes(history):
    async def live() -> None:
        server = ScriptedServer()
        server.states = {str(number): "RUNNING" for number in range(6)}
        async with server.listening() as url:
            poller = poller_of(url, Pace(interval=0.02, batch=2, whole=1))
            await play(history, server, poller)
            await settle()
            assert poller.watched == 0

    asyncio.run(live())


async def test_large_answers_are_read_beside_the_loop(monkeypatch):
    def recorded(*arguments):
        threads.append(threading.current_thread())
        return result_of(*arguments)

    threads: list[threading.Thread] = []
    monkeypatch.setattr("airflow_kfp_runtime.client.http.result_of", recorded)
    server = ScriptedServer()
    server.tasks = [{"task_id": str(number), "display_name": "train" * 100} for number in range(50)]
    server.states = {str(number): "SUCCEEDED" for number in range(20)}
    async with server.listening() as url, AsyncKfpClient(ClientSettings(url)) as client:
        small = await client.send(calls.get_run("1"))
        page = await client.send(calls.list_runs(one_of("run_id", list(server.states))))

    assert small in page.items
    assert len(page.items) == 20
    assert [thread is threading.current_thread() for thread in threads] == [True, False]


RUN_IDS = st.lists(st.uuids().map(str), unique=True, max_size=40)
PACES = st.builds(Pace, batch=st.integers(1, 12), whole=st.integers(1, 6))


@given(RUN_IDS, PACES, st.booleans())
def test_each_round_asks_for_each_run_once_beside_the_whole_rows(run_ids, pace, lists):
    requests = Plan(pace).requests(dict.fromkeys(run_ids), lists=lists)
    each = (Reading.ENDED, Reading.SINGLE)
    asked = [run_id for row in requests if row.reading in each for run_id in row.run_ids]
    whole = [run_id for row in requests if row.reading is Reading.WHOLE for run_id in row.run_ids]

    assert sorted(asked or whole) == sorted(run_ids)
    assert all(len(row.run_ids) <= max(pace.batch, pace.whole) for row in requests)


@given(RUN_IDS.filter(bool), PACES)
def test_each_run_is_read_whole_in_its_turn(run_ids, pace):
    plan = Plan(pace)
    seen = set()
    for _ in range(math.ceil(len(run_ids) / pace.whole)):
        for row in plan.requests(dict.fromkeys(run_ids)):
            if row.reading is Reading.WHOLE:
                seen.update(row.run_ids)

    assert seen == set(run_ids)


@given(st.integers(26, 300))
def test_a_run_is_read_whole_again_only_after_a_while(runs):
    plan = Plan(Pace(interval=10, progress=60))
    rounds: list[set[str]] = []
    for _ in range(40):
        whole = [
            row for row in plan.requests(dict.fromkeys(map(str, range(runs)))) if row.reading is Reading.WHOLE
        ]
        rounds.append({run_id for row in whole for run_id in row.run_ids})

    assert len(set.union(*rounds)) == runs
    for gap in range(1, 6):
        assert not any(now & later for now, later in zip(rounds, rounds[gap:], strict=False))


@given(st.integers(26, 300), st.data())
def test_a_run_whose_request_takes_long_is_asked_for_once_and_keeps_its_turn(runs, data):
    run_ids = dict.fromkeys(map(str, range(runs)))
    plan = Plan(Pace())
    seen: set[str] = set()
    for _ in range(math.ceil(runs / 25) + 1):
        under_way = data.draw(st.sets(st.sampled_from(sorted(seen)))) if seen else set()
        requests = plan.requests(run_ids, under_way=under_way)
        assert not any(under_way & set(row.run_ids) for row in requests)
        seen.update(run_id for row in requests if row.reading is Reading.WHOLE for run_id in row.run_ids)

    assert seen == run_ids.keys()


@given(RUN_IDS.filter(bool), PACES, st.data())
def test_unreadable_runs_soon_stand_alone_and_all_others_are_read(run_ids, pace, data):
    bad = data.draw(st.sets(st.sampled_from(run_ids)))
    plan = Plan(pace)
    for _ in range(2 + math.ceil(math.log2(max(pace.batch, pace.whole)))):
        read = set()
        for row in plan.requests(dict.fromkeys(run_ids)):
            if bad & set(row.run_ids):
                plan.was_unreadable(row.run_ids)
            else:
                plan.was_read(row.run_ids)
                read.update(row.run_ids)

    assert read >= set(run_ids) - bad


@given(RUN_IDS.filter(bool), st.builds(Pace, batch=st.integers(1, 12), whole=st.just(1)))
def test_where_runs_are_too_many_to_be_read_whole_in_time_each_batch_is_counted_in_turn(run_ids, pace):
    plan = Plan(pace)
    counted: set[str] = set()
    for _ in range(math.ceil(len(run_ids) / pace.batch)):
        requests = plan.requests(dict.fromkeys(run_ids))
        counted.update(run_id for row in requests if row.reading is Reading.COUNT for run_id in row.run_ids)

    # With few runs, each of them is read whole in time.
    assert counted == set(run_ids) or len(run_ids) <= pace.progress / pace.interval + 1


def test_the_runs_of_a_batch_that_is_short_are_read_whole_first_and_what_no_list_shows_is_not_counted():
    plan = Plan(Pace(batch=4, whole=2))
    run_ids = dict.fromkeys(map(str, range(40)))
    for _ in range(20):
        plan.requests(run_ids)
    plan.was_short(["8", "9", "10", "11", "gone"])
    read = [row.run_ids for _ in range(2) for row in plan.requests(run_ids) if row.reading is Reading.WHOLE]
    plan.was_listed(["8", "9"], {"8"})
    counts = [
        row.run_ids for _ in range(10) for row in plan.requests(run_ids) if row.reading is Reading.COUNT
    ]

    assert read == [("8", "9"), ("10", "11")]
    assert ("8", "10", "11") in counts
    assert {run_id for row in counts for run_id in row} == run_ids.keys() - {"9"}


def test_twenty_five_runs_take_one_request_a_thousand_nine_and_ten_thousand_seventy_five():
    for runs, requests in ((25, 1), (1000, 9), (10_000, 75)):
        assert len(Plan(Pace()).requests(dict.fromkeys(map(str, range(runs))))) == requests


async def test_a_refusal_for_one_run_is_told_to_its_waiters_only(kfp_client, proxy):
    run_id, other = submit(kfp_client, "sleep"), str(uuid.uuid4())
    proxy.fail("GET", other, refuses(403, 7, "not yours"), times=math.inf)
    poller = poller_of(proxy.url)
    with poller.watching(run_id) as mine, poller.watching(other) as theirs:
        assert isinstance(await look_until(theirs, ServerError), PermissionDeniedError)
        await look_until(mine, RunState.RUNNING)
    kfp_client.send(calls.terminate_run(run_id))
