"""Where a run's files are in the data directory, and the names that KFP would give its workflow and pods."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from pathlib import Path

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+|^\.+")


def workflow_name(pipeline: str, run_id: str) -> str:
    """The name of the Argo workflow of a run: the pipeline's, and five characters.

    >>> workflow_name("train", "7f2c2cb0-6b3c-4c4b-9c6f-6a1f2f8f7b11")
    'train-hq2mb'
    """
    digest = int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8], "big")
    letters = "bcdfghjklmnpqrstvwxz2456789"
    return (
        f"{pipeline}-{''.join(letters[digest // len(letters) ** place % len(letters)] for place in range(5))}"
    )


def pod_name(workflow: str, task_id: str) -> str:
    """The name of the pod of a task: Argo's, with the hash that Argo makes of the node."""
    number = int.from_bytes(hashlib.sha256(task_id.encode()).digest()[:4], "big")
    return f"{workflow}-system-container-impl-{number:010d}"


@dataclass(frozen=True)
class OutputPlace:
    """Where one attempt of a task writes.

    :param artifacts: the folder of its artifacts and of its executor output file. It stays.
    :param parameters: the folder of the files of its output parameters. It goes with the attempt.
    """

    artifacts: Path
    parameters: Path

    @property
    def executor_output(self) -> Path:
        """The file in which a component may leave parameter values and metadata.

        It is beside the artifacts, since the SDK's ``dsl.get_uri`` derives their place from it (KFP 2.17,
        ``kfp/dsl/executor.py``).
        """
        return self.artifacts / "output_metadata.json"

    def artifact(self, name: str) -> Path:
        """The file or folder of an output artifact."""
        return self.artifacts / _fit(name)

    def parameter(self, name: str) -> Path:
        """The file of an output parameter."""
        return self.parameters / _fit(name)

    def prepare(self) -> None:
        """Make the folders."""
        self.artifacts.mkdir(parents=True, exist_ok=True)
        self.parameters.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class WorkingPlace:
    """The folder that is to one attempt of a task what its file system is to a pod."""

    root: Path

    @property
    def current(self) -> Path:
        """The current directory of the process."""
        return self.root / "current"

    @property
    def home(self) -> Path:
        """``HOME``."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """``TMPDIR``."""
        return self.root / "tmp"

    @property
    def volumes(self) -> Path:
        """The folder of the volumes that live as long as the attempt."""
        return self.root / "volumes"

    def prepare(self) -> None:
        """Make it anew, empty."""
        self.remove()
        for folder in (self.current, self.home, self.temporary):
            folder.mkdir(parents=True)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        # A task may have made files that cannot be removed; they must not fail a task that has succeeded.
        shutil.rmtree(self.root, ignore_errors=True)


@dataclass(frozen=True)
class Places:
    """The data directory.

    :param data: its root.
    """

    data: Path

    def log(self, run_id: str, pod: str) -> Path:
        """The log of a task."""
        return self.run(run_id) / "logs" / f"{_fit(pod)}.log"

    def working(self, run_id: str, pod: str) -> WorkingPlace:
        """The folder in which a task runs."""
        return WorkingPlace(self.tasks(run_id) / _fit(pod))

    def tasks(self, run_id: str) -> Path:
        """The folder of the working folders of a run."""
        return self.run(run_id) / "tasks"

    def workspace(self, run_id: str) -> Path:
        """The folder that all tasks of a run share, if its pipeline asks for one."""
        return self.run(run_id) / "workspace"

    def output(self, pipeline: str, run_id: str, task: str, working: WorkingPlace) -> OutputPlace:
        """A new place for what an attempt writes, laid out as KFP 2.4 to 2.17 lay out the object store."""
        folder = self.artifact_root(pipeline, run_id) / _fit(task) / str(uuid4())
        return OutputPlace(artifacts=folder, parameters=working.root / "outputs")

    def artifact_root(self, pipeline: str, run_id: str) -> Path:
        """The folder of all artifacts of a run."""
        return self.data / "artifacts" / _fit(pipeline) / _fit(run_id)

    def run(self, run_id: str) -> Path:
        """The folder of the logs and working folders of a run."""
        return self.data / "runs" / _fit(run_id)

    @property
    def environments(self) -> Path:
        """The folder of virtual environments."""
        return self.data / "environments"


def _fit(name: str) -> str:
    """A name as one part of a path: names in an IR may hold anything."""
    return _UNFIT.sub("-", name) or "-"
