"""Which run a task goes on with: the one of an earlier try, that one resumed, or a new one.

A task instance has one run at a time, and each that has failed or was replaced is followed by the next
*generation*, whose id follows from the task and the number. Before a run is sent, an *intent* is written
where a later try finds it. The rules:

- A run may only be sent within :data:`LEASE` seconds of its intent. Whoever finds an intent without a run
  looks for the run until the lease, the request and the server's own work must be over, and only then sends
  one itself.
- What is done about a run that is found is in :mod:`airflow_kfp_runtime.client.retry_rules`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.client.call import Wait
from airflow_kfp_runtime.client.ending import end_run
from airflow_kfp_runtime.client.flows import LOOK_UP_DELAYS
from airflow_kfp_runtime.client.resumption import resume_run, settle_run
from airflow_kfp_runtime.client.retry_rules import Action, OnChange, OnRetry, Policies, decide
from airflow_kfp_runtime.client.run_lookup import find_by_id, find_by_token, fingerprint_of
from airflow_kfp_runtime.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.models import Run

__all__ = ["LEASE", "Found", "Intent", "OnChange", "OnRetry", "Policies", "Search", "find_run"]

#: Seconds after an intent within which its run may be sent.
LEASE = 10.0

#: Seconds that a server is given, beyond the request's own time, until a run that it made can be found.
SETTLING = sum(LOOK_UP_DELAYS)

#: Seconds between two looks for a run that an earlier try has announced.
_LOOK_INTERVAL = 3.0


@dataclass(frozen=True)
class Intent:
    """What a try writes down right before it sends a run, and again once the server has answered.

    :param run_id: the id that the run is to have.
    :param generation: the number from which the id follows.
    :param intent_at: when it was written, in seconds since the epoch, by the worker's clock.
    :param fingerprint: of the pipeline and its arguments.
    :param server_run_id: the id that the server gave to the run; ``None`` as long as it has not answered.
    :param connection: what the caller calls the server; empty in intents of versions that did not say it.
    """

    run_id: str
    generation: int
    intent_at: float
    fingerprint: str = ""
    server_run_id: str | None = None
    connection: str = ""

    @property
    def known_run_id(self) -> str:
        """The id under which the run is on the server, as far as is known."""
        return self.server_run_id or self.run_id

    @classmethod
    def from_json(cls, data: object) -> Intent | None:
        """Return the intent in what was stored, ``None`` where that is nothing that this version knows."""
        try:
            fields: dict[str, Any] = dict(data)  # type: ignore[call-overload]
            server_run_id = fields.get("server_run_id")
            return cls(
                run_id=str(fields["run_id"]),
                generation=int(fields["generation"]),
                intent_at=float(fields["intent_at"]),
                fingerprint=str(fields.get("fingerprint", "")),
                server_run_id=None if server_run_id is None else str(server_run_id),
                connection=str(fields.get("connection", "")),
            )
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True)
class Search:
    """What is known when a try begins.

    :param run_id_of: gives the id of a generation.
    :param fingerprint: of what the task runs now; ``None`` where that is not known: a run is then gone on
        with or resumed as it is, or with ``OnChange.FAIL`` refused, and never replaced.
    :param policies: what the user wants of a retry.
    :param is_retry: whether an earlier try may have sent something.
    :param keeps_intents: whether intents are kept, so that without one nothing was sent.
    :param intent: the last one of an earlier try.
    :param namespace: the user's on a multi-user server.
    :param longest_request: seconds that a request may take.
    :param check_place: called before a run is resumed or terminated; what it raises ends the search, so that
        a worker that was taken for dead leaves alone what its successor has sent.
    :param now: the clock, in seconds since the epoch.
    :param note: takes what is worth logging while it takes long.
    """

    run_id_of: Callable[[int], str]
    fingerprint: str | None = None
    policies: Policies = field(default_factory=Policies)
    is_retry: bool = True
    keeps_intents: bool = False
    intent: Intent | None = None
    namespace: str | None = None
    longest_request: float = 35.0
    check_place: Callable[[], None] = lambda: None
    now: Callable[[], float] = time.time
    note: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Found:
    """The run to go on with, or the id that is free for a new one.

    :param run_id: the id that was or is to be asked for.
    :param generation: its number.
    :param run: the run, if there is one.
    :param reason: why this one, as a line for the log.
    :param resumed_at: when it was resumed by this try, in seconds since the epoch.
    """

    run_id: str
    generation: int
    run: Run | None
    reason: str
    resumed_at: float | None = None


def find_run(search: Search) -> Flow[Found]:
    """Look for the run of an earlier try, and do about it what :func:`decide` says.

    :raises RunError: the run differs from what the task runs now, or nobody knows, and ``on_change`` is
        ``fail``.
    :raises ServerError: it could not be found out, and nothing was sent; see
        :func:`~airflow_kfp_runtime.client.patience.patiently`.
    """
    intent = search.intent
    # The number in the intent spares the looks at earlier generations, which may have been deleted.
    generation = intent.generation if intent and intent.run_id == search.run_id_of(intent.generation) else 0
    reason = "there is none of an earlier try to go on with" if search.is_retry else "this is the first try"
    while True:
        run_id = search.run_id_of(generation)
        announced = intent if intent and intent.run_id == run_id else None
        run = yield from _looked_up(search, run_id, announced)
        if run is None:
            if announced is None or announced.server_run_id is None:
                return Found(run_id, generation, None, f"New run, generation {generation}: {reason}")
            reason = f"run {announced.server_run_id} of generation {generation} was deleted on the server"
            generation += 1
            continue
        run = yield from settle_run(run)
        before = fingerprint_of(run) or (announced.fingerprint if announced else "")
        decision = decide(run, _has_changed(before, search.fingerprint), search.policies)
        about = f"run {run.run_id} of generation {generation} {decision.reason}"
        match decision.action:
            case Action.ATTACH:
                return Found(run_id, generation, run, f"Going on with the run of an earlier try: {about}")
            case Action.FAIL:
                raise RunError(
                    f"The {about}, and on_change is 'fail': the run is left as it is. Clear the task to "
                    "start afresh, or set on_change to 'attach' or 'new'",
                    run_id=run.run_id,
                )
            case Action.RESUME:
                search.check_place()
                resumed, refusal = yield from resume_run(run)
                if resumed is not None:
                    line = f"Resuming the run of an earlier try, finished steps are kept: {about}"
                    return Found(run_id, generation, resumed, line, resumed_at=search.now())
                about = f"{about}, but the server does not resume it: {refusal}"
            case Action.REPLACE:
                search.check_place()
                yield from end_run(run.run_id)
                about = f"{about}, and was terminated"
        reason = about
        generation += 1


def _has_changed(before: str, now: str | None) -> bool | None:
    # Versions of this package that wrote no fingerprint leave nothing to compare with.
    return None if now is None else bool(before) and before != now


def _looked_up(search: Search, run_id: str, announced: Intent | None) -> Flow[Run | None]:
    """Look a run up, for as long as an earlier try may still be sending it."""
    known_id = announced.known_run_id if announced else run_id
    run = yield from _seen(search, run_id, known_id)
    if run is not None or (announced is not None and announced.server_run_id is not None):
        return run
    if announced is not None:
        # Never from the future, should the other worker's clock be ahead.
        since = min(announced.intent_at, search.now())
        until = since + LEASE + search.longest_request + SETTLING
        if search.now() < until:
            search.note(
                f"An earlier try has announced run {run_id}, which the server does not have: looking for it "
                f"for {until - search.now():.0f} s before it is sent again"
            )
        while run is None and (left := until - search.now()) > 0:
            yield Wait(min(left, _LOOK_INTERVAL))
            run = yield from _seen(search, run_id, known_id)
        return run
    if search.is_retry and not search.keeps_intents:
        for delay in LOOK_UP_DELAYS:
            yield Wait(delay)
            run = yield from _seen(search, run_id, known_id)
            if run is not None:
                return run
    return None


def _seen(search: Search, run_id: str, known_id: str) -> Flow[Run | None]:
    run = yield from find_by_id(known_id)
    # Searching descriptions reads the server's whole table, so a first try does without.
    if run is None and search.is_retry:
        run = yield from find_by_token(run_id, namespace=search.namespace)
    return run
