"""The order in which tasks run, as laws over random dags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.embedded.engine.graph import CycleError, Graph, Outcome, Progress


@st.composite
def graphs(draw, unconditional=True):
    """A dag: each task depends on some of those before it."""
    size = draw(st.integers(1, 12))
    dependencies = {
        f"t{number}": frozenset(
            f"t{other}" for other in draw(st.sets(st.integers(0, number - 1) if number else st.nothing()))
        )
        for number in range(size)
    }
    chosen = draw(st.sets(st.sampled_from(sorted(dependencies)))) if unconditional else set()
    return Graph(dependencies, frozenset(chosen))


def run(graph, outcome_of, choose):
    """Run a dag; ``choose`` picks which running task ends next. Returns the progress and what happened."""
    progress = Progress(graph)
    running, events = [], []
    while True:
        start, skipped = progress.due()
        events += [("skip", name) for name in skipped] + [("start", name) for name in start]
        running += start
        if not running:
            return progress, events
        name = running.pop(choose(len(running)))
        events.append(("end", name))
        progress.finish(name, outcome_of(name))


def ancestors(graph, name):
    found = set(graph.dependencies[name])
    for upstream in graph.dependencies[name]:
        found |= ancestors(graph, upstream)
    return found


@given(graphs(), st.data())
def test_each_task_runs_or_is_skipped_once_and_only_after_all_it_depends_on(graph, data):
    failing = data.draw(st.sets(st.sampled_from(sorted(graph.dependencies))))

    progress, events = run(
        graph,
        lambda name: Outcome.FAILED if name in failing else Outcome.SUCCEEDED,
        lambda count: data.draw(st.integers(0, count - 1)),
    )

    assert progress.complete
    decided = [name for event, name in events if event in ("start", "skip")]
    assert sorted(decided) == sorted(graph.dependencies)
    position = {(event, name): index for index, (event, name) in enumerate(events)}
    for name, upstream in graph.dependencies.items():
        begun = position.get(("start", name), position.get(("skip", name)))
        for other in upstream:
            assert position.get(("end", other), position.get(("skip", other))) < begun


@given(graphs(unconditional=False), st.data())
def test_a_failure_skips_exactly_the_descendants(graph, data):
    failing = data.draw(st.sets(st.sampled_from(sorted(graph.dependencies)), min_size=1))

    progress, _ = run(
        graph, lambda name: Outcome.FAILED if name in failing else Outcome.SUCCEEDED, lambda _: 0
    )

    for name in graph.dependencies:
        expected = Outcome.FAILED if name in failing else Outcome.SUCCEEDED
        if ancestors(graph, name) & failing:
            expected = Outcome.SKIPPED
        assert progress.outcomes[name] is expected
    assert progress.outcome is Outcome.FAILED


@given(graphs())
def test_an_unconditional_task_always_starts(graph):
    progress, events = run(graph, lambda _: Outcome.FAILED, lambda _: 0)

    assert {("start", name) for name in graph.unconditional} <= set(events)
    assert progress.complete


@given(graphs())
def test_a_dag_whose_tasks_succeed_succeeds(graph):
    progress, _ = run(graph, lambda _: Outcome.SUCCEEDED, lambda _: 0)

    assert progress.outcome is Outcome.SUCCEEDED
    assert set(progress.outcomes.values()) == {Outcome.SUCCEEDED}


@given(graphs())
def test_nothing_starts_once_the_run_is_being_cancelled(graph):
    progress = Progress(graph)

    assert progress.due(accept=False)[0] == []
    assert progress.complete


@given(graphs(), st.integers(1, 3), st.data())
def test_no_more_tasks_run_than_the_limit_and_all_come_to_an_end(graph, limit, data):
    progress = Progress(graph, limit)
    running = set()
    while not progress.complete:
        running |= set(progress.due()[0])
        assert len(running) <= limit
        if running:
            ended = data.draw(st.sampled_from(sorted(running)))
            running.remove(ended)
            progress.finish(ended, data.draw(st.sampled_from(Outcome)))

    assert progress.outcomes.keys() == graph.dependencies.keys()


@given(graphs(unconditional=False), st.integers(1, 3))
def test_a_limit_does_not_hold_back_the_end_of_a_run_that_is_being_cancelled(graph, limit):
    progress = Progress(graph, limit)
    running = progress.due()[0]

    progress.due(accept=False)
    for name in running:
        progress.finish(name, Outcome.FAILED)
    progress.due(accept=False)

    assert progress.complete


def test_edges_come_from_dependent_tasks_and_from_the_producers_of_inputs():
    tasks = {
        "a": {},
        "b": {"dependentTasks": ["a"]},
        "c": {
            "inputs": {
                "parameters": {
                    "x": {"taskOutputParameter": {"producerTask": "b", "outputParameterKey": "y"}},
                    "z": {"runtimeValue": {"constant": 1}},
                },
                "artifacts": {"d": {"taskOutputArtifact": {"producerTask": "a", "outputArtifactKey": "d"}}},
            }
        },
        "e": {
            "inputs": {"parameters": {"status": {"taskFinalStatus": {"producerTask": "c"}}}},
            "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
        },
    }

    graph = Graph.of(tasks)

    assert graph.dependencies == {"a": set(), "b": {"a"}, "c": {"a", "b"}, "e": {"c"}}
    assert graph.unconditional == {"e"}


def test_a_cycle_is_an_error_that_names_its_tasks():
    with pytest.raises(CycleError) as caught:
        Graph({"a": frozenset({"b"}), "b": frozenset({"a"})}).order()

    assert set(caught.value.args[1]) == {"a", "b"}
