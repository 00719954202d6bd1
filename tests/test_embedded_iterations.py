"""What a loop runs over, what an iteration gets, and what the iterations give together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.embedded.engine.iterations import (
    Loop,
    definitions_of_iteration,
    definitions_of_loop,
    gathered,
    is_loop,
    parallelism,
)
from airflow_kfp_runtime.embedded.engine.origin import origin_at
from airflow_kfp_runtime.embedded.engine.resolve import ResolveError
from airflow_kfp_runtime.embedded.engine.values import Values
from tests.embedded_engine import argument, loop, nested, output_of, pipeline, step

RAW = {"parameterIterator": {"itemInput": "item", "items": {"raw": '["a", {"b": 1}]'}}}
GIVEN = {"parameterIterator": {"itemInput": "item", "items": {"inputParameter": "items"}}}
ARTIFACTS = {"artifactIterator": {"itemInput": "item", "items": {"inputArtifact": "items"}}}
FILE = {"id": "1", "uri": "file:///x"}


def test_a_task_with_an_iterator_is_a_loop():
    assert is_loop(RAW)
    assert is_loop(ARTIFACTS)
    assert not is_loop({"iteratorPolicy": {"parallelismLimit": 2}})
    assert parallelism({**RAW, "iteratorPolicy": {"parallelismLimit": 2}}) == 2
    assert parallelism(RAW) == 0


@pytest.mark.parametrize(
    ("task", "inputs", "expected"),
    [
        (RAW, Values({"n": 1}), Values({"n": 1, "item": {"b": 1}})),
        (GIVEN, Values({"n": 1, "items": [1, 2]}), Values({"n": 1, "item": 2})),
        (GIVEN, Values({"items": "[1, 2]"}), Values({"item": 2})),
        (ARTIFACTS, Values({"n": 1}, {"items": [{}, FILE]}), Values({"n": 1}, {"item": [FILE]})),
    ],
)
def test_an_iteration_has_its_item_in_the_place_of_the_items(task, inputs, expected):
    made = Loop.of(task, inputs)

    assert len(made.items) == 2
    assert made.inputs_of(1, inputs) == expected


@pytest.mark.parametrize("items", ["x", '{"a": 1}', 5, None, {"a": 1}])
def test_what_is_no_list_cannot_be_run_over(items):
    with pytest.raises(ResolveError, match=r"The items of the loop \(items\) are no list"):
        Loop.of(GIVEN, Values({"items": items}))


def test_a_loop_has_no_item_and_an_iteration_no_items():
    definitions = {"parameters": {"item": 1, "items": 2, "n": 3}, "artifacts": {"d": 4}}

    assert definitions_of_loop(GIVEN, definitions) == {
        "parameters": {"items": 2, "n": 3},
        "artifacts": {"d": 4},
    }
    assert definitions_of_iteration(GIVEN, definitions) == {
        "parameters": {"item": 1, "n": 3},
        "artifacts": {"d": 4},
    }
    assert definitions_of_iteration(RAW, definitions) == definitions


def loops(depth):
    """A loop in as many loops, each with a nested pipeline around it."""
    made = step(outputs={"out": "LIST"})
    for _ in range(depth):
        inner = loop({"inner": made}, ["x"], outputs={"out": ("LIST", output_of("inner", "out"))})
        made = nested({"inner": inner}, outputs={"out": ("LIST", output_of("inner", "out"))})
    return pipeline({"inner": made})


def gather(spec, path, tree, depth):
    """Gather the outputs of a loop at ``path`` whose steps put out the leaves of a tree."""
    values = tree if depth == 1 else [gather(spec, f"{path}/0/inner/inner", part, depth - 1) for part in tree]
    iterations = [Values({"out": value}) for value in values]
    component = origin_at(spec, path).component
    return gathered(component, spec["components"], iterations).parameters["out"]


@given(st.integers(1, 3), st.data())
def test_loops_in_loops_give_one_list_of_what_their_steps_put_out_also_of_lists(depth, data):
    leaves = st.lists(st.integers(), max_size=2)
    tree = leaves
    for _ in range(depth):
        tree = st.lists(tree, max_size=3)
    drawn = data.draw(tree)
    flat = drawn
    for _ in range(depth - 1):
        flat = [item for part in flat for item in part]

    assert gather(loops(depth), "inner/inner", drawn, depth) == flat


def test_an_output_that_an_iteration_lacks_the_loop_lacks():
    spec = pipeline({"each": loop({"say": step()}, ["a"], outputs={"x": ("STRING", output_of("say", "x"))})})
    component = spec["components"]["comp-each"]

    assert gathered(component, {}, [Values({"x": 1}), Values()]) == Values()


def test_lists_of_artifacts_are_joined():
    outputs = {"d": ("system.Dataset", output_of("say", "d"))}
    spec = pipeline({"each": loop({"say": step()}, argument("names"), outputs=outputs)})
    component = spec["components"]["comp-each"]
    iterations = [Values(artifacts={"d": [FILE]}), Values(artifacts={"d": [FILE, FILE]})]

    assert gathered(component, {}, iterations) == Values(artifacts={"d": [FILE] * 3})
