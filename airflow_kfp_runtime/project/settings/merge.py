"""Puts settings of two levels together."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.project.settings.model import TaskSettings
from airflow_kfp_runtime.project.settings.problems import problem_of

if TYPE_CHECKING:
    from airflow_kfp_runtime.project.settings.volumes import Volume

#: What merges by name; everything else is replaced whole.
BY_NAME = ("labels", "annotations", "envs", "volumes")


def merge(lower: TaskSettings, higher: TaskSettings) -> TaskSettings:
    """Return both settings in one, where the higher ones win.

    Labels, annotations, environment variables (wherever their values come from) and volumes merge by name;
    every other setting is replaced whole where the higher settings have it. Merging is associative. Whether
    all volumes together can be in one pod is for :func:`checked` to say, when all levels are merged.
    """
    volumes = _named(lower.volumes, higher.volumes).values()
    fields: dict[str, Any] = {
        "labels": {**lower.labels, **higher.labels},
        "annotations": {**lower.annotations, **higher.annotations},
        "envs": {**lower.envs, **higher.envs},
        "volumes": tuple(volume for group in volumes for volume in group),
        "inexpressible": tuple(dict.fromkeys((*lower.inexpressible, *higher.inexpressible))),
    }
    for name in TaskSettings.model_fields:
        if name not in fields:
            own = getattr(higher, name)
            fields[name] = getattr(lower, name) if own is None else own
    return lower.model_copy(update=fields)


def checked(settings: TaskSettings, *, step: str | None = None) -> TaskSettings:
    """Return settings that merging or ``model_copy`` made, which check nothing, after checking them.

    :param step: whose settings they are, for the message of an error.
    :raises SettingError: with what the model refuses.
    """
    try:
        return TaskSettings.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem, allowed = problem_of(first)
        place = str(first["loc"][0]) if first["loc"] else "volumes"
        raise SettingError(problem, step=step, field=place, allowed=allowed) from None


def _named(*levels: tuple[Volume, ...]) -> dict[str, tuple[Volume, ...]]:
    """Return the volumes by name: a later level's mounts of a volume replace an earlier level's."""
    named: dict[str, tuple[Volume, ...]] = {}
    for volumes in levels:
        by_name = sorted(volumes, key=lambda volume: [other.name for other in volumes].index(volume.name))
        named |= {name: tuple(group) for name, group in groupby(by_name, key=lambda volume: volume.name)}
    return named
