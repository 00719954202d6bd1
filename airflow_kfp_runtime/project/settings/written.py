"""Writes settings as a mapping, in a form that users write as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.project.settings.environment import ConfigMapKey, FieldPath, SecretKey
from airflow_kfp_runtime.project.settings.volumes import (
    ConfigMapVolume,
    EmptyDir,
    EphemeralVolume,
    ExistingClaim,
    NewClaim,
    SecretVolume,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from airflow_kfp_runtime.project.settings.environment import EnvironmentSource
    from airflow_kfp_runtime.project.settings.model import TaskSettings
    from airflow_kfp_runtime.project.settings.volumes import Volume

_AS_THEY_ARE = (
    "image",
    "image_pull_policy",
    "node_selector",
    "resources",
    "accelerator",
    "timeout",
    "retries",
    "caching",
    "security_context",
    "workspace",
    "profile",
)
_MOUNT = ("name", "mount_path", "sub_path")
_VOLUME_TYPES: dict[type[BaseModel], str] = {
    ExistingClaim: "persistent_volume_claim",
    NewClaim: "persistent_volume_claim",
    EmptyDir: "empty_dir",
    EphemeralVolume: "ephemeral",
    SecretVolume: "secret",
    ConfigMapVolume: "config_map",
}


def as_mapping(settings: TaskSettings) -> dict[str, Any]:
    """Return settings as a mapping that :meth:`TaskSettings.read` reads into equal ones.

    What was not said is left out, and so is what KFP cannot express. Run-time values stay what they are.
    """
    written: dict[str, Any] = {
        name: plain(getattr(settings, name)) for name in _AS_THEY_ARE if getattr(settings, name) is not None
    }
    for name in ("image_pull_secrets", "tolerations", "node_affinity"):
        several = getattr(settings, name)
        if several is not None:
            written[name] = [plain(one) for one in several]
    for name in ("labels", "annotations"):
        if getattr(settings, name):
            written[name] = dict(getattr(settings, name))
    written |= _environment(settings.envs.items())
    if settings.volumes:
        written["volumes"] = [_volume(volume) for volume in settings.volumes]
    return written


def plain(part: Any) -> Any:
    """Return a part of the model as mappings and lists; what was not said is left out."""
    fields = getattr(type(part), "model_fields", None)
    if fields is not None:
        given = {name: plain(getattr(part, name)) for name in fields}
        return {name: value for name, value in given.items() if value is not None}
    match part:
        case tuple():
            return [plain(one) for one in part]
        case dict():
            return dict(part)
        case _:
            return part


def _environment(variables: Any) -> dict[str, Any]:
    envs: list[dict[str, Any]] = []
    secrets: list[dict[str, Any]] = []
    for name, source in variables:
        if isinstance(source, SecretKey) and source.secret is None:
            secrets.append({"keys": {source.key: name}, "optional": source.optional})
        else:
            envs.append({"name": name, **_value(source)})
    return {setting: entries for setting, entries in (("envs", envs), ("secrets", secrets)) if entries}


def _value(source: EnvironmentSource) -> dict[str, Any]:
    match source:
        case SecretKey():
            chosen = {"name": source.secret, "key": source.key, "optional": source.optional}
            return {"value_from": {"secret_key_ref": chosen}}
        case ConfigMapKey():
            chosen = {"name": source.config_map, "key": source.key, "optional": source.optional}
            return {"value_from": {"config_map_key_ref": chosen}}
        case FieldPath():
            return {"value_from": {"field_ref": {"field_path": source.path}}}
        case _:
            return {"value": source}


def _volume(volume: Volume) -> dict[str, Any]:
    spec = plain(volume)
    mount = {name: spec.pop(name) for name in _MOUNT if name in spec}
    del spec["kind"]
    for name, written in (("claim", "claim_name"), ("suffix", "claim_name")):
        if name in spec:
            spec[written] = spec.pop(name)
    for name in ("secret", "config_map"):
        if name in spec:
            spec["name"] = spec.pop(name)
    return {"volume_type": _VOLUME_TYPES[type(volume)], **mount, "spec": spec}
