"""Reading large answers in a thread without starving the event loop beside it.

A busy thread hands the interpreter on only after 5 ms, at each of the loop's steps (CPython's switch
interval), so that a few steps of the loop would take 20 ms. The thread therefore pauses each millisecond.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

#: Seconds after which the thread pauses, and for how long: enough for the loop's thread to take over.
_TURN = 0.001
_PAUSE = 0.0001

_turn_ends: ContextVar[float | None] = ContextVar("turn_ends", default=None)


def share_with_loop() -> None:
    """Say that this is a thread beside an event loop."""
    _turn_ends.set(time.perf_counter() + _TURN)


def give_way() -> None:
    """Let the event loop run if it is time to, in a thread beside one; nothing elsewhere."""
    turn_ends = _turn_ends.get()
    if turn_ends is not None and time.perf_counter() >= turn_ends:
        time.sleep(_PAUSE)
        share_with_loop()
