"""The page on settings, which the model writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from airflow_kfp_runtime.project import TaskSettings
from airflow_kfp_runtime.project.settings import inexpressible
from airflow_kfp_runtime.project.settings.documentation import (
    PROFILES,
    compiled_settings,
    compiled_volumes,
    document,
)
from airflow_kfp_runtime.project.settings.forms import KNOWN

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"


def test_the_page_says_what_the_model_says():
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "docs/settings.md is stale: run python -m airflow_kfp_runtime.project.settings.documentation"
    )


def test_the_command_writes_the_page(tmp_path):
    written = tmp_path / "page.md"

    subprocess.run(
        [sys.executable, "-m", "airflow_kfp_runtime.project.settings.documentation", str(written)], check=True
    )

    assert written.read_text(encoding="utf-8") == document()


SETTINGS = {name: compiled for name, _, compiled in compiled_settings()}
VOLUMES = dict(compiled_volumes())


def test_the_profiles_on_the_page_are_settings():
    for settings in json.loads(PROFILES).values():
        assert TaskSettings.read(settings).inexpressible == ()


def test_a_claim_without_a_spec_is_the_one_of_the_volumes_name():
    written = "volumes: [{volume_type: persistent_volume_claim, name: data, mount_path: /data}]"

    assert written in document()
    assert TaskSettings.read(yaml.safe_load(written)).volumes[0].claim == "data"


def test_every_setting_is_on_the_page():
    assert {*SETTINGS, "volumes", "inexpressible"} == set(TaskSettings.model_fields)
    assert all(compiled.forms for compiled in (*SETTINGS.values(), *VOLUMES.values()))


@pytest.mark.parametrize("form", [(name, form) for name, given in SETTINGS.items() for form in given.forms])
def test_each_form_of_a_setting_on_the_page_is_read_into_that_setting(form):
    name, written = form
    read = TaskSettings.read(yaml.safe_load(written), whole_pipeline=True)

    assert getattr(read, name) not in (None, {}, ())
    assert read.inexpressible == ()


@pytest.mark.parametrize("form", [(kind, form) for kind, given in VOLUMES.items() for form in given.forms])
def test_each_form_of_a_volume_on_the_page_is_read_into_that_kind(form):
    kind, written = form

    assert [type(volume) for volume in TaskSettings.read(yaml.safe_load(written)).volumes] == [kind]


@pytest.mark.parametrize("name", sorted(inexpressible.SETTINGS))
def test_each_inexpressible_setting_on_the_page_is_kept_as_such(name):
    assert f"`{name}`" in document()
    assert [lost.setting for lost in TaskSettings.read({name: "x"}).inexpressible] == [name]


def test_no_setting_is_both_expressible_and_not():
    assert not set(KNOWN) & set(inexpressible.SETTINGS)
