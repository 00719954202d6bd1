"""One attempt of a container task: its environment, its process, its outputs, its log."""

from __future__ import annotations

import math
import platform
import signal
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.engine.environments import Environments, Installs, PackagesError
from airflow_kfp_runtime.embedded.engine.executor_input import OutputError, executor_input, read_outputs
from airflow_kfp_runtime.embedded.engine.graph import Outcome
from airflow_kfp_runtime.embedded.engine.placeholders import PlaceholderError, Scope, expand
from airflow_kfp_runtime.embedded.engine.process import Command, DeadlineError, EndedError, ProcessTrees
from airflow_kfp_runtime.embedded.engine.settings.claim_tasks import (
    CREATE_CLAIM,
    DELETE_CLAIM,
    create_claim,
    delete_claim,
)
from airflow_kfp_runtime.embedded.engine.settings.model import PodSettings, SettingError
from airflow_kfp_runtime.embedded.engine.values import Values, as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from airflow_kfp_runtime.embedded.engine.artifacts import OutputPlace, Places
    from airflow_kfp_runtime.embedded.engine.settings.cluster import Cluster

Json = dict[str, Any]

#: How far from a log's end its last line is looked for.
_LAST_BYTES = 4000


@dataclass(frozen=True)
class Step:
    """A container task whose inputs are known.

    :param name: its key in its dag.
    :param container: the ``container`` of its executor in the IR.
    :param component: its component in the IR.
    :param provided: the inputs that it was given; the others are defaults.
    :param names: values of the run and the task for placeholders.
    :param workspace: the folder that it shares with the other tasks of its run.
    :param settings: its Kubernetes settings.
    :param notes: sentences for its log on what else is not applied here.
    """

    run_id: str
    task_id: str
    name: str
    pipeline: str
    pod_name: str
    container: Json
    component: Json
    inputs: Values
    provided: frozenset[str]
    names: Mapping[str, str]
    workspace: Path | None = None
    settings: PodSettings = field(default_factory=PodSettings)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepResult:
    """What became of an attempt.

    :param exit_code: the exit status of the step's process, 128 and the signal for one that a signal ended;
        ``None`` where none was started.
    :param error: why it failed, and on a second line the last one that it has logged.
    """

    outcome: Outcome
    outputs: Values = field(default_factory=Values)
    exit_code: int | None = None
    error: str | None = None


class _StepError(Exception):
    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Machine:
    """Where steps run: the folders of this machine, and what stands for a cluster on it."""

    places: Places
    cluster: Cluster


def run_step(
    step: Step,
    attempt: int,
    machine: Machine,
    trees: ProcessTrees,
    started: Callable[[Json], None],
) -> StepResult:
    """Run one attempt of a step to its end.

    :param attempt: 1 for the first.
    :param trees: the processes of its run, which may be ended meanwhile.
    :param started: called once with the executor input, before the step's process starts.
    """
    places = machine.places
    working = places.working(step.run_id, step.pod_name)
    output = places.output(step.pipeline, step.run_id, step.name, working)
    file = places.log(step.run_id, step.pod_name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as log:
        begin = log.tell()
        try:
            working.prepare()
            output.prepare()
            if step.workspace is not None:
                step.workspace.mkdir(exist_ok=True)
            told = executor_input(step.inputs, step.component.get("outputDefinitions", {}), output)
            started(told)
            if step.container.get("image") in (CREATE_CLAIM, DELETE_CLAIM):
                return _claim_task(step, machine.cluster, trees, log)
            _note(log, step, attempt)
            begin = log.tell()
            with machine.cluster.mounted(
                step.settings.mounts, working.volumes, lambda: trees.ended, lambda line: _write(log, line)
            ):
                status = _Attempt(step, machine, trees, log, told).run()
                return _collect(status, step, told, output, terminated=trees.ended)
        except EndedError:
            return StepResult(Outcome.FAILED, error="The step was terminated before it started.")
        except (_StepError, SettingError, OutputError, PlaceholderError, PackagesError, OSError) as error:
            message = "The step was terminated." if trees.ended else _sentence(str(error))
            _write(log, message)
            return StepResult(
                Outcome.FAILED,
                exit_code=getattr(error, "exit_code", None),
                error=_with_last_line(message, file, begin),
            )
        finally:
            working.remove()


class _Attempt:
    """What the parts of an attempt share."""

    def __init__(self, step: Step, machine: Machine, trees: ProcessTrees, log: IO[bytes], told: Json) -> None:
        definitions = step.component.get("inputDefinitions", {}).get("parameters", {})
        self._step = step
        self._trees = trees
        self._log = log
        self._cluster = machine.cluster
        self._working = machine.places.working(step.run_id, step.pod_name)
        self._environments = Environments(machine.places.environments)
        self._until = time.monotonic() + (step.settings.deadline or math.inf)
        self._scope = Scope(step.names, told, optional=definitions.keys() - step.inputs.parameters.keys())

    def run(self) -> int:
        """Make the environment ready and run the step's command; return its exit status."""
        line = self._line()
        own = self._own_variables()
        installs = Installs.of(line)
        if installs:
            _write(self._log, "The step installs packages: it runs in a virtual environment of its own.")
        setting_up = self._environments.variables(None, self._working) | own
        programs = self._environments.ready(
            installs,
            {name: value for name, value in own.items() if name.startswith("PIP_")},
            lambda arguments: self._process(arguments, setting_up),
        )
        variables = self._environments.variables(programs, self._working) | own
        try:
            return self._process(line, variables)
        except (FileNotFoundError, PermissionError) as error:
            raise _StepError(
                f"the program {line[0]!r} cannot be run on this machine ({error.strerror}), and images are "
                "not pulled: install it here, or run the pipeline on a cluster"
            ) from None

    def _line(self) -> list[str]:
        container = self._step.container
        elements = expand([*container.get("command", []), *container.get("args", [])], self._step.provided)
        if not container.get("command"):
            raise _StepError(
                f"the step has no command: what the entrypoint of the image {container.get('image')!r} is "
                "cannot be known here, since images are not pulled; give the container a command"
            )
        return [self._scope.fill(element) for element in elements]

    def _own_variables(self) -> dict[str, str]:
        """The container's variables; of two with one name the later wins, in the order of KFP's driver."""
        in_the_container = {
            entry["name"]: self._scope.fill(as_text(entry.get("value", "")))
            for entry in self._step.container.get("env", [])
        }
        settings = self._step.settings
        from_keys = self._cluster.variables(settings.key_variables)
        return {**in_the_container, **from_keys, **settings.field_variables}

    def _process(self, arguments: Sequence[str], variables: Mapping[str, str]) -> int:
        command = Command(arguments, self._working.current, variables)
        marker = f"{self._step.run_id}/{self._step.task_id}"
        try:
            return self._trees.run(command, marker=marker, log=self._log, until=self._until)
        except DeadlineError as error:
            raise _StepError(
                "DeadlineExceeded: Pod was active on the node longer than the specified deadline "
                f"(activeDeadlineSeconds {self._step.settings.deadline:g})",
                _exit_code(error.status),
            ) from None


def _claim_task(step: Step, cluster: Cluster, trees: ProcessTrees, log: IO[bytes]) -> StepResult:
    def say(line: str) -> None:
        _write(log, line)

    parameters = step.inputs.parameters
    if step.container["image"] == CREATE_CLAIM:
        name = create_claim(cluster, step.task_id, parameters, say)
        return StepResult(Outcome.SUCCEEDED, Values(parameters={"name": name}))
    delete_claim(cluster, parameters, lambda: trees.ended, say)
    return StepResult(Outcome.SUCCEEDED)


def _collect(status: int, step: Step, told: Json, output: OutputPlace, *, terminated: bool) -> StepResult:
    if terminated:
        # A shell may end with 0 when what it waits for is terminated: that is no success.
        raise _StepError("the step was terminated", _exit_code(status))
    if status < 0:
        name = signal.Signals(-status).name
        raise _StepError(f"the step was ended by the signal {name}", _exit_code(status))
    if status:
        hint = " (command not found; images are not pulled)" if status == 127 else ""
        raise _StepError(f"the step ended with exit status {status}{hint}", _exit_code(status))
    try:
        outputs = read_outputs(told, step.component.get("outputDefinitions", {}), output)
    except OutputError as error:
        raise _StepError(str(error), exit_code=0) from error
    return StepResult(Outcome.SUCCEEDED, outputs, exit_code=0)


def _exit_code(status: int) -> int:
    """The exit status as a shell and Kubernetes tell it: 128 and the signal for one that a signal ended."""
    return 128 - status if status < 0 else status


def _note(log: IO[bytes], step: Step, attempt: int) -> None:
    image = step.container.get("image", "")
    if attempt == 1 and log.tell():
        _write(log, "The step starts again, since the run was resumed or the server restarted.")
    _write(
        log,
        f"Image {image!r} is not pulled: the command runs as a process on this machine, "
        f"where python3 is Python {platform.python_version()}.",
    )
    if attempt > 1:
        _write(log, f"This is attempt {attempt}.")
        return
    for note in (*step.settings.notes, *step.notes):
        _write(log, note)


def _write(log: IO[bytes], line: str) -> None:
    log.write(f"{line}\n".encode())
    log.flush()


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _with_last_line(message: str, file: Path, begin: int) -> str:
    """The message and the last line that the step has logged; who wants more of it asks for the log."""
    with file.open("rb") as log:
        end = log.seek(0, 2)
        log.seek(max(begin, end - _LAST_BYTES))
        text = log.read().decode(errors="replace")
    lines = [line for line in text.splitlines() if line.strip() and line != message]
    return "\n".join([message, *lines[-1:]])
