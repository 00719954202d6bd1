"""Reading large answers in a thread without starving the event loop beside it.

A busy thread hands the interpreter on only after 5 ms, at each of the loop's steps (CPython's switch
interval), so that a few steps of the loop would take 20 ms. The thread therefore pauses after each row.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

#: Whether this is a thread beside an event loop.
beside_loop: ContextVar[bool] = ContextVar("beside_loop", default=False)

#: Seconds: long enough for the loop's thread to wake up and take over.
_PAUSE = 0.0001


def give_way() -> None:
    """Let the event loop run, in a thread beside one; nothing elsewhere."""
    if beside_loop.get():
        time.sleep(_PAUSE)
