"""Names in settings are those that Kubernetes takes, and none leads out of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_kfp_runtime.embedded.engine.settings.names import (
    key_name,
    mount_path,
    object_name,
    sub_path,
    variable_name,
    volume_name,
)

FOLDER = Path("/data/secrets")
PATHS = st.text(alphabet="ab./\\-_:\0\n", max_size=12)


@given(PATHS)
@example("..")
@example("a/../..")
@example("x\n")
@pytest.mark.parametrize("check", [object_name, key_name, volume_name])
def test_a_name_that_passes_names_a_child_of_its_folder(check, name):
    try:
        passed = check(name)
    except ValueError:
        return
    assert (FOLDER / passed).parent == FOLDER
    assert passed not in (".", "..", "")
    assert not set(passed) & set("/\0\n")


@pytest.mark.parametrize("name", ["a", "my-secret.v2", "0", "a" * 253])
def test_names_of_objects(name):
    assert object_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a..b", "a_b", "a" * 254, "a.-b", "ä"])
def test_other_names_of_objects_are_refused(name):
    with pytest.raises(ValueError):
        object_name(name)


@pytest.mark.parametrize("key", ["KEY", ".hidden", "a.b-c_d", "a" * 253])
def test_keys(key):
    assert key_name(key) == key


@pytest.mark.parametrize("key", ["", ".", "..", "..data", "a/b", "a b", "a" * 254, "ä"])
def test_other_keys_are_refused(key):
    with pytest.raises(ValueError):
        key_name(key)


@pytest.mark.parametrize("name", ["", "A=B", "A\0", "ä", "A\n"])
def test_a_variable_has_a_name_that_an_environment_takes(name):
    with pytest.raises(ValueError):
        variable_name(name)


@given(PATHS)
def test_a_sub_path_that_passes_stays_in_its_volume(path):
    try:
        passed = sub_path(path)
    except ValueError:
        return
    assert ".." not in (FOLDER / passed).parts
    assert (FOLDER / passed).is_relative_to(FOLDER)


@given(PATHS)
def test_a_mount_path_that_passes_is_absolute_and_not_the_root(path):
    try:
        passed = mount_path(path)
    except ValueError:
        return
    assert passed.is_absolute()
    assert passed != Path("/")
    assert ".." not in passed.parts


def test_a_mount_path_is_taken_without_what_says_nothing():
    assert mount_path("//mnt/./data/") == Path("/mnt/data")
