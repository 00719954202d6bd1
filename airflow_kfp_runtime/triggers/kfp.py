"""Waiting for a run in the triggerer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_kfp_runtime.triggers.events import event_payload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping

    from airflow_kfp_runtime.client.watch import Ending

#: Since Airflow 3.3 the triggerer calls ``on_kill`` where a user ends a deferred task; before, ``cleanup`` is
#: all that a trigger hears of it.
_HAS_ON_KILL = hasattr(BaseTrigger, "on_kill")

#: Seconds from the deferral to the event at least.
_SHORTEST_WAIT = 5.0

#: The states of a task with a try that has recorded its run.
_GOING_ON = ("deferred", "running")

#: Lines of the log after which others get their turn: a run may have hundreds of steps, each with a line.
_LINES_AT_ONCE = 20

#: What ends runs at the moment: an event loop itself refers to its tasks only weakly.
_endings: set[asyncio.Future[None]] = set()


class KfpRunTrigger(BaseTrigger):
    """Waits until a run has ended, its deadline has passed, or its state can no longer be read.

    Yields one event (:func:`~airflow_kfp_runtime.triggers.events.event_payload`) that holds all the resumed
    operator needs. It only watches, together with the other triggers of its event loop (see
    :mod:`airflow_kfp_runtime.triggers.shared`): the operator terminates a run whose deadline has passed. The
    run is ended here only if a user killed, cleared or marked the task, and not where the triggerer stops or
    hands the trigger on.

    :param run_id: the run.
    :param kfp_conn_id: the Airflow connection; it is read in the triggerer, so no secret is stored.
    :param poll_interval: seconds between two looks at the run.
    :param deadline: when to give up, in seconds since the epoch, whatever restarts; ``None``: never.
    :param step_names: the user's name, by its task's path in KFP, of each step whose end is logged.
    :param max_outage: seconds for which the server may be out of reach, or refuse the credentials.
    :param stall_timeout: seconds without any change in the run after which the waiting ends; ``None``: never.
        Counted anew where another triggerer takes over.
    :param limit: where the deadline comes from, see :class:`~airflow_kfp_runtime.client.watch.Policy`.
    """

    # Rows of an older version are read after an upgrade, so each later parameter has a default.
    def __init__(
        self,
        run_id: str,
        kfp_conn_id: str = "kfp_default",
        poll_interval: float = 10.0,
        deadline: float | None = None,
        step_names: Mapping[str, str] | None = None,
        max_outage: float = 600.0,
        stall_timeout: float | None = None,
        limit: str = "",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id = run_id
        self.kfp_conn_id = kfp_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.step_names = dict(step_names or {})
        self.max_outage = max_outage
        self.stall_timeout = stall_timeout
        self.limit = limit
        self._has_ended = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments from which Airflow makes the trigger anew."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "run_id": self.run_id,
                "kfp_conn_id": self.kfp_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "step_names": self.step_names,
                "max_outage": self.max_outage,
                "stall_timeout": self.stall_timeout,
                "limit": self.limit,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event; an error becomes an event too, so that its text is not lost."""
        from airflow_kfp_runtime.client.models import RunState
        from airflow_kfp_runtime.client.watch import lost

        started = time.monotonic()
        try:
            ending = await self._wait()
        except Exception as error:
            # Whatever it is: the triggerer would fail the task with no more than "Trigger failure".
            self.log.debug("Waiting for run %s failed", self.run_id, exc_info=True)
            ending = lost(RunState.UNKNOWN, f"{type(error).__name__}: {error}")
        # Where a task resumes at once, the scheduler can take the report on the leg that deferred for one on
        # the leg that resumed, and fail the task (Airflow 3.3.2, ``process_executor_events``).
        await asyncio.sleep(started + min(self.poll_interval, _SHORTEST_WAIT) - time.monotonic())
        self._has_ended = True
        yield TriggerEvent(  # type: ignore[no-untyped-call]
            event_payload(self.run_id, ending, self.step_names, self.kfp_conn_id)
        )

    async def on_kill(self) -> None:
        """End the run of a task that a user killed, cleared or marked while it was deferred (Airflow 3.3)."""
        await _to_its_end(self._end_abandoned_run())

    async def cleanup(self) -> None:
        """Do what :meth:`on_kill` does where the triggerer does not call that (Airflow 3.0 to 3.2)."""
        if not _HAS_ON_KILL:
            await _to_its_end(self._end_abandoned_run())

    async def _wait(self) -> Ending:
        from airflow_kfp_runtime.client.watch import Policy, Progress, decide, overdue
        from airflow_kfp_runtime.client.watched import NoNewsError
        from airflow_kfp_runtime.triggers.shared import watching

        policy = Policy(self.poll_interval, self.deadline, self.max_outage, self.stall_timeout, self.limit)
        progress = Progress()
        with watching(self.run_id, self.kfp_conn_id, self.poll_interval) as watched:
            while True:
                left = None if self.deadline is None else self.deadline - time.time()
                try:
                    look = await watched.look(left)
                except NoNewsError:
                    # Whatever the server says, or does not say: the deadline holds.
                    ending = overdue(policy, progress, time.time())
                    if ending:
                        return ending
                    continue
                decision = decide(policy, progress, look, time.time(), self.step_names)
                for number, note in enumerate(decision.notes, start=1):
                    self.log.info(note)
                    if number % _LINES_AT_ONCE == 0:
                        await asyncio.sleep(0)
                if decision.ending:
                    return decision.ending
                progress = decision.progress

    async def _end_abandoned_run(self) -> None:
        if self._has_ended or not await self._is_abandoned():
            return
        from airflow_kfp_runtime.client.ending import PATIENCE, end_run
        from airflow_kfp_runtime.client.patience import patiently
        from airflow_kfp_runtime.hooks.kfp import KfpHook

        self.log.info("The task no longer waits for run %s: terminating it", self.run_id)
        ending = patiently(end_run(self.run_id), seconds=PATIENCE, note=self.log.warning)
        try:
            async with await KfpHook(self.kfp_conn_id).async_client() as client:
                ended = await client.run(ending)
        except Exception as error:  # noqa: BLE001 - such as Airflow's, which cannot read the connection
            self.log.error("Run %s could not be terminated and may go on: %s", self.run_id, error)  # noqa: TRY400
        else:
            fate = "no longer goes on" if ended is None else f"had ended already: {ended.state.value}"
            self.log.info("Run %s %s", self.run_id, fate)

    async def _is_abandoned(self) -> bool:
        """Return whether no try of the task waits for the run any longer.

        The triggerer also calls ``on_kill`` for triggers that it hands to another (Airflow 3.3.2, mended by
        apache/airflow#73454), so the task instance's state decides. After a clear the new try may be deferred
        already (apache/airflow#36090); it has then recorded a run of its own. Where this triggerer stood
        still for a while, another may have sent the event meanwhile: the task goes on with the run then, or
        its retry will.
        """
        from asgiref.sync import sync_to_async

        from airflow_kfp_runtime.triggers import newest_try

        task: Any = self.task_instance
        if task is None:
            return False
        try:
            state = await sync_to_async(newest_try.state_of)(task)
            if state in _GOING_ON:
                return await sync_to_async(newest_try.run_recorded_by)(task) != self.run_id
        except Exception as error:  # noqa: BLE001 - whatever Airflow's API raises: a run that goes on is the lesser harm
            self.log.warning("Run %s is left alone, the task's state is unknown: %s", self.run_id, error)
            return False
        # No user sets that state: the try has ended by itself.
        return state != "up_for_retry"


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await work that goes on even if the trigger is cancelled meanwhile.

    The triggerer cancels a trigger anew in each of its rounds, about once a second, until it is gone (Airflow
    3.0 to 3.3); that would cut ``on_kill`` short as well.
    """
    ending = asyncio.ensure_future(work)
    _endings.add(ending)
    ending.add_done_callback(_endings.discard)
    await asyncio.shield(ending)
