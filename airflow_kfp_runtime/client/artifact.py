"""An artifact as every reader returns it: ``{"uri", "name", "type", "metadata"}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.client.values import whole

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What KFP keeps beside the user's metadata (KFP 2.17, ``RecordArtifact``): not for the user.
_INTERNAL = {"display_name", "store_session_info"}


def artifact(
    *, uri: str, name: str, kind: str, metadata: Mapping[str, Any], wrapped: bool = True
) -> dict[str, Any]:
    """Return an artifact.

    :param kind: its schema title, such as ``system.Model``; ``""`` becomes ``system.Artifact``.
    :param metadata: may hold KFP's own entries, which are left out.
    :param wrapped: whether lists and mappings in ``metadata`` are in the wrapping that ML Metadata keeps
        them in (``{"list": [...]}``, KFP 2.17, ``StructValueToMLMDValue``), which is undone.
    """
    kept = {key: whole(value) for key, value in sorted(metadata.items()) if key not in _INTERNAL}
    if wrapped:
        kept = {key: _unwrapped(value) for key, value in kept.items()}
    return {"uri": uri, "name": name, "type": kind or "system.Artifact", "metadata": kept}


def _unwrapped(value: Any) -> Any:
    match value:
        case {"list": list() as items} if len(value) == 1:
            return items
        case {"struct": dict() as fields} if len(value) == 1:
            return fields
    return value
