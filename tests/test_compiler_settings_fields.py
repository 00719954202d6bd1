"""No field of a setting is lost on the way: each changes what is compiled, or is reported."""

from typing import get_args

import pytest

from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.project.settings import TaskSettings
from airflow_kfp_runtime.project.settings.fields import Settings
from tests.settings_oracle import compiled as compiled_for_oracle


def with_volume(kind, **fields):
    return {"volumes": [{"kind": kind, "name": "v", "mount_path": "/v", **fields}]}


EXISTING = {"kind": "existing_claim", "claim": "c"}
NEW = {"kind": "new_claim", "suffix": "s", "size": "1Gi"}
EMPTY = {"kind": "empty_dir"}
EPHEMERAL = {"kind": "ephemeral", "size": "1Gi"}
SECRET = {"kind": "secret", "secret": "s"}
CONFIG_MAP = {"kind": "config_map", "config_map": "c"}
SOURCE = {"kind": "VolumeSnapshot", "name": "s"}
SECRET_KEY = {"secret": "s", "key": "k"}
MAP_KEY = {"config_map": "s", "key": "k"}
CONDITION = {"key": "zone", "operator": "In", "values": ["a"]}
EQUAL = {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute"}
PROBLEM = {"setting": "x", "reason": "y", "instead": "z"}


def parts(wrap, base, **changes):
    """Return for each field of a part the settings with the part as it is and with the field changed."""
    return {field: (wrap(base), wrap({**base, field: value})) for field, value in changes.items()}


def volumes(base, **changes):
    return parts(lambda part: with_volume(**part), base, mount_path="/w", **changes)


#: For each field of each part of the model two settings that differ in that field alone.
FIELDS = {
    "TaskSettings": {
        "image": ({}, {"image": "a"}),
        "image_pull_policy": ({}, {"image_pull_policy": "Always"}),
        "image_pull_secrets": ({}, {"image_pull_secrets": ["a"]}),
        "labels": ({}, {"labels": {"a": "b"}}),
        "annotations": ({}, {"annotations": {"a": "b"}}),
        "node_selector": ({}, {"node_selector": {"a": "b"}}),
        "tolerations": ({}, {"tolerations": [{"operator": "Exists"}]}),
        "node_affinity": ({}, {"node_affinity": [{"match_expressions": [CONDITION]}]}),
        "resources": ({}, {"resources": {"cpu_limit": "1"}}),
        "accelerator": ({}, {"accelerator": {"type": "a"}}),
        "envs": ({}, {"envs": {"A": "a"}}),
        "volumes": ({}, with_volume(**EMPTY)),
        "timeout": ({}, {"timeout": 1}),
        "retries": ({}, {"retries": {"count": 1}}),
        "caching": ({}, {"caching": False}),
        "security_context": ({}, {"security_context": {"run_as_user": 1}}),
        "workspace": ({}, {"workspace": {"size": "1Gi"}}),
        "profile": ({}, {"profile": "big"}),
        "inexpressible": ({}, {"inexpressible": [PROBLEM]}),
    },
    "Inexpressible": parts(
        lambda part: {"inexpressible": [part]}, PROBLEM, setting="a", reason="a", instead="a"
    ),
    "Workspace": parts(
        lambda part: {"workspace": part},
        {"size": "1Gi"},
        size="2Gi",
        access_modes=["ReadWriteMany"],
        storage_class="s",
    ),
    "Resources": parts(
        lambda part: {"resources": part},
        {},
        cpu_request="1",
        cpu_limit="1",
        memory_request="1Gi",
        memory_limit="1Gi",
    ),
    "Accelerator": parts(lambda part: {"accelerator": part}, {"type": "a", "count": 1}, type="b", count=2),
    "Toleration": parts(
        lambda part: {"tolerations": [part]},
        EQUAL,
        key="b",
        operator=None,
        value="c",
        effect="NoSchedule",
        toleration_seconds=0,
    ),
    "NodeAffinityTerm": parts(
        lambda part: {"node_affinity": [part]},
        {"match_expressions": [CONDITION]},
        match_expressions=[CONDITION, CONDITION],
        match_fields=[CONDITION],
        weight=1,
    ),
    "NodeSelectorRequirement": parts(
        lambda part: {"node_affinity": [{"match_expressions": [part]}]},
        CONDITION,
        key="a",
        operator="NotIn",
        values=["b"],
    ),
    "SecretKey": parts(lambda part: {"envs": {"A": part}}, SECRET_KEY, secret="t", key="l", optional=True),
    "ConfigMapKey": parts(
        lambda part: {"envs": {"A": part}}, MAP_KEY, config_map="t", key="l", optional=True
    ),
    "FieldPath": parts(lambda part: {"envs": {"A": part}}, {"path": "metadata.name"}, path="metadata.uid"),
    "Retries": parts(
        lambda part: {"retries": part}, {"count": 1}, count=2, backoff=1.0, factor=3.0, longest=1.0
    ),
    "SecurityContext": parts(
        lambda part: {"security_context": part},
        {"run_as_user": 1},
        run_as_user=2,
        run_as_group=0,
        run_as_non_root=False,
    ),
    "ExistingClaim": volumes(EXISTING, claim="d", sub_path="a"),
    "NewClaim": volumes(
        NEW,
        suffix="t",
        size="2Gi",
        access_modes=["ReadWriteMany"],
        storage_class="fast",
        volume_name="pv",
        annotations={"a": "b"},
        data_source=SOURCE,
        shared=False,
    ),
    "DataSource": parts(
        lambda part: with_volume(**NEW, data_source=part), SOURCE, kind="A", name="t", api_group="a"
    ),
    "EmptyDir": volumes(EMPTY, name="w", medium="Memory", size_limit="1Gi"),
    "EphemeralVolume": volumes(
        EPHEMERAL,
        name="w",
        size="2Gi",
        access_modes=["ReadWriteMany"],
        storage_class="",
        labels={"a": "b"},
        annotations={"a": "b"},
    ),
    "SecretVolume": volumes(SECRET, secret="t", optional=True),
    "ConfigMapVolume": volumes(CONFIG_MAP, config_map="t", optional=True),
}
#: The names by which these merge and are shared: KFP names the pod's volume after the object.
NAMES = {(kind, "name") for kind in ("ExistingClaim", "NewClaim", "SecretVolume", "ConfigMapVolume")}


def parts_of_the_model(annotation):
    """Return the model's classes that occur in a type, at any depth."""
    found = set()
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        found.add(annotation)
        for field in annotation.model_fields.values():
            found |= parts_of_the_model(field.annotation)
    for part in get_args(annotation):
        found |= parts_of_the_model(part)
    return found


def test_the_fields_below_are_all_that_there_are():
    fields = {
        (part.__name__, field)
        for part in parts_of_the_model(TaskSettings)
        for field in part.model_fields
        # Tells the classes of volumes apart: each of them has fields of its own here.
        if field != "kind" or part.__name__ == "DataSource"
        # Kept for the kinds of function that pass settings on.
        if (part.__name__, field) != ("Inexpressible", "value")
    }

    assert fields == {(part, field) for part, given in FIELDS.items() for field in given} | NAMES


@pytest.mark.parametrize(
    ("part", "field"), [(part, field) for part, given in FIELDS.items() for field in given]
)
def test_every_field_changes_what_is_compiled_or_is_reported(part, field):
    def outcome(given):
        workspace = given.get("workspace")
        rest = {name: value for name, value in given.items() if name != "workspace"}
        try:
            package = compiled_for_oracle(rest, workspace, settings_policy="warn")
        except SettingError as error:
            return str(error)
        return package.to_json(), package.warnings

    first, second = FIELDS[part][field]

    assert outcome(first) != outcome(second)
