"""What is said of a failure: each failed task once, under the user's name."""

from __future__ import annotations

from airflow_kfp_runtime.client.failures import FailedTask, RunFailure
from airflow_kfp_runtime.client.models import RunState


def described(*tasks: FailedTask, message: str = "child 'x' failed", **step_names: str) -> list[str]:
    failure = RunFailure("1", RunState.FAILED, message, tasks)
    return failure.describe(step_names).splitlines()


def test_a_step_says_its_message_and_the_end_of_its_log():
    task = FailedTask("load-data", "Error (exit code 1)", log="Traceback\nValueError: no rows")

    assert described(task, **{"load-data": "Load data"}) == [
        "Step 'Load data' failed: Error (exit code 1)",
        "  | Traceback",
        "  | ValueError: no rows",
    ]


def test_what_the_embedded_server_says_three_times_is_said_once():
    message = "The step ended with exit status 1."
    task = FailedTask("train", f"{message}\nValueError: x", log=f"Traceback\nValueError: x\n{message}")

    assert described(task, message=f"Task 'train' failed: {message}", train="train") == [
        f"Step 'train' failed: {message}",
        "  | Traceback",
        "  | ValueError: x",
    ]


def test_without_a_log_the_whole_message_stands():
    assert described(FailedTask("train", "exit 1\nValueError: x"), train="train") == [
        "Step 'train' failed: exit 1",
        "  | ValueError: x",
    ]


def test_a_task_that_no_user_wrote_is_called_a_task():
    assert described(FailedTask("createpvc"), train="train") == [
        "Task 'createpvc' failed: the server gives no reason"
    ]


def test_a_nested_step_has_its_name_where_the_server_tells_no_path_too():
    names = {"exit-handler-1/train": "Train it"}

    for path in ("exit-handler-1/train", "train"):
        assert described(FailedTask(path, "exit 1"), **names) == ["Step 'Train it' failed: exit 1"]


def test_what_is_said_of_the_run_stands_where_no_task_is_known():
    assert described(message="quota exceeded") == ["quota exceeded"]
    assert str(RunFailure("1", RunState.FAILED)) == ""
