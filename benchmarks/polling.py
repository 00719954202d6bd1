"""What deferred runs cost the triggerer and the server: shared polling against one client and GET for each.

    python -m benchmarks.polling [--runs 100 1000 10000] [--interval 5] [--tasks 10] [--together]

With ``--together`` all runs end at the same instant, which with ``--tasks 50`` is the hardest that a loop
meets: one answer then holds 150 rows of 50 tasks.

Each line is measured in a process of its own, with one event loop as a triggerer has, against a scripted
server in another process whose rows are those of KFP. ``shared`` runs this package's triggers as they are;
``single`` is the pattern of existing providers: a client and a GET for each run and interval. It is left out
beyond 1,000 runs, which one event loop cannot keep up; where it makes fewer requests than runs, it lags, and
its CPU is that of fewer looks.

What kept the loop is told by four numbers. ``late`` is the worst lateness of a task that was due, by the
clock. ``blocked`` is the same without what is not this package's: the time for which there was no core, since
other processes used them (the kernel's run-queue wait of the loop's thread, and of that other thread which
waited longest, as it may have held the interpreter), and Python's collections of garbage. ``stretch`` is the
most CPU time that the loop's thread used from one look at it to the next, of all that was due in between.
``collection`` is the longest collection, in whichever thread; it stops all of them, and takes the longer the
more the process has imported.
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
import threading
import time
import urllib.request
import uuid
from dataclasses import asdict, dataclass

from benchmarks.kfp_script import serve

#: Intervals before the cost is measured, and for which it is, and in which runs end.
WARM_UP = 6
INTERVALS = 3
LARGEST_SINGLE = 1000
#: Seconds between two looks at how late the loop is.
TICK = 0.002


@dataclass(frozen=True)
class Case:
    """What is measured.

    :param interval: seconds between two looks at a run.
    :param tasks: tasks of each run, all of which have ended.
    :param together: all runs end at once, and not a part of them one by one.
    """

    runs: int
    interval: float
    tasks: int
    together: bool


async def wait_shared(_: str, run_id: str, case: Case) -> None:
    """Wait as a deferred task does."""
    from airflow_kfp_runtime.triggers.kfp import KfpRunTrigger

    steps = {f"step-{number}": f"step_{number}" for number in range(case.tasks)}
    async for _ in KfpRunTrigger(run_id, poll_interval=case.interval, step_names=steps).run():
        pass


async def wait_single(url: str, run_id: str, case: Case) -> None:
    """Wait with a client and a request of one's own."""
    from airflow_kfp_runtime.client import AsyncKfpClient, ClientSettings, calls
    from airflow_kfp_runtime.client.models import RunState

    async with AsyncKfpClient(ClientSettings(url)) as client:
        # Triggers do not all start at the same moment.
        await asyncio.sleep(random.uniform(0, case.interval))
        while (await client.send(calls.get_run(run_id))).state is not RunState.SUCCEEDED:  # noqa: ASYNC110
            await asyncio.sleep(case.interval)


WAITS = {"shared": wait_shared, "single": wait_single}


def ask_script(url: str, ends: dict[str, float] | None = None) -> int:
    """Tell the server when runs end; return how many requests it has had."""
    data = None if ends is None else json.dumps(ends).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/script", data)) as answer:
        return int(json.load(answer)["requests"])


def memory() -> float:
    """MiB that the process holds now."""
    with open("/proc/self/statm") as statm:  # noqa: PTH123
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


class QueueWait:
    """For how long the threads of this process were ready to run and had no core."""

    def __init__(self) -> None:
        self._files: dict[int, int] = {}
        self._before: dict[int, float] = {}

    def since_last(self) -> float:
        """Seconds since the last call: those of this thread, and of the one that waited longest beside it."""
        this = threading.get_native_id()
        waits = {thread.native_id: self._wait(thread.native_id) for thread in threading.enumerate()}
        spent = {number: wait - self._before.get(number, wait) for number, wait in waits.items()}
        self._before = waits
        return spent.pop(this) + max(spent.values(), default=0.0)

    def _wait(self, thread: int) -> float:
        if thread not in self._files:
            self._files[thread] = os.open(f"/proc/self/task/{thread}/schedstat", os.O_RDONLY)
        try:
            return int(os.pread(self._files[thread], 100, 0).split()[1]) / 1e9
        except ProcessLookupError:
            return 0.0


class Collections:
    """How long Python collected garbage: the longest, and altogether since the last look."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._begun = self._together = 0.0

    def since_last(self) -> float:
        """Seconds since the last call."""
        together, self._together = self._together, 0.0
        return together

    def __call__(self, phase: str, _: dict[str, int]) -> None:
        """Take what ``gc.callbacks`` are told."""
        if phase == "start":
            self._begun = time.perf_counter()
            return
        lasted = time.perf_counter() - self._begun
        self.longest = max(self.longest, lasted)
        self._together += lasted


async def longest_pauses(until: float) -> dict[str, float]:
    """The longest that the loop was kept until then, in milliseconds, as the head of this module says."""
    late = blocked = stretch = 0.0
    waits, collections = QueueWait(), Collections()
    gc.callbacks.append(collections)
    waits.since_last()
    while (begun := time.perf_counter()) < until:
        before = time.thread_time()
        await asyncio.sleep(TICK)
        computed, lateness = time.thread_time() - before, time.perf_counter() - begun - TICK
        collecting = collections.since_last()
        late = max(late, lateness)
        stretch = max(stretch, computed - collecting)
        blocked = max(
            blocked, lateness - waits.since_last() - collecting, min(lateness, computed - collecting)
        )
    gc.callbacks.remove(collections)
    found = {"late": late, "blocked": blocked, "stretch": stretch, "collection": collections.longest}
    return {name: seconds * 1000 for name, seconds in found.items()}


async def measure(kind: str, url: str, case: Case) -> dict[str, float]:
    """Let so many runs be waited for; then let a part of them end, or all at once."""
    wait, runs, interval = WAITS[kind], case.runs, case.interval
    run_ids = [str(uuid.uuid4()) for _ in range(runs)]
    events: dict[str, float] = {}

    async def waiting(run_id: str) -> None:
        await wait(url, run_id, case)
        events[run_id] = time.time()

    warm = asyncio.create_task(wait(url, "warm", case))
    await asyncio.sleep(1)
    gc.collect()
    before = memory()
    tasks = [asyncio.create_task(waiting(run_id)) for run_id in run_ids]
    await asyncio.sleep(WARM_UP * interval)
    requests, cpu = await asyncio.to_thread(ask_script, url), time.process_time()
    await asyncio.sleep(INTERVALS * interval)
    cpu = time.process_time() - cpu
    requests = await asyncio.to_thread(ask_script, url) - requests
    held = memory() - before

    now = time.time()
    ends = (
        dict.fromkeys(run_ids, now + interval)
        if case.together
        else {
            run_id: now + random.uniform(interval, INTERVALS * interval)
            for run_id in run_ids[:: max(1, runs // 500)]
        }
    )
    await asyncio.to_thread(ask_script, url, ends)
    pauses = await longest_pauses(time.perf_counter() + (INTERVALS + 1.5) * interval)
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
        **pauses,
    }


def measured(kind: str, case: Case) -> dict[str, float]:
    """Measure in a fresh process, against a fresh server."""
    command = [sys.executable, "-m", "benchmarks.polling"]
    server = subprocess.Popen(
        [*command, "--serve", "--tasks", str(case.tasks)], stdout=subprocess.PIPE, text=True
    )
    try:
        url = server.stdout.readline().strip()  # type: ignore[union-attr]
        done = subprocess.run(
            [*command, "--measure", kind, url, json.dumps(asdict(case))],
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
    parser.add_argument("--tasks", type=int, default=10, help="tasks of each run")
    parser.add_argument("--together", action="store_true", help="let all runs end at once")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    if options.serve:
        asyncio.run(serve(options.tasks))
    if options.measure:
        # httpx writes a line for each request.
        logging.disable()
        kind, url, case = options.measure
        print(json.dumps(asyncio.run(measure(kind, url, Case(**json.loads(case))))))
        return
    print(
        f"interval {options.interval:g} s, {options.tasks} tasks a run"
        + (", all runs end at once" if options.together else "")
        + "; CPU per run and interval; delay from a run's end to its event;"
    )
    print("what kept the loop, at worst, in ms")
    print(
        "         runs  requests  CPU/run  memory/run  process  delay median   p99"
        "   late  blocked  stretch  collection"
    )
    for runs in options.runs:
        rows = {}
        case = Case(runs, options.interval, options.tasks, together=options.together)
        for kind in WAITS if runs <= LARGEST_SINGLE else ["shared"]:
            found = rows[kind] = measured(kind, case)
            print(
                f"{kind} {runs:7} {found['requests']:9.1f} {found['cpu']:5.0f} us {found['memory']:7.1f} KiB"
                f" {found['process']:4.0f} MiB {found['median']:11.2f} s {found['p99']:4.2f} s"
                f" {found['late']:6.1f} {found['blocked']:8.1f} {found['stretch']:8.1f}"
                f" {found['collection']:11.1f}"
                + (f"  {found['missing']:.0f} events missing" if found["missing"] else ""),
                flush=True,
            )
        if len(rows) == len(WAITS):
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
