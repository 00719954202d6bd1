"""The volumes of a task: one class for each kind that KFP has.

KFP names the pod's volume after the claim, secret or config map that it mounts, so their names must be names
of volumes: at most 63 letters, digits and ``-``, no dots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 -- pydantic reads it
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from airflow_kfp_runtime.project.settings import syntax
from airflow_kfp_runtime.project.settings.fields import (
    AccessMode,
    Compiled,
    Key,
    LabelValue,
    MountPath,
    ObjectName,
    Quantity,
    RunTimeValue,
    Settings,
    SubPath,
    VolumeName,
)


class ExistingClaim(Settings):
    """A persistent volume claim that is there already.

    :param name: the volume's name, by which settings merge; KFP names the pod's volume after the claim.
    :param mount_path: absolute path in the container.
    :param claim: the claim's name, or a run-time value.
    :param sub_path: the folder of the volume that is mounted; ``None`` is its root.
    """

    kind: Literal["existing_claim"] = "existing_claim"
    name: VolumeName
    mount_path: MountPath
    claim: VolumeName | RunTimeValue
    sub_path: SubPath | None = None


class DataSource(Settings):
    """What a new claim is filled from: a snapshot or another claim.

    :param kind: ``VolumeSnapshot`` or ``PersistentVolumeClaim``.
    :param name: the object's name.
    :param api_group: the kind's API group (``snapshot.storage.k8s.io``); ``None`` is the core one.
    """

    kind: Annotated[str, Field(min_length=1)]
    name: ObjectName
    api_group: ObjectName | None = None


class NewClaim(Settings):
    """A persistent volume claim that is made for the run and deleted at its end.

    :param name: the volume's name, by which settings merge and steps share it; the claim on the cluster is
        ``<name of the workflow>-<suffix>``.
    :param mount_path: absolute path in the container.
    :param suffix: end of the claim's name, from ``claim_name`` or else the volume's name.
    :param size: bytes (``10Gi``).
    :param access_modes: at least one.
    :param storage_class: its name; ``None`` is the cluster's default, ``""`` none (a static volume).
    :param volume_name: an existing persistent volume to bind to.
    :param annotations: of the claim.
    :param data_source: what the claim is filled from.
    :param shared: one claim for all steps that name this volume; ``False``: one for each step.
    """

    kind: Literal["new_claim"] = "new_claim"
    name: VolumeName
    mount_path: MountPath
    suffix: VolumeName
    size: Quantity
    access_modes: Annotated[tuple[AccessMode, ...], Field(min_length=1)] = ("ReadWriteOnce",)
    storage_class: ObjectName | Literal[""] | None = None
    volume_name: ObjectName | None = None
    annotations: Mapping[Key, str] = Field(default_factory=dict)
    data_source: DataSource | None = None
    shared: bool = True


class EmptyDir(Settings):
    """An empty folder that lives as long as the pod.

    :param name: the volume's name in the pod.
    :param mount_path: absolute path in the container.
    :param medium: ``Memory``, ``HugePages`` or ``HugePages-<size>``; ``None`` is the node's disk.
    :param size_limit: bytes at most; ``None`` is no limit.
    """

    kind: Literal["empty_dir"] = "empty_dir"
    name: VolumeName
    mount_path: MountPath
    medium: Annotated[str, AfterValidator(syntax.medium)] | None = None
    size_limit: Quantity | None = None


class EphemeralVolume(Settings):
    """A volume from a storage class that lives as long as the pod.

    :param name: the volume's name in the pod.
    :param mount_path: absolute path in the container.
    :param size: bytes (``500Mi``).
    :param access_modes: at least one.
    :param storage_class: its name; ``None`` is the cluster's default.
    :param labels: of the volume's claim.
    :param annotations: of the volume's claim.
    """

    kind: Literal["ephemeral"] = "ephemeral"
    name: VolumeName
    mount_path: MountPath
    size: Quantity
    access_modes: Annotated[tuple[AccessMode, ...], Field(min_length=1)] = ("ReadWriteOnce",)
    storage_class: ObjectName | Literal[""] | None = None
    labels: Mapping[Key, LabelValue] = Field(default_factory=dict)
    annotations: Mapping[Key, str] = Field(default_factory=dict)


class SecretVolume(Settings):
    """The keys of a secret as files.

    :param name: the volume's name, by which settings merge; KFP names the pod's volume after the secret.
    :param mount_path: absolute path of the folder in the container.
    :param secret: the secret's name, or a run-time value.
    :param optional: start the pod without it where the secret is missing.
    """

    kind: Literal["secret"] = "secret"
    name: VolumeName
    mount_path: MountPath
    secret: VolumeName | RunTimeValue
    optional: bool = False


class ConfigMapVolume(Settings):
    """The keys of a config map as files.

    :param name: the volume's name, by which settings merge; KFP names the pod's volume after the config map.
    :param mount_path: absolute path of the folder in the container.
    :param config_map: the config map's name, or a run-time value.
    :param optional: start the pod without it where the config map is missing.
    """

    kind: Literal["config_map"] = "config_map"
    name: VolumeName
    mount_path: MountPath
    config_map: VolumeName | RunTimeValue
    optional: bool = False


Volume: TypeAlias = Annotated[
    Annotated[
        ExistingClaim,
        Compiled(
            "pvcMount (sub_path since 2.16)",
            forms=(
                (
                    "volumes: [{volume_type: persistent_volume_claim, name: data, mount_path: /data, "
                    "spec: {claim_name: mine}}]"
                ),
                (
                    "volumes: [{volume_type: shared_volume, name: data, mount_path: /data, sub_path: raw, "
                    "spec: {claimName: mine}}]"
                ),
                (
                    "{volumes: [{name: data, persistentVolumeClaim: {claimName: mine}}], "
                    "volume_mounts: [{name: data, mountPath: /data}]}"
                ),
            ),
        ),
    ]
    | Annotated[
        NewClaim,
        Compiled(
            "pvcMount, and tasks with the images argostub/createpvc and argostub/deletepvc",
            forms=(
                (
                    "volumes: [{volume_type: persistent_volume_claim, name: data, mount_path: /data, "
                    "spec: {size: 10Gi, access_modes: [ReadWriteMany], storage_class: fast, shared: true}}]"
                ),
            ),
        ),
    ]
    | Annotated[
        EmptyDir,
        Compiled(
            "emptyDirMounts",
            "2.3",
            (
                "volumes: [{volume_type: empty_dir, name: tmp, mount_path: /t, spec: {sizeLimit: 1Gi}}]",
                (
                    "{volumes: [{name: shm, emptyDir: {medium: Memory}}], "
                    "volume_mounts: [{name: shm, mountPath: /dev/shm}]}"
                ),
            ),
        ),
    ]
    | Annotated[
        EphemeralVolume,
        Compiled(
            "genericEphemeralVolume",
            "2.2",
            ("volumes: [{volume_type: ephemeral, name: scratch, mount_path: /e, spec: {size: 500Mi}}]",),
        ),
    ]
    | Annotated[
        SecretVolume,
        Compiled(
            "secretAsVolume",
            forms=(
                "volumes: [{volume_type: secret, name: keys, mount_path: /keys, spec: {secretName: hub}}]",
                "secrets: [{name: hub, mount_path: /keys, optional: true}]",
            ),
        ),
    ]
    | Annotated[
        ConfigMapVolume,
        Compiled(
            "configMapAsVolume",
            "2.1",
            (
                "volumes: [{volume_type: config_map, name: tuning, mount_path: /cm, spec: {name: tuning}}]",
                "config_maps: [{name: tuning, mount_path: /cm}]",
            ),
        ),
    ],
    Field(discriminator="kind"),
]


def problem_of_volumes(volumes: Sequence[Volume]) -> tuple[int, str] | None:
    """Return the position of the first volume that cannot be beside those before it, and why; or ``None``."""
    mounted: dict[str, str] = {}
    sources: dict[str, object] = {}
    for position, volume in enumerate(volumes):
        path = volume.mount_path.rstrip("/")
        if path in mounted:
            return position, f"{volume.mount_path!r} is the mount path of volume {mounted[path]!r} already"
        mounted[path] = volume.name
        own, in_pod, source = volume.name, *_in_pod(volume)
        for name in dict.fromkeys(name for name in (own, in_pod) if name is not None):
            if sources.setdefault(name, source) != source:
                return position, f"{name!r} is the name of another volume already"
    return None


def _in_pod(volume: Volume) -> tuple[str | None, object]:
    """Return the name that KFP gives to the pod's volume, where it is known, and what tells its source."""
    match volume:
        case ExistingClaim():
            source: str | RunTimeValue = volume.claim
        case SecretVolume():
            source = volume.secret
        case ConfigMapVolume():
            source = volume.config_map
        case _:
            rest = volume.model_dump(exclude={"mount_path"})
            return None if isinstance(volume, NewClaim) else volume.name, (volume.kind, rest)
    return (source, (volume.kind, source)) if isinstance(source, str) else (None, (volume.kind, id(source)))
