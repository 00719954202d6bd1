"""What deferred runs cost the triggerer and the server: shared polling against one client and GET for each.

    python -m benchmarks.polling [--runs 100 1000 10000] [--interval 5]

Each line is measured in a process of its own, with one event loop as a triggerer has, against a scripted
server in another process whose rows are those of KFP. ``shared`` runs this package's triggers as they are;
``single`` is the pattern of existing providers: a client and a GET for each run and interval. It is left out
beyond 1,000 runs, where one event loop cannot keep it up.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import resource
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any

from benchmarks.kfp_script import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

#: Intervals for which the cost is measured, and in which runs end.
INTERVALS = 3
LARGEST_SINGLE = 1000
#: Seconds between two looks at how late the loop is.
TICK = 0.002

KINDS = ("shared", "single")


async def wait_shared(_: str, run_id: str, interval: float) -> None:
    """Wait as a deferred task does."""
    from airflow_kfp_runtime.triggers.kfp import KfpRunTrigger

    async for _ in KfpRunTrigger(run_id, poll_interval=interval).run():
        return


async def wait_single(url: str, run_id: str, interval: float) -> None:
    """Wait with a client and a request of one's own."""
    from airflow_kfp_runtime.client import AsyncKfpClient, ClientSettings, calls
    from airflow_kfp_runtime.client.models import RunState

    async with AsyncKfpClient(ClientSettings(url)) as client:
        # Triggers do not all start at the same moment.
        await asyncio.sleep(random.uniform(0, interval))
        while (await client.send(calls.get_run(run_id))).state is not RunState.SUCCEEDED:  # noqa: ASYNC110
            await asyncio.sleep(interval)


def ask_script(url: str, ends: dict[str, float] | None = None) -> int:
    """Tell the server when runs end; return how many requests it has had."""
    data = None if ends is None else json.dumps(ends).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/script", data)) as answer:
        return int(json.load(answer)["requests"])


def memory() -> float:
    """MiB that the process holds now."""
    with open("/proc/self/statm") as statm:  # noqa: PTH123
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


class Collections:
    """Notes when Python's collector ran over its whole heap, which stops all threads whatever they do."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        self._begun = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self.spans.append((self._begun, time.perf_counter()))

    def within(self, begun: float, ended: float) -> float:
        """Seconds of a span that the collector took."""
        return sum(max(0.0, min(ended, last) - max(begun, first)) for first, last in self.spans)


async def longest_pause(until: float) -> tuple[float, float]:
    """Seconds that the loop came late to a task that was due, at worst: in all, and but for the collector."""
    longest = own = 0.0
    collections = Collections()
    while (begun := time.perf_counter()) < until:
        await asyncio.sleep(TICK)
        ended = time.perf_counter()
        longest = max(longest, ended - begun - TICK)
        own = max(own, ended - begun - TICK - collections.within(begun, ended))
        collections.spans.clear()
    return longest, own


async def measure(
    wait: Callable[[str, str, float], Coroutine[Any, Any, None]], url: str, runs: int, interval: float
) -> dict[str, float]:
    """Let so many runs be waited for; then let a part of them end."""
    run_ids = [str(uuid.uuid4()) for _ in range(runs)]
    events: dict[str, float] = {}

    async def waiting(run_id: str) -> None:
        await wait(url, run_id, interval)
        events[run_id] = time.time()

    warm = asyncio.create_task(wait(url, "warm", interval))
    await asyncio.sleep(1)
    gc.collect()
    before = memory()
    tasks = [asyncio.create_task(waiting(run_id)) for run_id in run_ids]
    await asyncio.sleep(2 * interval)
    requests, cpu = await asyncio.to_thread(ask_script, url), time.process_time()
    await asyncio.sleep(INTERVALS * interval)
    cpu = time.process_time() - cpu
    requests = await asyncio.to_thread(ask_script, url) - requests
    held = memory() - before

    now = time.time()
    ends = {
        run_id: now + random.uniform(interval, INTERVALS * interval)
        for run_id in run_ids[:: max(1, runs // 500)]
    }
    await asyncio.to_thread(ask_script, url, ends)
    pause, own_pause = await longest_pause(time.perf_counter() + (INTERVALS + 1.5) * interval)
    delays = sorted(events[run_id] - end for run_id, end in ends.items() if run_id in events)
    for task in (*tasks, warm):
        task.cancel()
    await asyncio.gather(*tasks, warm, return_exceptions=True)
    return {
        "requests": requests / INTERVALS,
        "cpu": cpu / INTERVALS / runs * 1e6,
        "memory": held / runs * 1024,
        "process": memory(),
        "median": statistics.median(delays),
        "p99": delays[int(len(delays) * 0.99)],
        "missing": len(ends) - len(delays),
        "pause": pause * 1000,
        "own_pause": own_pause * 1000,
    }


def measured(kind: str, runs: int, interval: float) -> dict[str, float]:
    """Measure in a fresh process, against a fresh server."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.polling", "--serve"], stdout=subprocess.PIPE, text=True
    )
    try:
        url = server.stdout.readline().strip()  # type: ignore[union-attr]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.polling", "--measure", kind, url, str(runs), str(interval)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=os.environ | {"AIRFLOW_CONN_KFP_DEFAULT": json.dumps({"conn_type": "kfp", "host": url})},
        )
    finally:
        server.kill()
        server.wait()
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--interval", type=float, default=5.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    if options.serve:
        asyncio.run(serve())
    if options.measure:
        logging.disable()

        kind, url, runs, interval = options.measure
        wait = wait_shared if kind == "shared" else wait_single
        print(json.dumps(asyncio.run(measure(wait, url, int(runs), float(interval)))))
        return
    interval = options.interval
    print(f"interval {interval:g} s; CPU per run and interval; delay from a run's end to its event")
    print(
        "         runs  requests  CPU/run  memory/run  process  delay median   p99  loop blocked (but for gc)"
    )
    for runs in options.runs:
        rows = {}
        for kind in KINDS if runs <= LARGEST_SINGLE else KINDS[:1]:
            found = rows[kind] = measured(kind, runs, interval)
            print(
                f"{kind} {runs:7} {found['requests']:9.1f} {found['cpu']:5.0f} us {found['memory']:7.1f} KiB"
                f" {found['process']:4.0f} MiB {found['median']:11.2f} s {found['p99']:4.2f} s"
                f" {found['pause']:9.1f} ms ({found['own_pause']:.1f} ms)"
                + (f"  {found['missing']:.0f} events missing" if found["missing"] else ""),
                flush=True,
            )
        if len(rows) == len(KINDS):
            less = {
                name: rows["single"][name] / rows["shared"][name] for name in ("requests", "cpu", "memory")
            }
            print(
                f"  single / shared: requests {less['requests']:.0f}, CPU {less['cpu']:.0f}, "
                f"memory {less['memory']:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
