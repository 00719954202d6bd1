"""The sentences on what one machine does not apply."""

from __future__ import annotations

from airflow_kfp_runtime.embedded.notes import not_applied


def test_nothing_is_said_where_nothing_is_asked_for():
    assert not_applied({"image": "x"}, None, "exec-a", "") == ()


def test_settings_are_named_by_platform_for_the_executor_concerned():
    executors = {"exec-a": {"nodeSelector": {}, "imagePullPolicy": "x"}, "exec-b": {"tolerations": []}}
    platform_spec = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}

    said = not_applied({"resources": {"cpuLimit": 1}}, platform_spec, "exec-a", "gs://root")

    assert said == (
        "Not applied here: resources (cpuLimit).",
        "Not applied here: settings for kubernetes (imagePullPolicy, nodeSelector).",
        "Not applied here: the pipeline root gs://root; artifacts are files of this server.",
    )
