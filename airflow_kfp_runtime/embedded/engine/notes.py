"""What of a pipeline is not applied on one machine, in sentences for a task's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_kfp_runtime.embedded.engine.values import Values


def not_applied(
    container: Mapping[str, Any],
    platform_spec: Mapping[str, Any] | None,
    label: str,
    pipeline_root: str,
    inputs: Values,
) -> tuple[str, ...]:
    """The sentences for one task.

    :param container: the ``container`` of its executor.
    :param platform_spec: the run's, with ``platforms``.
    :param label: its executor's label.
    :param pipeline_root: the root that the run asked for, or an empty string.
    :param inputs: the task's inputs; artifacts that are elsewhere are not fetched.
    """
    return (
        *_settings(container, platform_spec or {}, label, pipeline_root),
        *(
            f"Not fetched here: the input artifact {name!r} at {artifact['uri']}."
            for name, artifacts in inputs.artifacts.items()
            for artifact in artifacts
            if not artifact["uri"].startswith("file:")
        ),
    )


def _settings(
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
