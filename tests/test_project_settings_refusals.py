"""Malformed settings: each is refused with the step, the place and the reason, and none is read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.errors import SettingError, StepError
from airflow_kfp_runtime.project import TaskSettings
from tests import (
    test_project_settings_refusals_environment,
    test_project_settings_refusals_pods,
    test_project_settings_refusals_volumes,
)
from tests.malformed_settings import ARGUMENT, check_refusal, claim, each_of, volume
from tests.settings_strategies import task_settings

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


@each_of(MALFORMED)
def test_a_malformed_setting_is_refused_where_it_is(written, place, word):
    check_refusal(written, place, word)


def test_the_tables_are_as_long_as_promised():
    others = (
        test_project_settings_refusals_pods,
        test_project_settings_refusals_environment,
        test_project_settings_refusals_volumes,
    )

    assert len(MALFORMED) + sum(len(other.MALFORMED) for other in others) >= 200


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
