"""Where the tasks of a run are in its IR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.engine.iterations import is_loop

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """Where a task is in the IR.

    :param task: the task; empty for the root.
    :param component: its component.
    """

    task: Json
    component: Json

    def inner(self, name: str, components: Mapping[str, Json]) -> Origin:
        """Where a task of its dag is.

        :param components: all components of the IR.
        """
        task = self.component["dag"]["tasks"][name]
        return Origin(task, components[task["componentRef"]["name"]])


def origin_at(pipeline_spec: Mapping[str, Any], path: str) -> Origin:
    """Where the task is that a row's path names; an iteration (``loop/0``) is where its loop is."""
    origin = Origin({}, pipeline_spec["root"])
    names = iter(path.split("/") if path else ())
    for name in names:
        origin = origin.inner(name, pipeline_spec["components"])
        if is_loop(origin.task):
            next(names, None)
    return origin
