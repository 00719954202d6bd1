"""Puts a pipeline that is already compiled into the one that is being compiled, as the component of a task.

Its components and executors move along under keys of their own, and its root becomes the component of the
task. Everything else in it stays as it is, known to this package or not. What it says of a run of its own is
left out: its name, its description, its pipeline root.
"""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_kfp_runtime.compiler.executors import Executors
    from airflow_kfp_runtime.runtimes.component import NestedPipeline

#: Argo, which has a template for each component, takes names of at most 128 characters; some of its templates
#: have the names of two (KFP 2.17, ``argocompiler/dag.go``: ``exit-hook-<component>-<task>``).
_LONGEST_KEY = 80


def embed(nested: NestedPipeline, name: str, executors: Executors, *, caching: bool | None = None) -> str:
    """Add a pipeline to the components and executors, and return the key of the component that it is.

    Tasks share it where it is equal in all that the server reads of it.

    :param nested: the pipeline; it is not changed.
    :param name: the first task's, which becomes part of all keys.
    :param executors: where its parts are put.
    :param caching: whether KFP may take the outputs of earlier, equal tasks, for all tasks in it; ``None``
        leaves what it says. The server reads this of tasks with a container alone (KFP 2.17).
    """
    parts = _Parts(nested)
    content = [parts.root, parts.components, parts.executors, parts.configs, caching]
    shared = executors.shared_name(content, name)
    key = f"comp-{shared}"
    if shared == name:
        labels = _keys(parts.executors, "exec-", name)
        references = _keys(parts.components, "comp-", name)
        for reference, component in parts.components.items():
            executors.components[references[reference]] = _renamed(component, references, labels, caching)
        for label, executor in parts.executors.items():
            executors.executors[labels[label]] = copy.deepcopy(executor)
        for platform, label, config in parts.configs:
            executors.platforms.setdefault(platform, {})[labels[label]] = copy.deepcopy(config)
        executors.components[key] = _renamed(parts.root, references, labels, caching)
    return key


class _Parts:
    """The parts of a pipeline that move along.

    ``configs`` has the name of the platform, the label of the executor, and what the platform gets for it.
    """

    def __init__(self, nested: NestedPipeline) -> None:
        spec = nested.pipeline_spec
        self.root: Mapping[str, Any] = spec["root"]
        self.components: Mapping[str, Any] = spec.get("components", {})
        self.executors: Mapping[str, Any] = spec.get("deploymentSpec", {}).get("executors", {})
        self.configs = list(_configs(nested.platform_spec or {}, self.executors))


def _configs(
    platform_spec: Mapping[str, Any], executors: Mapping[str, Any]
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for platform, written in platform_spec.get("platforms", {}).items():
        for label, config in written.get("deploymentSpec", {}).get("executors", {}).items():
            if label in executors:
                yield platform, label, config


def _keys(keys: Iterable[str], prefix: str, task: str) -> dict[str, str]:
    """Return a new key for each, which no other task's can be: no task's name has ``--`` in it."""
    keys = list(keys)
    own = prefix if all(key.startswith(prefix) for key in keys) else ""
    return {key: _shortened(f"{prefix}{task}--{key.removeprefix(own)}") for key in keys}


def _shortened(key: str) -> str:
    if len(key) <= _LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return f"{key[: _LONGEST_KEY - len(digest) - 2].rstrip('-')}--{digest}"


def _renamed(
    component: Mapping[str, Any],
    references: Mapping[str, str],
    labels: Mapping[str, str],
    caching: bool | None,
) -> dict[str, Any]:
    """Return a copy of a component that refers to its parts by their new keys."""
    renamed: dict[str, Any] = copy.deepcopy(dict(component))
    if "executorLabel" in renamed:
        renamed["executorLabel"] = labels.get(renamed["executorLabel"], renamed["executorLabel"])
    for task in renamed.get("dag", {}).get("tasks", {}).values():
        reference = task.get("componentRef", {})
        if "name" in reference:
            reference["name"] = references.get(reference["name"], reference["name"])
        if caching is not None:
            task["cachingOptions"] = {"enableCache": True} if caching else {}
    return renamed
