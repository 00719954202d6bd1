"""Malformed settings: each is refused with the step, the place and the reason, and none is read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kubernetes import client as k8s

from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.dsl.references import PipelineArgument
from airflow_kfp_runtime.errors import SettingError, StepError
from airflow_kfp_runtime.project import TaskSettings
from tests.settings_strategies import task_settings

ARGUMENT = PipelineArgument("given")
LONG = "a" * 64


def volume(volume_type, spec=None, **more):
    """Return one volume as DigitalHub has it, as the only setting."""
    given = {"volume_type": volume_type, "name": "v", "mount_path": "/v", "spec": spec or {}, **more}
    return {"volumes": [{name: part for name, part in given.items() if part is not ...}]}


def kubernetes(source, mount=None, **more):
    """Return one volume as Kubernetes has it, with its mount."""
    return {
        "volumes": [{"name": "v", **source}],
        "volume_mounts": [{"name": "v", "mount_path": "/v"} if mount is None else mount],
        **more,
    }


def claim(**spec):
    """Return a volume with a claim."""
    return volume("persistent_volume_claim", spec)


def required(*terms):
    """Return a node affinity with required terms."""
    return {
        "affinity": {
            "node_affinity": {
                "required_during_scheduling_ignored_during_execution": {"node_selector_terms": list(terms)}
            }
        }
    }


def preferred(*terms):
    """Return a node affinity with preferences."""
    return {"node_affinity": {"preferredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def condition(**parts):
    """Return a term with one condition."""
    return {"match_expressions": [{"key": "zone", "operator": "In", "values": ["a"]} | parts]}


IN_REQUIRED = (
    "affinity.node_affinity.required_during_scheduling_ignored_during_execution.node_selector_terms[0]"
)
IN_PREFERRED = "node_affinity.preferredDuringSchedulingIgnoredDuringExecution[0]"

MALFORMED = [
    # Unknown settings are told from what was probably meant.
    ({"resorces": {}}, "resorces", "resources"),
    ({"node_seletor": {}}, "node_seletor", "node_selector"),
    ({"nodeSeletor": {}}, "nodeSeletor", "node_selector"),
    ({"toleration": []}, "toleration", "tolerations"),
    ({"secret": []}, "secret", "secrets"),
    ({"volume": []}, "volume", "volumes"),
    ({"anotations": {}}, "anotations", "annotations"),
    ({"retry": 1}, "retry", "retries"),
    ({"timeouts": 1}, "timeouts", "timeout"),
    ({"cmds": []}, "cmds", "unknown"),
    ({"namespace": "x"}, "namespace", "unknown"),
    ({"runtime_clas": "x"}, "runtime_clas", "runtime_class"),
    ({"runtime_class": ARGUMENT, "x": 1}, "x", "unknown"),
    # Both spellings of one setting.
    ({"env": {}, "envs": []}, "envs", "says the same as env"),
    ({"envs": [], "env_vars": []}, "env_vars", "says the same as envs"),
    ({"node_selector": {}, "nodeSelector": {}}, "nodeSelector", "says the same as node_selector"),
    ({"resources": {}, "container_resources": {}}, "container_resources", "says the same as resources"),
    ({"timeout": 1, "active_deadline_seconds": 1}, "active_deadline_seconds", "says the same as timeout"),
    ({"caching": True, "enable_caching": True}, "enable_caching", "says the same as caching"),
    ({"imagePullPolicy": "Always", "image_pull_policy": "Always"}, "image_pull_policy", "imagePullPolicy"),
    ({"resources": {"mem": "1Gi", "memory": "1Gi"}}, "resources.memory", "says the same as resources.mem"),
    ({"resources": {"cpu": 1, "requests": {"cpu": 1}}}, "resources.requests.cpu", "resources.cpu"),
    ({"resources": {"cpu": 1, "cpu_request": 1}}, "resources.cpu_request", "says the same as resources.cpu"),
    ({"resources": {"cpu_limit": 1, "cpuLimit": 1}}, "resources.cpuLimit", "resources.cpu_limit"),
    ({"resources": {"limits": {"cpu": 1}, "cpu_limit": 1}}, "resources.cpu_limit", "resources.limits.cpu"),
    ({"resources": {"gpu": 1, "nvidia.com/gpu": 1}}, "resources.gpu", "resources['nvidia.com/gpu']"),
    (
        {"resources": {"gpu": 1}, "accelerator": {"type": "nvidia.com/gpu"}},
        "accelerator",
        "says the same as resources.gpu",
    ),
    (
        {"affinity": {"node_affinity": {}}, "node_affinity": []},
        "node_affinity",
        "says the same as affinity.node_affinity",
    ),
    (claim(claim_name="a", claimName="a"), "volumes[0].spec.claimName", "volumes[0].spec.claim_name"),
    (
        claim(size="1Gi", storage_class="a", storageClassName="a"),
        "volumes[0].spec.storageClassName",
        "volumes[0].spec.storage_class",
    ),
    (
        volume("empty_dir", {"sizeLimit": "1Gi", "size_limit": "1Gi"}),
        "volumes[0].spec.size_limit",
        "volumes[0].spec.sizeLimit",
    ),
    (
        volume("secret", {"secretName": "a", "name": "a"}),
        "volumes[0].spec.name",
        "volumes[0].spec.secretName",
    ),
    (volume("empty_dir", mountPath="/w"), "volumes[0].mountPath", "volumes[0].mount_path"),
    (
        {
            "tolerations": [
                {"key": "a", "effect": "NoExecute", "tolerationSeconds": 1, "toleration_seconds": 1}
            ]
        },
        "tolerations[0].toleration_seconds",
        "tolerations[0].tolerationSeconds",
    ),
    ({"security_context": {"runAsUser": 1, "run_as_user": 1}}, "security_context.run_as_user", "runAsUser"),
    ({"retries": {"count": 1, "numRetries": 1}}, "retries.numRetries", "says the same as retries.count"),
    # Quantities.
    *[
        ({"resources": {"cpu": quantity}}, "resources.cpu", word)
        for quantity, word in [
            (-1, "not more than zero"),
            (0, "not more than zero"),
            ("-500m", "not more than zero"),
            ("1GB", "not a quantity"),
            ("1 Gi", "not a quantity"),
            ("one", "not a quantity"),
            ("", "not a quantity"),
            ("1K", "not a quantity"),
            (True, "True"),
            (float("nan"), "nan"),
            (float("inf"), "inf"),
            ([1], "a list"),
            (b"1", "bytes"),
        ]
    ],
    ({"resources": {"mem": "1gb"}}, "resources.mem", "not a quantity"),
    ({"resources": {"mem": "2"}}, "resources.mem", "as it counts bytes: did you mean 2Gi or 2Mi?"),
    ({"resources": {"mem": 512}}, "resources.mem", "'512' is below 1Ki, as it counts bytes"),
    (
        {"resources": {"limits": {"memory": "500m"}}},
        "resources.limits.memory",
        "'500m' is below 1Ki, as it counts thousandths of a byte: did you mean 500Mi?",
    ),
    ({"resources": {"mem": {"limits": "0.5k"}}}, "resources.mem.limits", "a unit such as Mi or Gi?"),
    ({"resources": {"mem": {"requests": "1Xi"}}}, "resources.mem.requests", "not a quantity"),
    ({"resources": {"memory": {"limits": False}}}, "resources.memory.limits", "False"),
    ({"resources": {"limits": {"memory": "lots"}}}, "resources.limits.memory", "not a quantity"),
    ({"resources": {"requests": {"cpu": -2}}}, "resources.requests.cpu", "not more than zero"),
    ({"resources": {"cpu": {"requests": 2, "limits": 1}}}, "resources", "below the request"),
    ({"resources": {"mem": {"requests": "1Gi", "limits": "1G"}}}, "resources", "memory limit"),
    ({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "999m"}}}, "resources", "cpu limit"),
    ({"resources": {"cpu_request": "1", "cpu_limit": "0.5"}}, "resources", "below the request"),
    (
        {"container_resources": k8s.V1ResourceRequirements(requests={"cpu": "2"}, limits={"cpu": "1"})},
        "container_resources",
        "below the request",
    ),
    ({"resources": "1Gi"}, "resources", "a mapping"),
    ({"resources": []}, "resources", "a mapping"),
    ({"resources": {"cpus": 1}}, "resources.cpus", "cpu"),
    ({"resources": {"cpu": {}}}, "resources.cpu", "neither requests nor limits"),
    (
        {"resources": {"cpu": {"request": 1, "requests": 1}}},
        "resources.cpu.requests",
        "resources.cpu.request",
    ),
    ({"resources": {"cpu": {"minimum": 1}}}, "resources.cpu.minimum", "unknown"),
    ({"resources": {"requests": 1}}, "resources.requests", "a mapping"),
    ({"resources": {"requests": {"cores": 1}}}, "resources.requests.cores", "unknown"),
    ({"resources": {1: 1}}, "resources", "the key 1"),
    # Accelerators.
    ({"resources": {"gpu": "0.5"}}, "resources.gpu", "whole number"),
    ({"resources": {"gpu": 0.5}}, "resources.gpu", "whole number"),
    ({"resources": {"gpu": -1}}, "resources.gpu", "less than 0"),
    ({"resources": {"gpu": True}}, "resources.gpu", "True"),
    ({"resources": {"gpu": "one"}}, "resources.gpu", "not a quantity"),
    ({"resources": {"gpu": {"requests": 1}}}, "resources.gpu.requests", "without a limit"),
    (
        {"resources": {"gpu": {"requests": 1, "limits": 2}}},
        "resources.gpu.requests",
        "not equal to the limit",
    ),
    ({"resources": {"requests": {"amd.com/gpu": 1}}}, "resources.requests['amd.com/gpu']", "without a limit"),
    ({"resources": {"a b/gpu": 1}}, "resources['a b/gpu']", "not a key"),
    ({"accelerator": "nvidia.com/gpu"}, "accelerator", "a mapping"),
    ({"accelerator": 1}, "accelerator", "a mapping"),
    ({"accelerator": {}}, "accelerator", "has no type"),
    ({"accelerator": {"count": 1}}, "accelerator", "has no type"),
    ({"accelerator": {"type": "", "count": 1}}, "accelerator.type", "not a key"),
    ({"accelerator": {"type": 5}}, "accelerator.type", "not a text"),
    ({"accelerator": {"type": "nvidia.com/gpu", "count": -1}}, "accelerator.count", "less than 0"),
    ({"accelerator": {"type": "nvidia.com/gpu", "count": True}}, "accelerator.count", "True"),
    ({"accelerator": {"type": "nvidia.com/gpu", "count": 1.5}}, "accelerator.count", "whole number"),
    ({"accelerator": {"type": "nvidia.com/gpu", "counts": 1}}, "accelerator.counts", "count"),
    # Node selectors.
    ({"node_selector": "ssd"}, "node_selector", "a mapping"),
    ({"node_selector": {"a b": "c"}}, "node_selector['a b']", "not a key"),
    ({"node_selector": {"a": "b c"}}, "node_selector.a", "value of a label"),
    ({"node_selector": {"a": True}}, "node_selector.a", "put it in quotes"),
    ({"node_selector": {"a": 5}}, "node_selector.a", "put it in quotes"),
    ({"node_selector": {5: "a"}}, "node_selector", "the key 5"),
    ({"node_selector": {"a": ARGUMENT}}, "node_selector.a", "while the pipeline runs"),
    ({"node_selector": [{"key": "a"}]}, "node_selector[0]", "has no value"),
    ({"node_selector": [{"value": "a"}]}, "node_selector[0]", "has no key"),
    ({"node_selector": [{"key": 1, "value": "a"}]}, "node_selector[0].key", "a text"),
    ({"node_selector": ["ssd"]}, "node_selector[0]", "a mapping"),
    (
        {"node_selector": [{"key": "a", "value": "b", "operator": "In"}]},
        "node_selector[0].operator",
        "unknown",
    ),
    (
        {"node_selector": [{"key": "a", "value": "b"}, {"key": "a", "value": "c"}]},
        "node_selector[1].key",
        "selected twice",
    ),
    # Tolerations.
    ({"tolerations": {}}, "tolerations", "a list"),
    ({"tolerations": "gpu"}, "tolerations", "a list"),
    ({"tolerations": ["gpu"]}, "tolerations[0]", "a mapping"),
    ({"tolerations": [{}]}, "tolerations[0]", "has no key"),
    ({"tolerations": [{"key": "a", "operator": "In"}]}, "tolerations[0].operator", "'Equal' or 'Exists'"),
    ({"tolerations": [{"key": "a", "operator": "exists"}]}, "tolerations[0].operator", "'exists'"),
    ({"tolerations": [{"key": "a", "effect": "NoRun"}]}, "tolerations[0].effect", "NoSchedule"),
    ({"tolerations": [{"key": "a b", "operator": "Exists"}]}, "tolerations[0].key", "not a key"),
    ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "tolerations[0]", "has a value"),
    ({"tolerations": [{"operator": "Equal", "value": "b"}]}, "tolerations[0]", "has no key"),
    ({"tolerations": [{"key": "a", "tolerationSeconds": 1}]}, "tolerations[0]", "NoExecute"),
    (
        {"tolerations": [{"key": "a", "effect": "NoExecute", "toleration_seconds": "1"}]},
        "tolerations[0].toleration_seconds",
        "whole number",
    ),
    (
        {"tolerations": [{"key": "a", "effect": "NoExecute", "tolerationSeconds": True}]},
        "tolerations[0].tolerationSeconds",
        "True",
    ),
    ({"tolerations": [{"key": "a", "effects": "NoExecute"}]}, "tolerations[0].effects", "effect"),
    ({"tolerations": [{"key": ARGUMENT}]}, "tolerations[0].key", "while the pipeline runs"),
    ({"tolerations": [k8s.V1Toleration(key="a", operator="Is")]}, "tolerations[0].operator", "'Is'"),
    ({"tolerations": [k8s.V1Volume(name="v")]}, "tolerations[0].name", "unknown"),
    # Affinity.
    ({"affinity": []}, "affinity", "a mapping"),
    ({"affinity": ARGUMENT}, "affinity", "for node_affinity alone"),
    ({"affinity": {"nodes": {}}}, "affinity.nodes", "unknown"),
    ({"affinity": {"node_affinity": "a"}}, "affinity.node_affinity", "a mapping"),
    ({"affinity": {"node_affinity": {"required": []}}}, "affinity.node_affinity.required", "unknown"),
    (required(), IN_REQUIRED.rpartition(".")[0], "has no node_selector_terms"),
    (required({}), IN_REQUIRED, "neither match_expressions nor match_fields"),
    (required("a"), IN_REQUIRED, "a mapping"),
    (required({"match": []}), f"{IN_REQUIRED}.match", "unknown"),
    (required({"match_expressions": {}}), f"{IN_REQUIRED}.match_expressions", "a list"),
    (required(condition(operator="Is")), f"{IN_REQUIRED}.match_expressions[0].operator", "'Is'"),
    (required(condition(key="a b")), f"{IN_REQUIRED}.match_expressions[0].key", "not a key"),
    (required(condition(values=[])), f"{IN_REQUIRED}.match_expressions[0]", "has no values"),
    (required(condition(values="a")), f"{IN_REQUIRED}.match_expressions[0].values", "a list"),
    (required(condition(values=[1])), f"{IN_REQUIRED}.match_expressions[0].values[0]", "not a text"),
    (required(condition(operator="Exists")), f"{IN_REQUIRED}.match_expressions[0]", "cannot have"),
    (required(condition(operator="Gt")), f"{IN_REQUIRED}.match_expressions[0]", "one whole number"),
    (
        required(condition(operator="Lt", values=["1", "2"])),
        f"{IN_REQUIRED}.match_expressions[0]",
        "one whole",
    ),
    (preferred(condition()), f"{IN_PREFERRED}.match_expressions", "unknown"),
    (preferred({"preference": condition()}), IN_PREFERRED, "has no weight"),
    (preferred({"weight": 1}), IN_PREFERRED, "has no preference"),
    (preferred({"weight": 0, "preference": condition()}), f"{IN_PREFERRED}.weight", "less than 1"),
    (preferred({"weight": 101, "preference": condition()}), f"{IN_PREFERRED}.weight", "more than 100"),
    (preferred({"weight": "1", "preference": condition()}), f"{IN_PREFERRED}.weight", "whole number"),
    ({"node_affinity": [{"weight": 1}]}, "node_affinity[0]", "neither match_expressions"),
    ({"node_affinity": ["a"]}, "node_affinity[0]", "a mapping"),
    # Environment variables.
    ({"envs": "A=b"}, "envs", "a mapping"),
    ({"envs": ["A=b"]}, "envs[0]", "a mapping"),
    ({"envs": [{"value": "b"}]}, "envs[0]", "has no name"),
    ({"envs": [{"name": 1, "value": "b"}]}, "envs[0].name", "a text"),
    ({"envs": [{"name": "", "value": "b"}]}, "envs[0].name", "name of an environment variable"),
    ({"envs": [{"name": "1A", "value": "b"}]}, "envs[0].name", "name of an environment variable"),
    ({"envs": [{"name": "A B", "value": "b"}]}, "envs[0].name", "name of an environment variable"),
    ({"env": {"A=B": "b"}}, "env['A=B']", "name of an environment variable"),
    ({"envs": [{"name": "A", "value": 5}]}, "envs[0].value", "put it in quotes"),
    ({"envs": [{"name": "A", "value": True}]}, "envs[0].value", "put it in quotes"),
    ({"env": {"A": 1.5}}, "env.A", "put it in quotes"),
    ({"env": {"A": None, "A ": "b"}}, "env.A", "NoneType"),
    ({"env": {"A": ["b"]}}, "env.A", "list"),
    ({"envs": [{"name": "A", "value": ARGUMENT}]}, "envs[0].value", "while the pipeline runs"),
    ({"env": {"A": f"{ARGUMENT}/x"}}, "env.A", "inside a text"),
    ({"envs": [{"name": "A", "values": "b"}]}, "envs[0].values", "value"),
    ({"envs": [{"name": "A", "value": "a"}, {"name": "A", "value": "b"}]}, "envs[1].name", "sets already"),
    ({"envs": [{"name": "A", "value": "a"}], "secrets": ["A"]}, "secrets[0]", "envs[0].name sets already"),
    ({"env": {"A": "a"}, "field_paths": {"A": "metadata.name"}}, "field_paths.A", "env.A sets already"),
    ({"envs": [{"name": "A", "value": "a", "value_from": {}}]}, "envs[0]", "a value and a value_from"),
    ({"envs": [{"name": "A", "value_from": {}}]}, "envs[0].value_from", "exactly one source"),
    ({"envs": [{"name": "A", "value_from": "secret"}]}, "envs[0].value_from", "a mapping"),
    (
        {"envs": [{"name": "A", "value_from": {"secret_key_ref": {"key": "k"}}}]},
        "envs[0].value_from.secret_key_ref",
        "has no name",
    ),
    (
        {"envs": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "n"}}}]},
        "envs[0].valueFrom.secretKeyRef",
        "has no key",
    ),
    (
        {"envs": [{"name": "A", "value_from": {"secret_key_ref": {"name": "N_N", "key": "k"}}}]},
        "envs[0].value_from.secret_key_ref.name",
        "name of a Kubernetes object",
    ),
    (
        {"envs": [{"name": "A", "value_from": {"secret_key_ref": {"name": "n", "key": "k/k"}}}]},
        "envs[0].value_from.secret_key_ref.key",
        "key of a secret",
    ),
    (
        {
            "envs": [
                {"name": "A", "value_from": {"config_map_key_ref": {"name": "n", "key": "k", "optional": 1}}}
            ]
        },
        "envs[0].value_from.config_map_key_ref.optional",
        "true or false",
    ),
    (
        {"envs": [{"name": "A", "value_from": {"field_ref": {"field_path": "spec.image"}}}]},
        "envs[0].value_from.field_ref.field_path",
        "not a field",
    ),
    (
        {"envs": [{"name": "A", "value_from": {"field_ref": {}}}]},
        "envs[0].value_from.field_ref",
        "field_path",
    ),
    (
        {"envs": [{"name": "A", "value_from": {"secret_ref": {}}}]},
        "envs[0].value_from.secret_ref",
        "secret_key",
    ),
    (
        {
            "env_vars": [
                k8s.V1EnvVar(
                    name="A",
                    value_from=k8s.V1EnvVarSource(
                        secret_key_ref=k8s.V1SecretKeySelector(name="n", key="k"),
                        field_ref=k8s.V1ObjectFieldSelector(field_path="metadata.name"),
                    ),
                )
            ]
        },
        "env_vars[0].value_from",
        "exactly one source",
    ),
    ({"field_paths": ["metadata.name"]}, "field_paths", "a mapping"),
    ({"field_paths": {"A": "metadata.names"}}, "field_paths.A", "not a field"),
    ({"field_paths": {"A": 1}}, "field_paths.A", "not a text"),
    ({"field_paths": {"A B": "metadata.name"}}, "field_paths['A B']", "environment variable"),
    # Secrets and config maps.
    ({"secrets": "KEY"}, "secrets", "a list"),
    ({"secrets": {"name": "hub"}}, "secrets", "a list"),
    ({"secrets": [1]}, "secrets[0]", "a mapping"),
    ({"secrets": ["1A"]}, "secrets[0]", "environment variable"),
    ({"secrets": ["A", "A"]}, "secrets[1]", "sets already"),
    ({"secrets": [ARGUMENT]}, "secrets[0]", "while the pipeline runs"),
    ({"secrets": [{"mount_path": "/s"}]}, "secrets[0]", "has no name"),
    ({"secrets": [{}]}, "secrets[0]", "has no name"),
    ({"secrets": [{"name": "Hub", "keys": ["A"]}]}, "secrets[0].name", "name of a Kubernetes object"),
    ({"secrets": [{"name": "", "keys": ["A"]}]}, "secrets[0].name", "name of a Kubernetes object"),
    ({"secrets": [{"name": "hub", "keys": "A"}]}, "secrets[0].keys", "a mapping"),
    ({"secrets": [{"name": "hub", "keys": [1]}]}, "secrets[0].keys[0]", "a text"),
    ({"secrets": [{"name": "hub", "keys": {"a": 1}}]}, "secrets[0].keys.a", "environment variable"),
    ({"secrets": [{"name": "hub", "keys": {"a": "1A"}}]}, "secrets[0].keys.a", "environment variable"),
    ({"secrets": [{"name": "hub", "keys": {"a/b": "A"}}]}, "secrets[0].keys['a/b']", "key of a secret"),
    (
        {"secrets": [{"name": "hub", "keys": ["A"], "optional": "yes"}]},
        "secrets[0].optional",
        "true or false",
    ),
    ({"secrets": [{"name": "hub", "mount_path": "keys"}]}, "secrets[0].mount_path", "absolute path"),
    ({"secrets": [{"name": "hub.v1", "mount_path": "/keys"}]}, "secrets[0].name", "at most 63"),
    ({"secrets": [{"name": "hub", "key": "A"}]}, "secrets[0].key", "keys"),
    ({"config_maps": ["tuning"]}, "config_maps[0]", "a mapping"),
    ({"config_maps": [{"keys": ["A"]}]}, "config_maps[0]", "has no name"),
    ({"config_maps": [{"name": 1, "keys": ["A"]}]}, "config_maps[0].name", "not a text"),
    ({"config_maps": [{"name": "a", "mount_path": "/a/../b"}]}, "config_maps[0].mount_path", "'..'"),
    ({"image_pull_secrets": "registry"}, "image_pull_secrets", "a list"),
    ({"image_pull_secrets": [{}]}, "image_pull_secrets[0]", "has no name"),
    ({"image_pull_secrets": [1]}, "image_pull_secrets[0]", "not a text"),
    ({"image_pull_secrets": ["Registry"]}, "image_pull_secrets[0]", "name of a Kubernetes object"),
    ({"image_pull_secrets": [{"secret": "a"}]}, "image_pull_secrets[0].secret", "unknown"),
    (
        {"image_pull_secrets": [k8s.V1LocalObjectReference(name="A_B")]},
        "image_pull_secrets[0].name",
        "name of a Kubernetes object",
    ),
    # Labels and annotations.
    ({"labels": ["a"]}, "labels", "a mapping"),
    ({"labels": {"": "b"}}, "labels['']", "not a key"),
    ({"labels": {"-a": "b"}}, "labels['-a']", "not a key"),
    ({"labels": {"A.org/": "b"}}, "labels['A.org/']", "not a key"),
    ({"labels": {"A.org/a": "b"}}, "labels['A.org/a']", "not a domain"),
    ({"labels": {"a/b/c": "d"}}, "labels['a/b/c']", "not a key"),
    ({"labels": {LONG: "b"}}, f"labels.{LONG}", "63"),
    ({"labels": {"a": LONG}}, "labels.a", "63"),
    ({"labels": {"a": "b c"}}, "labels.a", "value of a label"),
    ({"labels": {"a": "-"}}, "labels.a", "value of a label"),
    ({"labels": {"a": True}}, "labels.a", "put it in quotes"),
    ({"labels": {"a": None}}, "labels.a", "nothing"),
    ({"labels": {"a": ARGUMENT}}, "labels.a", "while the pipeline runs"),
    ({"annotations": {"a b": "c"}}, "annotations['a b']", "not a key"),
    ({"annotations": {"a": 1}}, "annotations.a", "put it in quotes"),
    ({"annotations": {"a": f"x{ARGUMENT}"}}, "annotations.a", "inside a text"),
    # Volumes.
    ({"volumes": {}}, "volumes", "a list"),
    ({"volumes": ["data"]}, "volumes[0]", "a mapping"),
    ({"volumes": [ARGUMENT]}, "volumes[0]", "while the pipeline runs"),
    (volume("disk"), "volumes[0].volume_type", "not a type of volume"),
    (volume("persistent_volume"), "volumes[0].volume_type", "persistent_volume_claim"),
    (volume(1), "volumes[0].volume_type", "a text"),
    (volume("empty_dir", name=...), "volumes[0]", "has no name"),
    (volume("empty_dir", mount_path=...), "volumes[0]", "has no mount_path"),
    (volume("empty_dir", name="A"), "volumes[0].name", "lower-case"),
    (volume("empty_dir", name="a.b"), "volumes[0].name", "lower-case"),
    (volume("empty_dir", name=LONG), "volumes[0].name", "63"),
    (volume("empty_dir", name=""), "volumes[0].name", "not a name"),
    (volume("empty_dir", name=1), "volumes[0].name", "not a text"),
    (volume("empty_dir", name=ARGUMENT), "volumes[0].name", "while the pipeline runs"),
    (volume("empty_dir", mount_path="data"), "volumes[0].mount_path", "absolute path"),
    (volume("empty_dir", mount_path="./data"), "volumes[0].mount_path", "absolute path"),
    (volume("empty_dir", mount_path="/a/../b"), "volumes[0].mount_path", "'..'"),
    (volume("empty_dir", mount_path="/.."), "volumes[0].mount_path", "'..'"),
    (volume("empty_dir", mount_path="/"), "volumes[0].mount_path", "whole file system"),
    (volume("empty_dir", mount_path="/a:/b"), "volumes[0].mount_path", "cannot have"),
    (volume("empty_dir", mount_path=""), "volumes[0].mount_path", "absolute path"),
    (volume("empty_dir", mount_path=5), "volumes[0].mount_path", "not a text"),
    (volume("empty_dir", path="/x"), "volumes[0].path", "mount_path"),
    (volume("empty_dir", {"size": "1Gi"}), "volumes[0].spec.size", "size_limit"),
    (volume("empty_dir", {"medium": "RAM"}), "volumes[0].spec.medium", "not a medium"),
    (volume("empty_dir", {"size_limit": "1GB"}), "volumes[0].spec.size_limit", "not a quantity"),
    (volume("empty_dir", {"size_limit": "0"}), "volumes[0].spec.size_limit", "more than zero"),
    (volume("empty_dir", ["a"]), "volumes[0].spec", "a mapping"),
    (volume("ephemeral"), "volumes[0]", "has no size"),
    (volume("ephemeral", {"size": "-1Gi"}), "volumes[0].spec.size", "more than zero"),
    (volume("ephemeral", {"size": "1Gi", "access_modes": []}), "volumes[0].spec.access_modes", "empty"),
    (
        volume("ephemeral", {"size": "1Gi", "access_modes": "ReadWriteOnce"}),
        "volumes[0].spec.access_modes",
        "list",
    ),
    (
        volume("ephemeral", {"size": "1Gi", "access_modes": ["RWO"]}),
        "volumes[0].spec.access_modes[0]",
        "'RWO'",
    ),
    (volume("ephemeral", {"size": "1Gi", "labels": {"a": 1}}), "volumes[0].spec.labels.a", "quotes"),
    (volume("secret"), "volumes[0].spec", "has no name"),
    (volume("secret", {"secret_name": "A"}), "volumes[0].spec.secret_name", "lower-case"),
    (volume("secret", {"name": "a", "optional": "no"}), "volumes[0].spec.optional", "true or false"),
    (volume("secret", {"claim_name": "a"}), "volumes[0].spec.claim_name", "unknown"),
    (volume("config_map", {"name": "a.b"}), "volumes[0].spec.name", "63"),
    (volume("config_map", {"secretName": "a"}), "volumes[0].spec.secretName", "unknown"),
    (claim(claim_name="A"), "volumes[0].spec.claim_name", "lower-case"),
    (claim(claim_name=1), "volumes[0].spec.claim_name", "not a text"),
    (claim(claim_name="a", storage_class="fast"), "volumes[0].spec.storage_class", "needs a size"),
    (claim(claim_name="a", shared=False), "volumes[0].spec.shared", "needs a size"),
    (claim(size="10 Gi"), "volumes[0].spec.size", "not a quantity"),
    (claim(size=True), "volumes[0].spec.size", "True"),
    (claim(size=ARGUMENT), "volumes[0].spec.size", "while the pipeline runs"),
    (claim(size="1Gi", claim_name=ARGUMENT), "volumes[0].spec.claim_name", "while the pipeline runs"),
    (claim(size="1Gi", access_modes=["ReadWrite"]), "volumes[0].spec.access_modes[0]", "ReadWriteOnce"),
    (claim(size="1Gi", storage_class="Fast"), "volumes[0].spec.storage_class", "Kubernetes object"),
    (claim(size="1Gi", shared="yes"), "volumes[0].spec.shared", "true or false"),
    (claim(size="1Gi", annotations={"a": 1}), "volumes[0].spec.annotations.a", "quotes"),
    (claim(size="1Gi", data_source={"name": "a"}), "volumes[0].spec.data_source", "has no kind"),
    (claim(size="1Gi", sizes="1Gi"), "volumes[0].spec.sizes", "size"),
    (
        volume("persistent_volume_claim", {"size": "1Gi"}, sub_path="a"),
        "volumes[0].sub_path",
        "has no sub path",
    ),
    (volume("shared_volume", {}, sub_path="/a"), "volumes[0].sub_path", "relative path"),
    (volume("shared_volume", {}, sub_path="../a"), "volumes[0].sub_path", "'..'"),
    (volume("shared_volume", {}, sub_path=""), "volumes[0].sub_path", "relative path"),
    (
        {"volumes": volume("empty_dir")["volumes"] + volume("empty_dir", name="w")["volumes"]},
        "volumes[1]",
        "mount path of volume 'v' already",
    ),
    (
        {
            "volumes": volume("empty_dir")["volumes"]
            + volume("empty_dir", name="w", mount_path="/v/")["volumes"]
        },
        "volumes[1]",
        "mount path of volume 'v' already",
    ),
    (
        {"volumes": volume("empty_dir")["volumes"] + volume("shared_volume", mount_path="/w")["volumes"]},
        "volumes[1]",
        "name of another volume",
    ),
    (
        {
            "volumes": volume("shared_volume", {"claim_name": "same"})["volumes"],
            "secrets": [{"name": "same", "mount_path": "/w"}],
        },
        "secrets[0]",
        "name of another volume",
    ),
    ({"volumes": [{"name": "v", "empty_dir": {}}]}, "volumes[0]", "neither a volume_type nor a mount"),
    ({"volumes": [{"empty_dir": {}}]}, "volumes[0]", "has no name"),
    ({"volume_mounts": [{"name": "v", "mount_path": "/v"}]}, "volume_mounts[0]", "not one of the volumes"),
    (kubernetes({}), "volumes[0]", "exactly one source"),
    (kubernetes({"empty_dir": {}, "secret": {"secret_name": "s"}}), "volumes[0]", "exactly one source"),
    (kubernetes({"emptyDirs": {}}), "volumes[0].emptyDirs", "empty_dir"),
    (kubernetes({"empty_dir": {}}, {"name": "v"}), "volume_mounts[0]", "has no mount_path"),
    (kubernetes({"empty_dir": {}}, {"mount_path": "/v"}), "volume_mounts[0]", "has no name"),
    (
        kubernetes({"empty_dir": {}}, {"name": "v", "mount_path": "v"}),
        "volume_mounts[0].mount_path",
        "absolute",
    ),
    (kubernetes({"empty_dir": {}}, {"name": "w", "mount_path": "/v"}), "volumes[0]", "nor a mount"),
    (kubernetes({"empty_dir": {}}, {"name": "v", "path": "/v"}), "volume_mounts[0].path", "mount_path"),
    (kubernetes({"secret": {"optional": True}}), "volumes[0].secret", "has no name"),
    (kubernetes({"persistent_volume_claim": "mine"}), "volumes[0].persistent_volume_claim", "a mapping"),
    (
        kubernetes({"ephemeral": {"volume_claim_template": {}}}),
        "volumes[0].ephemeral.volume_claim_template",
        "spec",
    ),
    (
        {
            "volumes": [k8s.V1Volume(name="v", empty_dir=k8s.V1EmptyDirVolumeSource(size_limit="big"))],
            "volume_mounts": [k8s.V1VolumeMount(name="v", mount_path="/v")],
        },
        "volumes[0].empty_dir.size_limit",
        "not a quantity",
    ),
    # Timeout, retries, caching.
    *[
        ({"timeout": value}, "timeout", word)
        for value, word in [
            (-1, "less than 1"),
            (0, "less than 1"),
            ("60", "whole number"),
            (1.5, "whole number"),
            (True, "True"),
            (timedelta(seconds=1.5), "whole number of seconds"),
            (timedelta(), "less than 1"),
            ([60], "whole number"),
            (ARGUMENT, "while the pipeline runs"),
        ]
    ],
    ({"retries": -1}, "retries", "less than 0"),
    ({"retries": "3"}, "retries", "whole number"),
    ({"timeout": "3600"}, "timeout", "unless the DAG has render_template_as_native_obj=True"),
    ({"caching": "False"}, "caching", "unless the DAG has render_template_as_native_obj=True"),
    (
        {"retries": {"count": 1, "backoff": "2.5"}},
        "retries.backoff",
        "is the text '2.5', not a number: write it without quotes",
    ),
    ({"retries": True}, "retries", "True"),
    ({"retries": 1.5}, "retries", "whole number"),
    ({"retries": ARGUMENT}, "retries", "while the pipeline runs"),
    ({"retries": {}}, "retries", "has no count"),
    ({"retries": {"backoff": 1}}, "retries", "has no count"),
    ({"retries": {"count": 1, "backoff": -1}}, "retries.backoff", "less than 0"),
    ({"retries": {"count": 1, "backoff": "30s"}}, "retries.backoff", "a number"),
    ({"retries": {"count": 1, "backoff": True}}, "retries.backoff", "True"),
    ({"retries": {"count": 1, "backoff": float("nan")}}, "retries.backoff", "nan"),
    ({"retries": {"count": 1, "factor": 0.5}}, "retries.factor", "less than 1"),
    ({"retries": {"count": 1, "longest": 0}}, "retries.longest", "not more than 0"),
    ({"retries": {"count": 1, "maximum": 1}}, "retries.maximum", "unknown"),
    ({"caching": "yes"}, "caching", "true or false"),
    ({"caching": 1}, "caching", "true or false"),
    # Images.
    ({"image": ""}, "image", "not the reference of an image"),
    ({"image": "a b"}, "image", "not the reference of an image"),
    ({"image": 1}, "image", "not a text"),
    ({"image": ARGUMENT}, "image", "while the pipeline runs"),
    ({"image_pull_policy": "always"}, "image_pull_policy", "'Always'"),
    ({"image_pull_policy": True}, "image_pull_policy", "True"),
    ({"imagePullPolicy": ["Always"]}, "imagePullPolicy", "not allowed"),
    # Security context, workspace, profile.
    ({"security_context": "root"}, "security_context", "a mapping"),
    ({"security_context": {"run_as_user": -1}}, "security_context.run_as_user", "less than 0"),
    ({"security_context": {"run_as_user": "1000"}}, "security_context.run_as_user", "whole number"),
    ({"security_context": {"run_as_user": True}}, "security_context.run_as_user", "True"),
    ({"security_context": {"run_as_group": 1.5}}, "security_context.run_as_group", "whole number"),
    ({"security_context": {"run_as_non_root": "yes"}}, "security_context.run_as_non_root", "true or false"),
    ({"security_context": {"run_as_root": True}}, "security_context.run_as_root", "run_as_non_root"),
    ({"security_context": {"run_as_user": 0, "run_as_non_root": True}}, "security_context", "user 0"),
    ({"workspace": "1Gi"}, "workspace", "whole pipeline"),
    ({"profile": ""}, "profile", "empty"),
    ({"profile": 1}, "profile", "not a text"),
    ({"profile": ["a"]}, "profile", "not a text"),
]


def test_the_table_is_as_long_as_promised():
    assert len(MALFORMED) >= 200


@pytest.mark.parametrize(
    ("written", "place", "word"), MALFORMED, ids=[f"{place}-{word}" for _, place, word in MALFORMED]
)
def test_a_malformed_setting_is_refused_where_it_is(written, place, word):
    with pytest.raises(SettingError) as refused:
        TaskSettings.read(written, step="train")

    assert refused.value.step == "train"
    assert refused.value.field == place
    assert word in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("written", "place", "word"),
    [
        ({}, "workspace", "has no size"),
        ({"size": "big"}, "workspace.size", "not a quantity"),
        ({"size": "1Gi", "access_modes": ["RWX"]}, "workspace.access_modes[0]", "'RWX'"),
        ({"size": "1Gi", "class": "fast"}, "workspace.class", "unknown"),
        (["1Gi"], "workspace", "a mapping"),
        ("1 Gi", "workspace", "not a quantity"),
    ],
)
def test_a_malformed_workspace_of_a_pipeline_is_refused(written, place, word):
    with pytest.raises(SettingError, match=word) as refused:
        TaskSettings.read({"workspace": written}, whole_pipeline=True)

    assert refused.value.field == place


def test_a_step_refuses_a_setting_at_once_and_keeps_nothing():
    with pipeline_context() as pc, pytest.raises(SettingError, match=r"step 'train', resources\.cpu: '-1'"):
        pc.step(name="train", function="train", resources={"cpu": -1})

    assert pc.steps == []


def test_a_name_that_is_neither_parameter_nor_setting_is_refused_with_what_was_meant():
    with pipeline_context() as pc, pytest.raises(StepError, match="Allowed: tolerations"):
        pc.step(name="train", function="train", tolerationz=[])


def test_values_of_variables_stay_out_of_messages():
    with pytest.raises(SettingError) as refused:
        TaskSettings.read({"envs": [{"name": "PASSWORD", "value": 31337}]}, step="train")

    assert "31337" not in str(refused.value)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["1Gi", "/a", "Exists", b"x", ARGUMENT]),
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def places_in(value, path=()):
    """Return the paths of all that is inside a mapping or list."""
    inside = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    return [deeper for key, part in inside for deeper in ((*path, key), *places_in(part, (*path, key)))]


def replaced(value, path, new):
    """Return a mapping or list with another part at a path."""
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = replaced(value[path[0]], path[1:], new)
    return copied


@settings(max_examples=150, deadline=None)
@given(task_settings(), st.randoms(use_true_random=False), anything)
def test_whatever_stands_in_some_place_is_read_or_refused(written, random, new):
    mapping = written.to_mapping()
    places = places_in(mapping)
    assume(places)
    changed = replaced(mapping, random.choice(places), new)

    refused = None
    try:
        TaskSettings.read(changed, step="train", whole_pipeline=True)
    except SettingError as error:
        refused = error

    assert refused is None or (refused.step == "train" and refused.field)
