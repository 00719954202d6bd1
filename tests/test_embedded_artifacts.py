"""The places of files: laid out as KFP does, one for each attempt, never outside the data directory."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.embedded.engine.artifacts import Places, pod_name, workflow_name

PLACES = Places(Path("/data"))


def test_artifacts_are_laid_out_as_in_the_object_store():
    place = PLACES.output("pipe", "run", "train", PLACES.working("run", "pod"))

    parts = place.artifact("model").parts
    assert parts[:5] == ("/", "data", "artifacts", "pipe", "run")
    assert (parts[5], parts[7]) == ("train", "model")
    assert place.executor_output.parent == place.artifact("model").parent


def test_each_attempt_writes_to_a_place_of_its_own():
    working = PLACES.working("run", "pod")

    assert PLACES.output("p", "r", "t", working).artifacts != PLACES.output("p", "r", "t", working).artifacts


@given(st.text(), st.text(), st.text(), st.text())
def test_no_name_leads_out_of_the_data_directory(pipeline, run, task, name):
    place = PLACES.output(pipeline, run, task, PLACES.working(run, name))

    for path in (place.artifact(name), place.parameter(name), PLACES.log(run, name)):
        assert ".." not in path.parts
        assert path.is_relative_to("/data")
        assert len(str(path)) > len("/data/artifacts")


def test_a_working_folder_is_made_anew(tmp_path):
    working = Places(tmp_path).working("run", "pod")
    working.prepare()
    (working.current / "left-over").touch()

    working.prepare()

    assert list(working.current.iterdir()) == []
    working.remove()
    assert not working.root.exists()


def test_names_are_those_of_a_workflow_and_its_pods():
    workflow = workflow_name("my-pipe", "run-1")
    pod = pod_name(workflow, "task-1")

    assert workflow == workflow_name("my-pipe", "run-1") != workflow_name("my-pipe", "run-2")
    assert len(workflow) == len("my-pipe-12345")
    prefix, _, digits = pod.partition("-system-container-impl-")
    assert prefix == workflow
    assert digits.isdigit()
    assert pod != pod_name(workflow, "task-2")
