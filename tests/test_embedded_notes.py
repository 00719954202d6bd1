"""The sentences on what one machine does not apply."""

from __future__ import annotations

from airflow_kfp_runtime.embedded.engine.notes import not_applied
from airflow_kfp_runtime.embedded.engine.values import Values


def test_nothing_is_said_where_nothing_is_asked_for():
    assert not list(not_applied({"image": "x"}, {}, "exec-a", "", Values()))


def test_what_is_not_applied_is_named_with_the_values_that_it_would_have():
    executors = {"exec-a": {"zone": "x", "area": "y"}, "exec-b": {"other": []}}
    platforms = {"elsewhere": {"deploymentSpec": {"executors": executors}}}
    resources = {
        "resourceCpuLimit": "{{$.inputs.parameters['cpu']}}",
        "cpuLimit": 0.5,
        "memoryRequest": 2.0,
        "accelerator": {"resourceCount": "2", "count": "2", "resourceType": "nvidia.com/gpu"},
    }

    said = not_applied(
        {"resources": resources}, platforms, "exec-a", "gs://root", Values(parameters={"cpu": "500m"})
    )

    assert list(said) == [
        "Not applied here: cpu limit 500m, memory request 2G, accelerator nvidia.com/gpu x 2.",
        "Not applied here: settings for elsewhere (area, zone).",
        "Not applied here: the pipeline root gs://root; artifacts are files of this server.",
    ]


def test_settings_for_kubernetes_are_left_to_those_who_read_them():
    platforms = {"kubernetes": {"deploymentSpec": {"executors": {"exec-a": {"nodeSelector": {}}}}}}

    assert not list(not_applied({}, platforms, "exec-a", "", Values()))


def test_an_input_that_is_elsewhere_is_named():
    inputs = Values(artifacts={"here": [{"uri": "file:///x"}], "there": [{"uri": "s3://bucket/key"}]})

    assert list(not_applied({}, {}, "exec-a", "", inputs)) == [
        "Not fetched here: the input artifact 'there': there is its URI s3://bucket/key, no file.",
    ]
