"""What users may write and KFP has no place for: why, and what to use instead. The only such table.

Checked against ``kubernetes_executor_config.proto`` and the driver of KFP 2.17.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """Why KFP cannot express a setting.

    :param why: a sentence.
    :param instead: what to do, a sentence.
    :param false_matters: whether ``False`` says something (for most settings it is what a pod has anyway).
    """

    why: str
    instead: str
    false_matters: bool = False


_NO_FIELD = "KFP's executor configuration has no field for it."
_POLICY = "Let the cluster's administrator set it for the namespace's pods (a mutating admission policy)."
_CLASS = Reason(_NO_FIELD, "Select such nodes by node_selector, affinity and tolerations.")
_DNS = Reason(_NO_FIELD, "Use names that the cluster's DNS knows.")
_PROBES = Reason(
    "A task runs to its end; KFP has no probes.", "Give it a timeout, or let the step check itself."
)
_CONTAINERS = Reason(
    "A task of KFP is one container.", "Put it into the step's image, or into a step of its own."
)
_POD = Reason("KFP makes the pod itself.", "Give the single settings that it holds.")
_ACCOUNT = Reason(
    "KFP has a service account for a run, not for a task.", "Set the operator's service_account.", True
)
_SECURITY = Reason(
    "KFP's security context has the user, the group and non-root alone; it drops all capabilities.",
    "Use run_as_user, run_as_group and run_as_non_root, and ask the administrator for the rest.",
)
_TOPOLOGY = Reason(
    "KFP's driver passes on node affinity alone.",
    "Use node affinity, a node selector or tolerations.",
)
_ENV_FROM = Reason(
    "KFP sets single keys of a secret or config map, never all.",
    "Name the keys: secrets: [{name: NAME, keys: [KEY]}], or config_maps likewise; or mount it.",
)
_STORAGE = Reason(
    "KFP sets cpu, memory and one accelerator type.",
    "Mount an ephemeral volume of that size, or an empty_dir with a size_limit.",
)
_VOLUME = Reason(
    "KFP mounts claims, empty dirs, ephemeral volumes, secrets and config maps.",
    "Let the administrator make a persistent volume and claim of it, and mount the claim.",
)
_PROJECTED = Reason(
    "KFP mounts claims, empty dirs, ephemeral volumes, secrets and config maps.",
    "Mount each secret and config map by itself; take fields of the pod by field_paths.",
)
_ITEMS = Reason(
    "KFP mounts a secret or config map whole, with the default mode.",
    "Mount all of it and read what you need.",
)
_MOUNT = Reason(
    "KFP's mounts have a path and, for claims, a sub path.", "Mount it without, and do not write to it."
)

#: Settings of a task.
SETTINGS: dict[str, Reason] = {
    "runtime_class": _CLASS,
    "runtime_class_name": _CLASS,
    "priority_class": Reason(_NO_FIELD, _POLICY),
    "priority_class_name": Reason(_NO_FIELD, _POLICY),
    "priority": Reason(_NO_FIELD, _POLICY),
    "scheduler_name": Reason(_NO_FIELD, _POLICY),
    "schedulername": Reason(_NO_FIELD, _POLICY),
    "schedule": Reason("A schedule is of a pipeline, not of a task.", "Use the DAG's schedule."),
    "host_network": Reason(_NO_FIELD, "Reach the service by its address in the cluster."),
    "hostnetwork": Reason(_NO_FIELD, "Reach the service by its address in the cluster."),
    "host_pid": Reason(_NO_FIELD, "Run such a task outside of KFP."),
    "host_ipc": Reason(_NO_FIELD, "For shared memory mount an empty_dir with medium Memory at /dev/shm."),
    "host_aliases": _DNS,
    "hostname": _DNS,
    "subdomain": _DNS,
    "dns_policy": _DNS,
    "dnspolicy": _DNS,
    "dns_config": _DNS,
    "service_account": _ACCOUNT,
    "service_account_name": _ACCOUNT,
    "automount_service_account_token": _ACCOUNT,
    "env_from": _ENV_FROM,
    "configmaps": _ENV_FROM,
    "topology_spread_constraints": _TOPOLOGY,
    "node_name": Reason(_NO_FIELD, "Use node affinity with match_fields on metadata.name."),
    "init_containers": _CONTAINERS,
    "containers": _CONTAINERS,
    "ports": Reason("A task of KFP serves nothing.", "Run a service as a deployment of its own."),
    "lifecycle": Reason(_NO_FIELD, "Do it in the step itself, or in a step after it."),
    "liveness_probe": _PROBES,
    "readiness_probe": _PROBES,
    "startup_probe": _PROBES,
    "restart_policy": Reason("KFP starts a failed task again as a new pod.", "Use retries."),
    "termination_grace_period": Reason(_NO_FIELD, "Let the step save its state before its timeout."),
    "termination_grace_period_seconds": Reason(_NO_FIELD, "Let the step save its state before its timeout."),
    "termination_message_policy": Reason(_NO_FIELD, "Write the message to the step's log."),
    "volume_devices": Reason("KFP mounts volumes as file systems.", "Use a volume with a file system."),
    "full_pod_spec": _POD,
    "pod_override": _POD,
    "pod_template_file": _POD,
    "pod_template_dict": _POD,
    "disk": _STORAGE,
}

#: Parts of an affinity.
AFFINITY: dict[str, Reason] = {
    "pod_affinity": _TOPOLOGY,
    "pod_anti_affinity": _TOPOLOGY,
}

#: Parts of resources. Those with a size in their name begin with ``hugepages-``.
RESOURCES: dict[str, Reason] = {
    "disk": _STORAGE,
    "ephemeral_storage": _STORAGE,
    "claims": Reason("KFP has no resource claims.", "Use accelerator."),
}
HUGE_PAGES = Reason("KFP sets cpu, memory and one accelerator type.", "Run without huge pages.")
SECOND_ACCELERATOR = Reason(
    "KFP sets one accelerator type for a task.", "Keep one type, or split the step in two."
)

#: Sources of an environment variable.
ENVIRONMENT: dict[str, Reason] = {
    "resource_field_ref": Reason(
        "KFP takes values from secrets, config maps and fields of the pod.",
        "Write the quantity as the value.",
    ),
    "file_key_ref": Reason(
        "KFP takes values from secrets, config maps and fields of the pod.", "Read the file in the step."
    ),
}

#: Parts of a security context.
SECURITY_CONTEXT: dict[str, Reason] = dict.fromkeys(
    (
        "privileged",
        "capabilities",
        "allow_privilege_escalation",
        "app_armor_profile",
        "fs_group",
        "fs_group_change_policy",
        "proc_mount",
        "read_only_root_filesystem",
        "se_linux_change_policy",
        "se_linux_options",
        "seccomp_profile",
        "supplemental_groups",
        "supplemental_groups_policy",
        "sysctls",
        "windows_options",
    ),
    _SECURITY,
)

#: Kinds of volume.
VOLUMES: dict[str, Reason] = {
    **dict.fromkeys(
        (
            "aws_elastic_block_store",
            "azure_disk",
            "azure_file",
            "cephfs",
            "cinder",
            "csi",
            "fc",
            "flex_volume",
            "flocker",
            "gce_persistent_disk",
            "git_repo",
            "glusterfs",
            "host_path",
            "image",
            "iscsi",
            "nfs",
            "photon_persistent_disk",
            "portworx_volume",
            "quobyte",
            "rbd",
            "scale_io",
            "storageos",
            "vsphere_volume",
        ),
        _VOLUME,
    ),
    "projected": _PROJECTED,
    "downward_api": _PROJECTED,
}

#: Parts of a volume's source.
VOLUME_SOURCE: dict[str, Reason] = {"items": _ITEMS, "default_mode": _ITEMS, "read_only": _MOUNT}

#: Parts of a new claim or an ephemeral volume's template that KFP leaves out.
CLAIM: dict[str, Reason] = dict.fromkeys(
    ("selector", "volume_mode", "data_source_ref", "volume_attributes_class_name"),
    Reason(
        "KFP sets size, access modes, storage class and annotations of a claim.",
        "Mount a claim made by hand.",
    ),
)

#: Parts of a mount.
MOUNT: dict[str, Reason] = dict.fromkeys(
    ("read_only", "recursive_read_only", "mount_propagation", "sub_path_expr"), _MOUNT
)
MOUNT_SUB_PATH = Reason(
    "KFP has sub paths for existing claims alone.", "Mount the volume whole and use the path within."
)
