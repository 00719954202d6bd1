"""Settings compile to what the kfp SDK and kfp-kubernetes compile for them, and to the official protobufs."""

import copy

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.settings_oracle import SETTINGS, WORKSPACES, Sdk, compiled, view

TEXT, OUTPUT, TABLE, ITEMS = (
    {"argument": "text"},
    {"output": "name"},
    {"argument": "table"},
    {"argument": "items"},
)


def volume(kind, **fields):
    return {"volumes": [{"kind": kind, "name": "v", "mount_path": "/v", **fields}]}


def claim(**fields):
    modes = {"access_modes": ["ReadWriteOnce"], "annotations": {}}
    return volume("new_claim", suffix="data", size="1Gi", **{**modes, **fields})


SIZE = {"size": "1Gi", "access_modes": ["ReadWriteOnce"], "labels": {}, "annotations": {}}

#: A row of the table of settings that KFP has (``kfp-server.md``, section 6), or a part of one.
ROWS = {
    "nothing": {},
    "node selector": {"node_selector": {"disktype": "ssd"}},
    "node selector of a run": {"node_selector": TABLE},
    "node selector of a step": {"node_selector": {"output": "table"}},
    "toleration": {
        "tolerations": [
            {"key": "gpu", "operator": "Equal", "value": "a100", "effect": "NoSchedule"},
            {"operator": "Exists", "effect": "NoExecute", "toleration_seconds": 10},
        ]
    },
    "tolerations of a run": {"tolerations": [ITEMS, {"key": "a", "operator": "Exists"}, TABLE]},
    "tolerations of a step": {"tolerations": [{"output": "items"}]},
    "node affinity": {
        "node_affinity": [
            {"match_expressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]},
            {"match_fields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}], "weight": 10},
        ]
    },
    "node affinity of a run": {"node_affinity": [TABLE]},
    "node affinity of a step": {"node_affinity": [{"output": "table"}]},
    "claim": volume("existing_claim", claim="data", sub_path="train"),
    "claim of a run": volume("existing_claim", claim=TEXT),
    "claim of a step": volume("existing_claim", claim=OUTPUT),
    "new claim": claim(),
    "new claim with all": claim(
        storage_class="fast",
        volume_name="pv",
        annotations={"a": "b"},
        data_source={"kind": "VolumeSnapshot", "name": "s", "api_group": "snapshot.storage.k8s.io"},
    ),
    "new static claim beside values of a run": {**claim(storage_class=""), "resources": {"cpu_limit": TEXT}},
    "secret as env": {"envs": {"A": {"secret": "s", "key": "a", "optional": False}}},
    "secrets as env": {
        "envs": {
            "A": {"secret": "s", "key": "a", "optional": False},
            "B": {"secret": "s", "key": "b", "optional": False},
            "C": {"secret": "s", "key": "c", "optional": True},
            "D": {"secret": TEXT, "key": "d", "optional": False},
            "E": {"secret": OUTPUT, "key": "e", "optional": False},
        }
    },
    "secret as volume": volume("secret", secret="s", optional=True),
    "secret of a run as volume": volume("secret", secret=TEXT, optional=False),
    "config maps as env": {
        "envs": {
            "A": {"config_map": "s", "key": "a", "optional": False},
            "D": {"config_map": TEXT, "key": "d", "optional": True},
            "E": {"config_map": OUTPUT, "key": "e", "optional": False},
        }
    },
    "config map as volume": volume("config_map", config_map="c", optional=False),
    "config map of a step as volume": volume("config_map", config_map=OUTPUT, optional=True),
    "pull secrets": {"image_pull_secrets": ["a", TEXT, OUTPUT]},
    "pull policy": {"image_pull_policy": "IfNotPresent"},
    "labels": {"labels": {"team": "vision", "empty": ""}},
    "annotations": {"annotations": {"example.org/owner": "Ann and Bob"}},
    "empty dir": volume("empty_dir"),
    "empty dir in memory": volume("empty_dir", medium="Memory", size_limit="1Gi"),
    "ephemeral volume": volume("ephemeral", **SIZE),
    "ephemeral volume with all": volume(
        "ephemeral", **{**SIZE, "storage_class": "fast", "labels": {"a": "b"}, "annotations": {"c": "d"}}
    ),
    "ephemeral volume without a class": volume("ephemeral", **SIZE, storage_class=""),
    "deadline": {"timeout": 60},
    "field path as env": {"envs": {"POD": {"path": "metadata.name"}}},
    "security context": {
        "security_context": {"run_as_user": 1000, "run_as_group": 0, "run_as_non_root": True}
    },
    "root": {"security_context": {"run_as_user": 0, "run_as_non_root": False}},
    "resources": {
        "resources": {
            "cpu_limit": "500m",
            "cpu_request": "0.25",
            "memory_limit": "1Gi",
            "memory_request": "512M",
        }
    },
    "resources of a run": {
        "resources": {
            "cpu_limit": TEXT,
            "cpu_request": OUTPUT,
            "memory_limit": TEXT,
            "memory_request": OUTPUT,
        }
    },
    "accelerator": {"accelerator": {"type": "nvidia.com/gpu", "count": 2}},
    "accelerator of a run": {"accelerator": {"type": TEXT, "count": OUTPUT}},
    "accelerators counted by a run": {"accelerator": {"type": "nvidia.com/gpu", "count": TEXT}},
    "no accelerator": {"accelerator": {"type": "nvidia.com/gpu", "count": 0}},
    "env": {"envs": {"A": "a", "B": ""}},
    "image": {"image": "ghcr.io/team/train:1.4"},
    "retries": {"retries": {"count": 3}},
    "retries with waits": {"retries": {"count": 3, "backoff": 30.0, "factor": 3.0, "longest": 600.0}},
    "no retries": {"retries": {"count": 0}},
    "uncached": {"caching": False},
}


@pytest.fixture(scope="module")
def sdk():
    process = Sdk()
    yield process
    process.close()


def check(sdk, given_settings, workspace=None):
    """Raise an AssertionError where the compilers differ, or a protobuf does not take what is written."""
    package = compiled(given_settings, workspace)
    ours = view(copy.deepcopy(package.pipeline_spec), package.platform_spec)
    theirs = view(**sdk.ask(compile=given_settings, workspace=workspace))
    if "deletepvc" in theirs["tasks"]:
        # The SDK lets no exit task take the name of a claim that is made in the run.
        deleting = ours["tasks"]["deletepvc"]["task"]
        name = {"producerTask": "createpvc", "outputParameterKey": "name"}
        assert deleting["inputs"]["parameters"]["pvc_name"] == {"taskOutputParameter": name}
        assert deleting["dependentTasks"] == ["createpvc", "exit-handler-1"]
        sdks = theirs["tasks"]["deletepvc"]["task"]
        assert sdks.pop("dependentTasks") == ["exit-handler-1"]
        del deleting["dependentTasks"], deleting["inputs"], sdks["inputs"]
    assert ours == theirs
    check_protobufs(sdk, package)


def check_protobufs(sdk, package):
    message = json_format.ParseDict(package.pipeline_spec, pipeline_spec_pb2.PipelineSpec())
    assert json_format.MessageToDict(message) == package.pipeline_spec
    if package.platform_spec is None:
        return
    message = json_format.ParseDict(package.platform_spec, pipeline_spec_pb2.PlatformSpec())
    assert json_format.MessageToDict(message) == package.platform_spec
    platform = package.platform_spec["platforms"]["kubernetes"]
    for config in platform.get("deploymentSpec", {}).get("executors", {}).values():
        assert sdk.ask(parse=config) == config


@pytest.mark.parametrize("row", ROWS)
def test_each_setting_compiles_as_with_the_sdk(sdk, row):
    check(sdk, ROWS[row])


@pytest.mark.parametrize(
    "workspace",
    [{"size": "10Gi"}, {"size": "1Gi", "access_modes": ["ReadWriteMany"], "storage_class": "fast"}],
)
def test_a_workspace_compiles_as_with_the_sdk(sdk, workspace):
    check(sdk, {}, workspace)


@given(chosen=SETTINGS, workspace=WORKSPACES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_all_combinations_compile_as_with_the_sdk(sdk, chosen, workspace):
    check(sdk, chosen, workspace)
