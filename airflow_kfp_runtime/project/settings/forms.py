"""Reads settings in the forms in which users write them into the one form of the model.

DigitalHub's lists and mappings (0.9 to 0.14), Kubernetes objects and mappings as KubernetesPodOperator has
them, and KFP's own settings; snake_case and camelCase alike. Functions here only rearrange: what a value may
be is checked by the model, and the error names the place where the user wrote it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.project.settings import inexpressible
from airflow_kfp_runtime.project.settings.environment_forms import read_environment
from airflow_kfp_runtime.project.settings.kubernetes_objects import as_mappings
from airflow_kfp_runtime.project.settings.model import (
    Retries,
    SecurityContext,
    TaskSettings,
    Workspace,
)
from airflow_kfp_runtime.project.settings.place import (
    Place,
    Reading,
    References,
    refuse_references_in_text,
    snake_case,
)
from airflow_kfp_runtime.project.settings.resource_forms import read_resources
from airflow_kfp_runtime.project.settings.scheduling_forms import read_node_affinity, read_toleration
from airflow_kfp_runtime.project.settings.volume_forms import read_volumes

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The settings that can be expressed.
KNOWN = (
    "accelerator",
    "affinity",
    "annotations",
    "caching",
    "config_maps",
    "container_security_context",
    "envs",
    "field_paths",
    "image",
    "image_pull_policy",
    "image_pull_secrets",
    "labels",
    "node_affinity",
    "node_selector",
    "profile",
    "resources",
    "retries",
    "secrets",
    "security_context",
    "timeout",
    "tolerations",
    "volume_mounts",
    "volumes",
    "workspace",
)

#: Other names of the same, as DigitalHub, Kubernetes and KubernetesPodOperator have them.
ALIASES = {
    "active_deadline_seconds": "timeout",
    "container_resources": "resources",
    "enable_caching": "caching",
    "env": "envs",
    "env_vars": "envs",
}

#: Every name that may be written, in snake_case.
NAMES = (*KNOWN, *ALIASES, *inexpressible.SETTINGS)


def is_setting(name: object) -> bool:
    """Whether that is the name of a setting, in snake_case or camelCase."""
    return isinstance(name, str) and snake_case(name) in NAMES


def read_settings(
    written: Mapping[str, Any],
    *,
    step: str | None,
    place: str,
    references: References | None,
    whole_pipeline: bool,
) -> TaskSettings:
    """Return the model of what a user wrote; :meth:`TaskSettings.read` has the parameters' meaning."""
    reading = Reading(step, references)
    whole = Place(as_mappings(written), place, reading)
    refuse_references_in_text(whole)
    given = whole.fields(KNOWN, aliases=ALIASES, inexpressible=inexpressible.SETTINGS)
    fields: dict[str, Any] = {
        name: given[name] for name in ("image", "image_pull_policy", "caching", "profile") if name in given
    }
    for name in ("labels", "annotations"):
        if name in given:
            fields[name] = dict(given[name].entries())
    if "image_pull_secrets" in given:
        fields["image_pull_secrets"] = [_pull_secret(item) for item in given["image_pull_secrets"].items()]
    if "node_selector" in given:
        fields["node_selector"] = _node_selector(given["node_selector"])
    if "tolerations" in given:
        fields["tolerations"] = _tolerations(given["tolerations"])
    if "affinity" in given or "node_affinity" in given:
        fields["node_affinity"] = read_node_affinity(given.get("affinity"), given.get("node_affinity"))
    fields["resources"], fields["accelerator"] = read_resources(
        given.get("resources"), given.get("accelerator"), whole
    )
    fields["envs"], secret_mounts = read_environment(given)
    fields["volumes"] = read_volumes(given.get("volumes"), given.get("volume_mounts"), secret_mounts)
    if "timeout" in given:
        fields["timeout"] = _seconds(given["timeout"], whole_seconds=True)
    if "retries" in given:
        fields["retries"] = _retries(given["retries"])
    contexts = [given[name] for name in ("security_context", "container_security_context") if name in given]
    if contexts:
        fields["security_context"] = _security_context(contexts)
    if "workspace" in given:
        if not whole_pipeline:
            given["workspace"].refuse(
                "is of a whole pipeline, not of a step: put it in the pipeline's settings"
            )
        fields["workspace"] = _workspace(given["workspace"])
    fields["inexpressible"] = tuple(dict.fromkeys(reading.inexpressible))
    return whole.build(TaskSettings, fields)


def _pull_secret(place: Place) -> Place:
    """Return the name of a secret: a text, a run-time value, or in Kubernetes' ``{"name": ...}``."""
    resolved = place.resolved()
    if isinstance(resolved.value, dict):
        named = resolved.fields(("name",))
        if "name" not in named:
            resolved.refuse("has no name")
        return named["name"].resolved()
    return resolved


def _node_selector(place: Place) -> Any:
    """Return labels of nodes: a mapping, DigitalHub's list of keys and values, or a run-time value."""
    resolved = place.resolved()
    if resolved.is_reference():
        return resolved
    if not isinstance(resolved.value, list):
        return dict(resolved.entries())
    selected: dict[str, Place] = {}
    for item in resolved.items():
        pair = item.fields(("key", "value"))
        for name in ("key", "value"):
            if name not in pair:
                item.refuse(f"has no {name}")
        key = pair["key"].value
        if not isinstance(key, str):
            pair["key"].refuse_value("a text")
        if key in selected:
            pair["key"].refuse(f"{key!r} is selected twice")
        selected[key] = pair["value"]
    return selected


def _tolerations(place: Place) -> list[Any]:
    resolved = place.resolved()
    if resolved.is_reference():
        return [resolved]
    return [read_toleration(item) for item in resolved.items()]


def _seconds(place: Place, *, whole_seconds: bool = False) -> Any:
    """Return a duration as a number of seconds."""
    if not isinstance(place.value, timedelta):
        return place
    seconds = place.value.total_seconds()
    if whole_seconds and not seconds.is_integer():
        place.refuse(f"{place.value} is not a whole number of seconds")
    return Place(int(seconds) if whole_seconds else seconds, place.path, place.reading)


def _retries(place: Place) -> Retries:
    if not isinstance(place.value, dict):
        return place.build(Retries, {"count": place})
    given = place.fields(
        ("count", "backoff", "factor", "longest"),
        aliases={
            "num_retries": "count",
            "backoff_duration": "backoff",
            "backoff_factor": "factor",
            "backoff_max_duration": "longest",
        },
    )
    seconds = {name: _seconds(part) for name, part in given.items()}
    return place.build(Retries, seconds)


def _security_context(contexts: list[Place]) -> SecurityContext:
    """Return the pod's and the container's security context in one; the container's fields win."""
    fields: dict[str, Place] = {}
    for context in contexts:
        fields |= context.fields(
            ("run_as_user", "run_as_group", "run_as_non_root"),
            inexpressible=inexpressible.SECURITY_CONTEXT,
        )
    return contexts[-1].build(SecurityContext, fields)


def _workspace(place: Place) -> Workspace:
    if isinstance(place.value, str):
        return place.build(Workspace, {"size": place})
    given = place.fields(
        ("size", "access_modes", "storage_class"), aliases={"storage_class_name": "storage_class"}
    )
    if "size" in given:
        given["size"] = given["size"].quantity()
    return place.build(Workspace, given)
