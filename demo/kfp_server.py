"""The embedded Kubeflow Pipelines server as a process."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.processes import Process, wait_for

if TYPE_CHECKING:
    from pathlib import Path

#: The command; its arguments follow.
SERVE = (sys.executable, "-m", "airflow_kfp_runtime", "serve")

_FIRST_LINE = re.compile(r"^Kubeflow Pipelines API on (http://\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class KfpServer:
    """A server that listens.

    :param url: the address of its API.
    :param data: its folder.
    :param process: its process; stopping it ends the runs' processes too.
    """

    url: str
    data: Path
    process: Process

    @property
    def airflow_connection(self) -> str:
        """The connection to it, as the variable ``AIRFLOW_CONN_KFP_DEFAULT`` takes it."""
        return json.dumps({"conn_type": "kfp", "host": self.url})

    def stop(self) -> None:
        """End it."""
        self.process.stop()


def start_kfp_server(data: Path, *options: str, port: int = 0, seconds: float = 60.0) -> KfpServer:
    """Start the server and wait until it listens.

    :param data: its folder: runs, artifacts, and the environments of steps, which later runs use again.
    :param options: further arguments of ``serve``.
    :param port: where it listens; 0 takes a free one.
    :param seconds: after these, ``TimeoutError``.
    """
    process = Process(
        "the Kubeflow Pipelines server",
        [*SERVE, "--port", str(port), "--data", str(data), *options],
        log=data / "server.log",
        environment=os.environ,
    )
    try:
        found = wait_for(
            "the Kubeflow Pipelines server",
            lambda: _FIRST_LINE.search(process.log.read_text()),
            seconds=seconds,
            processes=[process],
        )
    except BaseException:
        process.stop()
        raise
    return KfpServer(url=found[1], data=data, process=process)
