"""Finding the row that a request names by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.api.errors import not_found
from airflow_kfp_runtime.embedded.state.rows import (
    ArtifactRow,
    ExperimentRow,
    PipelineRow,
    RunRow,
    VersionRow,
)

if TYPE_CHECKING:
    from airflow_kfp_runtime.embedded.state.store import Row, Store

#: What the server calls a row of each kind in its messages.
_NAMES: dict[type[Any], str] = {
    ArtifactRow: "Artifact",
    ExperimentRow: "Experiment",
    PipelineRow: "Pipeline",
    RunRow: "Run",
    VersionRow: "PipelineVersion",
}


def existing(store: Store, kind: type[Row], key: str, *context: str) -> Row:
    """The row of that kind with this id.

    :param context: what the server was about to do, outermost first.
    :raises ApiError: 404, there is none.
    """
    row = store.get(kind, key)
    if row is None:
        raise not_found(_NAMES[kind], key, *context)
    return row
