"""The embedded server as a whole: store, engine and HTTP side, from start to a clean end."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvicorn

from airflow_kfp_runtime.embedded.access import exclusive
from airflow_kfp_runtime.embedded.api import ApiOptions, create_app
from airflow_kfp_runtime.embedded.engine import Engine
from airflow_kfp_runtime.embedded.state.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from types import FrameType

    from fastapi import FastAPI

logger = logging.getLogger(__name__)


def serve(
    data: Path, *, host: str = "127.0.0.1", port: int = 8888, workers: int = 4, next_api: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT; then end the processes of all runs and stop.

    The first line on standard output, written once the server listens, tells its address.

    :param data: the directory for the database, logs and artifacts; made where there is none.
    :param host: the address to listen on. There is no authentication: whoever reaches it can run commands as
        the user of this process.
    :param port: the port; 0 takes a free one.
    :param workers: how many steps run at the same time.
    :param next_api: speak the API after KFP 2.17.
    :raises DataInUseError: another server has the directory.
    :raises OSError: the port is taken.
    """
    data = data.resolve()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with exclusive(data), socket.create_server((host, port), family=family, backlog=2048) as listener:
        store = Store(data / "server.db")
        engine = Engine(store, data, workers)
        app = create_app(store, engine, data, ApiOptions(next_api, local_names_only=_is_loopback(host)))
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        app.router.lifespan_context = _announcing(address)
        # Clients that poll keep their connection between two polls.
        config = uvicorn.Config(
            app, access_log=False, log_level="warning", timeout_graceful_shutdown=5, timeout_keep_alive=75
        )
        engine.start()
        try:
            uvicorn.Server(config).run([listener])
        finally:
            logger.info("Stopping: the processes of all runs are ended")
            engine.stop()
            store.close()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _announcing(address: str) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sys.stdout.write(f"Kubeflow Pipelines API on {address}\n")
        sys.stdout.flush()
        yield

    return lifespan


def _stop(_number: int, _frame: FrameType | None) -> None:
    # While uvicorn runs it has handlers of its own; it stops, then raises the signal again for this one.
    raise SystemExit(0)
