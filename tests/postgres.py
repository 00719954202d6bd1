"""A PostgreSQL for tests, as deployments of Airflow have one.

SQLite locks no rows, so that there two triggerers may take the same triggers at the same moment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from demo.processes import Process, free_port, wait_for

#: Where Debian has the server's programs; they are not on the path there.
_DEBIAN = Path("/usr/lib/postgresql")

#: A test's data is thrown away, so nothing has to reach the disk.
_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


@contextmanager
def postgres():
    """A server with an empty database; yields the address as Airflow's ``sql_alchemy_conn`` takes it."""
    # The server refuses to run as root, and another user may not enter pytest's folders.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="airflow-kfp-runtime-postgres-"))
    try:
        if user:
            shutil.chown(folder, user)
        data, port = folder / "data", free_port()
        subprocess.run(
            [_program("initdb"), "--pgdata", data, "--username", "airflow", "--auth", "trust", "--no-sync"],
            user=user,
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        options = [argument for option in _OPTIONS for argument in ("-c", option)]
        process = Process(
            "PostgreSQL",
            [_program("postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", "", *options],
            log=folder / "server.log",
            environment={"PATH": os.defpath, "LC_ALL": "C"},
            user=user,
        )
        try:
            wait_for("PostgreSQL", lambda: _accepts(port), seconds=60, processes=[process])
            yield f"postgresql+psycopg2://airflow@127.0.0.1:{port}/postgres"
        finally:
            process.stop()
    finally:
        shutil.rmtree(folder)


def _accepts(port):
    import psycopg2

    try:
        psycopg2.connect(host="127.0.0.1", port=port, user="airflow", dbname="postgres").close()
    except psycopg2.OperationalError:
        return False
    return True


def _program(name):
    folders = sorted(_DEBIAN.glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")]))
    if found is None:
        raise RuntimeError(
            "PostgreSQL's server is missing: install Debian's package postgresql, or its like, or have its "
            f"folder with {name} on the PATH"
        )
    return found
