"""Whatever is killed, frozen or lost: one run, on a model of the server and of Airflow's store."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_kfp_runtime.client import RunRequest, flows
from airflow_kfp_runtime.client.call import Wait
from airflow_kfp_runtime.client.generations import LEASE, Intent, Search, find_run
from airflow_kfp_runtime.client.models import Page, Run
from airflow_kfp_runtime.client.run_lookup import described
from airflow_kfp_runtime.errors import KfpRuntimeError, NotFoundError, ServerUnavailableError
from airflow_kfp_runtime.operators.intent import Intents, SupersededError

KEY = "kfp_run/2"
GONE = ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 404, "message": "not found"})
BUSY = ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 500, "message": "busy"})


class Killed(BaseException):
    """SIGKILL: nothing after it runs."""


@dataclass
class Clock:
    """A clock that only waiting moves, with what happens at its hours."""

    now: float = 1_000_000.0
    later: list[tuple[float, Any]] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [event for event in self.later if event[0] <= end]:
            first = min(due, key=lambda event: event[0])
            self.later.remove(first)
            self.now = max(self.now, first[0])
            first[1]()
        self.now = max(self.now, end)


@dataclass
class Store:
    """Airflow's store for one task: values stay, and only the newest try may write."""

    values: dict[str, Any] = field(default_factory=dict)
    newest: int = 0

    def open(self) -> Accessor:
        self.newest += 1
        return Accessor(self, self.newest)


@dataclass
class Accessor:
    store: Store
    number: int
    problem: ErrorResponse | None = None

    def get(self, key: str) -> Any:
        return self.store.values.get(key) if self.number == self.store.newest else None

    def set(self, key: str, value: Any) -> None:
        problem = GONE if self.number != self.store.newest else self.problem
        if problem:
            raise AirflowRuntimeError(problem)
        self.store.values[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        self.set(key, None)
        del self.store.values[key]


@dataclass
class Kfp:
    """A server whose runs can be read only some time after they were made."""

    clock: Clock
    lag: float = 0.0
    ignores_ids: bool = False
    #: How many of the next answers to POST are lost.
    lost: int = 0
    runs: list[tuple[float, Run]] = field(default_factory=list)

    def answer(self, call: Any) -> Any:
        visible = [run for at, run in self.runs if at <= self.clock()]
        if call.method == "POST":
            asked = call.json["run_id"]
            run_id = str(uuid.uuid4()) if self.ignores_ids else asked
            run = Run(run_id, description=call.json["description"])
            self.runs.append((self.clock() + self.lag, run))
            if self.lost:
                self.lost -= 1
                raise ServerUnavailableError("the connection broke")
            return run
        if "filter" in call.query:
            (predicate,) = json.loads(unquote(call.query["filter"]))["predicates"]
            return Page(tuple(run for run in visible if predicate["string_value"] in run.description))
        wanted = call.path.rpartition("/")[2]
        for run in visible:
            if run.run_id == wanted:
                return run
        raise NotFoundError("no such run")


def run_id_of(generation: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, str(generation)))


class Try:
    """A worker's try, which can be stopped before and after each of its steps."""

    def __init__(self, clock: Clock, kfp: Kfp, store: Store | None, *, is_retry: bool) -> None:
        self.clock, self.kfp = clock, kfp
        self.intents = Intents(store.open() if store else None, KEY, now=clock)
        self.search = Search(
            run_id_of,
            "f" * 16,
            is_retry=is_retry,
            keeps_intents=self.intents.are_kept,
            intent=self.intents.read(),
            now=clock,
        )
        self.flow = self._flow()
        self.given: Any = None
        self.thrown: Exception | None = None
        self.instruction: Any = None
        self.result: Run | None = None

    def _flow(self) -> Any:
        found = yield from find_run(self.search)
        if found.run is not None:
            return found.run
        description = described("a test", found.run_id, "f" * 16)
        request = RunRequest(found.run_id, "r", description, pipeline_spec={"root": {}})

        def announce() -> None:
            self.intents.announce(found.run_id, found.generation, "f" * 16)

        return (yield from flows.submit_run(request, look_first=False, announce=announce))

    def run(self, steps: float = float("inf")) -> Run | None:
        """Do so many half steps: getting an instruction, and carrying it out."""
        while steps > 0:
            steps -= 1
            try:
                self._half_step()
            except StopIteration as end:
                self.result = end.value
                return self.result
        return None

    def _half_step(self) -> None:
        if self.instruction is None:
            thrown, self.thrown = self.thrown, None
            self.instruction = self.flow.throw(thrown) if thrown else self.flow.send(self.given)
            return
        instruction, self.instruction, self.given = self.instruction, None, None
        if isinstance(instruction, Wait):
            self.clock.advance(instruction.seconds)
            return
        try:
            self.given = self.kfp.answer(instruction)
        except KfpRuntimeError as error:
            self.thrown = error


KILLS = st.lists(st.tuples(st.integers(0, 40), st.floats(0, 90)), max_size=4)


@given(
    kills=KILLS,
    lag=st.floats(0, 14),
    ignores_ids=st.booleans(),
    lost=st.integers(0, 2),
    keeps_intents=st.booleans(),
)
@settings(max_examples=400)
def test_a_worker_killed_at_any_step_and_tried_again_leaves_one_run(
    kills, lag, ignores_ids, lost, keeps_intents
):
    clock = Clock()
    kfp = Kfp(clock, lag, ignores_ids, lost)
    store = Store() if keeps_intents else None
    for number, (steps, pause) in enumerate(kills):
        Try(clock, kfp, store, is_retry=number > 0).run(steps)
        clock.advance(pause)

    last = Try(clock, kfp, store, is_retry=bool(kills))
    found = last.run()

    assert [run.run_id for _, run in kfp.runs] == [found.run_id]


@given(
    steps=st.integers(0, 40),
    frozen=st.floats(0, LEASE - 0.5),
    begins=st.floats(0, 60),
    lag=st.floats(0, 14),
    ignores_ids=st.booleans(),
)
@settings(max_examples=400)
def test_a_worker_taken_for_dead_and_its_successor_leave_one_run(steps, frozen, begins, lag, ignores_ids):
    clock = Clock()
    kfp, store = Kfp(clock, lag, ignores_ids), Store()
    zombie = Try(clock, kfp, store, is_retry=False)
    zombie.run(steps)

    def wake() -> None:
        if zombie.result is None:
            with suppress(SupersededError):
                zombie.run()

    clock.later.append((clock() + frozen, wake))
    clock.advance(min(begins, frozen) if begins < frozen else begins)
    successor = Try(clock, kfp, store, is_retry=True)
    found = successor.run()
    clock.advance(200)

    assert [run.run_id for _, run in kfp.runs] == [found.run_id]


def test_a_try_that_airflow_has_replaced_sends_nothing():
    clock = Clock()
    kfp, store = Kfp(clock), Store()
    zombie = Try(clock, kfp, store, is_retry=False)
    zombie.run(2)
    store.open()

    with pytest.raises(SupersededError, match="sends nothing any longer"):
        zombie.run()
    assert kfp.runs == []


def test_a_try_that_airflow_has_replaced_is_told_before_it_acts_on_a_run():
    store = Store()
    intents = Intents(store.open(), KEY)
    intents.check_place()
    store.open()

    with pytest.raises(SupersededError):
        intents.check_place()


def test_an_intent_is_written_anew_where_writing_it_took_longer_than_its_lease():
    clock, store = Clock(), Store()
    accessor = store.open()
    durations = [LEASE + 1, 0.1]

    def slow_set(key: str, value: Any, keep=accessor.set) -> None:
        keep(key, value)
        clock.advance(durations.pop(0))

    accessor.set = slow_set
    Intents(accessor, KEY, now=clock).announce("r", 0, "f")

    assert store.values[KEY]["intent_at"] == clock() - 0.1


def test_nothing_is_sent_where_airflow_cannot_keep_an_intent_in_time():
    clock, store = Clock(), Store()
    accessor = store.open()
    accessor.set = lambda *_: clock.advance(LEASE + 1)

    with pytest.raises(KfpRuntimeError, match="nothing was sent"):
        Intents(accessor, KEY, now=clock).announce("r", 0, "f")


def test_nothing_is_sent_where_airflow_refuses_to_keep_an_intent():
    accessor = Store().open()
    accessor.problem = BUSY

    with pytest.raises(AirflowRuntimeError, match="busy"):
        Intents(accessor, KEY).announce("r", 0, "f")


def test_a_run_that_was_sent_is_gone_on_with_where_airflow_cannot_keep_its_id():
    accessor = Store().open()
    accessor.problem = BUSY
    warnings: list[str] = []

    Intents(accessor, KEY).confirm(Intent("r", 0, 1.0, "f", "s"), warnings.append)

    (warning,) = warnings
    assert "run s" in warning
    assert "busy" in warning


def test_an_intent_whose_run_was_refused_is_taken_back():
    store = Store()
    intents = Intents(store.open(), KEY)
    intents.announce("r", 0, "f")

    intents.restore(None)

    assert intents.read() is None


def test_an_intent_whose_run_was_refused_gives_way_to_the_one_before():
    store = Store()
    intents, before = Intents(store.open(), KEY), Intent("r0", 0, 1.0, "f", "r0")
    intents.announce("r1", 1, "f")

    intents.restore(before)

    assert intents.read() == before


@pytest.mark.parametrize("problem", [GONE, BUSY])
def test_an_intent_that_cannot_be_taken_back_does_not_hide_why_the_run_was_refused(problem):
    accessor = Store().open()
    accessor.problem = problem

    Intents(accessor, KEY).restore(None)
    Intents(accessor, KEY).restore(Intent("r0", 0, 1.0))


def test_without_a_store_nothing_is_kept():
    intents = Intents.of({"ti": SimpleNamespace(max_tries=2)})

    intents.announce("r", 0, "f")
    intents.confirm(Intent("r", 0, 1.0), pytest.fail)
    intents.restore(None)

    assert not intents.are_kept
    assert intents.read() is None


def test_the_key_changes_when_a_task_is_cleared():
    store = Store()
    accessor = store.open()

    def intents(max_tries: int) -> Intents:
        return Intents.of({"ti": SimpleNamespace(max_tries=max_tries), "task_state_store": accessor})

    intents(2).announce("r", 0, "f")

    assert intents(2).read().run_id == "r"
    assert intents(3).read() is None


@pytest.mark.parametrize(
    "stored", [None, "text", [], {}, {"run_id": "r"}, {"run_id": "r", "generation": "x"}]
)
def test_what_this_version_does_not_know_is_no_intent(stored):
    assert Intent.from_json(stored) is None


@given(
    st.builds(
        Intent, st.text(), st.integers(0), st.floats(0, 4e9), st.text(), st.none() | st.text(), st.text()
    )
)
def test_an_intent_comes_back_as_it_was_kept(intent):
    assert Intent.from_json(json.loads(json.dumps(vars(intent)))) == intent
