"""The components of a package, each with its executor and its Kubernetes part, once for all equal tasks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Bytes of all components above which there is a warning. A run is one Kubernetes object of at most 1.5 MiB
#: (etcd's default); KFP has each component there once, and the container of each task again while it runs.
_LARGE = 768 * 1024


class Executors:
    """Collects components; tasks share those that are equal in all that the server reads of them.

    ``platforms`` has what each platform (``kubernetes``) gets for an executor by its label. ``plain`` has the
    keys of components without settings by what they were made from, which is quicker to compare.
    """

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}
        self.executors: dict[str, Any] = {}
        self.platforms: dict[str, dict[str, Any]] = {}
        self.plain: dict[tuple[object, ...], str] = {}
        self._names: dict[str, str] = {}

    def add(
        self, name: str, component: Mapping[str, Any], container: Mapping[str, Any], config: Mapping[str, Any]
    ) -> str:
        """Return the key of a component, a new one only if there is no equal one yet.

        :param name: the first task's, which becomes part of the key.
        :param component: its interface (``ComponentSpec``).
        :param container: what it runs (``PipelineContainerSpec``).
        :param config: its ``KubernetesExecutorConfig``, or empty.
        """
        shared = self.shared_name([component, container, config], name)
        if shared == name:
            self.components[f"comp-{name}"] = {**component, "executorLabel": f"exec-{name}"}
            self.executors[f"exec-{name}"] = {"container": container}
            if config:
                self.platforms.setdefault("kubernetes", {})[f"exec-{name}"] = config
        return f"comp-{shared}"

    def shared_name(self, parts: object, name: str) -> str:
        """Return the name of the first task whose component has equal parts: ``name`` itself for a new one.

        :param parts: JSON values that say all that the component is.
        """
        return self._names.setdefault(json.dumps(parts, sort_keys=True), name)

    def warnings(self) -> Iterator[str]:
        """Yield a sentence where the components together may be too much for a cluster."""
        size = sum(map(len, self._names))
        if size > _LARGE:
            yield (
                f"the components of the pipeline have {size} bytes together; Kubernetes holds 1.5 MiB at "
                "most in the object of a run: put code into images, or have the pods fetch it (fetch='pod')"
            )
