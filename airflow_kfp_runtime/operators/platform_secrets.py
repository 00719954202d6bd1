"""The credentials of a DigitalHub platform, for the steps of a pipeline that run its functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.hooks.digitalhub import DigitalHubHook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_kfp_runtime.compiler import PipelinePackage
    from airflow_kfp_runtime.operators.pipeline import NamedPipeline, UnknownPipeline

#: The variable by which such steps are known: they read it from a secret.
_VARIABLE = "DHCORE_ENDPOINT"


def write_platform_secrets(
    pipeline: PipelinePackage | NamedPipeline | UnknownPipeline,
    digitalhub_conn_id: str | None,
    namespace: str | None,
    note: Callable[[str], None],
) -> None:
    """Write a connection into the Kubernetes secrets that the steps of a pipeline read.

    :param pipeline: nothing is written for one that is not at hand.
    :param digitalhub_conn_id: the connection; ``None``: the secrets are there already.
    :param namespace: that of the run.
    :param note: takes a line for each that was written; there is none where the connection names no
        Kubernetes connection.
    :raises DefinitionError: the connection is wrong, or a secret cannot be written.
    """
    from airflow_kfp_runtime.compiler import PipelinePackage

    names = set(_secrets(pipeline)) if isinstance(pipeline, PipelinePackage) else set()
    if digitalhub_conn_id is None or not names:
        return
    for name in DigitalHubHook(digitalhub_conn_id).write_secrets(names, namespace):
        note(f"Wrote connection {digitalhub_conn_id} into the Kubernetes secret {name}")


def _secrets(package: PipelinePackage) -> Iterator[str]:
    kubernetes = (package.platform_spec or {}).get("platforms", {}).get("kubernetes", {})
    for executor in kubernetes.get("deploymentSpec", {}).get("executors", {}).values():
        for secret in executor.get("secretAsEnv", ()):
            variables = {key.get("envVar") for key in secret.get("keyToEnv", ())}
            if _VARIABLE in variables and "secretName" in secret:
                yield secret["secretName"]
