"""The control flow that the SDK compiles, run by the real server, seen by the SDK's client and by ours."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient, calls, flows
from airflow_kfp_runtime.client.outputs import OutputReader, read_outputs
from airflow_kfp_runtime.client.steps import outputs_by_step
from demo.kfp_server import start_kfp_server
from tests.environments import KFP_SDK, environment

SCRIPT = Path(__file__).with_name("kfp_control_flow.py")


def by_the_sdk(target, folder):
    """What the script says of its pipelines, run at ``target``."""
    done = subprocess.run(
        [str(environment("kfp", KFP_SDK)), "-W", "ignore", str(SCRIPT), target, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )
    if done.returncode:
        raise RuntimeError(f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class Seen:
    """The runs as the SDK's client saw them, and their outputs and failures as each of our readers did."""

    def __init__(self, runs):
        self.runs = runs
        self.outputs = {}
        self.failures = {}

    def read(self, settings):
        with KfpClient(settings) as client:
            for name, run in self.runs.items():
                outputs = client.run(read_outputs(client.send(calls.get_run(run["run_id"]))))
                self.outputs[name, outputs.reader] = outputs
                if run["state"] == "FAILED":
                    failure = client.run(flows.explain_failure(run["run_id"]))
                    self.failures[name, outputs.reader] = failure

    def tasks(self, name):
        """The states of the nodes of a run, by display name."""
        found = {}
        for task, state in self.runs[name]["tasks"]:
            found.setdefault(task, []).append(state)
        return found


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow")
    server = start_kfp_server(folder / "data", "--workers", "4")
    try:
        seen = Seen(by_the_sdk(server.url, folder))
        seen.read(ClientSettings(server.url))
        seen.read(ClientSettings(server.url, metadata_url=f"{server.url}/nowhere"))
    finally:
        server.stop()
    # The same runs again as a later server tells of them.
    server = start_kfp_server(folder / "data", "--api", "next")
    try:
        seen.read(ClientSettings(server.url))
    finally:
        server.stop()
    return seen


READERS = pytest.mark.parametrize("reader", list(OutputReader))
FULL_READERS = pytest.mark.parametrize("reader", [OutputReader.TASKS_API, OutputReader.METADATA])


def test_all_ends_as_it_should(seen):
    states = {name: run["state"] for name, run in seen.runs.items()}

    assert states.pop("ending") == "FAILED"
    assert set(states.values()) == {"SUCCEEDED"}, states


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("heads", {"Output": "first"}),
        ("tails", {"Output": "second"}),
        ("edge", {"Output": "third"}),
        ("pages", {"Output": "large"}),
        ("loops", {"total": 3.0, "rates": ["3", "1", "2"], "pairs": "ax,by"}),
        ("nested", {"Output": "0a,0b,1a,1b"}),
        ("nothing", {"Output": 0.0}),
        ("artifacts", {"Output": ["0", "1"]}),
    ],
)
@FULL_READERS
def test_a_pipeline_has_the_outputs_of_what_ran(seen, name, outputs, reader):
    read = seen.outputs[name, reader]

    assert read.pipeline == outputs
    assert read.unread == ()


def test_kfp_local_has_the_same_outputs_where_it_can_run_a_pipeline(seen, tmp_path):
    for name, outputs in by_the_sdk("local", tmp_path).items():
        assert seen.outputs[name, OutputReader.METADATA].pipeline == outputs, name


def test_the_sdks_client_sees_branches_and_iterations_as_nodes(seen):
    branches = seen.tasks("heads")
    assert (branches["condition-2"], branches["condition-3"]) == (["SUCCEEDED"], ["SKIPPED"])
    assert branches["condition-3-driver"] == ["SUCCEEDED"]

    loops = seen.tasks("loops")
    assert Counter(loops["train"]) == {"SUCCEEDED": 3}
    assert loops["iteration-iterations(2:2)"] == ["SUCCEEDED"]
    assert Counter(loops["condition-2"]) == {"SUCCEEDED": 2, "SKIPPED": 1}

    assert seen.tasks("nothing")["iteration-iterations"] == ["SKIPPED"]


@FULL_READERS
def test_outputs_of_iterations_are_lists_by_the_users_names(seen, reader):
    loops = outputs_by_step(
        seen.outputs["loops", reader],
        {"for-loop-1/train": "train", "for-loop-1/condition-2/say": "tell", "for-loop-4/glue": "glue"},
    )
    assert loops["train"]["Output"] == [1.5, 0.5, 1.0]
    assert [model["metadata"] for model in loops["train"]["model"]] == [{"rate": 3}, {"rate": 1}, {"rate": 2}]
    assert loops["tell"] == {"Output": ["large 3", None, "large 2"]}
    assert loops["glue"] == {"Output": ["ax", "by"]}

    nested = outputs_by_step(seen.outputs["nested", reader], {"for-loop-1/for-loop-3/both": "both"})
    assert nested == {"both": {"Output": [["0a", "0b"], ["1a", "1b"]]}}

    nothing = outputs_by_step(seen.outputs["nothing", reader], {"for-loop-1/train": "train"})
    assert nothing == {"train": {"Output": [], "model": []}}

    branches = {f"condition-branches-1/condition-{number}/say-{number}": str(number) for number in (2, 3)}
    assert outputs_by_step(seen.outputs["heads", reader], branches) == {"2": {"Output": "first"}, "3": {}}


def test_the_manifest_has_what_was_collected_and_says_what_was_not(seen):
    loops = seen.outputs["loops", OutputReader.MANIFEST]
    train = outputs_by_step(loops, {"for-loop-1/train": "train"})["train"]

    assert train["Output"] == [1.5, 0.5, 1.0]
    assert len(train["model"]) == 3
    assert loops.pipeline == {}
    assert (
        "Output 'Output' of task 'for-loop-1/0/condition-2/say': no task that ran consumed it."
        in loops.unread
    )
    assert not any("condition-2" in sentence and "for-loop-1/1" in sentence for sentence in loops.unread)
    assert seen.outputs["nothing", OutputReader.MANIFEST].iterations == {"for-loop-1": 0}


@READERS
def test_every_reader_tells_how_many_iterations_there_were(seen, reader):
    assert seen.outputs["loops", reader].iterations == {"for-loop-1": 3, "for-loop-4": 2}
    assert seen.outputs["nested", reader].iterations == {
        "for-loop-1": 2,
        "for-loop-1/0/for-loop-3": 2,
        "for-loop-1/1/for-loop-3": 2,
    }


def test_a_parallelism_of_one_is_one_iteration_at_a_time(seen):
    outputs = outputs_by_step(
        seen.outputs["one-by-one", OutputReader.METADATA], {"for-loop-2/timed": "timed"}
    )["timed"]

    times = list(zip(outputs["start"], outputs["end"], strict=True))
    assert len(times) == 3
    assert all(one[1] <= next_one[0] for one, next_one in pairwise(times))


@FULL_READERS
def test_importers_optional_inputs_and_lists_of_artifacts(seen, reader):
    names = {"importer": "file", "importer-2": "object", "read": "read", "optional": "optional"}
    found = outputs_by_step(
        seen.outputs["artifacts", reader], {**names, "part": "part", "for-loop-1/rated": "rated"}
    )

    assert found["file"]["artifact"]["uri"].endswith("/page.txt")
    assert found["file"]["artifact"]["metadata"] == {"by": "hand"}
    assert found["object"]["artifact"]["uri"] == "s3://bucket/key"
    assert found["object"]["artifact"]["type"] == "system.Model"
    assert found["read"] == {"Output": "on this machine"}
    assert found["optional"] == {"Output": "None None 3"}
    assert [model["metadata"]["rate"] for model in found["part"]["Output"]] == [0, 1]
    assert found["rated"] == {"Output": ["0", "1"]}


@READERS
def test_a_failed_iteration_is_named_and_the_exit_handler_has_run(seen, reader):
    path = "exit-handler-1/for-loop-3/condition-4/fail-at"
    failure = seen.failures["ending", reader]

    assert failure.describe({path: "check"}).startswith(
        "Step 'check [1]' failed: The step ended with exit status 1."
    )
    assert "RuntimeError: item 1 is bad" in failure.describe({path: "check"})
    assert seen.tasks("ending")["report"] == ["SUCCEEDED"]
    if reader is not OutputReader.MANIFEST:
        assert seen.outputs["ending", reader].tasks["report"] == {"Output": "FAILED exit-handler-1"}
