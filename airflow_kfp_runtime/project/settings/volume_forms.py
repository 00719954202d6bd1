"""Reads volumes: DigitalHub's, and Kubernetes' with their mounts."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from airflow_kfp_runtime.dsl.references import PipelineArgument, Reference, StepOutput
from airflow_kfp_runtime.project.settings import inexpressible
from airflow_kfp_runtime.project.settings.place import Place, near, snake_case
from airflow_kfp_runtime.project.settings.volumes import (
    ConfigMapVolume,
    DataSource,
    EmptyDir,
    EphemeralVolume,
    ExistingClaim,
    NewClaim,
    SecretVolume,
    Volume,
    problem_of_volumes,
)

_KINDS = ("persistent_volume_claim", "shared_volume", "empty_dir", "ephemeral", "config_map", "secret")
_SOURCES = tuple(kind for kind in _KINDS if kind != "shared_volume")
_CLASSES: dict[str, type[EmptyDir | SecretVolume | ConfigMapVolume]] = {
    "empty_dir": EmptyDir,
    "secret": SecretVolume,
    "config_map": ConfigMapVolume,
}
_MOUNT = ("mount_path", "sub_path")


class Mounted(NamedTuple):
    """A volume and the place where it was written."""

    volume: Volume
    place: Place


def read_volumes(volumes: Place | None, mounts: Place | None, further: list[Mounted]) -> tuple[Volume, ...]:
    """Return all volumes of a task.

    :param volumes: DigitalHub's, with ``volume_type`` and ``mount_path``; or Kubernetes'.
    :param mounts: Kubernetes' mounts, each of a volume of that name.
    :param further: those that other settings mount.
    """
    waiting = _mounts(mounts)
    found: list[Mounted] = []
    names = set()
    for item in volumes.items() if volumes is not None else ():
        if not isinstance(item.value, dict):
            item.refuse_value("a mapping")
        if any(snake_case(str(key)) == "volume_type" for key in item.value):
            found += _digitalhub(item)
        else:
            name, read = _kubernetes(item, waiting)
            if name in names:
                item.refuse(f"{name!r} is the name of another volume already")
            names.add(name)
            found += read
    for name, places in waiting.items():
        if name not in names:
            known = sorted(names) or ["none: volumes has none without a volume_type"]
            places[0].refuse(f"mounts {name!r}, which is not one of the volumes", near(name, names) or known)
    found += further
    problem = problem_of_volumes([mounted.volume for mounted in found])
    if problem is not None:
        position, text = problem
        found[position].place.refuse(text)
    return tuple(mounted.volume for mounted in found)


def _digitalhub(place: Place) -> list[Mounted]:
    given = place.fields(("volume_type", "name", "spec", *_MOUNT), inexpressible=inexpressible.MOUNT)
    for name in ("volume_type", "name", "mount_path"):
        if name not in given:
            place.refuse(f"has no {name}")
    kind = given["volume_type"].value
    if not isinstance(kind, str):
        given["volume_type"].refuse_value("a text", _KINDS)
    kind = snake_case(kind)
    if kind in inexpressible.VOLUMES:
        given["volume_type"].note(inexpressible.VOLUMES[kind])
        return []
    if kind not in _KINDS:
        given["volume_type"].refuse(f"{given['volume_type'].value!r} is not a type of volume", _KINDS)
    spec = given.get("spec", Place({}, f"{place.path}.spec", place.reading))
    mount = {name: given[name] for name in ("name", *_MOUNT) if name in given}
    return [Mounted(_volume(kind, spec, mount, place), place)]


def _kubernetes(place: Place, waiting: dict[str, list[Place]]) -> tuple[str, list[Mounted]]:
    noted = len(place.reading.inexpressible)
    given = place.fields(("name", *_SOURCES), inexpressible=inexpressible.VOLUMES)
    if "name" not in given:
        place.refuse("has no name")
    name = given.pop("name")
    if not isinstance(name.value, str):
        name.refuse_value("a text")
    mounts = waiting.get(name.value)
    if not mounts:
        place.refuse(
            f"has neither a volume_type nor a mount: add {name.value!r} to volume_mounts, "
            "or give DigitalHub's volume_type and mount_path"
        )
    if not given and len(place.reading.inexpressible) > noted:
        return name.value, []
    if len(given) != 1:
        place.refuse("has not exactly one source", _SOURCES)
    (kind, source), *_ = given.items()
    return name.value, [
        Mounted(_volume(kind, source, {"name": name, **_mount(mount)}, mount), mount) for mount in mounts
    ]


def _mounts(place: Place | None) -> dict[str, list[Place]]:
    waiting: dict[str, list[Place]] = {}
    for item in place.items() if place is not None else ():
        given = item.fields(("name", *_MOUNT), inexpressible=inexpressible.MOUNT)
        for name in ("name", "mount_path"):
            if name not in given:
                item.refuse(f"has no {name}")
        if not isinstance(given["name"].value, str):
            given["name"].refuse_value("a text")
        waiting.setdefault(given["name"].value, []).append(item)
    return waiting


def _mount(place: Place) -> dict[str, Place]:
    # What cannot be expressed was noted when the mounts were collected.
    known = {key: value for key, value in place.value.items() if snake_case(key) not in inexpressible.MOUNT}
    given = Place(known, place.path, place.reading).fields(("name", *_MOUNT))
    return {name: given[name] for name in _MOUNT if name in given and given[name].is_said()}


def _volume(kind: str, spec: Place, mount: dict[str, Place], place: Place) -> Volume:
    """Return a volume from its source.

    :param spec: DigitalHub's spec, or what Kubernetes has under the kind's name.
    :param mount: name, mount path and sub path.
    """
    if kind in {"persistent_volume_claim", "shared_volume"}:
        return _claim(spec, mount, place)
    if "sub_path" in mount:
        mount["sub_path"].note(inexpressible.MOUNT_SUB_PATH)
        mount = {name: part for name, part in mount.items() if name != "sub_path"}
    if kind == "ephemeral":
        return _ephemeral(spec, mount, place)
    if kind == "empty_dir":
        given = spec.fields(("medium", "size_limit"), inexpressible=inexpressible.VOLUME_SOURCE)
        given = {name: part for name, part in given.items() if part.is_said()}
        if "size_limit" in given:
            given["size_limit"] = given["size_limit"].quantity()
        return place.build(EmptyDir, {**mount, **given})
    given = spec.fields(
        ("name", "optional"),
        aliases={f"{kind}_name": "name"},
        inexpressible=inexpressible.VOLUME_SOURCE,
    )
    if "name" not in given:
        spec.refuse("has no name")
    return place.build(_CLASSES[kind], {**mount, kind: given.pop("name").resolved(), **given})


def _claim(spec: Place, mount: dict[str, Place], place: Place) -> Volume:
    given: dict[str, Any] = dict(
        spec.fields(
            (
                "claim_name",
                "size",
                "access_modes",
                "storage_class",
                "volume_name",
                "annotations",
                "data_source",
                "shared",
            ),
            aliases={"storage_class_name": "storage_class", "name": "claim_name"},
            inexpressible={**inexpressible.VOLUME_SOURCE, **inexpressible.CLAIM},
        )
    )
    name = given.pop("claim_name", mount["name"]).resolved()
    if "size" not in given:
        for setting in given:
            given[setting].refuse(
                "is of a new claim, which needs a size; an existing claim has a claim_name alone"
            )
        return place.build(ExistingClaim, {**mount, "claim": name})
    if "sub_path" in mount:
        mount["sub_path"].refuse(
            "is within an empty volume: a claim that is made for the run has no sub path"
        )
    given["size"] = given["size"].quantity()
    if "annotations" in given:
        given["annotations"] = dict(given["annotations"].entries())
    if "data_source" in given:
        source = given["data_source"]
        given["data_source"] = source.build(DataSource, source.fields(("kind", "name", "api_group")))
    return place.build(NewClaim, {**mount, "suffix": name, **given})


def _ephemeral(spec: Place, mount: dict[str, Place], place: Place) -> Volume:
    outer: dict[str, Any] = dict(
        spec.fields(
            ("size", "access_modes", "storage_class", "labels", "annotations", "volume_claim_template"),
            aliases={"storage_class_name": "storage_class"},
            inexpressible=inexpressible.CLAIM,
        )
    )
    if "volume_claim_template" in outer:
        template = outer.pop("volume_claim_template")
        for part in outer.values():
            part.refuse(f"says the same as {template.path}: give one of them")
        outer = _template(template)
    if "size" in outer:
        outer["size"] = outer["size"].quantity()
    for name in ("labels", "annotations"):
        if name in outer:
            outer[name] = dict(outer[name].entries())
    return place.build(EphemeralVolume, {**mount, **outer})


def _template(place: Place) -> dict[str, Any]:
    """Read Kubernetes' template of a claim."""
    parts = place.fields(("metadata", "spec"))
    if "spec" not in parts:
        place.refuse("has no spec")
    given: dict[str, Any] = dict(
        parts["spec"].fields(
            ("access_modes", "resources", "storage_class"),
            aliases={"storage_class_name": "storage_class"},
            inexpressible=inexpressible.CLAIM,
        )
    )
    if "resources" in given:
        resources = given.pop("resources").fields(("requests",))
        if "requests" in resources:
            storage = resources["requests"].fields(("storage",))
            given |= {"size": storage["storage"]} if "storage" in storage else {}
    if "metadata" in parts:
        given |= parts["metadata"].fields(("labels", "annotations"))
    return given


def volume_of(kind: str, name: Place, mount_path: Place, fields: dict[str, Any], place: Place) -> Volume:
    """Return the volume of a secret or config map that a setting of its own mounts.

    :param kind: ``secret`` or ``config_map``.
    :param name: the object's name, after which the volume is named.
    """
    match name.value:
        case PipelineArgument():
            own = name.value.name
        case StepOutput():
            own = f"{name.value.step.task_name}-{name.value.key}"
        case reference if isinstance(reference, Reference):
            own = str(reference)
        case _:
            own = name.value
    if not isinstance(own, str):
        name.refuse_value("a text")
    if not isinstance(name.value, str):
        own = re.sub(r"[^a-z0-9]+", "-", own.lower()).strip("-")[:63].rstrip("-")
    return place.build(
        _CLASSES[kind], {"name": Place(own, name.path, name.reading), "mount_path": mount_path, **fields}
    )
