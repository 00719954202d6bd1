"""The ledger of the soak test finds what would be wrong."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_kfp_runtime.client import Run, RunState
from airflow_kfp_runtime.client.run_lookup import described
from airflow_kfp_runtime.operators.identity import TaskIdentity
from demo.airflow_client import TaskInstance
from tests.soak_ledger import Entry, entries_of, violations_of

SAID = {"owner": "dag_run.task.-1", "draw": 5}


def task(state="success"):
    return TaskInstance("task", state, -1, 1, 40, None, None)


def run_id(generation, max_tries=40):
    return TaskIdentity("kfp_default", "soak", "dag_run", "task", -1, max_tries).run_id(generation)


def run(generation, state="SUCCEEDED", **given):
    number = run_id(generation)
    return Run(**{"run_id": number, "description": described("", number), "state": RunState(state)} | given)


class Airflow:
    """What the ledger asks of Airflow, about one task instance."""

    def __init__(self, log="", events=(), returned=SAID, recorded=0):
        self.returned = {"return_value": {"say": returned}}
        self.returned["kfp_run"] = {"run_id": run_id(recorded), "state": "SUCCEEDED"}
        self.tasks = lambda *_: [task()]
        self.xcom = lambda *_, key, **__: self.returned[key]
        self.log = lambda *_: log
        self.events = lambda *_: list(events)


def kfp(said=SAID):
    return SimpleNamespace(run=lambda flow: SimpleNamespace(tasks={"say": said}))


def found(states, state="success", server=None, **airflow):
    runs = {number: run(number, word) for number, word in enumerate(states) if word}
    entry = Entry("soak", "dag_run", task(state), runs)
    return list(violations_of(entry, Airflow(**airflow), server or kfp()))


FAILED = f"Run {run_id(0)} failed. A retry"


@pytest.mark.parametrize(
    "history",
    [
        {"states": ["SUCCEEDED"]},
        {"states": ["FAILED", "SUCCEEDED"], "recorded": 1},
        {"states": ["FAILED"], "state": "failed", "log": FAILED},
        {"states": ["FAILED"], "state": "failed", "events": ["try 3: heartbeat timeout"]},
        {"states": ["FAILED"], "state": "failed", "log": "Process terminated by signal. For more"},
    ],
)
def test_a_history_in_which_all_is_well_is_passed_over(history):
    assert found(**history) == []


@pytest.mark.parametrize(
    ("history", "sentence"),
    [
        ({"states": [None, "SUCCEEDED"], "recorded": 1}, "has the generations [1]"),
        ({"states": ["RUNNING"], "state": "failed", "log": FAILED}, "has runs that go on"),
        ({"states": ["SUCCEEDED", "SUCCEEDED"], "recorded": 1}, "has a run after one that succeeded"),
        ({"states": ["SUCCEEDED"], "state": "deferred"}, "is left deferred"),
        ({"states": ["FAILED"]}, "is success, and its last run is FAILED"),
        ({"states": []}, "is success, and its last run is None"),
        ({"states": ["SUCCEEDED"], "state": "failed", "log": FAILED}, "is failed, and its last run is SUCC"),
        ({"states": ["SUCCEEDED"], "recorded": 1}, "recorded {"),
        ({"states": ["SUCCEEDED"], "returned": SAID | {"draw": 6}}, "returned {"),
        (
            {"states": ["SUCCEEDED"], "server": kfp({"owner": "x"}), "returned": {"owner": "x"}},
            "has a run of x",
        ),
        ({"states": ["FAILED"], "state": "failed", "log": "ValueError"}, "failed for a reason that nobody"),
    ],
)
def test_what_is_wrong_in_a_history_is_named(history, sentence):
    assert any(violation.startswith(sentence) for violation in found(**history))


def test_each_run_is_entered_with_its_task_and_generation():
    entries, violations = entries_of(Airflow(), "soak", ["dag_run"], [run(1), run(0, "FAILED")])

    assert violations == []
    assert [sorted(entry.runs) for entry in entries] == [[0, 1]]


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ([run(0, run_id="stray")], "belongs to no task instance"),
        ([run(0, run_id=run_id(0, max_tries=41))], "belongs to no task instance"),
        ([run(0, description=described("", run_id(1)))], "is described as another"),
        ([run(0), run(0)], "is there twice"),
    ],
)
def test_a_run_that_belongs_nowhere_is_named(runs, sentence):
    _, violations = entries_of(Airflow(), "soak", ["dag_run"], runs)

    assert any(sentence in violation for violation in violations)
