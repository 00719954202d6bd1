"""What becomes of the run that a worker waits for when the worker is told to stop.

A user who kills, clears or marks the task wants the run to end. But a worker is told to stop as well where
Airflow took it for dead and has given the task to another try, which goes on with the same run; and where its
supervisor has not reached Airflow three times in a row (Airflow 3.3.2, ``max_failed_heartbeats``), after
which a retry goes on with it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import DefinitionError, KfpRuntimeError
from airflow_kfp_runtime.operators.exceptions import AirflowNotFoundException, AirflowRuntimeError
from airflow_kfp_runtime.operators.intent import Place

if TYPE_CHECKING:
    from airflow_kfp_runtime.hooks.kfp import KfpHook
    from airflow_kfp_runtime.operators.intent import Intents

#: Seconds within which Airflow has to say whether there is another try: 5 s after it has told a worker to
#: stop, its supervisor kills it (Airflow 3.3.2), and the run is to be terminated before.
ASKING = 3.0

_TAKEN = "another try of this task goes on with it"
_UNREACHED = "Airflow cannot be reached, so no user has ended the task, and a retry goes on with it"

#: The states of a task instance whose next try is still to begin, or whose newest one waits elsewhere.
_BETWEEN_TRIES = frozenset({"up_for_retry", "up_for_reschedule", "scheduled", "queued", "deferred"})

_UNFINISHED = _BETWEEN_TRIES | {"running"}

#: The state of a task that a user has cleared while a worker ran it.
_CLEARED = "restarting"


def goes_on_with(run_id: str, state: str | None, recorded: str | None) -> bool:
    """Return whether the try that has taken the place of another goes on with that one's run.

    :param state: the task instance's.
    :param recorded: the run that the newest try has recorded; ``None`` before it has found one. A try that
        has none yet looks for this one.
    """
    if state == _CLEARED:
        return False
    return state in _UNFINISHED if recorded is None else recorded == run_id


@dataclass
class OwnRun:
    """The run that a try on a worker has submitted or goes on with.

    :param task: the task instance of the try.
    :param intents: tell whether the try still has its place.
    :param hook: of the server that has the run; its settings have been read.
    :param run_id: its id; ``None`` where there is none, or it is not this try's to end.
    :param is_waited_for: whether the worker does no more than wait, so that its requests to Airflow are
        answered as soon as Airflow can.
    """

    task: Any
    intents: Intents
    hook: KfpHook | None = None
    run_id: str | None = None
    is_waited_for: bool = False

    def expect(self, run_id: str, hook: KfpHook) -> None:
        """Hold the run of an earlier try for this one's, until this one has found or sent another.

        Where its connection cannot be read, none is held.
        """
        try:
            # Now: a worker that is told to stop may be in the middle of another request to Airflow.
            hook.settings  # noqa: B018
        except (AirflowNotFoundException, AirflowRuntimeError, DefinitionError):
            return
        self.hook, self.run_id = hook, run_id

    def let_go(self) -> None:
        """Leave the run to whoever goes on with it."""
        self.run_id = None

    def end(self, log: Any) -> None:
        """Terminate it, unless another try goes on or will go on with it; where that fails, the log says so.

        :param log: the task's.
        """
        if self.run_id is None or self.hook is None:
            return
        reason = self._reason_to_leave()
        if reason:
            log.warning("Run %s is left alone: %s", self.run_id, reason)
            self.let_go()
            return
        from airflow_kfp_runtime.client.ending import end_submitted

        log.info("Terminating run %s", self.run_id)
        try:
            # A client of its own: the one that waits may be in the middle of a request.
            with self.hook.client() as client:
                ended = client.run(end_submitted(self.run_id, namespace=self.hook.settings.namespace))
        except KfpRuntimeError as error:
            log.error("Run %s could not be terminated and may go on: %s", self.run_id, error)  # noqa: TRY400
        else:
            log.info("Run %s %s", self.run_id, "no longer goes on" if ended else "is not on the server")

    def _reason_to_leave(self) -> str:
        """Ask Airflow in a thread: this one may have been stopped in the middle of a request to it.

        :return: empty where the run is to be terminated.
        """
        unreached = _UNREACHED if self.task.try_number <= self.task.max_tries else ""
        answers: list[str] = []

        def ask() -> None:
            try:
                answers.append(_TAKEN if self._goes_on_elsewhere(self.run_id or "") else "")
            except Exception:  # noqa: BLE001 - whatever Airflow's API raises: it does not answer, or not to this try
                answers.append(unreached)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(ASKING)
        if answers:
            return answers[0]
        return unreached if self.is_waited_for else ""

    def _goes_on_elsewhere(self, run_id: str) -> bool:
        from airflow_kfp_runtime.triggers.newest_try import run_recorded_by, state_of

        place = self.intents.place()
        if place is Place.KEPT:
            return False
        state = state_of(self.task)
        if place is Place.UNTOLD and state not in _BETWEEN_TRIES:
            # This try may be the one that runs.
            return False
        return goes_on_with(run_id, state, run_recorded_by(self.task))
