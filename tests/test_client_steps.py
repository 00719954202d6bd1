"""Outputs by the users' names of steps: lists for steps in loops, nothing for branches not taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.client.outputs import RunOutputs
from airflow_kfp_runtime.client.steps import outputs_by_step, without_iterations

NAMES = {
    "prepare": "prepare",
    "each/train": "train",
    "each/maybe/tune": "tune",
    "outer/inner/score": "score",
    "part": "part",
}
ITERATIONS = {"each": 3, "outer": 2, "outer/0/inner": 2, "outer/1/inner": 0, "part/loop": 2}
TASKS = {
    "prepare": {"rows": 3},
    "createpvc": {"name": "x"},
    "each": {"pipelinechannel--train-accuracy": [0.1, 0.2, 0.3]},
    "each/0": {"pipelinechannel--train-accuracy": 0.1},
    "each/0/train": {"accuracy": 0.1},
    "each/2/train": {"accuracy": 0.3, "model": {"uri": "m"}},
    "each/1/maybe/tune": {"best": "b"},
    "outer/0/inner/0/score": {"value": 1},
    "outer/0/inner/1/score": {"value": 2},
    "part": {"sum": 3},
    "part/loop": {"sum": [1, 2]},
    "part/loop/0/add": {"sum": 1},
    "part/loop/1/add": {"sum": 2},
}
OUTPUTS = RunOutputs(TASKS, {}, iterations=ITERATIONS)


def test_a_step_in_a_loop_has_a_list_over_the_iterations_and_one_in_a_loop_in_a_loop_lists_of_lists():
    found = outputs_by_step(OUTPUTS, NAMES)

    assert found == {
        "prepare": {"rows": 3},
        "train": {"accuracy": [0.1, None, 0.3], "model": [None, None, {"uri": "m"}]},
        "tune": {"best": [None, "b", None]},
        "score": {"value": [[1, 2], []]},
        "part": {"sum": 3},
        "part/loop": {"sum": [1, 2]},
        "part/loop/add": {"sum": [1, 2]},
    }


def test_inside_a_step_whose_own_steps_have_names_the_blocks_are_not_shown():
    names = {"part": "Part", "part/loop/add": "Part/add"}

    assert outputs_by_step(OUTPUTS, names) == {"Part": {"sum": 3}, "Part/add": {"sum": [1, 2]}}
    assert outputs_by_step(OUTPUTS, {"part": "Part"}) == {
        "Part": {"sum": 3},
        "Part/loop": {"sum": [1, 2]},
        "Part/loop/add": {"sum": [1, 2]},
    }


def test_a_step_in_a_branch_or_a_loop_that_did_not_run_has_no_outputs():
    names = {"if/deploy": "deploy", "later/train": "train", "each/never": "never"}

    assert outputs_by_step(OUTPUTS, names) == {"deploy": {}, "train": {}, "never": {}}


@pytest.mark.parametrize(
    ("iterations", "path", "expected"),
    [
        ({"each": 0}, "each/train", {"accuracy": [], "model": []}),
        ({"outer": 2, "outer/0/inner": 0, "outer/1/inner": 0}, "outer/inner/train", {"accuracy": [[], []]}),
    ],
)
def test_a_loop_over_nothing_has_empty_lists_of_the_outputs_that_the_ir_declares(iterations, path, expected):
    outputs = RunOutputs({}, {}, iterations=iterations, declared={path: tuple(expected)})

    assert outputs_by_step(outputs, {path: "train"}) == {"train": expected}


def test_a_number_is_an_iteration_only_after_a_loop():
    assert without_iterations("each/0/7", ["each"]) == "each/7"
    assert without_iterations("each/0/loop/1/x", ["each", "each/0/loop"]) == "each/loop/x"
    assert without_iterations("part/0", ["each"]) == "part/0"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=3), st.data())
def test_every_output_of_every_iteration_is_at_its_place(counts, data):
    """Loops in loops: what is found under the indices of an iteration is what that iteration has put out."""
    iterations, tasks = {}, {}

    def fill(path, depth, indices):
        if depth == len(counts):
            if data.draw(st.booleans()):
                tasks[f"{path}/step".lstrip("/")] = {"x": indices}
            return
        loop = f"{path}/loop{depth}".lstrip("/")
        iterations[loop] = counts[depth]
        for index in range(counts[depth]):
            fill(f"{loop}/{index}", depth + 1, [*indices, index])

    fill("", 0, [])
    static = "/".join([*(f"loop{depth}" for depth in range(len(counts))), "step"])

    found = outputs_by_step(RunOutputs(tasks, {}, iterations=iterations), {static: "step"})["step"]

    if not tasks:
        assert found == {}
        return
    for path, outputs in tasks.items():
        place = found["x"]
        for index in outputs["x"]:
            place = place[index]
        assert place == outputs["x"], path
