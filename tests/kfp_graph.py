"""What a compiled pipeline says, without the names of its components: two that run alike are equal."""

from __future__ import annotations

from typing import Any


def expanded(spec: dict[str, Any], platform_spec: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the root of an IR with what each task refers to in its place, down to the containers."""
    platforms = (platform_spec or {}).get("platforms", {})
    configs = platforms.get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    return _expanded(spec["root"], spec, configs)


def component(spec: dict[str, Any], task: str) -> dict[str, Any]:
    """Return the component of a task of the root, expanded."""
    tasks: dict[str, Any] = expanded(spec)["dag"]["tasks"]
    found: dict[str, Any] = tasks[task]["component"]
    return found


def _expanded(part: dict[str, Any], spec: dict[str, Any], configs: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in part.items() if key not in {"dag", "executorLabel"}}
    if "dag" not in part:
        label = part["executorLabel"]
        executor = spec["deploymentSpec"]["executors"][label]
        return {**kept, "executor": executor, "config": configs.get(label, {})}
    tasks = {}
    for name, task in part["dag"]["tasks"].items():
        reference = spec["components"][task["componentRef"]["name"]]
        tasks[name] = {
            **{key: value for key, value in task.items() if key != "componentRef"},
            "component": _expanded(reference, spec, configs),
        }
    return {**kept, "dag": {**part["dag"], "tasks": tasks}}
