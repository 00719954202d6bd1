"""Riding out a server that cannot answer for a while, in any flow."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_kfp_runtime.client.call import Call, Service, Wait, next_instruction
from airflow_kfp_runtime.errors import AuthenticationError, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_kfp_runtime.client.call import Flow

T = TypeVar("T")

#: Seconds of pause after the first failure; each further one doubles them, up to the longest.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0

#: Seconds for which a refusal of the credentials is taken for their renewal: a token that has just been
#: replaced, or a login page in front of a server that restarts.
RENEWAL = 10.0

#: Seconds for which a 500 to a read is taken for a server whose database is busy; it may also be final.
BUSY = 30.0


def patiently(
    flow: Flow[T],
    *,
    seconds: float = 600.0,
    note: Callable[[str], None] | None = None,
    jitter: Callable[[], float] = random.random,
) -> Flow[T]:
    """Run a flow, and repeat each of its calls that the server cannot answer at the moment.

    Only calls that may come twice are repeated (:attr:`~airflow_kfp_runtime.client.call.Call.repeatable`);
    the flow itself sees the failure of the others, and of a server that has not answered for ``seconds``.

    :param seconds: how long the server may be out of reach, waits only; each answer gives it anew.
    :param note: takes a line for the log when the server stops answering.
    :param jitter: gives a number from 0 to 1 that spreads the pauses of many tasks.
    """
    patience = _Patience(seconds, note, jitter)
    answer: Any = None
    try:
        while True:
            answer = yield from _repeated(next_instruction(flow, answer), patience)
    except StopIteration as end:
        outcome: T = end.value
        return outcome
    finally:
        flow.close()


class _Patience:
    """How long failures in a row have been waited out.

    :param seconds: how long at most.
    :param note: takes a line for the log when it begins.
    :param jitter: spreads the pauses.
    """

    def __init__(
        self, seconds: float, note: Callable[[str], None] | None, jitter: Callable[[], float]
    ) -> None:
        self._seconds = seconds
        self._note = note
        self._jitter = jitter
        self._waited = 0.0
        self._pause = FIRST_PAUSE

    def renew(self) -> None:
        """Begin anew: the server has answered."""
        self._waited = 0.0
        self._pause = FIRST_PAUSE

    def pause(self, call: Call[Any], error: ServerError) -> float | None:
        """Return the seconds until the call is repeated; ``None`` if it is not."""
        limit = min(_limit(call, error), self._seconds)
        left = limit - self._waited
        if left <= 0:
            return None
        if self._note is not None and not self._waited:
            self._note(f"{error}; trying again for up to {limit:g} s")
        wanted = max(self._pause * (0.5 + self._jitter() / 2), error.retry_after or 0.0)
        pause = min(wanted, left)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._waited += pause
        return pause


def _repeated(instruction: Call[Any] | Wait, patience: _Patience) -> Flow[Any]:
    """Return what an instruction leads to in the end; a failure is an answer, too."""
    if isinstance(instruction, Wait):
        return (yield instruction)
    while True:
        try:
            answer = yield instruction
        except ServerError as error:  # noqa: PERF203  a repetition is what the loop is for
            pause = patience.pause(instruction, error)
            if pause is None:
                return error
            yield Wait(pause)
        else:
            patience.renew()
            return answer


def _limit(call: Call[Any], error: ServerError) -> float:
    """Return the seconds after which a failure is final, whatever the patience."""
    # ML Metadata is out of reach for many clients for ever; whoever reads it knows another way.
    if not call.repeatable or call.service is not Service.API:
        return 0.0
    if isinstance(error, AuthenticationError):
        return RENEWAL
    if error.status == 500 and call.method == "GET":
        return BUSY
    return math.inf if error.transient else 0.0
