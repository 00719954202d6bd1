"""The settings of a step on a DigitalHub platform: what its run gets, and what stays with the wrapper."""

import json

import pytest

from airflow_kfp_runtime.compiler import compile_steps
from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.project import Project

#: Settings as a user writes them, and what each form of the wrapper passes on; ``None`` is an error.
CASES = {
    "node_selector": (
        {"node_selector": {"disktype": "ssd"}},
        {"node_selector": [{"key": "disktype", "value": "ssd"}]},
        {"node_selector": [{"key": "disktype", "value": "ssd"}]},
    ),
    "envs": (
        {"env": [{"name": "A", "value": "1"}]},
        {"envs": [{"name": "A", "value": "1"}]},
        {"envs": [{"name": "A", "value": "1"}]},
    ),
    "secrets": ({"secrets": ["KEY"]}, {"secrets": ["KEY"]}, {"secrets": ["KEY"]}),
    "requests": (
        {"resources": {"cpu": "8", "mem": "32Gi", "gpu": "1"}},
        {"resources": {"cpu": {"requests": "8"}, "mem": {"requests": "32Gi"}, "gpu": {"limits": "1"}}},
        {"resources": {"cpu": "8", "mem": "32Gi", "gpu": "1"}},
    ),
    "limits": (
        {"resources": {"cpu": {"requests": "12", "limits": "16"}, "mem": {"limits": "64Gi"}}},
        {"resources": {"cpu": {"requests": "12", "limits": "16"}, "mem": {"limits": "64Gi"}}},
        {"resources": {"cpu": {"requests": "12", "limits": "16"}, "mem": {"limits": "64Gi"}}},
    ),
    "disk": ({"resources": {"disk": "10Gi"}}, None, {"resources": {"disk": "10Gi"}}),
    "profile": ({"profile": "1xa100"}, {"profile": "1xa100"}, {"profile": "1xa100"}),
    "tolerations": (
        {
            "tolerations": [
                {"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
            ]
        },
        *[
            {
                "tolerations": [
                    {"key": "gpu", "operator": "Exists", "effect": "NoExecute", "toleration_seconds": 5}
                ]
            }
        ]
        * 2,
    ),
    "affinity": (
        {
            "affinity": {
                "node_affinity": {
                    "required_during_scheduling_ignored_during_execution": {
                        "node_selector_terms": [
                            {"match_expressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
                        ]
                    }
                }
            }
        },
        *[
            {
                "affinity": {
                    "node_affinity": {
                        "required_during_scheduling_ignored_during_execution": {
                            "node_selector_terms": [
                                {"match_expressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
                            ]
                        }
                    }
                }
            }
        ]
        * 2,
    ),
    "preference": (
        {"node_affinity": [{"match_expressions": [{"key": "z", "operator": "Exists"}], "weight": 5}]},
        *[
            {
                "affinity": {
                    "node_affinity": {
                        "preferred_during_scheduling_ignored_during_execution": [
                            {
                                "weight": 5,
                                "preference": {
                                    "match_expressions": [{"key": "z", "operator": "Exists", "values": []}]
                                },
                            }
                        ]
                    }
                }
            }
        ]
        * 2,
    ),
    "classes": (
        {"runtime_class": "nvidia", "priorityClass": "high"},
        None,
        {"runtime_class": "nvidia", "priority_class": "high"},
    ),
    "existing claim": (
        {
            "volumes": [
                {
                    "volume_type": "persistent_volume_claim",
                    "name": "data",
                    "mount_path": "/data",
                    "spec": {"claim_name": "mine"},
                }
            ]
        },
        {
            "volumes": [
                {
                    "volume_type": "persistent_volume_claim",
                    "name": "data",
                    "mount_path": "/data",
                    "spec": {"claim_name": "mine"},
                }
            ]
        },
        {
            "volumes": [
                {
                    "volume_type": "shared_volume",
                    "name": "data",
                    "mount_path": "/data",
                    "spec": {"claimName": "mine"},
                }
            ]
        },
    ),
    "new claim": (
        {
            "volumes": [
                {
                    "volume_type": "persistent_volume_claim",
                    "name": "v",
                    "mount_path": "/v",
                    "spec": {"size": "1Gi"},
                }
            ]
        },
        None,
        {
            "volumes": [
                {
                    "volume_type": "persistent_volume_claim",
                    "name": "v",
                    "mount_path": "/v",
                    "spec": {"claim_name": "v", "size": "1Gi"},
                }
            ]
        },
    ),
    "volumes of the pod": (
        {
            "volumes": [
                {"volume_type": "empty_dir", "name": "t", "mount_path": "/t", "spec": {"size_limit": "1Gi"}},
                {"volume_type": "config_map", "name": "cm", "mount_path": "/cm", "spec": {"name": "cm"}},
                {"volume_type": "secret", "name": "s", "mount_path": "/s", "spec": {"secretName": "s"}},
                {"volume_type": "ephemeral", "name": "e", "mount_path": "/e", "spec": {"size": "5Mi"}},
            ]
        },
        *[
            {
                "volumes": [
                    {
                        "volume_type": "empty_dir",
                        "name": "t",
                        "mount_path": "/t",
                        "spec": {"sizeLimit": "1Gi"},
                    },
                    {"volume_type": "config_map", "name": "cm", "mount_path": "/cm", "spec": {"name": "cm"}},
                    {"volume_type": "secret", "name": "s", "mount_path": "/s", "spec": {"secretName": "s"}},
                    {"volume_type": "ephemeral", "name": "e", "mount_path": "/e", "spec": {"size": "5Mi"}},
                ]
            }
        ]
        * 2,
    ),
    "nothing": ({"resources": {"gpu": 0}, "secrets": []}, {}, {}),
}


def compiled(written, form="0.13", **options):
    project = Project("parking")
    project.new_function("train", kind="digitalhub", function_kind="python", wrapper=form)
    step = {"name": "one", "function": "train", "action": "job", **written}
    return compile_steps([step], name="p", project=project, **options)


def passed(package):
    """What the run on the platform gets beside its own arguments."""
    [executor] = package.pipeline_spec["deploymentSpec"]["executors"].values()
    call = json.loads(executor["container"]["args"][-1])
    if "jsonprops" in call["options"]:
        return json.loads(call["options"]["jsonprops"])
    return {name: value for name, value in call["arguments"].items() if name not in ("action", "wait")}


def wrapper_settings(package):
    """What the wrapper's own pod gets."""
    [config] = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    return config


@pytest.mark.parametrize(("form", "position"), [("0.9", 1), ("0.13", 2)])
@pytest.mark.parametrize("case", CASES)
def test_settings_reach_the_run_in_digitalhubs_spelling_and_not_the_wrappers_pod(case, form, position):
    written, expected = CASES[case][0], CASES[case][position]
    if expected is None:
        with pytest.raises(SettingError, match=r"step 'one', .*: DigitalHub 0\.9 has no place for it"):
            compiled(written, form)
        return

    package = compiled(written, form)

    assert passed(package) == expected
    assert wrapper_settings(package) == wrapper_settings(compiled({}, form))
    [executor] = package.pipeline_spec["deploymentSpec"]["executors"].values()
    assert not {"env", "resources"} & executor["container"].keys()


def test_labels_image_retries_timeout_and_caching_stay_with_the_wrappers_task():
    package = compiled(
        {
            "labels": {"team": "vision"},
            "annotations": {"example.org/owner": "Ann"},
            "image": "mirror.example.org/wrapper:1",
            "image_pull_policy": "Always",
            "image_pull_secrets": ["registry"],
            "timeout": 60,
            "retries": 2,
            "caching": False,
        }
    )

    assert passed(package) == {}
    config = wrapper_settings(package)
    assert config["podMetadata"]["labels"]["team"] == "vision"
    assert config["podMetadata"]["labels"]["kfp-digitalhub-runtime-project"] == "parking"
    assert config["imagePullPolicy"] == "Always"
    assert config["activeDeadlineSeconds"] == "60"
    [executor] = package.pipeline_spec["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"] == "mirror.example.org/wrapper:1"
    task = package.pipeline_spec["root"]["dag"]["tasks"]["one"]
    assert task["retryPolicy"]["maxRetryCount"] == 2
    assert not task.get("cachingOptions", {}).get("enableCache")


def test_settings_of_all_levels_reach_the_run():
    package = compiled(
        {"envs": [{"name": "A", "value": "step"}]},
        settings={"envs": [{"name": "A", "value": "all"}, {"name": "B", "value": "all"}], "profile": "small"},
        profiles={"small": {"labels": {"of": "airflow"}}},
    )

    assert passed(package) == {
        "profile": "small",
        "envs": [{"name": "A", "value": "step"}, {"name": "B", "value": "all"}],
    }
    assert "of" not in wrapper_settings(package)["podMetadata"]["labels"]


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ({"security_context": {"run_as_user": 1}}, "security_context"),
        ({"host_network": True}, "host_network"),
        ({"init_containers": [{"name": "a"}]}, "init_containers"),
        ({"schedule": "@daily"}, "schedule"),
        ({"accelerator": {"type": "amd.com/gpu"}}, "accelerator"),
        ({"config_maps": [{"name": "tuning", "keys": ["EPOCHS"]}]}, "envs['EPOCHS']"),
        ({"secrets": [{"name": "hub", "keys": ["KEY"]}]}, "envs['KEY']"),
        ({"secrets": [{"keys": {"key": "KEY"}}]}, "envs['KEY']"),
        ({"field_paths": {"POD": "metadata.name"}}, "envs['POD']"),
        ({"affinity": {"pod_affinity": {"x": 1}}}, "affinity.pod_affinity"),
        (
            {
                "volumes": [
                    {
                        "volume_type": "shared_volume",
                        "name": "s",
                        "mount_path": "/s",
                        "sub_path": "a",
                        "spec": {"claim_name": "c"},
                    }
                ]
            },
            "volumes['s'].sub_path",
        ),
        (
            {
                "volumes": [
                    {
                        "volume_type": "ephemeral",
                        "name": "e",
                        "mount_path": "/e",
                        "spec": {"size": "1Gi", "storage_class": "fast"},
                    }
                ]
            },
            "volumes['e']",
        ),
    ],
)
def test_a_setting_that_the_platform_has_no_place_for_is_refused(written, place):
    with pytest.raises(SettingError, match="DigitalHub has no place for it; ") as caught:
        compiled(written)

    assert str(caught.value).startswith(f"step 'one', {place}: ")


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ({"node_selector": {"argument": "nodes"}}, "node_selector"),
        ({"resources": {"cpu": {"argument": "cpu"}}}, "resources.cpu"),
        ({"tolerations": [{"argument": "t"}]}, "tolerations[0]"),
        ({"node_affinity": [{"argument": "t"}]}, "node_affinity[0]"),
        ({"accelerator": {"type": "nvidia.com/gpu", "count": {"argument": "n"}}}, "accelerator.count"),
    ],
)
def test_a_setting_that_is_known_only_at_run_time_is_refused(written, place):
    with pytest.raises(
        SettingError, match="is known only at run time, and a run on the platform gets"
    ) as caught:
        compiled(written)

    assert str(caught.value).startswith(f"step 'one', {place}: ")
