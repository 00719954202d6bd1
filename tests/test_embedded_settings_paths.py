"""A path shows one folder at a time, and nothing is left when no task needs it."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_kfp_runtime.embedded.engine.settings.model import SettingError
from airflow_kfp_runtime.embedded.engine.settings.paths import MountPaths, View, overlap


@pytest.fixture
def folders(tmp_path):
    made = [tmp_path / "folders" / name for name in "xyz"]
    for folder in made:
        folder.mkdir(parents=True)
    return made


def view(path, folder):
    return View(path, folder, "pvcMount[0]")


def never():
    return False


def test_tasks_side_by_side_each_see_what_they_asked_for(tmp_path, folders):
    paths = MountPaths(tmp_path / "records")
    places = [tmp_path / "mounts" / name for name in ("a", "b/c", "b/d", "b", "e/f/g")]

    def task(seed):
        chosen = random.Random(seed)
        for _ in range(20):
            wanted = []
            for place in chosen.sample(places, 2):
                if not any(overlap(place, other.path) for other in wanted):
                    wanted.append(view(place, chosen.choice(folders)))
            with paths.holding(wanted, never, lambda line: None):
                assert [each.path.readlink() for each in wanted] == [each.folder for each in wanted]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(task, range(8)))

    assert not (tmp_path / "mounts").exists()
    assert not list((tmp_path / "records").iterdir())


def test_what_a_task_put_in_place_of_its_symlink_is_left_alone(tmp_path, folders):
    paths, place = MountPaths(tmp_path / "records"), tmp_path / "mounts" / "a"

    with paths.holding([view(place, folders[0])], never, lambda line: None):
        place.unlink()
        place.write_text("its own")

    assert place.read_text() == "its own"


def test_of_several_paths_none_is_kept_if_one_cannot_be_had(tmp_path, folders):
    paths = MountPaths(tmp_path / "records")
    (tmp_path / "taken").touch()
    wanted = [view(tmp_path / "mounts" / "a", folders[0]), view(tmp_path / "taken", folders[0])]

    with (
        pytest.raises(SettingError, match=r"pvcMount\[0\] at .*/taken: there is something"),
        paths.holding(wanted, never, lambda line: None),
    ):
        pass

    assert not (tmp_path / "mounts").exists()
    assert not list((tmp_path / "records").iterdir())


def test_a_record_that_was_not_written_to_its_end_is_removed(tmp_path):
    records = tmp_path / "records"
    records.mkdir()
    (records / "half.json").write_text('{"path": "/')

    MountPaths(records).clean()

    assert not list(records.iterdir())
