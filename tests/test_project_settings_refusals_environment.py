"""Malformed environment variables, secrets, config maps, labels and annotations."""

from __future__ import annotations

import pytest
from kubernetes import client as k8s

from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.project import TaskSettings
from tests.malformed_settings import ARGUMENT, LONG, check_refusal, each_of

MALFORMED = [
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
]


@each_of(MALFORMED)
def test_a_malformed_variable_secret_or_label_is_refused_where_it_is(written, place, word):
    check_refusal(written, place, word)


def test_values_of_variables_stay_out_of_messages():
    with pytest.raises(SettingError) as refused:
        TaskSettings.read({"envs": [{"name": "PASSWORD", "value": 31337}]}, step="train")

    assert "31337" not in str(refused.value)
