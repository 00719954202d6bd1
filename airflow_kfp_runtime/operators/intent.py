"""Where a try writes down that it is about to send a run: Airflow's task state store, new in 3.3.

The store is keyed by DAG run, task and map index and outlives retries and clears, so the key holds the number
that changes with a clear. A write goes to the try's own task instance: once Airflow has given the task to
another try, the old one's id is gone, and its write is refused (Airflow 3.3.2, ``store/ti/{id}``: 404). So a
worker that was taken for dead sends nothing any longer.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import KfpRuntimeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from airflow_kfp_runtime.client.generations import Intent

#: How often an intent is written whose writing took longer than its lease.
_ATTEMPTS = 3

_SUPERSEDED = (
    "Airflow has given this task to another try: this one sends nothing any longer and ends; the other one "
    "finds the run, if there is one"
)


class Place(str, Enum):
    """Whether a try still is the one that Airflow has for the task."""

    KEPT = "kept"
    #: Airflow has given the task to another try.
    TAKEN = "taken"
    #: Without a store Airflow does not say.
    UNTOLD = "untold"


class SupersededError(KfpRuntimeError):
    """Airflow has given the task to another try: this one ends and leaves the run alone."""


@dataclass(frozen=True)
class Intents:
    """The intents of a task instance between two clears.

    :param store: ``context["task_state_store"]``; ``None`` before Airflow 3.3.
    :param key: where they are in it.
    :param now: the clock, in seconds since the epoch.
    """

    store: Any
    key: str
    now: Callable[[], float] = time.time

    @classmethod
    def of(cls, context: Context) -> Intents:
        """Return those of the task that a context is for."""
        # A clear changes max_tries; retries leave it as it is.
        return cls(context.get("task_state_store"), f"kfp_run/{context['ti'].max_tries}")

    @property
    def are_kept(self) -> bool:
        """Whether there is a store: without one, nothing is written and nothing found."""
        return self.store is not None

    def place(self) -> Place:
        """Return whether the task is still this try's.

        :raises AirflowRuntimeError: Airflow cannot say, or not to a try whose token was not renewed for long.
        """
        if self.store is None:
            return Place.UNTOLD
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            # Nothing is written under this key: the request changes nothing, and is refused like a write.
            self.store.delete(f"{self.key}/place")
        except AirflowRuntimeError as error:
            if _is_gone(error):
                return Place.TAKEN
            raise
        return Place.KEPT

    def check_place(self) -> None:
        """Refuse to go on where the task has been given to another try.

        :raises SupersededError: it has.
        :raises AirflowRuntimeError: as :meth:`place`.
        """
        if self.place() is Place.TAKEN:
            raise SupersededError(_SUPERSEDED)

    def read(self) -> Intent | None:
        """Return the last intent, ``None`` if there is none that this version knows."""
        from airflow_kfp_runtime.client.generations import Intent

        return None if self.store is None else Intent.from_json(self.store.get(self.key))

    def write(self, intent: Intent) -> None:
        """Keep an intent.

        :raises SupersededError: the task has been given to another try.
        """
        if self.store is None:
            return
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            self.store.set(self.key, dict(vars(intent)))
        except AirflowRuntimeError as error:
            if not _is_gone(error):
                raise
            raise SupersededError(_SUPERSEDED) from None

    def confirm(self, intent: Intent, warn: Callable[[str], None]) -> None:
        """Keep which run the server has made; where that fails, a later try looks it up.

        :param warn: takes the line that says so.
        :raises SupersededError: the task has been given to another try.
        """
        if self.store is None:
            return
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            self.write(intent)
        except AirflowRuntimeError as error:
            warn(f"Airflow could not keep the id of run {intent.server_run_id}; a retry looks it up: {error}")

    def announce(self, run_id: str, generation: int, fingerprint: str, connection: str = "") -> None:
        """Keep the intent of a run that is sent as soon as this returns.

        :param connection: the Airflow connection of the server that it is sent to.
        :raises SupersededError: the task has been given to another try.
        :raises KfpRuntimeError: writing took longer than the lease, each time; nothing must be sent then.
        """
        from airflow_kfp_runtime.client.generations import LEASE, Intent

        for _ in range(_ATTEMPTS):
            began = self.now()
            self.write(Intent(run_id, generation, began, fingerprint, connection=connection))
            if 0 <= self.now() - began < LEASE:
                return
        raise KfpRuntimeError(
            f"Airflow took longer than {LEASE:g} s, {_ATTEMPTS} times, to keep the intent to send run "
            f"{run_id}; nothing was sent, and a retry of the task sends it"
        )

    def restore(self, before: Intent | None) -> None:
        """Take back an announced intent whose run the server has refused, so that no try waits for that run.

        :param before: what was kept before; ``None``: nothing.
        """
        if self.store is None:
            return
        from airflow.sdk.exceptions import AirflowRuntimeError

        # Without it the next try looks for the run in vain, for a minute.
        with suppress(AirflowRuntimeError, SupersededError):
            if before is None:
                self.store.delete(self.key)
            else:
                self.write(before)


def _is_gone(error: Any) -> bool:
    """Return whether an error of Airflow's says that there is no such task instance any longer."""
    detail = getattr(error.error, "detail", None)
    return isinstance(detail, dict) and detail.get("status_code") in (404, 410)
