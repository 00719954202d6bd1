"""The volumes of a task: one class for each kind that KFP has."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- pydantic reads it
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

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
    claim: ObjectName | RunTimeValue
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
    suffix: ObjectName
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
    medium: Annotated[str, Field(pattern=r"^(Memory|HugePages(-[0-9]+[KMG]i)?)$")] | None = None
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
    secret: ObjectName | RunTimeValue
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
    config_map: ObjectName | RunTimeValue
    optional: bool = False


Volume: TypeAlias = Annotated[
    Annotated[ExistingClaim, Compiled("pvcMount")]
    | Annotated[NewClaim, Compiled("pvcMount, and tasks argostub/createpvc and argostub/deletepvc")]
    | Annotated[EmptyDir, Compiled("emptyDirMounts", since="2.4")]
    | Annotated[EphemeralVolume, Compiled("genericEphemeralVolume", since="2.2")]
    | Annotated[SecretVolume, Compiled("secretAsVolume")]
    | Annotated[ConfigMapVolume, Compiled("configMapAsVolume", since="2.1")],
    Field(discriminator="kind"),
]
