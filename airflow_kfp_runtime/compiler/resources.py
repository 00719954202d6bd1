"""What a container gets of its task's settings: image, environment, cpu, memory and accelerator.

A value known only at run time is a placeholder in the container and an input of the task, as in the kfp SDK
2.17; the server's driver puts the value in (``resolvePodSpecInputRuntimeParameter``, KFP 2.17).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.compiler.connections import Text, channel_name, placeholder
from airflow_kfp_runtime.compiler.specifications import environment
from airflow_kfp_runtime.dsl.references import Reference
from airflow_kfp_runtime.project.settings.quantities import amount

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from airflow_kfp_runtime.project.settings.model import TaskSettings

_GIGABYTE = 1e9

#: The IR's spelling of each field of ``Resources``.
_FIELDS = {
    "cpu_request": "CpuRequest",
    "cpu_limit": "CpuLimit",
    "memory_request": "MemoryRequest",
    "memory_limit": "MemoryLimit",
}


def with_settings(container: dict[str, Any], settings: TaskSettings) -> dict[str, Any]:
    """Return a container of the IR with what the settings change in it.

    :param container: as the function's kind made it (``PipelineContainerSpec``).
    """
    changed = dict(container)
    if settings.image is not None:
        changed["image"] = settings.image
    values = {name: value for name, value in settings.envs.items() if isinstance(value, str)}
    if values:
        own = {variable["name"]: variable.get("value", "") for variable in container.get("env", ())}
        changed["env"] = environment(own | values)
    resources = _resources(settings)
    if resources:
        changed["resources"] = resources
    return changed


def resource_inputs(settings: TaskSettings, taken: Collection[str]) -> dict[str, Text]:
    """Return the inputs by which a task gets the resources that are known only at run time.

    The name of each is the SDK's for the field; the references in it are the task's inputs besides.

    :param taken: the names of the task's own inputs, which the function needs.
    """
    inputs = {}
    for field, value in _values(settings):
        if isinstance(value, Reference):
            name = field
            while name in taken:
                name += "_"
            inputs[name] = Text(placeholder(value), {channel_name(value): value})
    return inputs


def _values(settings: TaskSettings) -> Iterator[tuple[str, str | int | Reference]]:
    if settings.resources is not None:
        for name in _FIELDS:
            value = getattr(settings.resources, name)
            if value is not None:
                yield name, value
    if settings.accelerator is not None:
        yield "accelerator_type", settings.accelerator.type
        yield "accelerator_count", settings.accelerator.count


def _resources(settings: TaskSettings) -> dict[str, Any]:
    """Return the resources; for what is known now also in the numbers that servers before 2.4 read."""
    resources: dict[str, Any] = {}
    accelerator: dict[str, str] = {}
    for name, value in _values(settings):
        text = str(value) if isinstance(value, (str, int)) else placeholder(value)
        if name in _FIELDS:
            field = _FIELDS[name]
            resources[f"resource{field}"] = text
            if isinstance(value, str):
                resources[f"{field[0].lower()}{field[1:]}"] = _number(name, value)
        else:
            kind = "Type" if name == "accelerator_type" else "Count"
            accelerator[f"resource{kind}"] = text
            if isinstance(value, (str, int)):
                accelerator[kind.lower()] = text
    if accelerator:
        resources["accelerator"] = accelerator
    return resources


def _number(name: str, quantity: str) -> float:
    """Return cores, or gigabytes."""
    number = float(amount(quantity))
    return number if name.startswith("cpu") else number / _GIGABYTE
