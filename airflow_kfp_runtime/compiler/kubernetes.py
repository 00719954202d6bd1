"""The Kubernetes part of a task: from its settings to KFP's ``KubernetesExecutorConfig`` as JSON.

The fields are those of KFP 2.17's ``kubernetes_executor_config.proto``, and the older spelling beside a newer
one (``secretName`` beside ``secretNameParameter``) is what ``kfp-kubernetes`` 2.17 writes, so that older
servers understand it too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_kfp_runtime.dsl.references import Reference
from airflow_kfp_runtime.project.settings.model import (
    ConfigMapKey,
    ConfigMapVolume,
    EmptyDir,
    EphemeralVolume,
    ExistingClaim,
    FieldPath,
    NewClaim,
    SecretKey,
    SecretVolume,
    Toleration,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_kfp_runtime.project.settings.model import (
        EnvironmentSource,
        NodeAffinityTerm,
        NodeSelectorRequirement,
        SecurityContext,
        TaskSettings,
        Volume,
        Workspace,
    )

#: Where a run-time value comes from, as the task's graph sees it: an ``InputParameterSpec``.
ParameterSource: TypeAlias = Callable[[Reference], dict[str, Any]]


def executor_config(
    settings: TaskSettings, source: ParameterSource, claims: Mapping[str, Reference]
) -> dict[str, Any]:
    """Return what the platform spec has of a task, without what is empty.

    :param settings: merged, in the canonical form.
    :param source: says where a run-time value comes from.
    :param claims: where the name of each new claim comes from, by the volume's name.
    """
    envs, volumes = settings.envs, settings.volumes
    config = {
        "nodeSelector": _node_selector(settings.node_selector, source),
        "tolerations": [_toleration(toleration, source) for toleration in settings.tolerations or ()],
        "nodeAffinity": [_node_affinity(term, source) for term in settings.node_affinity or ()],
        "podMetadata": _without_empty(labels=dict(settings.labels), annotations=dict(settings.annotations)),
        "imagePullPolicy": settings.image_pull_policy,
        "imagePullSecret": [_named("secret", name, source) for name in settings.image_pull_secrets or ()],
        "activeDeadlineSeconds": None if settings.timeout is None else str(settings.timeout),
        "securityContext": _security_context(settings.security_context),
        "secretAsEnv": _secrets_as_env(envs, source),
        "configMapAsEnv": _config_maps_as_env(envs, source),
        "fieldPathAsEnv": [
            {"name": name, "fieldPath": env.path} for name, env in envs.items() if isinstance(env, FieldPath)
        ],
        **_volumes(volumes, source, claims),
    }
    return _without_empty(**config)


def pipeline_config(workspace: Workspace) -> dict[str, Any]:
    """Return what the platform spec has of the whole pipeline (``PipelineConfig``)."""
    patch: dict[str, Any] = _without_empty(
        accessModes=list(workspace.access_modes), storageClassName=workspace.storage_class
    )
    return {"workspace": {"size": workspace.size, "kubernetes": {"pvcSpecPatch": patch}}}


def _node_selector(
    node_selector: Mapping[str, str] | Reference | None, source: ParameterSource
) -> dict[str, Any]:
    if isinstance(node_selector, Reference):
        return {"nodeSelectorJson": source(node_selector)}
    return {"labels": dict(node_selector)} if node_selector else {}


def _toleration(toleration: Toleration | Reference, source: ParameterSource) -> dict[str, Any]:
    if not isinstance(toleration, Toleration):
        return {"tolerationJson": source(toleration)}
    seconds = toleration.toleration_seconds
    return _without_empty(
        key=toleration.key,
        operator=toleration.operator,
        value=toleration.value,
        effect=toleration.effect,
        tolerationSeconds=None if seconds is None else str(seconds),
    )


def _node_affinity(term: NodeAffinityTerm | Reference, source: ParameterSource) -> dict[str, Any]:
    if isinstance(term, Reference):
        return {"nodeAffinityJson": source(term)}
    return _without_empty(
        matchExpressions=_requirements(term.match_expressions),
        matchFields=_requirements(term.match_fields),
        weight=term.weight,
    )


def _requirements(requirements: Sequence[NodeSelectorRequirement]) -> list[dict[str, Any]]:
    return [
        _without_empty(key=part.key, operator=part.operator, values=list(part.values))
        for part in requirements
    ]


def _security_context(context: SecurityContext | None) -> dict[str, Any]:
    """Return whose process it is; 0 and ``False`` say something, so that only ``None`` is left out."""
    if context is None:
        return {}
    fields = {
        "runAsUser": None if context.run_as_user is None else str(context.run_as_user),
        "runAsGroup": None if context.run_as_group is None else str(context.run_as_group),
        "runAsNonRoot": context.run_as_non_root,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _secrets_as_env(envs: Mapping[str, EnvironmentSource], source: ParameterSource) -> list[dict[str, Any]]:
    chosen = [(name, env) for name, env in envs.items() if isinstance(env, SecretKey)]
    return _keys_as_env("secret", [(env.secret, env.optional, env.key, name) for name, env in chosen], source)


def _config_maps_as_env(
    envs: Mapping[str, EnvironmentSource], source: ParameterSource
) -> list[dict[str, Any]]:
    chosen = [(name, env) for name, env in envs.items() if isinstance(env, ConfigMapKey)]
    keys = [(env.config_map, env.optional, env.key, name) for name, env in chosen]
    return _keys_as_env("configMap", keys, source)


def _keys_as_env(
    kind: str, keys: Iterable[tuple[str | Reference | None, bool, str, str]], source: ParameterSource
) -> list[dict[str, Any]]:
    """Return the keys of one object together, as one entry; an entry says once whether it is optional."""
    entries: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, optional, key, environment_name in keys:
        entry = entries.setdefault(
            (str(name), optional), {**_named(kind, name, source), "keyToEnv": [], "optional": optional}
        )
        entry["keyToEnv"].append({f"{kind}Key": key, "envVar": environment_name})
    return list(entries.values())


def _volumes(
    volumes: Sequence[Volume], source: ParameterSource, claims: Mapping[str, Reference]
) -> dict[str, list[dict[str, Any]]]:
    mounts: dict[str, list[dict[str, Any]]] = {}
    for volume in volumes:
        match volume:
            case ExistingClaim():
                kind, mount = "pvcMount", _claim(volume.claim, source)
                mount |= _without_empty(subPath=volume.sub_path)
            case NewClaim():
                kind, mount = "pvcMount", _claim(claims[volume.name], source)
            case EmptyDir():
                kind = "emptyDirMounts"
                mount = {"volumeName": volume.name}
                mount |= _without_empty(medium=volume.medium, sizeLimit=volume.size_limit)
            case EphemeralVolume():
                kind, mount = "genericEphemeralVolume", _ephemeral(volume)
            case SecretVolume():
                kind = "secretAsVolume"
                mount = {**_named("secret", volume.secret, source), "optional": volume.optional}
            case ConfigMapVolume():
                kind = "configMapAsVolume"
                mount = {**_named("configMap", volume.config_map, source), "optional": volume.optional}
        mounts.setdefault(kind, []).append({**mount, "mountPath": volume.mount_path})
    return mounts


def _claim(claim: str | Reference, source: ParameterSource) -> dict[str, Any]:
    if isinstance(claim, str):
        return {"constant": claim, "pvcNameParameter": _constant(claim)}
    where = source(claim)
    return {**where, "pvcNameParameter": where}


def _ephemeral(volume: EphemeralVolume) -> dict[str, Any]:
    metadata = _without_empty(labels=dict(volume.labels), annotations=dict(volume.annotations))
    return {
        "volumeName": volume.name,
        "accessModes": list(volume.access_modes),
        "size": volume.size,
        **_without_empty(
            defaultStorageClass=volume.storage_class is None,
            storageClassName=volume.storage_class,
            metadata=metadata,
        ),
    }


def _named(kind: str, name: str | Reference | None, source: ParameterSource) -> dict[str, Any]:
    """Return a reference to a secret or config map by its name."""
    if isinstance(name, Reference):
        return {f"{kind}NameParameter": source(name)}
    return {f"{kind}Name": name, f"{kind}NameParameter": _constant(name)}


def _constant(value: str | None) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}


def _without_empty(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
