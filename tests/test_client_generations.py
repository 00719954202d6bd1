"""What is done about the run of an earlier try, with each answer that a server may give."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.client.answers import Answer
from airflow_kfp_runtime.client.fate import Fate, fate_of
from airflow_kfp_runtime.client.generations import (
    LEASE,
    SETTLING,
    Intent,
    Search,
    find_run,
)
from airflow_kfp_runtime.client.models import Run, RunState
from airflow_kfp_runtime.client.patience import patiently
from airflow_kfp_runtime.client.resumption import began_at
from airflow_kfp_runtime.client.retry_rules import Action, OnChange, OnRetry, Policies, decide
from airflow_kfp_runtime.client.run_lookup import described
from airflow_kfp_runtime.errors import PermissionDeniedError, RunError, ServerUnavailableError
from tests.client_script import NOT_FOUND, Script, answer

LIST = "GET /apis/v2beta1/runs"
UNAVAILABLE = ServerUnavailableError("the connection broke")
CONFLICT = Answer(409, body=b'{"code": 10, "message": "Workflow must be Failed/Error to retry"}')
FINGERPRINT, OTHER = "0123456789abcdef", "fedcba9876543210"


def get(run_id: str) -> str:
    return calls.get_run(run_id).label


def retry(run_id: str) -> str:
    return calls.retry_run(run_id).label


def shown(run_id: str, *states: str, fingerprint: str = FINGERPRINT, **fields: object) -> Answer:
    history = [{"state": state, "update_time": f"2026-01-01T00:00:0{n}Z"} for n, state in enumerate(states)]
    return answer(
        {
            "run_id": run_id,
            "state": states[-1],
            "state_history": history,
            "description": described("a test", run_id, fingerprint),
            **fields,
        }
    )


def search(**changes: object) -> Search:
    return Search(run_id_of=lambda number: f"r{number}", fingerprint=FINGERPRINT, **changes)


def history(*states: str) -> Run:
    return Run.from_json(
        {"run_id": "r", "state": states[-1], "state_history": [{"state": state} for state in states]}
    )


RUNS = st.lists(st.sampled_from([state.value for state in RunState]), min_size=1, max_size=5).map(
    lambda states: history(*states)
)
POLICIES = st.builds(Policies, st.sampled_from(OnRetry), st.sampled_from(OnChange))


@given(RUNS, st.booleans(), POLICIES)
def test_a_run_is_gone_on_with_only_if_it_can_still_succeed_or_has(run, changed, policies):
    action = decide(run, changed, policies).action

    if action in (Action.ATTACH, Action.REPLACE):
        assert fate_of(run) in (Fate.GOING_ON, Fate.SUCCEEDED)
        assert run.state is not RunState.CANCELING
    if action is Action.RESUME:
        assert fate_of(run) is Fate.FAILED
        assert policies.on_retry is OnRetry.RESUME
    if action is Action.FAIL:
        assert changed
        assert policies.on_change is OnChange.FAIL


@given(RUNS, POLICIES)
def test_an_unchanged_run_is_never_replaced_or_refused(run, policies):
    assert decide(run, False, policies).action not in (Action.REPLACE, Action.FAIL)


@given(RUNS, POLICIES)
def test_a_run_that_cannot_be_compared_is_never_replaced_and_refused_only_where_the_user_says_so(
    run, policies
):
    refuses = policies.on_change is OnChange.FAIL

    action = decide(run, None, policies).action

    assert action is not Action.REPLACE
    assert action is decide(run, refuses, policies).action


@pytest.mark.parametrize(
    ("states", "changes"),
    [
        (["RUNNING"], {"fingerprint": OTHER}),
        (["FAILED"], {"policies": Policies(on_retry=OnRetry.RESUME)}),
    ],
    ids=["to be replaced", "to be resumed"],
)
def test_a_try_that_has_lost_its_task_neither_terminates_nor_resumes_the_successors_run(states, changes):
    def lost() -> None:
        raise LookupError("the task is another try's")

    script = Script({get("r0"): [shown("r0", *states)] * 2})

    with pytest.raises(LookupError):
        script.run(find_run(replace(search(check_place=lost), **changes)))
    assert script.labels == [get("r0")]


@given(RUNS, POLICIES)
def test_a_changed_run_is_gone_on_with_only_where_the_user_says_so(run, policies):
    if decide(run, True, policies).action in (Action.ATTACH, Action.RESUME):
        assert policies.on_change is OnChange.ATTACH


@pytest.mark.parametrize(
    ("states", "changed", "on_retry", "on_change", "action"),
    [
        (["RUNNING"], False, "new", "new", Action.ATTACH),
        (["RUNNING"], True, "new", "new", Action.REPLACE),
        (["RUNNING"], True, "new", "attach", Action.ATTACH),
        (["RUNNING"], True, "new", "fail", Action.FAIL),
        (["RUNNING"], None, "new", "new", Action.ATTACH),
        (["RUNNING"], None, "new", "attach", Action.ATTACH),
        (["RUNNING"], None, "new", "fail", Action.FAIL),
        (["PAUSED"], False, "new", "new", Action.ATTACH),
        (["UNKNOWN"], False, "new", "new", Action.ATTACH),
        (["SUCCEEDED"], False, "new", "new", Action.ATTACH),
        (["SUCCEEDED"], True, "new", "new", Action.NEXT),
        (["SUCCEEDED"], None, "new", "new", Action.ATTACH),
        (["SUCCEEDED"], None, "new", "fail", Action.FAIL),
        (["FAILED"], False, "new", "new", Action.NEXT),
        (["FAILED"], None, "new", "fail", Action.NEXT),
        (["FAILED"], None, "resume", "new", Action.RESUME),
        (["FAILED"], None, "resume", "fail", Action.FAIL),
        (["FAILED"], True, "new", "fail", Action.NEXT),
        (["FAILED"], False, "resume", "new", Action.RESUME),
        (["FAILED"], True, "resume", "new", Action.NEXT),
        (["FAILED"], True, "resume", "attach", Action.RESUME),
        (["FAILED"], True, "resume", "fail", Action.FAIL),
        (["SKIPPED"], False, "resume", "new", Action.RESUME),
        (["RUNNING", "CANCELING"], False, "resume", "attach", Action.NEXT),
        (["RUNNING", "CANCELING", "FAILED"], False, "resume", "new", Action.NEXT),
        (["CANCELED"], False, "resume", "new", Action.NEXT),
    ],
)
def test_what_is_done_about_a_run(states, changed, on_retry, on_change, action):
    policies = Policies(OnRetry(on_retry), OnChange(on_change))

    assert decide(history(*states), changed, policies).action is action


def test_a_first_try_looks_the_id_up_once_and_searches_nothing():
    script = Script({})

    found = script.run(find_run(search(is_retry=False)))

    assert (found.run_id, found.run, script.labels, script.waits) == ("r0", None, [get("r0")], [])
    assert found.reason == "New run, generation 0: this is the first try"


def test_a_retry_without_a_store_searches_for_as_long_as_a_killed_try_may_need():
    script = Script({LIST: [answer({})]})

    found = script.run(find_run(search()))

    assert found.run is None
    assert sum(script.waits) == SETTLING


def test_a_retry_with_a_store_and_no_intent_does_not_wait():
    script = Script({LIST: [answer({})]})

    assert script.run(find_run(search(keeps_intents=True))).run is None
    assert script.waits == []


def test_a_run_under_another_id_is_found_by_the_token_in_its_description():
    other = answer({"runs": [{"run_id": "x", "state": "RUNNING", "description": described("", "r0")}]})
    script = Script({LIST: [other]})

    found = script.run(find_run(search(namespace="team")))

    assert (found.run_id, found.run.run_id) == ("r0", "x")
    assert script.calls[-1].query["namespace"] == "team"
    assert "run x of generation 0 is going on" in found.reason


def test_a_server_that_passes_over_the_search_does_not_give_a_wrong_run():
    others = answer({"runs": [{"run_id": "x", "state": "RUNNING", "description": described("", "r7")}]})

    assert Script({LIST: [others]}).run(find_run(search(keeps_intents=True))).run is None


def test_where_the_search_is_refused_the_id_has_to_do():
    script = Script({LIST: [PermissionDeniedError("may not list")]})

    assert script.run(find_run(search(keeps_intents=True))).run is None


def test_a_server_that_cannot_answer_is_asked_again_before_anything_is_decided():
    script = Script({get("r0"): [UNAVAILABLE, Answer(500), shown("r0", "RUNNING")]})

    found = script.run(patiently(find_run(search()), seconds=60.0))

    assert found.run.run_id == "r0"
    assert script.labels == [get("r0")] * 3


def test_a_server_that_does_not_answer_fails_the_try():
    with pytest.raises(ServerUnavailableError):
        Script({get("r0"): [UNAVAILABLE]}).run(find_run(search()))


def announced(now: float, **fields: object) -> Search:
    intent = Intent(**{"run_id": "r0", "generation": 0, "intent_at": now, **fields})
    times = iter([now] * 3 + [now + seconds for seconds in range(0, 600, 3)])
    return search(intent=intent, keeps_intents=True, now=lambda: next(times))


def test_an_announced_run_is_looked_for_until_nobody_can_send_it_any_longer():
    script = Script({LIST: [answer({})]})

    assert script.run(find_run(announced(1000.0))).run is None
    assert sum(script.waits) >= LEASE + 35.0 + SETTLING - 3.0


def test_an_announced_run_that_appears_is_gone_on_with():
    script = Script({get("r0"): [NOT_FOUND, NOT_FOUND, shown("r0", "RUNNING")], LIST: [answer({})]})

    assert script.run(find_run(announced(1000.0))).run.run_id == "r0"


def test_a_clock_that_is_ahead_does_not_make_the_wait_longer():
    script = Script({LIST: [answer({})]})
    earlier = announced(1000.0)
    ahead = search(
        intent=Intent("r0", 0, 9_000_000.0), keeps_intents=True, now=earlier.now, longest_request=35.0
    )

    assert script.run(find_run(ahead)).run is None
    assert sum(script.waits) <= LEASE + 35.0 + SETTLING + 3.0


def test_the_id_that_the_server_gave_is_looked_up_first():
    script = Script({get("x"): [shown("x", "RUNNING")]})

    found = script.run(find_run(announced(1000.0, server_run_id="x")))

    assert (found.run_id, found.run.run_id, script.labels) == ("r0", "x", [get("x")])


def test_after_a_run_that_was_deleted_the_next_generation_begins():
    script = Script({LIST: [answer({})]})

    found = script.run(find_run(announced(1000.0, server_run_id="r0")))

    assert (found.run_id, found.run) == ("r1", None)
    assert found.reason == "New run, generation 1: run r0 of generation 0 was deleted on the server"


def test_the_generation_of_the_intent_spares_the_looks_at_earlier_ones():
    script = Script({get("r4"): [shown("r4", "RUNNING")]})

    found = script.run(find_run(search(intent=Intent("r4", 4, 0.0), keeps_intents=True)))

    assert (found.generation, script.labels) == (4, [get("r4")])


def test_an_intent_of_another_connection_is_passed_over():
    script = Script({LIST: [answer({})]})

    found = script.run(find_run(search(intent=Intent("of another", 4, 0.0), keeps_intents=True)))

    assert found.run_id == "r0"


def test_a_run_that_is_being_terminated_is_waited_for():
    states = [shown("r0", "RUNNING", "CANCELING")] * 2 + [shown("r0", "RUNNING", "CANCELING", "FAILED")]
    script = Script({get("r0"): states, LIST: [answer({})]})

    found = script.run(find_run(search(keeps_intents=True)))

    assert found.run_id == "r1"
    assert script.waits == [1.0, 2.0]
    assert "run r0 of generation 0 was terminated" in found.reason


def test_a_run_that_stays_canceling_does_not_stop_the_task():
    script = Script({get("r0"): [shown("r0", "CANCELING")], LIST: [answer({})]})

    found = script.run(find_run(search(keeps_intents=True)))

    assert "is being terminated" in found.reason
    assert sum(script.waits) == 60.0


def test_a_changed_run_that_goes_on_is_terminated_before_the_next_begins():
    script = Script(
        {
            get("r0"): [shown("r0", "RUNNING", fingerprint=OTHER)],
            calls.terminate_run("r0").label: [answer({})],
            LIST: [answer({})],
        }
    )

    found = script.run(find_run(search(keeps_intents=True)))

    assert (found.run_id, found.run) == ("r1", None)
    assert script.labels[1] == calls.terminate_run("r0").label
    assert "another pipeline or other arguments, and was terminated" in found.reason


def test_a_changed_run_fails_the_task_where_the_user_wants_that_and_is_left_alone():
    script = Script({get("r0"): [shown("r0", "SUCCEEDED", fingerprint=OTHER)]})

    with pytest.raises(RunError, match="on_change is 'fail'"):
        script.run(find_run(search(policies=Policies(on_change=OnChange.FAIL))))
    assert script.labels == [get("r0")]


def test_a_run_of_a_version_that_wrote_no_fingerprint_counts_as_unchanged():
    script = Script({get("r0"): [answer({"run_id": "r0", "state": "RUNNING", "description": "a text"})]})

    assert script.run(find_run(search())).run.run_id == "r0"


def test_a_run_is_gone_on_with_where_nobody_knows_what_the_task_runs_now():
    script = Script({get("r0"): [shown("r0", "RUNNING")]})

    assert script.run(find_run(replace(search(), fingerprint=None))).run.run_id == "r0"


def test_a_run_that_cannot_be_compared_is_refused_where_the_user_wants_to_know_of_changes():
    script = Script({get("r0"): [shown("r0", "RUNNING")]})
    policies = Policies(on_change=OnChange.FAIL)

    with pytest.raises(RunError, match="cannot be compared"):
        script.run(find_run(replace(search(policies=policies), fingerprint=None)))
    assert script.labels == [get("r0")]


RESUME = {"keeps_intents": True, "policies": Policies(OnRetry.RESUME)}


def test_a_failed_run_is_resumed():
    going_on = shown("r0", "RUNNING", "FAILED", "RUNNING")
    script = Script({get("r0"): [shown("r0", "RUNNING", "FAILED"), going_on], retry("r0"): [answer({})]})

    found = script.run(find_run(search(**RESUME, now=lambda: 7.0)))

    assert (found.run_id, found.run.state, found.resumed_at) == ("r0", RunState.RUNNING, 7.0)
    assert script.labels == [get("r0"), retry("r0"), get("r0")]
    assert found.reason.startswith("Resuming the run of an earlier try")


@pytest.mark.parametrize("unclear", [CONFLICT, UNAVAILABLE, Answer(500)])
def test_a_run_that_goes_on_after_an_unclear_answer_was_resumed(unclear):
    script = Script(
        {
            get("r0"): [shown("r0", "FAILED"), shown("r0", "FAILED"), shown("r0", "FAILED", "RUNNING")],
            retry("r0"): [unclear],
        }
    )

    assert script.run(find_run(search(**RESUME))).run.state is RunState.RUNNING
    assert script.labels.count(retry("r0")) == 1


def test_a_resumed_run_that_has_failed_again_already_is_no_old_failure():
    again = shown("r0", "FAILED", "RUNNING", "FAILED")
    script = Script({get("r0"): [shown("r0", "FAILED"), again], retry("r0"): [answer({})]})

    assert len(script.run(find_run(search(**RESUME))).run.state_history) == 3
    assert script.labels.count(retry("r0")) == 1


@pytest.mark.parametrize("refusal", [CONFLICT, NOT_FOUND, PermissionDeniedError("may not")])
def test_where_the_server_does_not_resume_a_new_run_begins_and_the_log_says_why(refusal):
    script = Script(
        {get("r0"): [shown("r0", "FAILED")], retry("r0"): [refusal], LIST: [answer({})]},
    )

    found = script.run(find_run(search(**RESUME)))

    assert (found.run_id, found.run) == ("r1", None)
    assert "but the server does not resume it: " in found.reason


def test_a_resumed_run_began_when_it_was_resumed():
    states = ["PENDING", "RUNNING", "FAILED", "RUNNING", "SUCCEEDED"]
    history = [{"state": state, "update_time": f"2026-01-01T00:00:0{n}Z"} for n, state in enumerate(states)]
    run = Run.from_json({"run_id": "r", "created_at": "2025-12-31T00:00:00Z", "state_history": history})

    assert began_at(run) == datetime(2026, 1, 1, 0, 0, 3, tzinfo=timezone.utc).timestamp()
    assert began_at(Run("r")) is None
