"""Components and pipelines that KFP v2 has compiled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import FunctionError
from airflow_kfp_runtime.runtimes.compiled import (
    Compiled,
    compiled_pipeline,
    declared_inputs,
    declared_outputs,
)
from airflow_kfp_runtime.runtimes.component import Container, NestedPipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What a container of a component can have; the rest is what a task's settings write into it.
_CONTAINER = frozenset({"image", "command", "args", "env"})


def read_version_2(documents: Sequence[Mapping[str, Any]], title: str) -> Compiled:
    """Return what was compiled: the container of a component, or a pipeline.

    As for the kfp SDK 2.17 (``structures.ComponentSpec.from_ir_dicts``), it is a component where it has an
    executor of its own name.

    :param documents: the IR, and its platform spec if there is one.
    :param title: whose it is, for errors.
    :raises FunctionError: it is no IR, or holds what a step cannot have.
    """
    spec, platform = documents[0], documents[1] if len(documents) > 1 else None
    _check(spec, platform)
    try:
        return _read(spec, platform, title)
    except (AttributeError, KeyError, TypeError) as error:
        # An IR is taken as it is; one that is not built as an IR fails somewhere in the walk.
        raise FunctionError(
            f"is not built as KFP v2 compiles it ({type(error).__name__}: {error}): compile it again"
        ) from None


def _read(spec: Mapping[str, Any], platform: Mapping[str, Any] | None, title: str) -> Compiled:
    name = _sanitized(spec["pipelineInfo"]["name"])
    executor = spec.get("deploymentSpec", {}).get("executors", {}).get(f"exec-{name}")
    if executor is None:
        _check_references(spec)
        return compiled_pipeline(title, NestedPipeline(spec, platform))
    component = spec.get("components", {}).get(f"comp-{name}", spec["root"])
    return Compiled(
        title,
        declared_inputs(component, title),
        declared_outputs(component, title),
        _container(executor),
    )


def _container(executor: Mapping[str, Any]) -> Container:
    container = executor.get("container")
    if not isinstance(container, dict):
        raise FunctionError(
            f"its executor is of the kind {', '.join(executor) or 'nothing'}, which a step cannot be",
            field="deploymentSpec",
            allowed=["container"],
        )
    for field in container.keys() - _CONTAINER:
        raise FunctionError(
            f"its container has {field!r}, which belongs to a task: write it as a setting of the step",
            field="deploymentSpec",
            allowed=sorted(_CONTAINER),
        )
    return Container(
        image=container["image"],
        command=tuple(container.get("command", ())),
        args=tuple(container.get("args", ())),
        env={variable["name"]: variable.get("value", "") for variable in container.get("env", ())},
    )


def _check_references(spec: Mapping[str, Any]) -> None:
    components = spec.get("components", {})
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    for place, component in (("root", spec["root"]), *components.items()):
        label = component.get("executorLabel")
        if label is not None and label not in executors:
            raise FunctionError(
                f"{place!r} refers to the executor {label!r}, which is not there", field="components"
            )
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            reference = task["componentRef"]["name"]
            if reference not in components:
                raise FunctionError(
                    f"task {name!r} of {place!r} refers to the component {reference!r}, which is not there",
                    field="components",
                    allowed=sorted(components),
                )


def _check(spec: Mapping[str, Any], platform: Mapping[str, Any] | None) -> None:
    if spec.get("kind") in {"Workflow", "PipelineRun"}:
        raise FunctionError(
            "is a pipeline of KFP v1, compiled for Argo or Tekton: compile it with KFP v2", field="kind"
        )
    information, root = spec.get("pipelineInfo"), spec.get("root")
    if not (isinstance(information, dict) and isinstance(information.get("name"), str)):
        raise FunctionError(
            "is neither a component of KFP v1 (with 'implementation') nor what KFP v2 compiles "
            "(with 'pipelineInfo' and 'root')",
            field="pipelineInfo",
        )
    if not (isinstance(root, dict) and isinstance(root.get("dag"), dict) and root["dag"].get("tasks")):
        raise FunctionError("is compiled without tasks", field="root")
    if platform is not None and not isinstance(platform.get("platforms"), dict):
        raise FunctionError("its second document is not a platform spec", field="platforms")


def _sanitized(name: str) -> str:
    """Return a name as the SDK writes it into keys (``dsl.utils.maybe_rename_for_k8s``, kfp 2.17)."""
    return re.sub(r"-+", "-", re.sub(r"[^-0-9a-z]+", "-", name.lower())).strip("-")
