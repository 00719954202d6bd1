"""Claims are folders that tasks make and delete."""

from __future__ import annotations

import pytest

from airflow_kfp_runtime.embedded.engine.settings.claim_tasks import create_claim, delete_claim
from airflow_kfp_runtime.embedded.engine.settings.cluster import Cluster
from airflow_kfp_runtime.embedded.engine.settings.model import ClaimVolume, SettingError

SIZE = {"size": "5Gi", "access_modes": ["ReadWriteOnce"]}


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path)


def create(cluster, task_id="task", **inputs):
    return create_claim(cluster, task_id, SIZE | inputs, lambda line: None)


def test_a_generated_name_is_a_tasks_own_and_ends_as_asked_for(cluster, tmp_path):
    names = {create(cluster, task, pvc_name_suffix="-data") for task in ("one", "two")}

    assert len(names) == 2
    assert all(name.endswith("-data") for name in names)
    assert {folder.name for folder in (tmp_path / "claims").iterdir()} == names


def test_a_task_that_is_run_again_after_the_server_was_killed_means_the_same_claim(cluster):
    name = create(cluster, pvc_name_suffix="-data")
    (cluster.claims.existing(name) / "file").touch()

    assert create(cluster, pvc_name_suffix="-data") == name
    assert (cluster.claims.existing(name) / "file").exists()


@pytest.mark.parametrize("size", ["5Gi", "1e3", "500M", "0.5Ti", "1000"])
def test_sizes_are_quantities(cluster, size):
    assert create(cluster, size=size, pvc_name="a") == "a"


@pytest.mark.parametrize("size", ["", "big", "5GiB", "-1Gi", "1 Gi", None])
def test_other_sizes_are_refused(cluster, size):
    with pytest.raises(SettingError, match="failed to create pvc: size is"):
        create(cluster, size=size)


def test_a_claim_that_is_a_link_is_unlinked_and_what_it_leads_to_stays(cluster, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "precious").touch()
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "big").symlink_to(disk)

    delete_claim(cluster, {"pvc_name": "big"}, lambda: False, lambda line: None)

    assert (disk / "precious").exists()
    assert not list((tmp_path / "claims").iterdir())


def test_a_sub_path_is_made_but_not_through_a_link_out_of_the_claim(cluster, tmp_path):
    claim = cluster.claims.create("c")
    (claim / "out").symlink_to(tmp_path)

    assert cluster.claims.folder(ClaimVolume("c", "a/b")) == claim / "a" / "b"
    with pytest.raises(SettingError, match="leads out of the claim 'c'"):
        cluster.claims.folder(ClaimVolume("c", "out/x"))
