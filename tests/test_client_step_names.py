"""Users' names of steps, found by the paths of tasks."""

from __future__ import annotations

import pytest

from airflow_kfp_runtime.client.step_names import by_task_name, user_name

NAMES = {"exit-handler-1/train": "Train it", "load-data": "load_data"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("load-data", "load_data"),
        ("exit-handler-1/train", "Train it"),
        ("load-data/fetch/unpack", "load_data/fetch/unpack"),
        ("exit-handler-1", None),
        ("exit-handler-1/createpvc-2", None),
        ("train", None),
        ("load-data-2", None),
        ("exit-handler-1/3/train", "Train it [3]"),
        ("load-data/loop/0/inner/12/fetch", "load_data/loop/inner/fetch [0][12]"),
        ("loop/0/createpvc", None),
    ],
)
def test_a_task_has_the_name_of_the_step_that_it_is_a_part_of(path, name):
    assert user_name(path, NAMES) == name


def test_a_step_is_known_by_its_tasks_own_name_wherever_it_is():
    assert by_task_name(NAMES) == {"train": "Train it", "load-data": "load_data"}
