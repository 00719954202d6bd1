"""The settings of a step that are known only at run time: where they are, and of what type they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_kfp_runtime.compiler.connections import Text, check_reference
from airflow_kfp_runtime.dsl.references import LoopItem, PipelineArgument, Reference, producers_of
from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.runtimes.interface import PYTHON_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_kfp_runtime.compiler.components import Compilation
    from airflow_kfp_runtime.compiler.connections import Connection
    from airflow_kfp_runtime.dsl.pipeline import Pipeline
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.project.settings.model import TaskSettings

#: The driver takes any other type for an empty text, and an empty text for no setting (KFP 2.17,
#: ``resolvePodSpecInputRuntimeParameter``).
_TEXT = (ParameterType.STRING,)
_TABLE = (ParameterType.STRUCT,)
_TABLES = (ParameterType.LIST, ParameterType.STRUCT)

#: The settings that reach a task as its inputs, of which the server looks up parts.
_AS_INPUTS = ("resources.", "accelerator.")


@dataclass(frozen=True)
class RunTimeValue:
    """A setting whose value an argument of the pipeline or an output of a step gives.

    :param place: the setting, for errors (``tolerations[0]``).
    :param reference: where the value comes from.
    :param types: what it may be; an argument that is declared nowhere gets the first.
    """

    place: str
    reference: Reference
    types: tuple[ParameterType, ...]


def run_time_values(step: Step, settings: TaskSettings | None, pipeline: Pipeline) -> list[RunTimeValue]:
    """Return the settings of a step that are known only at run time.

    :raises StepError: one is an argument or output of another pipeline.
    """
    values = []
    for place, value, types in _candidates(settings) if settings is not None else ():
        if isinstance(value, Reference):
            check_reference(value, pipeline, step=step.name, field=place)
            values.append(RunTimeValue(place, value, types))
    return values


def _candidates(settings: TaskSettings) -> Iterator[tuple[str, object, tuple[ParameterType, ...]]]:
    yield "node_selector", settings.node_selector, _TABLE
    for position, toleration in enumerate(settings.tolerations or ()):
        yield f"tolerations[{position}]", toleration, _TABLES
    for position, term in enumerate(settings.node_affinity or ()):
        yield f"node_affinity[{position}]", term, _TABLE
    for position, name in enumerate(settings.image_pull_secrets or ()):
        yield f"image_pull_secrets[{position}]", name, _TEXT
    for part in ("resources", "accelerator"):
        declared = getattr(settings, part)
        for field in type(declared).model_fields if declared is not None else ():
            yield f"{part}.{field}", getattr(declared, field), _TEXT
    for name, env in settings.envs.items():
        for field in ("secret", "config_map"):
            yield f"envs[{name!r}].{field}", getattr(env, field, None), _TEXT
    for volume in settings.volumes:
        for field in ("claim", "secret", "config_map"):
            yield f"volumes[{volume.name!r}].{field}", getattr(volume, field, None), _TEXT


def check_type(value: RunTimeValue, step: Step, compilation: Compilation) -> None:
    """Check a setting whose producer has been compiled, and give an argument without a type the right one.

    :raises DefinitionError: the producer has no such output, or it is of another type.
    """
    reference = value.reference
    for output in producers_of(reference):
        compilation.check_output(output, step.name, value.place)
    match reference:
        case PipelineArgument():
            compilation.settle(reference, value.types[0], step.name, value.place)
        case LoopItem():
            compilation.items.settle(reference, value.types[0], step.name, value.place)
            _check_item(reference, step, value.place)
    given = compilation.settled_type_of(reference)
    if given not in value.types:
        advice = (
            f": declare it as {reference.name}: {PYTHON_NAMES[value.types[0]]}"
            if isinstance(reference, PipelineArgument)
            else ""
        )
        raise SettingError(
            f"is {reference!r}, of type {_name(given)}, which KFP does not read there{advice}",
            step=step.name,
            field=value.place,
            allowed=[PYTHON_NAMES[allowed] for allowed in value.types],
        )


def _check_item(item: LoopItem, step: Step, place: str) -> None:
    """Raise a :class:`SettingError` for a part of an item where the server does not look one up."""
    if item.key is not None and not place.startswith(_AS_INPUTS):
        raise SettingError(
            f"is {item!r}, and KFP looks up no part of an item there (KFP 2.17, resolveInputParameter): loop "
            "over the values themselves",
            step=step.name,
            field=place,
            allowed=["an item as a whole", "a constant"],
        )


def _name(value_type: ValueType) -> str:
    return value_type.schema_title if isinstance(value_type, ArtifactType) else PYTHON_NAMES[value_type]


def check_channels(step: str, connected: Mapping[str, Connection]) -> None:
    """Raise a :class:`SettingError` where two run-time values of a step have the same name in KFP."""
    names: dict[str, Reference] = {}
    for connection in connected.values():
        if isinstance(connection, Text):
            for name, reference in connection.references.items():
                if str(names.setdefault(name, reference)) != str(reference):
                    raise SettingError(
                        f"{reference!r} and {names[name]!r} are both {name!r} to KFP: rename one",
                        step=step,
                        field="resources",
                    )
