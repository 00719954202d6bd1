"""The command ``serve``: its arguments, and how it reports what keeps it from starting."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from airflow_kfp_runtime.embedded.access import DataInUseError
from airflow_kfp_runtime.embedded.state.store import NewerDataError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``python -m airflow_kfp_runtime serve``."""
    parser.add_argument(
        "--port", type=_port, default=8888, help="the port; 0 takes a free one (default: 8888)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="the directory for database, logs, artifacts and claims; secrets and config maps are read from "
        "its files secrets/NAME/KEY and config-maps/NAME/KEY",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen on (default: 127.0.0.1). There is no authentication: whoever reaches the "
        "server can run commands on this machine",
    )
    parser.add_argument(
        "--workers",
        type=_positive,
        default=os.cpu_count() or 1,
        help="how many steps run at the same time (default: the number of processors)",
    )
    parser.add_argument(
        "--api",
        choices=("2.17", "next"),
        default="2.17",
        help="the version of KFP's API to speak; next is the one after 2.17, with tasks over REST",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes.

    :param arguments: as :func:`add_arguments` declares them.
    :return: the exit status: 0 after a clean stop, 1 if the server could not start.
    """
    if arguments.data.exists() and not arguments.data.is_dir():
        sys.stderr.write(f"--data: {arguments.data} is a file, not a directory\n")
        return 1
    # FastAPI takes a second to import, so that other commands do not load it.
    from airflow_kfp_runtime.embedded.server import serve

    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        serve(
            arguments.data,
            host=arguments.host,
            port=arguments.port,
            workers=arguments.workers,
            next_api=arguments.api == "next",
        )
    except (DataInUseError, NewerDataError) as error:
        sys.stderr.write(f"The server could not start: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"The server could not start: {error}. Choose another --host, --port or --data.\n")
        return 1
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
