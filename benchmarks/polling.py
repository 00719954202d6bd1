"""What deferred runs cost the triggerer and the server: shared polling against one client and GET for each.

    python -m benchmarks.polling [--runs 100 1000 10000] [--interval 5]

Each line is measured in a process of its own, with one event loop as a triggerer has, against a scripted
server in another process whose rows are those of KFP. ``shared`` runs this package's triggers as they are;
``single`` is the pattern of existing providers: a client and a GET for each run and interval. It is left out
beyond 1,000 runs, which one event loop cannot keep up; where it makes fewer requests than runs, it lags, and
its CPU is that of fewer looks.
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
        pass


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


async def longest_pause(until: float) -> tuple[float, float]:
    """Seconds that the loop came late to a task that was due, at worst, and that it computed at a stretch.

    Where other processes want the same cores, the first is theirs as well.
    """
    late = computed = 0.0
    while (begun := time.perf_counter()) < until:
        before = time.thread_time()
        await asyncio.sleep(TICK)
        late = max(late, time.perf_counter() - begun - TICK)
        computed = max(computed, time.thread_time() - before)
    return late, computed


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
    late, computed = await longest_pause(time.perf_counter() + (INTERVALS + 1.5) * interval)
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
        "late": late * 1000,
        "computed": computed * 1000,
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
        # httpx writes a line for each request.
        logging.disable()
        kind, url, runs, interval = options.measure
        wait = wait_shared if kind == "shared" else wait_single
        print(json.dumps(asyncio.run(measure(wait, url, int(runs), float(interval)))))
        return
    interval = options.interval
    print(
        f"interval {interval:g} s; CPU per run and interval; delay from a run's end to its event; the loop's"
    )
    print("worst lateness, and the longest that it computed at a stretch")
    print("         runs  requests  CPU/run  memory/run  process  delay median   p99  loop late   stretch")
    for runs in options.runs:
        rows = {}
        for kind in KINDS if runs <= LARGEST_SINGLE else KINDS[:1]:
            found = rows[kind] = measured(kind, runs, interval)
            print(
                f"{kind} {runs:7} {found['requests']:9.1f} {found['cpu']:5.0f} us {found['memory']:7.1f} KiB"
                f" {found['process']:4.0f} MiB {found['median']:11.2f} s {found['p99']:4.2f} s"
                f" {found['late']:6.1f} ms {found['computed']:6.1f} ms"
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
