"""The official SDK's client, unchanged, against the embedded server: one tour, looked at from all sides."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.environments import KFP_SDK, environment

TOUR = Path(__file__).with_name("kfp_tour.py")


@pytest.fixture(scope="module")
def seen(kfp_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tour")
    done = subprocess.run(
        [str(environment("kfp", KFP_SDK)), "-W", "ignore", str(TOUR), kfp_server.url, str(folder)],
        capture_output=True,
        text=True,
        timeout=180,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )
    if done.returncode:
        raise RuntimeError(f"the tour broke off:\n{done.stderr}\n{kfp_server.process.tail()}")
    return json.loads(done.stdout.splitlines()[-1])


def test_it_is_a_single_user_server(seen):
    assert seen["multi_user"] is False


def test_experiments_are_made_once_and_found(seen):
    assert seen["experiment"]["by_name"]
    assert seen["experiment"]["again"]
    assert {"Default", "tour"} <= set(seen["experiment"]["listed"])


def test_pipelines_and_versions_are_uploaded_and_found(seen):
    pipeline = seen["pipeline"]

    assert pipeline["id_by_name"]
    assert pipeline["description"] == "uploaded"
    assert "greetings-uploaded" in pipeline["listed"]
    assert pipeline["versions"] == ["greetings-uploaded", "second"]
    assert pipeline["spec_name"] == "greetings"
    assert pipeline["duplicate"]["status"] == 409
    assert seen["delete_pipeline_with_versions"]["status"] == 400
    assert seen["pipeline_gone"]


@pytest.mark.parametrize("way", ["by_version", "inline"])
def test_a_run_succeeds_and_is_waited_for(seen, way):
    run = seen[way]

    assert run["states"] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert run["finished"]
    assert {"greet", "shout", "root", "greet-driver"} <= set(run["tasks"])
    assert run["pipeline_spec"] is (way == "inline")


def test_runs_are_listed_in_pages_and_filtered(seen):
    assert seen["listing"]["pages"] == [["inline"], ["by version"]]
    assert seen["listing"]["filtered"] == 2
    assert (seen["listing"]["wrong_parameter"]["status"], seen["listing"]["wrong_parameter"]["code"]) == (
        400,
        3,
    )


def test_a_run_is_terminated(seen):
    assert seen["terminated"]["states"] == ["PENDING", "RUNNING", "CANCELING", "FAILED"]
    assert seen["terminated_twice"]["status"] == 400
    assert "Row not found" in seen["terminated_twice"]["message"]


def test_a_failed_run_is_retried(seen):
    assert seen["failed"]["states"] == ["PENDING", "RUNNING", "FAILED"]
    assert seen["retried"]["state"] == "SUCCEEDED"
    assert seen["retried"]["run_id"] == seen["failed"]["run_id"]
    assert (seen["retried_when_succeeded"]["status"], seen["retried_when_succeeded"]["code"]) == (409, 10)


def test_a_branch_that_is_not_taken_is_skipped(seen):
    assert seen["branching"]["state"] == "SUCCEEDED"
    assert {name: seen["branching"]["tasks"][name] for name in ("condition-1-driver", "condition-1")} == {
        "condition-1-driver": "SUCCEEDED",
        "condition-1": "SKIPPED",
    }


def test_what_is_not_supported_is_refused_when_it_is_submitted(seen):
    assert (seen["recurring"]["status"], seen["recurring"]["code"]) == (501, 12)


def test_runs_are_archived_and_deleted(seen):
    assert seen["archived"] == ["ARCHIVED", "AVAILABLE"]
    assert (seen["deleted"]["status"], seen["deleted"]["code"]) == (404, 5)
