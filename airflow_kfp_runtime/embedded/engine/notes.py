"""What of a pipeline, other than Kubernetes settings, is not applied on one machine: sentences for a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.engine.placeholders import Scope
from airflow_kfp_runtime.embedded.engine.values import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_kfp_runtime.embedded.engine.values import Values
#: A resource, its member of ``resources`` in the IR as text, the one as a number, and that one's unit.
_RESOURCES = (
    ("cpu request", "resourceCpuRequest", "cpuRequest", ""),
    ("cpu limit", "resourceCpuLimit", "cpuLimit", ""),
    ("memory request", "resourceMemoryRequest", "memoryRequest", "G"),
    ("memory limit", "resourceMemoryLimit", "memoryLimit", "G"),
)


def not_applied(
    container: Mapping[str, Any],
    platforms: Mapping[str, Any],
    label: str,
    pipeline_root: str,
    inputs: Values,
) -> Iterator[str]:
    """The sentences for one task.

    :param container: the ``container`` of its executor; its resources may name inputs.
    :param platforms: the platforms of the run's platform spec.
    :param label: its executor's label.
    :param pipeline_root: the root that the run asked for, or an empty string.
    :param inputs: the task's inputs; artifacts that are elsewhere are not fetched.
    """
    if resources := ", ".join(_as_written(container.get("resources", {}))):
        scope = Scope({}, {"inputs": {"parameterValues": inputs.parameters}})
        yield f"Not applied here: {scope.fill(resources)}."
    for platform, spec in platforms.items():
        settings = executor_settings(spec, label)
        if settings and platform != "kubernetes":
            yield f"Not applied here: settings for {platform} ({', '.join(sorted(settings))})."
    workspace = workspace_of({"platforms": platforms})
    if workspace is not None:
        yield f"Not applied here: workspace {as_text(workspace)}; it is a folder of this server."
    if pipeline_root:
        yield f"Not applied here: the pipeline root {pipeline_root}; artifacts are files of this server."
    for name, artifacts in inputs.artifacts.items():
        for artifact in artifacts:
            if not artifact["uri"].startswith("file:"):
                uri = artifact["uri"]
                yield f"Not fetched here: the input artifact {name!r}: there is its URI {uri}, no file."


def _as_written(resources: Mapping[str, Any]) -> Iterator[str]:
    """What a step asks for; the SDK compiles it twice, as text and, for older servers, as numbers."""
    for what, text, number, unit in _RESOURCES:
        if text in resources:
            yield f"{what} {resources[text]}"
        elif number in resources:
            yield f"{what} {as_text(resources[number])}{unit}"
    if accelerator := resources.get("accelerator"):
        count = accelerator.get("resourceCount") or accelerator.get("count", 1)
        yield f"accelerator {accelerator.get('resourceType') or accelerator.get('type', '')} x {count}"


def workspace_of(platform_spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a platform spec says of the run's workspace, if it asks for one."""
    kubernetes = platform_spec.get("platforms", {}).get("kubernetes", {})
    workspace: dict[str, Any] | None = kubernetes.get("pipelineConfig", {}).get("workspace")
    return workspace


def executor_settings(platform: Mapping[str, Any], label: str) -> dict[str, Any]:
    """What a platform's part of a platform spec says of an executor."""
    settings: dict[str, Any] = platform.get("deploymentSpec", {}).get("executors", {}).get(label, {})
    return settings
