"""The embedded engine makes claims and a workspace, and deletes them when they are no longer needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.embedded_engine import (
    eventually,
    nested,
    output_of,
    pipeline,
    running_server,
    step,
)
from tests.embedded_settings import failure, platform_spec, put, warm

ALWAYS = {"triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}}
CLAIM = {"access_modes": ("LIST", ["ReadWriteOnce"]), "size": ("STRING", "1Gi")}
STUB = {"command": [], "args": []}
#: A server of its own process, to be killed.
SERVE = """
import json, sys, time
from pathlib import Path
from tests.embedded_engine import Server
spec, platform_spec = json.loads(sys.argv[2])
print(Server(Path(sys.argv[1])).submit(spec, platform_spec=platform_spec), flush=True)
time.sleep(1000)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("settings") / "data") as running:
        warm(running)
        yield running


@pytest.fixture
def mounts(tmp_path):
    return tmp_path / "mounts"


def create(**inputs):
    """A task that creates a claim."""
    inputs = {name: ("STRING", value) for name, value in inputs.items()}
    container = {"image": "argostub/createpvc"} | STUB
    return step(inputs=CLAIM | inputs, outputs={"name": "STRING"}, container=container)


def delete(name, **task):
    """A task that deletes a claim."""
    container = {"image": "argostub/deletepvc"} | STUB
    return step(inputs={"pvc_name": ("STRING", name)}, container=container, **task)


def claim_pipeline(mounts, script):
    """As the compiler makes it: the claim outside, the users' tasks in a dag, the deletion after it."""
    inner = {
        "write": step(f"echo data > {mounts}/c/file"),
        "read": step(script, dependentTasks=["write"]),
    }
    name = {"pipelinechannel--createpvc-name": ("STRING", output_of("createpvc", "name"))}
    mount = {
        "pvcMount": [
            {
                "mountPath": f"{mounts}/c",
                "pvcNameParameter": {"componentInputParameter": "pipelinechannel--createpvc-name"},
            }
        ]
    }
    spec = pipeline(
        {
            "createpvc": create(pvc_name_suffix="-data"),
            "exit-handler-1": nested(inner, inputs=name),
            "deletepvc": delete(
                output_of("createpvc", "name"), dependentTasks=["createpvc", "exit-handler-1"], **ALWAYS
            ),
        }
    )
    return spec, platform_spec({f"exit-handler-1-{task}": mount for task in inner})


@pytest.mark.parametrize(("end", "state"), [("true", "SUCCEEDED"), ("exit 4", "FAILED")])
def test_a_claim_is_shared_by_the_tasks_and_deleted_in_the_end(server, tmp_path, mounts, end, state):
    seen = tmp_path / "seen"
    spec, platform = claim_pipeline(mounts, f"cat {mounts}/c/file > {seen}; {end}")

    run = server.run(spec, platform_spec=platform)

    tasks = server.tasks(run)
    assert run.state == state
    assert seen.read_text() == "data\n"
    name = tasks["createpvc"].outputs["parameters"]["name"]
    assert name.endswith("-data")
    assert tasks["deletepvc"].state == "SUCCEEDED"
    assert not (server.places.data / "claims" / name).exists()
    assert "Not applied here: size '1Gi', access_modes ['ReadWriteOnce']." in server.log(run, "createpvc")


def test_a_claim_survives_a_restart_of_the_server(tmp_path, mounts):
    ready, go, seen = (tmp_path / name for name in ("ready", "go", "seen"))
    script = f"cat {mounts}/c/file > {seen}; touch {ready}; until [ -e {go} ]; do sleep 0.02; done"
    spec, platform = claim_pipeline(mounts, script)
    with running_server(tmp_path / "data") as first:
        run_id = first.submit(spec, platform_spec=platform)
        eventually(ready.exists)
    assert not mounts.exists()
    seen.unlink()
    go.touch()

    with running_server(tmp_path / "data") as second:
        run = second.wait(run_id)
        tasks = second.tasks(run)

    assert run.state == "SUCCEEDED"
    assert seen.read_text() == "data\n"
    assert tasks["createpvc"].attempts == 1
    assert not list((tmp_path / "data" / "claims").iterdir())


def test_what_a_killed_server_left_at_mount_paths_is_removed_by_the_next(tmp_path, mounts):
    ready, go, data = tmp_path / "ready", tmp_path / "go", tmp_path / "data"
    put(data / "secrets", "files", KEY="hidden")
    spec = pipeline({"one": step(f"touch {ready}; until [ -e {go} ]; do sleep 0.02; done")})
    platform = platform_spec(
        {"one": {"secretAsVolume": [{"secretName": "files", "mountPath": f"{mounts}/a/b"}]}}
    )
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, data, json.dumps([spec, platform])],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    run_id = process.stdout.readline().strip()
    eventually(ready.exists)
    process.kill()
    process.communicate()
    assert (mounts / "a" / "b" / "KEY").read_text() == "hidden"
    go.touch()

    with running_server(data) as server:
        assert server.wait(run_id).state == "SUCCEEDED"

    assert not mounts.exists()
    assert not list((data / "mounts").iterdir())
    assert [file for file in data.rglob("KEY") if file.is_file()] == [data / "secrets" / "files" / "KEY"]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            create(pvc_name="a", pvc_name_suffix="-b"),
            "at most one of pvc_name ('a') and pvc_name_suffix ('-b')",
        ),
        (create(pvc_name="../a"), "ailed to create pvc: '../a' is no name"),
        (create(pvc_name_suffix="/../../x"), "ailed to create pvc: "),
        (create(pvc_name="a", size="big"), "ailed to create pvc: size is 'big'"),
        (create(pvc_name="taken"), 'vc: persistentvolumeclaims "taken" already exists'),
        (delete("none"), 'vc: persistentvolumeclaim "none" not found'),
        (delete(".."), "ailed to delete pvc: '..' is no name"),
    ],
)
def test_a_claim_that_cannot_be_made_or_deleted_fails_its_task(server, task, message):
    (server.places.data / "claims" / "taken").mkdir(parents=True, exist_ok=True)

    run = server.run(pipeline({"one": task}))

    assert message in failure(server, run)


def test_access_modes_are_those_of_kubernetes(server):
    task = create(pvc_name="modes")
    task["inputs"]["access_modes"] = ("LIST", ["Often"])

    assert "access_modes is ['Often']" in failure(server, server.run(pipeline({"one": task})))


def test_a_claim_is_deleted_once_no_task_sees_it(server, tmp_path, mounts):
    (server.places.data / "claims" / "in-use").mkdir(parents=True)
    ready, go = tmp_path / "ready", tmp_path / "go"
    script = f"touch {ready}; until [ -e {go} ]; do sleep 0.02; done; touch {mounts}/c/still-there"
    mount = {"one": {"pvcMount": [{"constant": "in-use", "mountPath": f"{mounts}/c"}]}}
    using = server.submit(pipeline({"one": step(script)}), platform_spec=platform_spec(mount))
    eventually(ready.exists)
    deleting = server.submit(pipeline({"one": delete("in-use")}))
    eventually(lambda: server.tasks(deleting).get("one") and server.tasks(deleting)["one"].state == "RUNNING")

    assert (server.places.data / "claims" / "in-use").exists()
    go.touch()

    assert server.wait(using).state == "SUCCEEDED"
    assert server.wait(deleting).state == "SUCCEEDED"
    assert not (server.places.data / "claims" / "in-use").exists()


def test_the_tasks_of_a_run_share_a_workspace_which_a_failed_run_keeps_for_its_retry(server, tmp_path):
    good = tmp_path / "good"
    file = {"file": ("STRING", "{{$.workspace_path}}/file")}
    path = "{{$.inputs.parameters['file']}}"
    spec = pipeline(
        {
            "write": step(f"echo shared > {path}", inputs=file),
            "read": step(f"grep shared {path}; [ -e {good} ]", inputs=file, dependentTasks=["write"]),
        }
    )
    platform = platform_spec({}, pipelineConfig={"workspace": {"size": "1Gi"}})

    run = server.run(spec, platform_spec=platform)

    workspace = server.places.workspace(run.run_id)
    assert run.state == "FAILED"
    assert (workspace / "file").read_text() == "shared\n"
    assert 'Not applied here: workspace {"size":"1Gi"}' in server.log(run, "write")
    good.touch()
    assert server.engine.retry(run.run_id)
    assert server.wait(run.run_id).state == "SUCCEEDED"
    assert not workspace.exists()
