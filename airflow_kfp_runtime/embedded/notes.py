"""What of a pipeline is not applied on one machine, in sentences for a task's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def not_applied(
    container: Mapping[str, Any], platform_spec: Mapping[str, Any] | None, label: str, pipeline_root: str
) -> tuple[str, ...]:
    """The sentences for one task.

    :param container: the ``container`` of its executor.
    :param platform_spec: the run's, with ``platforms``.
    :param label: its executor's label.
    :param pipeline_root: the root that the run asked for, or an empty string.
    """
    return tuple(_sentences(container, platform_spec or {}, label, pipeline_root))


def _sentences(
    container: Mapping[str, Any], platform_spec: Mapping[str, Any], label: str, pipeline_root: str
) -> Iterator[str]:
    if resources := container.get("resources"):
        yield f"Not applied here: resources ({', '.join(sorted(resources))})."
    for platform, spec in platform_spec.get("platforms", {}).items():
        settings = spec.get("deploymentSpec", {}).get("executors", {}).get(label)
        if settings:
            yield f"Not applied here: settings for {platform} ({', '.join(sorted(settings))})."
    if pipeline_root:
        yield f"Not applied here: the pipeline root {pipeline_root}; artifacts are files of this server."
