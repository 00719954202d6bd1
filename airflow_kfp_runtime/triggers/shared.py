"""The pollers that the triggers of an event loop share, one for each connection and interval."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_kfp_runtime.client.polling import RunPoller
    from airflow_kfp_runtime.client.watched import Watched

_Key: TypeAlias = "tuple[asyncio.AbstractEventLoop, str, float]"

_pollers: dict[_Key, RunPoller] = {}


@contextmanager
def watching(run_id: str, kfp_conn_id: str, poll_interval: float) -> Iterator[Watched]:
    """Watch a run while the block lasts, together with all others that the same loop watches there.

    :param kfp_conn_id: the Airflow connection; it is read when the first of them joins, and again when the
        server refuses its credentials.
    :param poll_interval: seconds between two looks at each run.
    """
    from airflow_kfp_runtime.client.poll_plan import Pace
    from airflow_kfp_runtime.client.polling import RunPoller
    from airflow_kfp_runtime.triggers.connecting import Connecting

    key = (asyncio.get_running_loop(), kfp_conn_id, poll_interval)
    poller = _pollers.get(key)
    if poller is None:
        poller = _pollers[key] = RunPoller(Connecting(kfp_conn_id).client, Pace(interval=poll_interval))
    try:
        with poller.watching(run_id) as watched:
            yield watched
    finally:
        if not poller.watched and _pollers.get(key) is poller:
            del _pollers[key]
