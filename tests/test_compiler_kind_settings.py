"""Settings that a kind of function brings, and kinds that take those of their steps."""

import pytest
from pydantic import BaseModel

from airflow_kfp_runtime.compiler import compile_steps
from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.project import Function, TaskSettings
from airflow_kfp_runtime.project.settings.model import SecretKey
from airflow_kfp_runtime.runtimes.component import Component, Container, FunctionKind

BROUGHT = TaskSettings(
    labels={"kind": "it", "team": "kind"},
    envs={"TOKEN": SecretKey(secret="hub", key="token")},
    timeout=60,
)


class Nothing(BaseModel):
    """A function without fields."""


def function(brought=BROUGHT, *, takes_settings=False, actions=("run",), seen=None):
    def build(request):
        if seen is not None:
            seen.append(request)
        return Component({}, {}, Container("alpine", ("true",)), settings=brought)

    kind = FunctionKind("it", Nothing, actions, build, takes_settings=takes_settings)
    return Function("f", kind, Nothing())


def config(package, task="one"):
    platform = package.platform_spec
    return (
        platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].get(f"exec-{task}")
        if platform
        else None
    )


def compiled(made, *steps, **options):
    steps = steps or ({"name": "one"},)
    return compile_steps([{"function": made, **step} for step in steps], name="p", **options)


def test_what_a_kind_brings_is_in_the_tasks_settings():
    given = config(compiled(function()))

    assert given["podMetadata"]["labels"] == {"kind": "it", "team": "kind"}
    assert given["secretAsEnv"][0]["keyToEnv"] == [{"secretKey": "token", "envVar": "TOKEN"}]
    assert given["activeDeadlineSeconds"] == "60"


@pytest.mark.parametrize(
    ("step", "options"),
    [
        ({"labels": {"team": "step"}, "timeout": 5}, {}),
        ({}, {"settings": {"labels": {"team": "step"}, "timeout": 5}}),
    ],
)
def test_every_other_level_wins_over_the_kind(step, options):
    given = config(compiled(function(), {"name": "one", **step}, **options))

    assert given["podMetadata"]["labels"] == {"kind": "it", "team": "step"}
    assert given["activeDeadlineSeconds"] == "5"
    assert given["secretAsEnv"]


def test_a_kind_that_takes_settings_gets_those_of_all_levels_and_its_task_only_what_it_brings():
    seen = []
    made = function(takes_settings=True, seen=seen)

    package = compiled(
        made,
        {
            "name": "one",
            "resources": {"cpu": "2"},
            "runtime_class": "nvidia",
            "secrets": ["KEY"],
            "profile": "mine",
        },
        settings={"labels": {"team": "all"}},
    )

    [request] = seen
    assert request.settings.resources.cpu_request == "2"
    assert request.settings.labels == {"team": "all"}
    assert request.settings.profile == "mine"
    assert request.settings.envs["KEY"].secret is None
    assert [(problem.setting, problem.value) for problem in request.settings.inexpressible] == [
        ("runtime_class", "nvidia")
    ]
    assert config(package) == config(compiled(function()))
    [executor] = package.pipeline_spec["deploymentSpec"]["executors"].values()
    assert "resources" not in executor["container"]


def test_a_kind_that_takes_settings_is_asked_for_each_step_since_they_differ():
    seen = []
    made = function(None, takes_settings=True, seen=seen)

    package = compiled(made, {"name": "one", "timeout": 1}, {"name": "two", "timeout": 2})

    assert [request.settings.timeout for request in seen] == [1, 2]
    assert package.platform_spec is None


def test_a_kind_that_does_not_take_settings_is_given_none_and_asked_once():
    seen = []

    compiled(function(seen=seen), {"name": "one", "timeout": 1}, {"name": "two", "timeout": 2})

    assert [request.settings for request in seen] == [None]


def test_what_kind_and_step_say_has_to_fit_together():
    volume = {"volume_type": "empty_dir", "mount_path": "/data", "spec": {}}
    brought = TaskSettings.read({"volumes": [{"name": "a", **volume}]})

    with pytest.raises(
        SettingError, match=r"step 'one', volumes: .*'/data' is the mount path of volume 'a' already"
    ):
        compiled(function(brought), {"name": "one", "volumes": [{"name": "b", **volume}]})


def test_a_kind_without_actions_of_its_own_is_told_what_the_step_says():
    seen = []
    made = function(actions=(), seen=seen)

    compiled(made, {"name": "one"}, {"name": "two", "action": "anything"})

    assert [request.action for request in seen] == ["", "anything"]
