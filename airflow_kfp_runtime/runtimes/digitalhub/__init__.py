"""The kind ``digitalhub``: a function that runs on a DigitalHub platform, through its wrapper image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import FunctionError, StepError
from airflow_kfp_runtime.plugins import hookimpl
from airflow_kfp_runtime.runtimes.component import Component, Container, FunctionKind, InputDeclaration
from airflow_kfp_runtime.runtimes.digitalhub.specification import DigitalHubFunction
from airflow_kfp_runtime.runtimes.interface import check_distinct, connection, workflow_output_names
from airflow_kfp_runtime.runtimes.travelling import json_argument, travelling_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_kfp_runtime.project.settings.model import TaskSettings
    from airflow_kfp_runtime.runtimes.component import ComponentRequest

#: What DigitalHub's SDK reads the platform's address and the credentials from.
ENVIRONMENT = (
    "DHCORE_ENDPOINT",
    "DHCORE_USER",
    "DHCORE_PASSWORD",
    "DHCORE_ACCESS_TOKEN",
    "DHCORE_PERSONAL_ACCESS_TOKEN",
    "DHCORE_REFRESH_TOKEN",
    "DHCORE_CLIENT_ID",
    "DHCORE_ISSUER",
)
RUN_ID = "run_id"
_LABEL = "kfp-digitalhub-runtime-"


def build(request: ComponentRequest) -> Component:
    """Make the component of a step whose function runs on the platform.

    :raises FunctionError: the function's project is not known.
    :raises StepError: the function does not have the action or the version, or an input or output cannot be
        one of its.
    :raises SettingError: the platform has no place for one of the step's settings.
    """
    from airflow_kfp_runtime.project.settings.merge import checked, merge
    from airflow_kfp_runtime.project.settings.model import TaskSettings
    from airflow_kfp_runtime.runtimes.digitalhub.settings import split_settings

    function = request.function
    if not isinstance(function, DigitalHubFunction):
        raise TypeError(f"a DigitalHubFunction is needed, not {type(function).__name__}")
    action = _action(request, function)
    names = _output_names(request, function)
    own, passed = split_settings(request.settings or TaskSettings(), form=function.wrapper, step=request.step)
    run = _Run(request, function, action)
    call = {
        "command": function.command,
        "form": function.wrapper,
        "options": run.options(passed),
        "arguments": run.arguments(passed),
        "inputs": [name for name in request.inputs if name not in request.parameters],
        "parameters": [name for name in request.inputs if name in request.parameters],
        "outputs": dict(request.outputs),
        "values": [name for name in request.values if name not in request.outputs],
        "files": _files(request, names),
    }
    return Component(
        inputs={name: _input(request, name) for name in request.inputs},
        outputs=dict.fromkeys((RUN_ID, *names.values()), ParameterType.STRING),
        implementation=Container(
            image=function.image,
            command=(function.command[0], "-c", wrapper_text()),
            args=("--executor-input", "{{$}}", "--call", json_argument(call)),
        ),
        settings=checked(merge(_settings_of_kind(run, request.step), own), step=request.step),
    )


def wrapper_text() -> str:
    """Return what starts DigitalHub's wrapper, as it travels."""
    return travelling_text(Path(__file__).with_name("wrapper.py"))


class _Run:
    """What a step asks of the platform."""

    def __init__(self, request: ComponentRequest, function: DigitalHubFunction, action: str) -> None:
        project = function.project or request.project
        if project is None:
            raise FunctionError(
                "is missing, and the pipeline is of no project whose name it could be",
                step=request.step,
                field=f"function {request.function_name!r}, project",
            )
        if function.id and request.function_id not in (None, function.id):
            raise StepError(
                f"{request.function_id!r} is another version than the function's own id, {function.id!r}; "
                "give one of them",
                step=request.step,
                field="function_id",
            )
        self.version = function.id or request.function_id
        self.function = function
        self.project = project
        self.action = action
        self.name = function.function or request.function_name
        self.entity = "workflow" if function.function_kind == "kfp" else "function"

    def options(self, passed: Mapping[str, Any]) -> dict[str, str]:
        """Return the named options of the wrapper's command line."""
        version = self.version
        if self.function.wrapper == "0.13":
            key = f"store://{self.project}/{self.entity}/{self.function.function_kind}/{self.name}"
            return {"entity": f"{key}:{version}" if version else key}
        chosen = {f"{self.entity}_id": version} if version else {}
        return {
            "project": self.project,
            self.entity: self.name,
            **chosen,
            "action": self.action,
            "jsonprops": json.dumps(passed),
        }

    def arguments(self, passed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the run beside its inputs, parameters and outputs."""
        if self.function.wrapper == "0.9":
            return self.function.arguments
        return {**passed, **self.function.arguments, "action": self.action, "wait": True}

    def labels(self) -> dict[str, str]:
        labels = {"project": self.project, self.entity: self.name, "action": self.action}
        if self.version:
            labels[f"{self.entity}_id"] = self.version
        return {f"{_LABEL}{name}": value for name, value in labels.items()}


def _settings_of_kind(run: _Run, step: str) -> TaskSettings:
    from airflow_kfp_runtime.project.settings.environment import SecretKey
    from airflow_kfp_runtime.project.settings.model import TaskSettings

    # All optional: which of them a platform asks for is between it and who wrote the secret.
    secret = run.function.secret
    envs = {name: SecretKey(secret=secret, key=name, optional=True) for name in ENVIRONMENT}
    return TaskSettings.read({"labels": run.labels()}, step=step).model_copy(update={"envs": envs})


def _action(request: ComponentRequest, function: DigitalHubFunction) -> str:
    allowed = function.allowed_actions()
    action = request.action or next(iter(allowed), "")
    if not action:
        raise StepError(
            f"is missing: which actions a function of kind {function.function_kind!r} has is not known here",
            step=request.step,
            field="action",
        )
    if allowed and action not in allowed:
        raise StepError(
            f"{action!r} is not an action of DigitalHub's kind {function.function_kind!r}; where your "
            "platform has it, add it to the function's `actions`",
            step=request.step,
            field="action",
            allowed=allowed,
        )
    return action


def _input(request: ComponentRequest, name: str) -> InputDeclaration:
    given = request.inputs[name]
    if isinstance(given, ArtifactType):
        raise StepError(
            f"{connection(request, name)}, and a run on the platform takes keys of its entities and plain "
            "values; have a step log it there and pass on its key",
            step=request.step,
            field=request.field_of(name),
        )
    return InputDeclaration(given)


def _output_names(request: ComponentRequest, function: DigitalHubFunction) -> dict[str, str]:
    """Return the workflow's name of each output, by the run's."""
    names = workflow_output_names(request)
    check_distinct(request.step, {RUN_ID: RUN_ID, **names})
    for name, named in request.outputs.items():
        if named != name and named in request.outputs:
            raise StepError(
                f"is called {named!r}, which is another output of the run; give it a name of its own",
                step=request.step,
                field=f"outputs[{name!r}]",
            )
        if function.function_kind == "dbt" and name != "output_table":
            raise StepError(
                f"{name!r} is not an output of a dbt function",
                step=request.step,
                field=f"outputs[{name!r}]",
                allowed=["output_table"],
            )
    return names


def _files(request: ComponentRequest, names: Mapping[str, str]) -> dict[str, list[str]]:
    """Return, by output, the names of the files in which the wrapper may leave it.

    Its versions take the name in the workflow or in the run; a plain value is a ``value_`` in those that know
    values at all.
    """
    files = {RUN_ID: [RUN_ID]}
    for name, named in names.items():
        spellings = dict.fromkeys((named, name))
        entities = [f"entity_{spelling}" for spelling in spellings]
        values = [f"value_{spelling}" for spelling in spellings] if name in request.values else []
        files[named] = [*values, *entities]
    return files


@hookimpl
def function_kinds() -> Sequence[FunctionKind]:
    """Add the kind ``digitalhub``."""
    return [FunctionKind("digitalhub", DigitalHubFunction, (), build, takes_settings=True)]
