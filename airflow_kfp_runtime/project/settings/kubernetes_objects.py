"""Turns Kubernetes client objects into mappings, without importing the client.

Objects of ``kubernetes.client`` name their attributes in ``attribute_map``; Airflow's ``Secret`` of the
cncf-kubernetes provider has four attributes of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def as_mappings(value: Any) -> Any:
    """Return a value with each Kubernetes object in it, at any depth, as a mapping with snake_case keys.

    What an object leaves unset is left out. Everything else stays as it is, but a tuple becomes a list.
    """
    attributes = getattr(type(value), "attribute_map", None)
    if isinstance(attributes, Mapping):
        given = {name: getattr(value, name) for name in attributes}
        return {name: as_mappings(part) for name, part in given.items() if part is not None}
    if all(hasattr(value, name) for name in ("deploy_type", "deploy_target", "secret", "key")):
        return _airflow_secret(value)
    match value:
        case Mapping():
            return {key: as_mappings(part) for key, part in value.items()}
        case list() | tuple():
            return [as_mappings(part) for part in value]
        case _:
            return value


def _airflow_secret(secret: Any) -> dict[str, Any]:
    """Return Airflow's ``Secret`` as an entry of the setting ``secrets``."""
    if secret.deploy_type == "volume":
        items = as_mappings(getattr(secret, "items", None))
        return {"name": secret.secret, "mount_path": secret.deploy_target, "items": items or None}
    if secret.key is None:
        return {"name": secret.secret}
    return {"name": secret.secret, "keys": {secret.key: secret.deploy_target}}
