"""An artifact as every reader returns it: ``{"uri", "name", "type", "metadata"}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What KFP keeps beside the user's metadata (KFP 2.17, ``RecordArtifact``): not for the user.
_INTERNAL = {"display_name", "store_session_info"}


def artifact(*, uri: str, name: str, kind: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return an artifact.

    :param kind: its schema title, such as ``system.Model``; ``""`` becomes ``system.Artifact``.
    :param metadata: with KFP's own entries, which are left out, and lists and mappings in the wrapping that
        KFP stores them in (``{"list": [...]}``), which is undone.
    """
    kept = {key: _plain(value) for key, value in sorted(metadata.items()) if key not in _INTERNAL}
    return {"uri": uri, "name": name, "type": kind or "system.Artifact", "metadata": kept}


def _plain(value: Any) -> Any:
    match value:
        case {"list": list() as items} if len(value) == 1:
            return items
        case {"struct": dict() as fields} if len(value) == 1:
            return fields
        case float() if value.is_integer():
            return int(value)
    return value
