"""Who wins: the laws of merging, and the order of the levels."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_kfp_runtime.dsl.references import PipelineArgument
from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.plugins import GROUP, hookimpl, plugin_manager
from airflow_kfp_runtime.project import Project, TaskSettings
from airflow_kfp_runtime.project.settings import PipelineSettings, settings_of
from airflow_kfp_runtime.project.settings.merge import BY_NAME, merge
from airflow_kfp_runtime.project.settings.model import Accelerator, Resources, SecretKey
from tests.settings_strategies import task_settings

few = settings(max_examples=60, deadline=None)


@few
@given(task_settings())
def test_nothing_said_changes_nothing(one):
    assert merge(TaskSettings(), one) == one
    assert merge(one, TaskSettings()) == one
    assert merge(one, one) == one


@few
@given(task_settings(), task_settings(), task_settings())
def test_merging_is_associative(one, two, three):
    assert merge(one, merge(two, three)) == merge(merge(one, two), three)


@few
@given(task_settings(), task_settings())
def test_the_higher_wins_and_what_merges_by_name_keeps_the_rest(lower, higher):
    merged = merge(lower, higher)

    for name in TaskSettings.model_fields:
        low, high, got = (getattr(level, name) for level in (lower, higher, merged))
        if name == "volumes":
            assert {volume.name for volume in got} == {volume.name for volume in (*low, *high)}
            assert set(map(repr, high)) <= set(map(repr, got))
        elif name in BY_NAME:
            assert got == {**low, **high}
        elif name != "inexpressible":
            assert got is (low if high is None else high)


def volume(name, path, claim="mine"):
    """Return the settings of one volume."""
    return TaskSettings.read(
        {
            "volumes": [
                {
                    "volume_type": "shared_volume",
                    "name": name,
                    "mount_path": path,
                    "spec": {"claim_name": claim},
                }
            ]
        }
    )


def test_a_volume_is_replaced_with_all_its_mounts_and_keeps_its_turn():
    lower = TaskSettings.read(
        {
            "volumes": [{"name": name, "emptyDir": {}} for name in ("a", "b")],
            "volume_mounts": [
                {"name": "a", "mount_path": "/a1"},
                {"name": "b", "mount_path": "/b"},
                {"name": "a", "mount_path": "/a2"},
            ],
        }
    )

    merged = merge(lower, volume("a", "/a3"))

    assert [(volume.name, volume.mount_path) for volume in merged.volumes] == [("a", "/a3"), ("b", "/b")]


def test_volumes_of_two_levels_that_cannot_be_in_one_pod_are_refused():
    with pytest.raises(SettingError, match="step 'train', volumes: '/data' is the mount path of volume 'a'"):
        settings_of("train", of_function=volume("a", "/data", "one"), own=volume("b", "/data", "two"))


def test_volumes_may_meet_on_the_way_if_they_do_not_in_the_end():
    pipeline = PipelineSettings(everyone=volume("a", "/data", "one"))

    merged = settings_of(
        "train", pipeline=pipeline, of_function=volume("b", "/data", "two"), own=volume("a", "/a", "one")
    )

    assert [(volume.name, volume.mount_path) for volume in merged.volumes] == [("a", "/a"), ("b", "/data")]


def test_a_variable_has_one_value_wherever_it_comes_from():
    lower = TaskSettings.read({"secrets": [{"name": "hub", "keys": ["TOKEN"]}]})
    higher = TaskSettings.read({"env": {"TOKEN": "none"}})

    assert merge(lower, higher).envs == {"TOKEN": "none"}
    assert merge(higher, lower).envs == {"TOKEN": SecretKey(secret="hub", key="TOKEN")}


def test_what_kfp_cannot_express_is_kept_of_every_level_once():
    lower = TaskSettings.read({"runtime_class": "a"}, place="settings.")
    higher = TaskSettings.read({"runtime_class": "b"})

    assert [lost.setting for lost in merge(merge(lower, higher), higher).inexpressible] == [
        "settings.runtime_class",
        "runtime_class",
    ]


def timeout(seconds):
    """Return settings that tell their level by a timeout."""
    return TaskSettings(timeout=seconds)


@pytest.fixture
def plugin():
    """Register plugins, and take them away afterwards."""
    registered = []

    def register(**hooks):
        made = SimpleNamespace(**{name: hookimpl(function) for name, function in hooks.items()})
        plugin_manager().register(made)
        registered.append(made)

    yield register
    for made in registered:
        plugin_manager().unregister(made)


def test_the_levels_win_in_the_documented_order(plugin):
    pipeline = PipelineSettings.read(
        {"timeout": 1, "steps": {"train": {"timeout": 4}, "t*": {"timeout": 2}, "tr*": {"timeout": 3}}}
    )
    project = timeout(9)
    found = [
        settings_of("other", of_project=project).timeout,
        settings_of("other", of_project=project, pipeline=pipeline).timeout,
        settings_of("test", pipeline=pipeline).timeout,
        settings_of("try", pipeline=pipeline).timeout,
        settings_of("train", pipeline=pipeline).timeout,
        settings_of("train", pipeline=pipeline, of_function=timeout(5)).timeout,
        settings_of("train", pipeline=pipeline, of_function=timeout(5), own=timeout(6)).timeout,
    ]
    with_profile = merge(timeout(6), TaskSettings(profile="slow"))
    profiles = {"slow": {"timeout": 7}}
    found.append(settings_of("train", own=with_profile, profiles=profiles).timeout)
    plugin(review_settings=lambda step, function, settings: settings.model_copy(update={"timeout": 8}))
    found.append(settings_of("train", own=with_profile, profiles=profiles).timeout)

    assert found == [9, 1, 2, 3, 4, 5, 6, 7, 8]


def test_a_profile_of_any_level_wins_over_the_steps_own():
    of_function = TaskSettings(profile="gpu")
    own = TaskSettings.read({"accelerator": {"type": "amd.com/gpu"}, "timeout": 5})

    settings = settings_of(
        "train",
        own=own,
        of_function=of_function,
        profiles={"gpu": {"accelerator": {"type": "nvidia.com/gpu", "count": 4}}},
    )

    assert settings.accelerator == Accelerator(type="nvidia.com/gpu", count=4)
    assert settings.timeout == 5
    assert settings.profile is None


def test_the_profiles_of_the_deployment_win_over_those_of_plugins(plugin):
    plugin(settings_profiles=lambda: {"a": {"timeout": 1}, "b": {"timeout": 2}})

    def of(name):
        own = TaskSettings(profile=name)
        return settings_of("train", own=own, profiles={"a": {"timeout": 3}}).timeout

    assert [of("a"), of("b")] == [3, 2]


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ({"a100": {}}, "step 'train', profile: there is no profile 'h100'. Allowed: a100"),
        ({}, "step 'train', profile: there is no profile 'h100'. Allowed: none: the administrator has"),
        ({"h100": {"gpu": 1}}, "step 'train', profile 'h100', gpu: is unknown"),
        ({"h100": {"profile": "a100"}}, "step 'train', profile 'h100': names a profile in its turn"),
        ({"h100": {"resources": {"cpu": 0}}}, "step 'train', profile 'h100', resources.cpu: '0' is not more"),
    ],
)
def test_a_wrong_profile_is_refused(profiles, message):
    with pytest.raises(SettingError) as refused:
        settings_of("train", own=TaskSettings(profile="h100"), profiles=profiles)

    assert str(refused.value).startswith(message)


def test_policies_follow_each_other_and_see_step_and_function(plugin):
    seen = []

    def first(step, function, settings):
        seen.append((step, function, settings.timeout))
        return settings.model_copy(update={"timeout": 10})

    def second(settings):
        seen.append(settings.timeout)

    plugin(review_settings=second)
    plugin(review_settings=first)

    assert settings_of("train", own=timeout(1), function="fit").timeout == 10
    assert seen == [("train", "fit", 1), 10]


def test_a_policy_may_ask_for_limits_and_refuse_many_gpus(plugin):
    def policy(step, settings):
        count = settings.accelerator.count if settings.accelerator else 0
        if not isinstance(count, int) or count > 4:
            raise SettingError("at most 4 GPUs are allowed", step=step, field="accelerator")
        resources = settings.resources or Resources()
        if resources.memory_limit is None:
            limited = resources.model_copy(update={"memory_limit": "8Gi"})
            return settings.model_copy(update={"resources": limited})
        return None

    plugin(review_settings=policy)

    assert settings_of("train").resources == Resources(memory_limit="8Gi")
    for count in (5, PipelineArgument("gpus")):
        with pytest.raises(SettingError, match="step 'train', accelerator: at most 4 GPUs"):
            settings_of("train", own=TaskSettings.read({"resources": {"gpu": count}}))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"timeout": -1}, "step 'train', timeout:"),
        ({"resources": Resources().model_copy(update={"cpu_limit": "much"})}, "step 'train', resources:"),
        ({"envs": {"A": 5}}, "step 'train', envs:"),
    ],
)
def test_what_a_policy_makes_is_checked(plugin, changed, message):
    plugin(review_settings=lambda settings: settings.model_copy(update=changed))

    with pytest.raises(SettingError, match=message):
        settings_of("train")


def test_a_policy_returns_settings_or_nothing(plugin):
    plugin(review_settings=lambda settings: {"timeout": 1})

    with pytest.raises(SettingError, match=r"returned a dict\. Allowed: TaskSettings, None"):
        settings_of("train")


def test_hooks_are_those_of_the_group():
    assert hookimpl.project_name == GROUP


def test_secrets_of_digitalhubs_project_get_their_name():
    own = TaskSettings.read({"secrets": ["API_KEY"]})

    assert settings_of("train", own=own, project="parking").envs == {
        "API_KEY": SecretKey(secret="proj-secrets-parking", key="API_KEY")
    }
    with pytest.raises(
        SettingError, match="step 'train', secrets: 'API_KEY' is a key of the project's secret"
    ):
        settings_of("train", own=own)
    with pytest.raises(SettingError, match="step 'train', envs"):
        settings_of("train", own=own, project="My Project")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (5, "settings: is a int, not a mapping"),
        ({"steps": ["train"]}, "settings.steps: is not a mapping"),
        ({"steps": {"": {}}}, "settings.steps['']: '' is not a step's name"),
        ({"steps": {5: {}}}, "settings.steps[5]: 5 is not a step's name"),
        ({"steps": {"tarin": {}}}, "settings.steps['tarin']: there is no step 'tarin'. Allowed: train"),
        ({"steps": {"other": {}}}, "settings.steps['other']: there is no step 'other'. Allowed: train, test"),
        (
            {"steps": {"trian*": {"timeout": 1}}},
            "settings.steps['trian*']: matches no step. Allowed: train, test",
        ),
        ({"steps": {"train": 5}}, "settings.steps['train']: is 5, not a mapping"),
        ({"steps": {"t*": {"timeout": 0}}}, "settings.steps['t*'].timeout: 0 is less than 1"),
        ({"steps": {"t*": {"workspace": "1Gi"}}}, "settings.steps['t*'].workspace: is of a whole pipeline"),
        ({"timeout": 0}, "settings.timeout: 0 is less than 1"),
        ({"tolerations": [{"argument": "x"}]}, "settings.tolerations[0]: there is no argument 'x'"),
    ],
)
def test_a_pipelines_settings_are_refused_where_they_stand(written, message):
    def references(reference):
        raise SettingError(f"there is no argument {reference['argument']!r}")

    with pytest.raises(SettingError) as refused:
        PipelineSettings.read(written, step_names=["train", "test"], references=references)

    assert str(refused.value).startswith(message)


def test_a_pipelines_settings_may_hold_run_time_values_and_a_workspace():
    argument = PipelineArgument("cpu")

    settings = PipelineSettings.read(
        {"workspace": "1Gi", "steps": {"train": {"resources": {"cpu": {"argument": "cpu"}}}}},
        step_names=["train"],
        references=lambda written: argument,
    )

    assert settings.everyone.workspace.size == "1Gi"
    assert settings.for_step("train").resources.cpu_request is argument


def test_a_pipeline_without_settings_says_nothing():
    assert settings_of("train", pipeline=PipelineSettings.read(None)) == TaskSettings()


@given(st.sampled_from(["train", "train_2", "test"]))
def test_a_step_named_like_a_pattern_is_met_by_its_name(name):
    pipeline = PipelineSettings.read({"steps": {name: {"timeout": 9}, "*": {"timeout": 1}}})

    assert pipeline.for_step(name).timeout == 9


def test_a_function_keeps_its_settings():
    function = Project("p").new_function(
        "f", kind="container", image="alpine", command=["true"], settings={"timeout": 5}
    )

    assert function.settings == TaskSettings(timeout=5)
    with pytest.raises(SettingError, match=r"function 'f', settings\.resources\.cpu: 'x' is not a quantity"):
        Project("p").new_function(
            "f", kind="container", image="a", command=["b"], settings={"resources": {"cpu": "x"}}
        )
