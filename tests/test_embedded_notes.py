"""The sentences on what one machine does not apply."""

from __future__ import annotations

from airflow_kfp_runtime.embedded.engine.notes import not_applied
from airflow_kfp_runtime.embedded.engine.values import Values


def test_nothing_is_said_where_nothing_is_asked_for():
    assert not_applied({"image": "x"}, None, "exec-a", "", Values()) == ()


def test_settings_are_named_by_platform_for_the_executor_concerned():
    executors = {"exec-a": {"nodeSelector": {}, "imagePullPolicy": "x"}, "exec-b": {"tolerations": []}}
    platform_spec = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}

    said = not_applied({"resources": {"cpuLimit": 1}}, platform_spec, "exec-a", "gs://root", Values())

    assert said == (
        "Not applied here: resources (cpuLimit).",
        "Not applied here: settings for kubernetes (imagePullPolicy, nodeSelector).",
        "Not applied here: the pipeline root gs://root; artifacts are files of this server.",
    )


def test_an_input_that_is_elsewhere_is_named():
    inputs = Values(artifacts={"here": [{"uri": "file:///x"}], "there": [{"uri": "s3://bucket/key"}]})

    assert not_applied({}, None, "exec-a", "", inputs) == (
        "Not fetched here: the input artifact 'there' at s3://bucket/key.",
    )
