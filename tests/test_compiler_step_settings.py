"""Which settings a task gets, and what is said of what KFP has no place for."""

import subprocess
import sys
from typing import NamedTuple

import pytest

from airflow_kfp_runtime.compiler import PipelinePackage, compile_handler, compile_steps
from airflow_kfp_runtime.dsl import Dataset, Output, pipeline_context
from airflow_kfp_runtime.errors import DefinitionError, SettingError, StepError
from airflow_kfp_runtime.plugins import hookimpl, plugin_manager
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.project.settings import TaskSettings
from tests import kfp_ir


def say(file: Output[Dataset], cpu_limit: str = "") -> NamedTuple("Said", [("name", str), ("count", int)]):
    return ("a", 1)


PROJECT = Project("settings")
PROJECT.new_function("say", handler=say, image="alpine")
PROJECT.new_function(
    "labelled",
    kind="container",
    image="alpine",
    command=["true"],
    settings={"labels": {"of": "function", "team": "vision"}, "timeout": 60},
)


def compiled(write, **options):
    """Compile what ``write(pc)`` writes."""

    def handler():
        with pipeline_context() as pc:
            write(pc)

    package = compile_handler(handler, project=PROJECT, **options)
    kfp_ir.check(package.pipeline_spec, package.platform_spec)
    return package


def one(function="say", **settings):
    """Return what writes one step with these settings."""
    return lambda pc: pc.step("train it", function=function, **settings)


def config(package, task="train-it"):
    """Return the Kubernetes part of a task of the pipeline's own graph."""
    label = executor_label(package, task)
    return package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"].get(label, {})


def executor_label(package, task):
    reference = package.pipeline_spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]
    return package.pipeline_spec["components"][reference]["executorLabel"]


def container(package, task="train-it"):
    executors = package.pipeline_spec["deploymentSpec"]["executors"]
    return executors[executor_label(package, task)]["container"]


def refusal(write, kind=SettingError, **options):
    with pytest.raises(kind) as caught:
        compiled(write, **options)
    return str(caught.value)


def test_the_steps_own_win_over_the_functions_and_those_over_the_pipelines():
    package = compiled(
        one("labelled", labels={"of": "step"}),
        settings={
            "labels": {"of": "pipeline", "all": "yes"},
            "timeout": 5,
            "image_pull_policy": "Always",
            "steps": {"train*": {"image_pull_policy": "Never"}},
        },
    )

    assert config(package) == {
        "podMetadata": {"labels": {"of": "step", "team": "vision", "all": "yes"}},
        "activeDeadlineSeconds": "60",
        "imagePullPolicy": "Never",
    }


def test_a_profile_wins_over_what_the_step_says():
    package = compiled(one(profile="big", timeout=5), profiles={"big": {"timeout": 99}})

    assert config(package) == {"activeDeadlineSeconds": "99"}
    assert "there is no profile 'huge'. Allowed: big" in refusal(
        one(profile="huge"), profiles={"big": {"timeout": 99}}
    )


class Policy:
    """A plugin that limits the memory of every step."""

    @hookimpl
    def review_settings(self, step, settings):
        if settings.timeout is None:
            return settings.model_copy(update={"timeout": 7})
        if settings.timeout > 100:
            raise SettingError("at most 100 seconds are allowed", step=step, field="timeout")
        return None


@pytest.fixture
def policy():
    plugin = Policy()
    plugin_manager().register(plugin)
    yield
    plugin_manager().unregister(plugin)


@pytest.mark.usefixtures("policy")
def test_a_policy_sees_every_step_also_one_without_settings():
    assert config(compiled(one())) == {"activeDeadlineSeconds": "7"}
    assert config(compiled(one(timeout=8))) == {"activeDeadlineSeconds": "8"}
    assert refusal(one(timeout=101)) == "step 'train it', timeout: at most 100 seconds are allowed"


def test_a_pattern_that_meets_no_step_by_name_is_refused():
    problem = refusal(one(), settings={"steps": {"trian it": {"timeout": 1}}})

    assert problem == "settings.steps['trian it']: there is no step 'trian it'. Allowed: train it"


def test_settings_of_the_pipeline_name_arguments_and_outputs_as_data():
    def handler(cpu: str = "1"):
        with pipeline_context() as pc:
            pc.step("make it", function="say")
            pc.step("train", function="say")

    settings = {
        "steps": {
            "train": {
                "resources": {"cpu": {"argument": "cpu"}},
                "secrets": [{"name": {"from": "make it.name"}, "keys": ["TOKEN"]}],
            }
        }
    }
    package = compile_handler(handler, project=PROJECT, settings=settings)

    kfp_ir.check(package.pipeline_spec, package.platform_spec)
    secret = config(package, "train")["secretAsEnv"][0]
    assert secret["secretNameParameter"] == {
        "taskOutputParameter": {"producerTask": "make-it", "outputParameterKey": "name"}
    }
    assert package.pipeline_spec["root"]["dag"]["tasks"]["train"]["dependentTasks"] == ["make-it"]

    def misspelt(**part):
        with pytest.raises(SettingError) as caught:
            compile_handler(handler, project=PROJECT, settings={"steps": {"train": part}})
        return str(caught.value)

    assert "'gpu' is not an argument of the pipeline. Allowed: cpu" in misspelt(
        resources={"cpu": {"argument": "gpu"}}
    )
    assert "'mkae.name' is not an output of a step. Allowed: make it.<output>" in misspelt(
        resources={"cpu": {"from": "mkae.name"}}
    )


def test_where_steps_are_data_an_argument_is_there_by_being_used():
    steps = [
        {"name": "a", "function": "say", "resources": {"cpu": {"argument": "cpu"}}},
        {"name": "b", "function": "say"},
    ]
    settings = {"steps": {"b": {"tolerations": [{"argument": "taints"}]}}}

    package = compile_steps(steps, name="data", project=PROJECT, settings=settings)

    kfp_ir.check(package.pipeline_spec, package.platform_spec)
    assert package.parameters == {
        "cpu": {"parameterType": "STRING"},
        "taints": {"parameterType": "LIST"},
    }


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"resources": {"cpu": "count"}}, "resources.cpu_request"),
        ({"accelerator": {"type": "nvidia.com/gpu", "count": "count"}}, "accelerator.count"),
        ({"secrets": [{"name": "count", "keys": ["A"]}]}, "envs['A'].secret"),
        ({"node_selector": "name"}, "node_selector"),
        ({"tolerations": ["name"]}, "tolerations[0]"),
        ({"image_pull_secrets": ["file"]}, "image_pull_secrets[0]"),
    ],
)
def test_a_run_time_value_of_a_type_that_the_server_drops_is_refused(settings, place):
    def write(pc):
        made = pc.step("make", function="say").outputs
        pc.step("train", function="say", **in_place(settings, made))

    def in_place(value, made):
        match value:
            case dict():
                return {key: in_place(part, made) for key, part in value.items()}
            case list():
                return [in_place(part, made) for part in value]
            case str() if value in {"name", "count", "file"}:
                return made[value]
        return value

    problem = refusal(write)

    assert problem.startswith(f"step 'train', {place}: is step 'make', output ")
    assert "which KFP does not read there. Allowed: " in problem


def test_an_argument_of_the_wrong_type_for_a_setting_is_told_how_to_declare_it():
    def write(n: int):
        with pipeline_context() as pc:
            pc.step("a", function="say", resources={"cpu": n})

    with pytest.raises(SettingError) as caught:
        compile_handler(write, project=PROJECT)

    assert str(caught.value).endswith("which KFP does not read there: declare it as n: str. Allowed: str")


def test_a_run_time_value_of_another_pipeline_or_of_no_output_is_refused():
    elsewhere = pipeline_context().step("other", function="say").outputs["name"]

    assert "of another pipeline_context()" in refusal(one(resources={"cpu": elsewhere}), StepError)
    assert "'nmae' is not an output of step 'make'" in refusal(
        lambda pc: pc.step(
            "train", function="say", resources={"cpu": pc.step("make", function="say").outputs["nmae"]}
        ),
        StepError,
    )


def test_an_argument_of_two_types_is_refused():
    steps = [
        {
            "name": "a",
            "function": "say",
            "resources": {"cpu": {"argument": "x"}},
            "tolerations": [{"argument": "x"}],
        }
    ]

    with pytest.raises(DefinitionError, match="argument 'x'"):
        compile_steps(steps, name="data", project=PROJECT)


def test_a_step_cannot_wait_for_itself():
    assert "the steps wait for each other: 'train it' -> 'train it'" in refusal(
        one(), StepError, settings={"secrets": [{"name": {"from": "train it.name"}, "keys": ["A"]}]}
    )


def test_an_input_of_the_function_keeps_its_name_beside_a_resource_of_that_name():
    def handler(cpu: str):
        with pipeline_context() as pc:
            pc.step("train", function="say", inputs={"cpu_limit": "own"}, resources={"cpu": {"limits": cpu}})

    package = compile_handler(handler, project=PROJECT)

    given = package.pipeline_spec["root"]["dag"]["tasks"]["train"]["inputs"]["parameters"]
    assert given == {
        "cpu_limit": {"runtimeValue": {"constant": "own"}},
        "cpu_limit_": {"runtimeValue": {"constant": "{{$.inputs.parameters['pipelinechannel--cpu']}}"}},
        "pipelinechannel--cpu": {"componentInputParameter": "cpu"},
    }


def test_run_time_values_that_kfp_would_confuse_are_refused():
    def write(pc):
        first = pc.step("a", function="say", outputs={"name": "b-c"}).outputs["b-c"]
        second = pc.step("a-b", function="say", outputs={"name": "c"}).outputs["c"]
        pc.step("train", function="say", resources={"cpu": {"requests": first, "limits": second}})

    assert refusal(write).endswith("are both 'pipelinechannel--a-b-c' to KFP: rename one")


@pytest.mark.parametrize(
    ("written", "resources"),
    [
        ("1.5Gi", {"resourceMemoryRequest": "1.5Gi", "memoryRequest": 1.610612736}),
        ("2e3", {"resourceMemoryRequest": "2e3", "memoryRequest": 2e-06}),
        ("64k", {"resourceMemoryRequest": "64k", "memoryRequest": 6.4e-05}),
    ],
)
def test_quantities_that_the_sdk_does_not_take_are_compiled_as_kubernetes_reads_them(written, resources):
    assert container(compiled(one(resources={"mem": written})))["resources"] == resources


def test_variables_of_the_settings_join_those_of_the_function():
    project = Project("p")
    project.new_function("say", kind="container", image="alpine", command=["true"], env={"A": "1", "B": "2"})

    def handler():
        with pipeline_context() as pc:
            pc.step("train it", function="say", envs={"B": "3", "C": ""})

    package = compile_handler(handler, project=project)

    assert container(package)["env"] == [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "3"},
        {"name": "C"},
    ]


def test_parts_of_a_second_are_rounded_up():
    package = compiled(one(retries={"count": 1, "backoff": 0.5, "longest": 1.2}))

    assert package.pipeline_spec["root"]["dag"]["tasks"]["train-it"]["retryPolicy"] == {
        "maxRetryCount": 1,
        "backoffDuration": "1s",
        "backoffFactor": 2.0,
        "backoffMaxDuration": "2s",
    }


def test_caching_of_a_step_wins_over_that_of_the_pipeline():
    def caching(of_pipeline, **settings):
        package = compiled(one(**settings), enable_caching=of_pipeline)
        return package.pipeline_spec["root"]["dag"]["tasks"]["train-it"]["cachingOptions"]

    assert caching(None) == caching(True) == caching(False, caching=True) == {"enableCache": True}
    assert caching(False) == caching(None, caching=False) == caching(True, caching=False) == {}


def test_executors_are_shared_by_steps_that_are_equal_in_all():
    def write(pc):
        pc.step("a", function="say")
        pc.step("b", function="say")
        pc.step("c", function="say", timeout=5)
        pc.step("d", function="say", timeout=5, caching=False, retries=2)
        pc.step("e", function="say", timeout=6)
        pc.step("f", function="say", resources={"cpu": 1})
        pc.step("g", function="say", resources={"cpu": "1"})

    package = compiled(write)

    assert "".join(executor_label(package, task)[-1] for task in "abcdefg") == "aacceff"
    assert set(package.pipeline_spec["deploymentSpec"]["executors"]) == {
        "exec-a",
        "exec-c",
        "exec-e",
        "exec-f",
    }
    platform = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(platform) == {"exec-c", "exec-e"}


def test_the_hash_tells_settings_apart():
    plain, labelled, other = (
        compiled(one(**settings)) for settings in ({}, {"labels": {"a": "b"}}, {"labels": {"a": "c"}})
    )

    assert plain.platform_spec is None
    assert len({plain.content_hash, labelled.content_hash, other.content_hash}) == 3
    assert compiled(one(labels={"a": "b"})).content_hash == labelled.content_hash
    assert PipelinePackage.load(labelled.to_yaml()).content_hash == labelled.content_hash
    assert PipelinePackage.load(labelled.to_json()).platform_spec == labelled.platform_spec


INEXPRESSIBLE = {"runtime_class": "nvidia", "priority_class": "high", "timeout": 9}


def test_what_kfp_cannot_express_is_an_error_that_names_step_setting_reason_and_what_to_do():
    def write(pc):
        pc.step("a", function="say", **INEXPRESSIBLE)
        pc.step("b", function="say", schedule="@daily")

    assert refusal(write) == (
        "step 'a', runtime_class: KFP cannot express it. KFP's executor configuration has no field for it. "
        "Select such nodes by node_selector, affinity and tolerations. Nor can it express priority_class of "
        "step 'a', schedule of step 'b'. settings_policy=\"warn\" leaves such settings out with a warning"
    )


def test_it_is_a_warning_where_pipelines_are_moved_over():
    def write(pc):
        for name in ("a", "b"):
            pc.step(name, function="say", **INEXPRESSIBLE)

    package = compiled(write, settings_policy="warn")

    first, second = package.warnings
    assert first == (
        "steps 'a', 'b': runtime_class is left out. KFP's executor configuration has no field for it. "
        "Select such nodes by node_selector, affinity and tolerations."
    )
    assert second.startswith("steps 'a', 'b': priority_class is left out.")
    assert config(package, "a") == {"activeDeadlineSeconds": "9"}
    assert compiled(one()).warnings == ()


def test_a_factor_that_argo_does_not_take_is_not_passed_on():
    write = one(retries={"count": 2, "factor": 1.5})

    assert "retries.factor: KFP cannot express it. KFP runs on Argo" in refusal(write)
    package = compiled(write, settings_policy="warn")
    assert package.pipeline_spec["root"]["dag"]["tasks"]["train-it"]["retryPolicy"]["backoffFactor"] == 2.0
    assert len(package.warnings) == 1


def test_an_unknown_policy_is_refused():
    assert refusal(one(), settings_policy="ignore") == (
        "settings_policy: 'ignore' is no policy. Allowed: error, warn"
    )


def test_a_workspace_of_a_single_step_is_refused():
    class Adds:
        @hookimpl
        def review_settings(self):
            return TaskSettings.model_validate({"workspace": {"size": "1Gi"}})

    plugin_manager().register(plugin := Adds())
    try:
        assert "workspace: is a volume of the whole run" in refusal(one())
    finally:
        plugin_manager().unregister(plugin)


def test_a_pipeline_without_settings_does_not_build_their_model():
    code = """
import sys
from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.project import Project

project = Project("p")
project.new_function("say", kind="container", image="alpine", command=["true"])

def handler():
    with pipeline_context() as pc:
        pc.step("a", function="say")

compile_handler(handler, project=project)
assert "airflow_kfp_runtime.project.settings.model" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
