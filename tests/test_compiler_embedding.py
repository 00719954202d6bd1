"""A compiled pipeline inside another: what moves along, under which keys, and what is refused."""

import copy

import pytest

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.compiler.embedding import embed
from airflow_kfp_runtime.compiler.executors import Executors
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.runtimes.component import NestedPipeline


def pipeline(**more):
    """Return an IR of one task, with fields that no version of KFP has."""
    return {
        "pipelineInfo": {"name": "inner", "description": "Not here.", "displayName": "Inner"},
        "schemaVersion": "2.0.0",
        "sdkVersion": "kfp-2.0.1",
        "defaultPipelineRoot": "s3://elsewhere",
        "components": {
            "comp-say": {
                "executorLabel": "exec-say",
                "inputDefinitions": {"parameters": {"text": {"parameterType": "STRING", "hue": "red"}}},
                "unheardOf": {"name": "comp-say"},
            }
        },
        "deploymentSpec": {
            "executors": {"exec-say": {"container": {"image": "i", "command": ["say"], "lifecycle": {}}}}
        },
        "root": {
            "dag": {
                "tasks": {
                    "say": {
                        "taskInfo": {"name": "say"},
                        "componentRef": {"name": "comp-say", "since": 3},
                        "inputs": {"parameters": {"text": {"componentInputParameter": "text"}}},
                        "iteratorPolicy": {"parallelismLimit": 2},
                        "cachingOptions": {"enableCache": True, "cacheKey": "k"},
                    }
                }
            },
            "inputDefinitions": {"parameters": {"text": {"parameterType": "STRING"}}},
        },
        **more,
    }


def platform(**kubernetes):
    configs = {"exec-say": {"podMetadata": {"labels": {"a": "b"}}}}
    return {
        "platforms": {
            "kubernetes": {"deploymentSpec": {"executors": configs}, **kubernetes},
            "elsewhere": {"deploymentSpec": {"executors": {"exec-say": {"zone": 1}}}},
        }
    }


def embedded(spec, platform_spec=None, *names, **options):
    executors = Executors()
    keys = [embed(NestedPipeline(spec, platform_spec), name, executors, **options) for name in names or ["a"]]
    return executors, keys


def test_only_references_are_renamed_and_all_else_is_copied():
    spec = pipeline()
    given = copy.deepcopy(spec)

    executors, (key,) = embedded(spec, platform())

    say = {**given["components"]["comp-say"], "executorLabel": "exec-a--say"}
    root = copy.deepcopy(given["root"])
    root["dag"]["tasks"]["say"]["componentRef"]["name"] = "comp-a--say"
    assert key == "comp-a"
    assert executors.components == {"comp-a": root, "comp-a--say": say}
    assert executors.executors == {"exec-a--say": given["deploymentSpec"]["executors"]["exec-say"]}
    assert executors.platforms == {
        "kubernetes": {"exec-a--say": {"podMetadata": {"labels": {"a": "b"}}}},
        "elsewhere": {"exec-a--say": {"zone": 1}},
    }
    assert spec == given


def test_what_is_put_in_does_not_share_its_parts():
    spec = pipeline()

    executors, _ = embedded(spec, platform())
    executors.components["comp-a--say"]["unheardOf"]["name"] = "changed"
    executors.executors["exec-a--say"]["container"]["lifecycle"]["x"] = 1

    assert spec == pipeline()


def test_equal_pipelines_are_there_once_and_others_beside_them():
    executors = Executors()

    first = embed(NestedPipeline(pipeline()), "a", executors)
    second = embed(NestedPipeline(pipeline(sdkVersion="kfp-2.1")), "b", executors)
    other = embed(NestedPipeline(pipeline(), platform()), "c", executors)

    assert (first, second, other) == ("comp-a", "comp-a", "comp-c")
    assert set(executors.components) == {"comp-a", "comp-a--say", "comp-c", "comp-c--say"}


def test_keys_cannot_be_those_of_another_task():
    executors = Executors()
    executors.add("a-say", {}, {"image": "outer"}, {})

    embed(NestedPipeline(pipeline()), "a", executors)

    assert executors.executors["exec-a-say"] == {"container": {"image": "outer"}}
    assert executors.executors["exec-a--say"]["container"]["image"] == "i"


def test_keys_without_the_usual_prefix_stay_apart():
    spec = pipeline()
    spec["components"]["say"] = {"executorLabel": "say"}
    spec["deploymentSpec"]["executors"]["say"] = {"container": {"image": "another"}}

    executors, _ = embedded(spec)

    assert executors.components["comp-a--say"]["executorLabel"] == "exec-a--say"
    assert executors.components["comp-a--comp-say"]["executorLabel"] == "exec-a--exec-say"
    assert executors.executors["exec-a--say"] == {"container": {"image": "another"}}


def test_long_keys_are_cut_to_what_argo_takes_and_stay_apart():
    spec = pipeline()
    long = "x" * 100
    for number in (1, 2):
        spec["components"][f"comp-{long}-{number}"] = {"executorLabel": "exec-say"}

    executors, _ = embedded(spec, None, "a" * 60)

    assert len(executors.components) == 4
    assert all(len(key) <= 80 for key in executors.components)


@pytest.mark.parametrize(("caching", "options"), [(True, {"enableCache": True}), (False, {})])
def test_caching_of_the_step_is_that_of_all_tasks_inside(caching, options):
    executors, _ = embedded(pipeline(), caching=caching)

    assert executors.components["comp-a"]["dag"]["tasks"]["say"]["cachingOptions"] == options


def project(platform_spec=None):
    made = Project("p")
    made.new_function(
        "inner", kind="component", spec={"pipeline_spec": pipeline(), "platform_spec": platform_spec}
    )
    made.new_function("alone", kind="container", image="i", command=["true"])
    return made


def compiled(platform_spec=None, step=None, *, default="x", **options):
    def handler(text: str = default):
        with pipeline_context() as pc:
            pc.step(name="Inner One", function="inner", inputs={"text": text}, **(step or {}))
            pc.step(name="alone", function="alone")

    return compile_handler(handler, name="outer", project=project(platform_spec), **options)


def test_what_it_says_of_a_run_of_its_own_is_left_out():
    package = compiled()

    assert package.pipeline_spec["pipelineInfo"] == {"name": "outer"}
    assert package.pipeline_spec["schemaVersion"] == "2.1.0"
    assert "defaultPipelineRoot" not in package.pipeline_spec
    assert package.warnings == ()


def test_platforms_of_other_names_move_along():
    package = compiled(platform())

    assert set(package.platform_spec["platforms"]) == {"kubernetes", "elsewhere"}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"resources": {"cpu": "1"}}, "resources"),
        ({"node_selector": {"disk": "ssd"}}, "node_selector"),
        ({"envs": {"A": "b"}}, "envs"),
        ({"retries": 2}, "retries"),
        ({"timeout": 60}, "timeout"),
        ({"secrets": [{"name": "hub", "keys": ["token"]}]}, "envs"),
        ({"volumes": [{"volume_type": "empty_dir", "name": "t", "mount_path": "/t"}]}, "volumes"),
        ({"image": "python:3.12"}, "image"),
    ],
)
def test_settings_of_a_container_are_refused_with_where_to_write_them(settings, field):
    expected = (
        f"step 'Inner One', {field}: is a setting of a container, and the step is a pipeline that is "
        "compiled already, with tasks of its own: write it into the settings of its own steps, where it is "
        "compiled. Allowed: caching"
    )
    for written in ({"step": settings}, {"settings": {"steps": {"Inner*": settings}}}):
        with pytest.raises(SettingError) as raised:
            compiled(**written)
        assert str(raised.value) == expected


def test_settings_for_all_steps_reach_the_others_with_a_warning():
    package = compiled(settings={"resources": {"cpu": "1"}, "labels": {"team": "a"}})

    (warning,) = package.warnings
    assert warning == (
        "step 'Inner One' is a pipeline that is compiled already: the settings for all steps (labels, "
        "resources) do not reach the tasks inside; write them into the settings of its own steps, where it "
        "is compiled"
    )
    assert "resources" in package.pipeline_spec["deploymentSpec"]["executors"]["exec-alone"]["container"]


@pytest.mark.parametrize("written", [{"step": {"caching": False}}, {"enable_caching": False}])
def test_caching_reaches_the_tasks_inside(written):
    package = compiled(**written)

    inner = package.pipeline_spec["components"]["comp-inner-one"]["dag"]["tasks"]["say"]
    assert inner["cachingOptions"] == {}
    assert package.warnings == ()


def test_a_pipeline_with_a_workspace_needs_one_around_it():
    wanted = platform(pipelineConfig={"workspace": {"size": "2Gi"}})

    with pytest.raises(SettingError) as raised:
        compiled(wanted)
    assert str(raised.value) == (
        "step 'Inner One', workspace: its pipeline needs a workspace (2Gi), which is a volume of the whole "
        "run: write it into this pipeline's settings for all steps. Allowed: workspace: {size: 2Gi}"
    )
    package = compiled(wanted, settings={"workspace": {"size": "5Gi"}})
    assert package.platform_spec["platforms"]["kubernetes"]["pipelineConfig"]["workspace"]["size"] == "5Gi"
    assert package.warnings == ()


def test_settings_of_its_run_are_left_out_with_a_warning():
    package = compiled(platform(pipelineConfig={"resourceTtlOnCompletion": 60}))

    assert "pipelineConfig" not in package.platform_spec["platforms"]["kubernetes"]
    (warning,) = package.warnings
    assert warning == (
        "step 'Inner One': resourceTtlOnCompletion is a setting of a run, which its pipeline is not here: "
        "it is left out"
    )


def test_an_argument_that_may_be_left_out_is_warned_of():
    (warning,) = compiled(default=None).warnings
    assert warning == (
        "argument 'text': give each run a value for it. KFP cannot pass an argument that is left out into "
        "the pipeline of step 'Inner One'; a default other than None avoids this"
    )
