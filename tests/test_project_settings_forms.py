"""The forms in which settings are written: DigitalHub's, Kubernetes' mappings and objects, KFP's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.cncf.kubernetes.secret import Secret
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes import client as k8s

from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.dsl.pipeline import trace
from airflow_kfp_runtime.dsl.references import PipelineArgument
from airflow_kfp_runtime.project import TaskSettings
from airflow_kfp_runtime.project.settings.model import (
    Accelerator,
    ConfigMapKey,
    ConfigMapVolume,
    EmptyDir,
    EphemeralVolume,
    ExistingClaim,
    FieldPath,
    NewClaim,
    NodeAffinityTerm,
    NodeSelectorRequirement,
    Resources,
    Retries,
    SecretKey,
    SecretVolume,
    SecurityContext,
    Toleration,
)
from tests.settings_strategies import task_settings

#: Where a mapping's keys are the user's own, which no spelling may change.
OWN_KEYS = {"labels", "annotations", "node_selector", "keys"}

few = settings(max_examples=60, deadline=None)


def read(**written):
    """Return what a step called ``train`` is given."""
    return TaskSettings.read(written, step="train")


def camel_case(name):
    """Return ``toleration_seconds`` as ``tolerationSeconds``."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def in_camel_case(written):
    """Return a mapping with all names in camelCase that are not the user's."""
    match written:
        case dict():
            return {
                camel_case(name): part if name in OWN_KEYS else in_camel_case(part)
                for name, part in written.items()
            }
        case list():
            return [in_camel_case(part) for part in written]
        case _:
            return written


def kubernetes_object(kind, mapping):
    """Return an object of the client, as it would come from the API server."""
    return k8s.ApiClient().deserialize(SimpleNamespace(data=json.dumps(mapping)), kind)


@few
@given(task_settings())
def test_what_is_written_from_the_model_reads_into_the_same_model(written):
    assert TaskSettings.read(written.to_mapping(), whole_pipeline=True) == written


@few
@given(task_settings())
def test_camel_case_reads_like_snake_case(written):
    assert TaskSettings.read(in_camel_case(written.to_mapping()), whole_pipeline=True) == written


def as_kubernetes_mappings(written):
    """Return settings as Kubernetes and KubernetesPodOperator have them, as far as they have them."""
    mapping = written.to_mapping()
    given = {name: mapping[name] for name in ("tolerations", "labels", "annotations") if name in mapping}
    given |= {"node_selector": mapping["node_selector"]} if "node_selector" in mapping else {}
    if written.node_affinity:
        affinity = {}
        required = [term for term in mapping["node_affinity"] if "weight" not in term]
        if required:
            affinity["required_during_scheduling_ignored_during_execution"] = {
                "node_selector_terms": required
            }
        preferred = [
            {"weight": term["weight"], "preference": {k: v for k, v in term.items() if k != "weight"}}
            for term in mapping["node_affinity"]
            if "weight" in term
        ]
        if preferred:
            affinity["preferred_during_scheduling_ignored_during_execution"] = preferred
        given["affinity"] = {"node_affinity": affinity}
    if written.resources is not None:
        sides = {
            side: {
                name: getattr(written.resources, f"{name}_{field}")
                for name in ("cpu", "memory")
                if getattr(written.resources, f"{name}_{field}") is not None
            }
            for side, field in (("requests", "request"), ("limits", "limit"))
        }
        given["container_resources"] = {side: quantities for side, quantities in sides.items() if quantities}
    given["image_pull_secrets"] = [{"name": name} for name in written.image_pull_secrets or ()]
    given["env_vars"] = mapping.get("envs", [])
    given |= {"secrets": mapping["secrets"]} if "secrets" in mapping else {}
    given["volumes"] = [kubernetes_volume(volume) for volume in written.volumes]
    given["volume_mounts"] = [
        {"name": volume.name, "mount_path": volume.mount_path}
        | ({"sub_path": volume.sub_path} if getattr(volume, "sub_path", None) else {})
        for volume in written.volumes
    ]
    if written.security_context is not None:
        given["security_context"] = mapping["security_context"]
    return in_camel_case(given)


def kubernetes_volume(volume):
    """Return a volume as Kubernetes has it."""
    match volume:
        case ExistingClaim():
            source = {"persistent_volume_claim": {"claim_name": volume.claim}}
        case SecretVolume():
            source = {"secret": {"secret_name": volume.secret, "optional": volume.optional}}
        case ConfigMapVolume():
            source = {"config_map": {"name": volume.config_map, "optional": volume.optional}}
        case EmptyDir():
            limit = {"size_limit": volume.size_limit} if volume.size_limit else {}
            source = {"empty_dir": limit | ({"medium": volume.medium} if volume.medium else {})}
        case EphemeralVolume():
            claim = {
                "resources": {"requests": {"storage": volume.size}},
                "access_modes": [*volume.access_modes],
            }
            claim |= {"storage_class_name": volume.storage_class} if volume.storage_class is not None else {}
            metadata = {"labels": dict(volume.labels), "annotations": dict(volume.annotations)}
            source = {"ephemeral": {"volume_claim_template": {"metadata": metadata, "spec": claim}}}
    return {"name": volume.name, **source}


KINDS = {
    "tolerations": "list[V1Toleration]",
    "affinity": "V1Affinity",
    "containerResources": "V1ResourceRequirements",
    "imagePullSecrets": "list[V1LocalObjectReference]",
    "envVars": "list[V1EnvVar]",
    "volumes": "list[V1Volume]",
    "volumeMounts": "list[V1VolumeMount]",
    "securityContext": "V1SecurityContext",
}


@few
@given(task_settings(st.nothing()))
def test_kubernetes_mappings_and_objects_read_like_digitalhubs_forms(written):
    volumes = tuple(volume for volume in written.volumes if not isinstance(volume, NewClaim))
    # An affinity of Kubernetes has the required terms first, and none without a term.
    terms = written.node_affinity and tuple(
        sorted(written.node_affinity, key=lambda term: term.weight is not None)
    )
    written = written.model_copy(update={"volumes": volumes, "node_affinity": terms or None})
    said = {
        "labels",
        "annotations",
        "node_selector",
        "tolerations",
        "node_affinity",
        "resources",
        "image_pull_secrets",
        "envs",
        "volumes",
        "security_context",
    }
    expected = TaskSettings(**{name: getattr(written, name) for name in said})
    expected = expected.model_copy(update={"image_pull_secrets": expected.image_pull_secrets or ()})

    mappings = as_kubernetes_mappings(written)
    objects = {
        name: kubernetes_object(KINDS[name], part) if name in KINDS else part
        for name, part in mappings.items()
    }

    assert TaskSettings.read(mappings) == expected
    assert TaskSettings.read(objects) == expected


def test_digitalhubs_example_of_0_9_is_read():
    assert read(
        node_selector=[{"key": "disktype", "value": "ssd"}],
        envs=[{"name": "ENV1", "value": "v"}],
        secrets=["my-secret-key"],
        profile="1xa100",
        resources={"cpu": {"requests": "12", "limits": "16"}, "mem": {"requests": "64Gi"}},
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Equal", "value": "a100", "effect": "NoSchedule"}],
        affinity={
            "node_affinity": {
                "required_during_scheduling_ignored_during_execution": {
                    "node_selector_terms": [
                        {"match_expressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
                    ]
                }
            }
        },
        volumes=[
            {
                "volume_type": "persistent_volume_claim",
                "name": "my-pvc",
                "mount_path": "/data",
                "spec": {"claim_name": "my-pvc", "size": "10Gi"},
            },
            {"volume_type": "empty_dir", "name": "tmp", "mount_path": "/t", "spec": {"sizeLimit": "1Gi"}},
            {"volume_type": "ephemeral", "name": "e", "mount_path": "/e", "spec": {"size": "500Mi"}},
            {
                "volume_type": "shared_volume",
                "name": "s",
                "mount_path": "/s",
                "spec": {"claimName": "existing"},
            },
            {"volume_type": "config_map", "name": "cm", "mount_path": "/cm", "spec": {"name": "cm"}},
            {"volume_type": "secret", "name": "sec", "mount_path": "/sec", "spec": {"secretName": "sec"}},
        ],
    ) == TaskSettings(
        node_selector={"disktype": "ssd"},
        envs={"ENV1": "v", "my-secret-key": SecretKey(secret=None, key="my-secret-key")},
        profile="1xa100",
        resources=Resources(cpu_request="12", cpu_limit="16", memory_request="64Gi"),
        tolerations=(Toleration(key="nvidia.com/gpu", operator="Equal", value="a100", effect="NoSchedule"),),
        node_affinity=(
            NodeAffinityTerm(
                match_expressions=(NodeSelectorRequirement(key="zone", operator="In", values=("a",)),)
            ),
        ),
        volumes=(
            NewClaim(name="my-pvc", mount_path="/data", suffix="my-pvc", size="10Gi"),
            EmptyDir(name="tmp", mount_path="/t", size_limit="1Gi"),
            EphemeralVolume(name="e", mount_path="/e", size="500Mi"),
            ExistingClaim(name="s", mount_path="/s", claim="existing"),
            ConfigMapVolume(name="cm", mount_path="/cm", config_map="cm"),
            SecretVolume(name="sec", mount_path="/sec", secret="sec"),
        ),
    )


def test_digitalhubs_single_values_are_requests_and_a_gpu_is_a_limit():
    settings = read(resources={"cpu": "8", "mem": "32Gi", "gpu": "1", "disk": "10Gi"})

    assert settings.resources == Resources(cpu_request="8", memory_request="32Gi")
    assert settings.accelerator == Accelerator(type="nvidia.com/gpu", count=1)
    assert [lost.setting for lost in settings.inexpressible] == ["resources.disk"]


def test_the_claim_of_a_volume_without_spec_has_the_volumes_name():
    volume = {"volume_type": "persistent_volume_claim", "name": "data", "mount_path": "/data"}

    assert read(volumes=[volume]).volumes == (ExistingClaim(name="data", mount_path="/data", claim="data"),)


def test_numbers_are_quantities_as_they_stand():
    found = read(resources={"cpu": 0.5, "memory": {"requests": 1024, "limits": 2e9}}).resources

    assert found == Resources(cpu_request="0.5", memory_request="1024", memory_limit="2000000000")


def test_what_is_none_was_not_said():
    assert read(resources=None, tolerations=None, envs=None) == TaskSettings()
    assert read(resources={}, tolerations=[], node_selector={}) == TaskSettings(
        resources=Resources(), tolerations=(), node_selector={}
    )


def test_secrets_and_config_maps_are_variables_files_or_both():
    settings = read(
        secrets=[{"name": "hub", "keys": {"token": "HUB"}, "mount_path": "/hub", "optional": True}],
        config_maps=[{"configMapName": "tuning", "keys": ["EPOCHS"]}],
        field_paths={"POD": "metadata.name"},
    )

    assert settings.envs == {
        "HUB": SecretKey(secret="hub", key="token", optional=True),
        "EPOCHS": ConfigMapKey(config_map="tuning", key="EPOCHS"),
        "POD": FieldPath(path="metadata.name"),
    }
    assert settings.volumes == (SecretVolume(name="hub", mount_path="/hub", secret="hub", optional=True),)


def test_airflows_own_secrets_are_read():
    settings = read(
        secrets=[
            Secret("env", "DATABASE_PASSWORD", "database", "password"),
            Secret("volume", "/keys", "ssh"),
            Secret("env", None, "everything"),
        ]
    )

    assert settings.envs == {"DATABASE_PASSWORD": SecretKey(secret="database", key="password")}
    assert settings.volumes == (SecretVolume(name="ssh", mount_path="/keys", secret="ssh"),)
    assert [lost.setting for lost in settings.inexpressible] == ["secrets[2]"]
    assert "keys" in settings.inexpressible[0].instead


def test_durations_are_seconds():
    settings = read(
        timeout=timedelta(minutes=2),
        retries={"num_retries": 3, "backoff": timedelta(seconds=0.5), "longest": timedelta(minutes=1)},
    )

    assert settings.timeout == 120
    assert settings.retries == Retries(count=3, backoff=0.5, longest=60.0)


def test_the_containers_security_context_wins_over_the_pods():
    settings = read(
        security_context=k8s.V1PodSecurityContext(run_as_user=1, run_as_group=2, fs_group=3),
        container_security_context=k8s.V1SecurityContext(
            run_as_user=4, privileged=True, allow_privilege_escalation=False
        ),
    )

    assert settings.security_context == SecurityContext(run_as_user=4, run_as_group=2)
    assert [lost.setting for lost in settings.inexpressible] == [
        "security_context.fs_group",
        "container_security_context.privileged",
    ]


def test_one_volume_may_be_mounted_at_several_paths():
    settings = read(
        volumes=[
            k8s.V1Volume(
                name="data",
                persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="mine"),
            )
        ],
        volume_mounts=[
            k8s.V1VolumeMount(name="data", mount_path="/raw", sub_path="raw"),
            k8s.V1VolumeMount(name="data", mount_path="/clean", sub_path="clean"),
        ],
    )

    assert [(volume.claim, volume.mount_path, volume.sub_path) for volume in settings.volumes] == [
        ("mine", "/raw", "raw"),
        ("mine", "/clean", "clean"),
    ]


INEXPRESSIBLE = {
    "runtime_class": "nvidia",
    "runtimeClassName": "nvidia",
    "priority_class": "high",
    "priorityClassName": "high",
    "schedulername": "volcano",
    "schedule": "@daily",
    "hostnetwork": True,
    "service_account_name": "runner",
    "automount_service_account_token": False,
    "env_from": [k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name="all"))],
    "configmaps": ["all"],
    "termination_grace_period": 0,
    "topology_spread_constraints": [{"maxSkew": 1}],
    "init_containers": [k8s.V1Container(name="first")],
    "liveness_probe": {"exec": {"command": ["true"]}},
    "dnspolicy": "ClusterFirst",
    "full_pod_spec": k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="pod")),
}


@pytest.mark.parametrize("name", INEXPRESSIBLE)
def test_what_kfp_cannot_express_is_kept_with_reason_and_advice(name):
    lost = read(**{name: INEXPRESSIBLE[name]}).inexpressible

    assert [found.setting for found in lost] == [name]
    assert lost[0].reason.endswith(".")
    assert lost[0].instead.endswith(".")


def inexpressible_places(**written):
    """Return the places of what KFP cannot express."""
    return [lost.setting for lost in read(**written).inexpressible]


def mounted(**volume):
    """Return one Kubernetes volume with a mount."""
    return {
        "volumes": [{"name": "v", **volume}],
        "volume_mounts": [{"name": "v", "mount_path": "/v"}],
    }


@pytest.mark.parametrize(
    ("written", "place"),
    [
        (mounted(host_path={"path": "/x"}), "volumes[0].host_path"),
        (mounted(nfs={"server": "s", "path": "/"}), "volumes[0].nfs"),
        (mounted(csi={"driver": "d"}), "volumes[0].csi"),
        (mounted(projected={"sources": [{}]}), "volumes[0].projected"),
        (mounted(secret={"secretName": "s", "items": [{"key": "k"}]}), "volumes[0].secret.items"),
        (mounted(config_map={"name": "s", "defaultMode": 256}), "volumes[0].config_map.defaultMode"),
        (
            mounted(persistent_volume_claim={"claim_name": "c", "read_only": True}),
            "volumes[0].persistent_volume_claim.read_only",
        ),
        (
            {"volumes": [{"volume_type": "hostPath", "name": "h", "mount_path": "/h"}]},
            "volumes[0].volume_type",
        ),
        (
            {
                "volumes": [
                    {
                        "volume_type": "empty_dir",
                        "name": "h",
                        "mount_path": "/h",
                        "read_only": True,
                        "spec": {},
                    }
                ]
            },
            "volumes[0].read_only",
        ),
        (
            {
                "volumes": [
                    {
                        "volume_type": "secret",
                        "name": "h",
                        "mount_path": "/h",
                        "sub_path": "a",
                        "spec": {"name": "s"},
                    }
                ]
            },
            "volumes[0].sub_path",
        ),
        ({"affinity": {"podAffinity": {"required": []}}}, "affinity.podAffinity"),
        (
            {
                "affinity": k8s.V1Affinity(
                    pod_anti_affinity=k8s.V1PodAntiAffinity(
                        preferred_during_scheduling_ignored_during_execution=[]
                    )
                )
            },
            "affinity.pod_anti_affinity",
        ),
        ({"resources": {"limits": {"ephemeral-storage": "1Gi"}}}, "resources.limits['ephemeral-storage']"),
        ({"resources": {"limits": {"hugepages-2Mi": "1Gi"}}}, "resources.limits['hugepages-2Mi']"),
        ({"resources": {"limits": {"a.com/x": 1, "b.com/y": 1}}}, "resources.limits['b.com/y']"),
        ({"resources": {"claims": [{"name": "c"}]}}, "resources.claims"),
        (
            {"envs": [{"name": "A", "value_from": {"resource_field_ref": {"resource": "limits.cpu"}}}]},
            "envs[0].value_from.resource_field_ref",
        ),
        ({"security_context": {"capabilities": {"add": ["ALL"]}}}, "security_context.capabilities"),
        ({"secrets": [{"name": "everything"}]}, "secrets[0]"),
    ],
)
def test_parts_that_kfp_cannot_express_are_named_where_they_stand(written, place):
    assert inexpressible_places(**written) == [place]


@pytest.mark.parametrize(
    "written",
    [
        {
            "runtime_class": None,
            "priority_class": "",
            "host_network": False,
            "env_from": [],
            "init_containers": [],
        },
        {"security_context": {"privileged": False, "capabilities": None}},
        {"volumes": [{"volume_type": "empty_dir", "name": "h", "mount_path": "/h", "read_only": False}]},
    ],
)
def test_what_a_pod_has_anyway_is_not_lost(written):
    assert inexpressible_places(**written) == []


CPU = PipelineArgument("cpu")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ({"node_selector": CPU}, lambda read: read.node_selector),
        ({"tolerations": CPU}, lambda read: read.tolerations[0]),
        ({"tolerations": [{"key": "a", "operator": "Exists"}, CPU]}, lambda read: read.tolerations[1]),
        ({"node_affinity": CPU}, lambda read: read.node_affinity[0]),
        ({"affinity": {"nodeAffinity": CPU}}, lambda read: read.node_affinity[0]),
        ({"resources": {"cpu": CPU}}, lambda read: read.resources.cpu_request),
        ({"resources": {"mem": {"limits": CPU}}}, lambda read: read.resources.memory_limit),
        ({"resources": {"gpu": CPU}}, lambda read: read.accelerator.count),
        ({"accelerator": {"type": CPU, "count": 1}}, lambda read: read.accelerator.type),
        ({"image_pull_secrets": [CPU]}, lambda read: read.image_pull_secrets[0]),
        ({"secrets": [{"name": CPU, "keys": {"k": "K"}}]}, lambda read: read.envs["K"].secret),
        ({"secrets": [{"name": CPU, "mount_path": "/s"}]}, lambda read: read.volumes[0].secret),
        ({"config_maps": [{"name": CPU, "keys": ["K"]}]}, lambda read: read.envs["K"].config_map),
        (
            {"envs": [{"name": "K", "value_from": {"secret_key_ref": {"name": CPU, "key": "k"}}}]},
            lambda read: read.envs["K"].secret,
        ),
        (
            {
                "volumes": [
                    {
                        "volume_type": "shared_volume",
                        "name": "d",
                        "mount_path": "/d",
                        "spec": {"claim_name": CPU},
                    }
                ]
            },
            lambda read: read.volumes[0].claim,
        ),
        (
            {
                "volumes": [
                    {"volume_type": "config_map", "name": "d", "mount_path": "/d", "spec": {"name": CPU}}
                ]
            },
            lambda read: read.volumes[0].config_map,
        ),
    ],
)
def test_a_run_time_value_stays_itself_where_kfp_takes_one(written, found):
    as_data = json.loads(json.dumps(written, default=lambda argument: {"argument": argument.name}))

    assert found(read(**written)) is CPU
    assert found(TaskSettings.read(as_data, references=lambda written: CPU)) is CPU
    assert found(TaskSettings.read(written, references=pytest.fail)) is CPU


def test_an_output_of_a_step_names_the_volume_that_it_mounts():
    def handler():
        with pipeline_context() as pc:
            made = pc.step(name="make_secret", function="make", outputs={"name": "Name"})
            pc.step(name="use", function="use", secrets=[{"name": made.outputs["Name"], "mountPath": "/s"}])

    volume = trace(handler).steps[1].settings.volumes[0]

    assert volume.name == "make-secret-name"
    assert volume.secret.key == "Name"


def test_a_label_that_looks_like_a_reference_is_a_label_in_python():
    assert read(node_selector={"argument": "x"}).node_selector == {"argument": "x"}


def test_the_client_of_kubernetes_is_not_imported():
    script = """
import sys
import airflow_kfp_runtime.dsl, airflow_kfp_runtime.project
assert not any(name.startswith("airflow_kfp_runtime.project.settings.") for name in sys.modules)
from airflow_kfp_runtime.project import TaskSettings
TaskSettings.read({"tolerations": [{"key": "a", "operator": "Exists"}]})
print(sorted(name for name in sys.modules if name.split(".")[0] in {"kubernetes", "airflow"}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
