"""How often a task is tried again, and after how long."""

from __future__ import annotations

from airflow_kfp_runtime.embedded.engine.retries import RetryPolicy


def test_a_task_without_a_policy_is_not_tried_again():
    assert RetryPolicy.of({}).delay(1, elapsed=0) is None


def test_the_wait_grows_by_the_factor_until_the_retries_are_used_up():
    policy = RetryPolicy.of(
        {"retryPolicy": {"maxRetryCount": 3, "backoffDuration": "1.5s", "backoffFactor": 3.0}}
    )

    assert [policy.delay(attempt, elapsed=0) for attempt in (1, 2, 3, 4)] == [1.5, 4.5, 13.5, None]


def test_the_defaults_are_those_of_the_ir():
    policy = RetryPolicy.of({"retryPolicy": {"maxRetryCount": 1}})

    assert (policy.backoff, policy.factor, policy.longest) == (0.0, 2.0, 3600.0)


def test_no_attempt_starts_after_the_longest_time():
    policy = RetryPolicy.of(
        {"retryPolicy": {"maxRetryCount": 9, "backoffDuration": "60s", "backoffMaxDuration": "100s"}}
    )

    assert policy.delay(1, elapsed=40) == 60
    assert policy.delay(1, elapsed=41) is None
