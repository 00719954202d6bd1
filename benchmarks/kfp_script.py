"""A server, for benchmarks, that answers reads of runs as KFP does and costs next to nothing itself.

It is told when each run ends (``POST /script`` with ``{run id: seconds since the epoch}``), and tells how
many requests it has had (``GET /script``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from urllib.parse import parse_qs, unquote, urlsplit

_HISTORY = [
    {"update_time": "2026-01-01T00:00:00Z", "state": state} for state in ("PENDING", "RUNNING", "SUCCEEDED")
]


def row(run_id: str, state: str, number_of_tasks: int) -> dict[str, object]:
    """A run as a list or a read shows it (KFP 2.17), with a row for each node of Argo."""
    tasks = [
        {
            "run_id": run_id,
            "task_id": f"5f0f4bb1-41b4-4be8-8db4-{number:012}",
            "display_name": f"step-{number}",
            "create_time": "2026-01-01T00:00:00Z",
            "start_time": "2026-01-01T00:00:00Z",
            "end_time": "2026-01-01T00:10:00Z",
            "state": "SUCCEEDED",
            "state_history": _HISTORY,
            "child_tasks": [{"pod_name": f"benchmark-x7k2p-system-container-impl-{number:010}"}],
        }
        for number in range(number_of_tasks)
    ]
    return {
        "experiment_id": "8ca1b0f5-8c0c-4d3b-b5c2-c8bc4fd2d0d4",
        "run_id": run_id,
        "display_name": "benchmark",
        "storage_state": "AVAILABLE",
        "pipeline_version_reference": {"pipeline_id": "p" * 36, "pipeline_version_id": "v" * 36},
        "runtime_config": {"parameters": {"rate": 0.1}},
        "service_account": "pipeline-runner",
        "created_at": "2026-01-01T00:00:00Z",
        "finished_at": "1970-01-01T00:00:00Z",
        "state": state,
        "run_details": {"task_details": tasks},
        "state_history": _HISTORY[:2],
    }


class Script:
    """The runs, and the count of requests.

    :param tasks: how many tasks each run has.
    """

    def __init__(self, tasks: int) -> None:
        self.ends: dict[str, float] = {}
        self.requests = 0
        self._rows = {state: json.dumps(row("RUN", state, tasks)) for state in ("RUNNING", "SUCCEEDED")}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lengths = [
                    line.partition(":")[2]
                    for line in head.split("\r\n")
                    if line.lower().startswith("content-length")
                ]
                sent = await reader.readexactly(int(lengths[0])) if lengths else b""
                body = self._answer(head.split()[1], sent).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(body), body)
                )
                await writer.drain()
        writer.close()

    def _answer(self, target: str, sent: bytes) -> str:
        parts = urlsplit(target)
        if parts.path == "/script":
            self.ends.update(json.loads(sent or b"{}"))
            return json.dumps({"requests": self.requests})
        self.requests += 1
        if not parts.path.endswith("/runs"):
            return self._row(parts.path.rpartition("/")[2])
        predicates = json.loads(unquote(parse_qs(parts.query)["filter"][0]))["predicates"]
        wanted = {found["key"]: found["string_values"]["values"] for found in predicates}
        states = wanted.get("state", ["RUNNING", "SUCCEEDED"])
        found = [run_id for run_id in wanted["run_id"] if self._state(run_id) in states]
        page = found[: int(parse_qs(parts.query)["page_size"][0])]
        rows = ", ".join(self._row(run_id) for run_id in page)
        return f'{{"runs": [{rows}], "total_size": {len(found)}}}' if found else "{}"

    def _state(self, run_id: str) -> str:
        return "SUCCEEDED" if time.time() >= self.ends.get(run_id, float("inf")) else "RUNNING"

    def _row(self, run_id: str) -> str:
        return self._rows[self._state(run_id)].replace('RUN"', f'{run_id}"')


async def serve(tasks: int) -> None:
    """Print the URL, and serve until killed."""
    server = await asyncio.start_server(Script(tasks).serve, "127.0.0.1", 0, limit=2**24, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()
