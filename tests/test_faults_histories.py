"""Histories of a task that crashes, is retried, cleared and killed, over a network and a server that fail.

A task's life is the flows that the operator runs, and each instruction that they yield may
fail before or after the server has acted, or act later; the worker may die at any of them. What must hold is
checked where a workflow starts on the server, at each end of a try, and at the end of each history.

``KFP_HISTORIES=5000`` runs as many histories instead of 400 of each kind.
"""

import os
from dataclasses import dataclass, replace
from typing import NamedTuple

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time.comms import ErrorResponse
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airflow_kfp_runtime.client import Call, Wait, calls
from airflow_kfp_runtime.client.answers import Answer, result
from airflow_kfp_runtime.client.ending import end_submitted
from airflow_kfp_runtime.client.generations import LEASE, Intent, OnChange, OnRetry, Policies, Search
from airflow_kfp_runtime.client.patience import patiently
from airflow_kfp_runtime.client.watch import Policy, Progress, Verdict, decide
from airflow_kfp_runtime.compiler import PipelinePackage
from airflow_kfp_runtime.errors import KfpRuntimeError, RunError, ServerError, ServerUnavailableError
from airflow_kfp_runtime.operators.identity import TaskIdentity
from airflow_kfp_runtime.operators.intent import Intents, SupersededError
from airflow_kfp_runtime.operators.outcome import Terms, read_results, run_error
from airflow_kfp_runtime.operators.preparation import prepare
from airflow_kfp_runtime.operators.submission import Submission, send
from tests.embedded_api import pipeline_spec
from tests.kfp_model import GOING_ON, ModelServer, refusal

HISTORIES = int(os.environ.get("KFP_HISTORIES", "400"))
STEPS = 40

#: Seconds within which a server acts on a request whose answer is lost. The promises hold up to what the
#: look-ups after an unclear answer take (``LOOK_UP_DELAYS``).
LATEST = 12.0
READ_TIMEOUT = 30.0

HTML = Answer(200, {"content-type": "text/html"}, b"<html><title>Log in</title></html>")
ANSWERS = {
    "drop": None,
    "time-out": None,
    "429": Answer(429, {"retry-after": "7"}, b"slow down"),
    "500": refusal(500, 13, "database is locked"),
    "502": Answer(502, {"content-type": "text/html"}, b"<html><title>Bad Gateway</title></html>"),
    "503": refusal(503, 14, "unavailable"),
    "504": Answer(504, {}, b"upstream timed out"),
    "html": HTML,
    "malformed": Answer(200, {"content-type": "application/json"}, b'{"run_id": "'),
}


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    :param answer: what the client gets; ``None`` for the server's own answer.
    :param acts_after: seconds until the server acts on it; ``None``: never.
    """

    answer: str | None = None
    acts_after: float | None = 0.0


NONE = Fault()
FAULT = st.builds(
    Fault, st.sampled_from(sorted(ANSWERS)), st.one_of(st.none(), st.just(0.0), st.floats(0.1, LATEST))
)
FAULTS = st.one_of(st.just(NONE), st.just(NONE), FAULT)
SOME_FAULTS = st.lists(FAULTS, max_size=15)


PACKAGE = PipelinePackage.load(pipeline_spec(edition={"parameterType": "NUMBER_INTEGER"}))


class Asked(NamedTuple):
    """What the id of a run stands for."""

    cleared: int
    generation: int
    edition: int


class TaskStateStore:
    """What Airflow 3.3 keeps for a task instance; a try whose place another has taken is refused."""

    def __init__(self, history, attempt):
        self.history = history
        self.attempt = attempt

    def get(self, key):
        return self.history.kept.get(key)

    def set(self, key, value):
        if self.attempt is not self.history.tries[-1] or self.history.is_killed:
            raise AirflowRuntimeError(ErrorResponse(detail={"status_code": 404}))
        self.history.kept[key] = value

    def delete(self, key):
        self.set(key, None)
        del self.history.kept[key]


def patient(flow):
    """As the operator, with pauses that a history repeats."""
    return patiently(flow, seconds=120.0, jitter=lambda: 1.0)


def unexpected(line):
    raise AssertionError(line)


@dataclass
class Try:
    """A worker that works on a task instance."""

    number: int
    cleared: int
    edition: int
    flow: object = None
    instruction: object = None
    ready_at: float = 0.0
    yielded_at: float = 0.0
    run_id: str | None = None
    result: object = None
    error: Exception | None = None
    faults: int = 0

    @property
    def is_alive(self):
        return self.flow is not None


class Histories(RuleBasedStateMachine):
    """One task instance, the tries at it, and the server."""

    #: Whether Airflow keeps intents (3.3); without, no zombie works beside its successor.
    keeps_intents = True

    @initialize(
        honours_ids=st.booleans(),
        on_retry=st.sampled_from(OnRetry),
        on_change=st.sampled_from(OnChange),
        begin=st.integers(0, 2**30),
    )
    def begin(self, honours_ids, on_retry, on_change, begin):
        self.now = 1_700_000_000.0 + begin % 1000
        self.policies = Policies(on_retry, on_change)
        self.server = ModelServer(lambda: self.now, self.starts, honours_ids)
        self.late = []
        self.down_until = 0.0
        self.edition = 0
        self.cleared = 0
        self.tries = []
        self.kept = {}
        self.is_killed = False
        self.asked = {}
        self.must_end = set()
        self.new_try()

    # What the operator does

    def life(self, attempt):
        """What ``KfpPipelineOperator`` does, with nothing but its flows."""
        identity = TaskIdentity("kfp_default", "dag", "manual", "task", -1, attempt.cleared)
        intents = Intents(TaskStateStore(self, attempt), f"{attempt.cleared}", lambda: self.now)
        if not self.keeps_intents:
            intents = replace(intents, store=None)
        submission = Submission(
            search=Search(
                run_id_of=identity.run_id,
                policies=self.policies,
                is_retry=attempt.number > 0,
                intent=intents.read(),
                keeps_intents=intents.are_kept,
                longest_request=READ_TIMEOUT + 5.0,
                check_place=intents.check_place,
                now=lambda: self.now,
            ),
            connection="kfp_default",
            pipeline=PACKAGE,
            arguments={"edition": attempt.edition},
            run_name="run",
            description="A task",
            experiment="experiment",
        )
        prepared = yield from patient(prepare(submission))
        found, run = prepared.found, prepared.found.run
        attempt.run_id = found.run_id
        self.asked[found.run_id] = Asked(attempt.cleared, found.generation, attempt.edition)
        if run is None:
            run = yield from patient(send(prepared, submission, intents))
        attempt.run_id = run.run_id
        intents.confirm(
            Intent(found.run_id, found.generation, self.now, prepared.fingerprint, run.run_id), unexpected
        )
        ending = yield from self.watched(run.run_id)
        if ending.verdict is not Verdict.SUCCEEDED:
            raise (yield from run_error(ending, run.run_id, "url", {}, Terms()))
        outputs = yield from patient(read_results(run.run_id))
        return run.run_id, outputs.tasks

    def watched(self, run_id):
        progress = Progress()
        while True:
            try:
                look = yield calls.get_run(run_id)
            except ServerError as error:
                look = error
            decision = decide(Policy(), progress, look, self.now)
            if decision.ending:
                return decision.ending
            progress = decision.progress
            yield Wait(decision.delay)

    # What must hold

    def starts(self, run):
        """Check that a workflow may start beside those that there are."""
        asked = self.asked[run.requested_id]
        for other in self.server.workflows:
            assert other.requested_id != run.requested_id, f"{run.requested_id} runs twice"
            before = self.asked[other.requested_id]
            if before.cleared != asked.cleared:
                continue
            assert other.state not in GOING_ON, f"generation {asked.generation} starts beside {other}"
            if other.state == "SUCCEEDED":
                assert before.edition != asked.edition, f"the result of {other} is lost"

    def ended(self, attempt):
        """Check the end of a try."""
        if attempt.error is not None:
            kind = type(attempt.error)
            assert isinstance(attempt.error, KfpRuntimeError), repr(attempt.error)
            if isinstance(attempt.error, ServerError):
                assert attempt.faults, f"nothing failed, but {attempt.error}"
            elif kind is not SupersededError and kind is not RunError:
                run = self.server.runs[attempt.error.run_id]
                assert "FAILED" in run.states, f"{attempt.error}: {run}"
            return
        run_id, tasks = attempt.result
        run = self.server.runs[run_id]
        assert "SUCCEEDED" in run.states, f"a success that was not one: {run}"
        assert tasks == {"train": {"number": run.number}}
        assert self.asked[run.requested_id].cleared == attempt.cleared

    # How a try goes on

    @property
    def alive(self):
        return [attempt for attempt in self.tries if attempt.is_alive]

    def new_try(self):
        attempt = Try(len(self.tries), self.cleared, self.edition)
        self.tries.append(attempt)
        attempt.flow = self.life(attempt)
        self.resume(attempt, lambda: next(attempt.flow))

    def resume(self, attempt, go_on):
        try:
            instruction = go_on()
        except StopIteration as end:
            attempt.flow, attempt.result = None, end.value
            self.ended(attempt)
        except KfpRuntimeError as error:
            attempt.flow, attempt.error = None, error
            self.ended(attempt)
        else:
            attempt.instruction = instruction
            attempt.yielded_at = self.now
            waits = instruction.seconds if isinstance(instruction, Wait) else 0.0
            attempt.ready_at = self.now + waits

    def step(self, attempt, fault):
        self.pass_time(attempt.ready_at)
        flow = attempt.flow
        if isinstance(attempt.instruction, Wait):
            self.resume(attempt, lambda: flow.send(None))
            return
        if not self.may_send(attempt):
            attempt.flow = None
            return
        try:
            answered = self.send(attempt.instruction, fault, attempt)
        except ServerError as error:
            failure = error
            self.resume(attempt, lambda: flow.throw(failure))
        else:
            self.resume(attempt, lambda: flow.send(answered))

    def send(self, call: Call, fault, attempt=None):
        if self.now < self.down_until:
            fault = Fault("drop", None)
        if fault.answer is None:
            return result(call, self.server.handle(call))
        if attempt is not None:
            attempt.faults += 1
        if fault.acts_after is not None:
            self.late.append((self.now + fault.acts_after, call))
            self.pass_time(self.now)
        if fault.answer == "time-out":
            self.pass_time(self.now + READ_TIMEOUT)
        answered = ANSWERS[fault.answer]
        if answered is None:
            raise ServerUnavailableError("no answer", call=call.label)
        return result(call, answered)

    def pass_time(self, until):
        """Let the clock go on, and the server act on what is late."""
        self.now = max(self.now, until)
        due = sorted((item for item in self.late if item[0] <= self.now), key=lambda item: item[0])
        self.late = [item for item in self.late if item[0] > self.now]
        for _, call in due:
            self.server.handle(call)

    def is_post(self, attempt):
        call = attempt.instruction
        return isinstance(call, Call) and call.label == "POST /apis/v2beta1/runs"

    def may_send(self, attempt):
        """A worker that stands still between an intent and its request is beyond what the lease covers."""
        return not self.is_post(attempt) or self.now <= attempt.yielded_at + LEASE

    def run_to_end(self, flow, faults):
        """Run a flow that no history interrupts; whether it came to its end without an error."""
        remaining = list(faults)
        step = lambda: next(flow)  # noqa: E731
        while True:
            try:
                instruction = step()
            except StopIteration:
                return True
            except ServerError:
                return False
            if isinstance(instruction, Wait):
                self.pass_time(self.now + instruction.seconds)
                step = lambda: flow.send(None)  # noqa: E731
                continue
            try:
                answered = self.send(instruction, remaining.pop(0) if remaining else NONE)
            except ServerError as error:
                step = lambda error=error: flow.throw(error)  # noqa: E731
            else:
                step = lambda answered=answered: flow.send(answered)  # noqa: E731

    # What happens

    @precondition(lambda self: self.alive)
    @rule(faults=SOME_FAULTS, which=st.integers(0, 3))
    def a_try_goes_on(self, faults, which):
        attempt = self.alive[which % len(self.alive)]
        for fault in faults:
            if attempt.is_alive:
                self.step(attempt, fault)

    @precondition(lambda self: self.alive)
    @rule(steps=st.integers(1, 40))
    def a_try_goes_on_without_faults(self, steps):
        attempt = self.alive[-1]
        for _ in range(steps):
            if attempt.is_alive:
                self.step(attempt, NONE)

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 3))
    def a_try_comes_to_its_post(self, which):
        """Go on until the next request is the one that matters most."""
        attempt = self.alive[which % len(self.alive)]
        for _ in range(40):
            if not attempt.is_alive or self.is_post(attempt):
                return
            self.step(attempt, NONE)

    @precondition(lambda self: any(self.is_post(attempt) for attempt in self.alive))
    @rule(fault=FAULT)
    def a_post_fails(self, fault):
        self.step(next(attempt for attempt in self.alive if self.is_post(attempt)), fault)

    @precondition(lambda self: self.alive)
    @rule(fault=FAULTS, which=st.integers(0, 3))
    def a_worker_is_lost(self, fault, which):
        self.lose(self.alive[which % len(self.alive)], fault)

    def lose(self, attempt, fault):
        """The worker dies in the middle of its request."""
        if isinstance(attempt.instruction, Call) and fault.acts_after is not None and self.may_send(attempt):
            self.late.append((self.now + fault.acts_after, attempt.instruction))
            self.pass_time(self.now)
        attempt.flow = None

    @property
    def can_be_retried(self):
        last = self.tries[-1]
        return not self.is_killed and last.result is None and (self.keeps_intents or not last.is_alive)

    @precondition(lambda self: self.can_be_retried)
    @rule(delay=st.floats(0, 300))
    def the_task_is_retried(self, delay):
        """Airflow starts the next try; the worker of the last one may be a zombie that works on."""
        self.pass_time(self.now + delay)
        self.new_try()

    @precondition(lambda self: self.is_killed or self.tries[-1].result or self.is_post(self.tries[-1]))
    @rule(faults=SOME_FAULTS, in_flight=FAULTS)
    def the_task_is_cleared(self, faults, in_flight):
        self.kill(faults, in_flight)
        self.cleared += 1
        self.is_killed = False
        self.new_try()

    @precondition(lambda self: self.tries[-1].is_alive and self.tries[-1].run_id)
    @rule(faults=SOME_FAULTS, in_flight=FAULTS)
    def the_task_is_killed(self, faults, in_flight):
        self.kill(faults, in_flight)
        self.is_killed = True

    @precondition(lambda self: self.is_post(self.tries[-1]) and self.tries[-1].is_alive)
    @rule(in_flight=FAULT)
    def the_task_is_killed_as_it_sends(self, in_flight):
        self.kill([], in_flight)
        self.is_killed = True

    def kill(self, faults, in_flight):
        """Do what ``on_kill`` does on a worker that was told to stop."""
        attempt = self.tries[-1]
        # Zombies are beyond being told.
        for zombie in self.alive:
            if zombie is not attempt:
                self.lose(zombie, in_flight)
        if not attempt.is_alive:
            return
        self.lose(attempt, in_flight)
        if attempt.run_id is None:
            return
        if self.run_to_end(end_submitted(attempt.run_id), faults):
            self.must_end.add(attempt.run_id)

    @rule(index=st.integers(0, 20), state=st.sampled_from(["RUNNING", "SUCCEEDED", "FAILED"]))
    def a_run_goes_on(self, index, state):
        if self.server.runs:
            runs = list(self.server.runs.values())
            runs[-1 - index % len(runs)].go_on_to(state)

    @rule(seconds=st.floats(1, 60))
    def the_server_restarts(self, seconds):
        self.down_until = self.now + seconds

    @rule()
    def the_dag_is_edited(self):
        self.edition += 1

    # The end

    def teardown(self):
        if not hasattr(self, "tries"):
            return
        self.pass_time(max(self.now, self.down_until) + LATEST + 1)
        for zombie in self.alive[:-1] if self.tries[-1].is_alive else self.alive:
            zombie.flow = None
        for _ in range(8):
            if self.is_killed or self.tries[-1].result is not None:
                break
            if not self.tries[-1].is_alive:
                self.new_try()
            self.come_to_an_end(self.tries[-1])
        self.check_the_end()

    def come_to_an_end(self, attempt):
        for _ in range(300):
            if not attempt.is_alive:
                return
            if isinstance(attempt.instruction, Wait):
                for run in self.server.runs.values():
                    run.go_on_to("SUCCEEDED")
            self.step(attempt, NONE)
        raise AssertionError(f"the try does not end: {attempt}")

    def check_the_end(self):
        last = self.tries[-1]
        fails_on_change = self.policies.on_change is OnChange.FAIL and self.edition
        if not self.is_killed and not fails_on_change:
            assert last.result is not None, f"no result: {last.error!r}"
        for run in self.server.runs.values():
            if {run.run_id, run.requested_id} & self.must_end:
                assert run.state not in GOING_ON, f"the killed task's run goes on: {run}"
            assert run.terminations <= 1 + run.states.count("FAILED")


class HistoriesWithoutIntents(Histories):
    """The same for Airflow 3.0 to 3.2, which keeps nothing for a task beside the metadata of its tries."""

    keeps_intents = False


@pytest.mark.parametrize("machine", [Histories, HistoriesWithoutIntents])
def test_nothing_is_lost_and_nothing_runs_twice(machine):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
