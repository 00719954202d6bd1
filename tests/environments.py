"""Environments of their own for packages that cannot live beside the ones under test.

Each is made once by uv, kept in ``.cache/environments`` under a name that holds a hash of what was asked
for, and shared by parallel test processes under a file lock.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

PROJECT = Path(__file__).parent.parent
ENVIRONMENTS = PROJECT / ".cache" / "environments"

#: The official SDK, as the oracle for compiled pipelines and as a client of the embedded server.
KFP_SDK = ("kfp>=2.17,<2.18", "kfp-kubernetes>=2.17,<2.18", "setuptools<81")


def uv() -> str:
    """The uv of the environment that runs the tests."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise RuntimeError("uv is missing: install the extra [test]")
    return found


def environment(
    name: str,
    requirements: tuple[str, ...],
    *,
    editable: bool = False,
    exclude_newer: str | None = None,
    constraints: str | None = None,
) -> Path:
    """Return the Python interpreter of an environment that holds ``requirements``.

    :param editable: install this project into it as well.
    :param exclude_newer: resolve as on that day (``2025-07-01``).
    :param constraints: the text of a constraints file.
    """
    asked = json.dumps([sys.version, requirements, editable, exclude_newer, constraints])
    folder = ENVIRONMENTS / f"{name}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _uv("venv", "--python", sys.executable, str(folder))
            command = ["pip", "install", "--python", str(python), *requirements]
            if editable:
                command += ["--editable", str(PROJECT)]
            if exclude_newer:
                command += ["--exclude-newer", exclude_newer]
            if constraints:
                file = folder / "constraints.txt"
                file.write_text(constraints)
                command += ["--constraints", str(file)]
            _uv(*command)
            (folder / "complete").touch()
    return python


def _uv(*arguments: str) -> None:
    done = subprocess.run([uv(), *arguments], capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise RuntimeError(f"uv {' '.join(arguments)} failed:\n{done.stderr}")
