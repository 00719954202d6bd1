"""The embedded engine shows volumes at their mount paths while a task runs."""

from __future__ import annotations

import pytest

from tests.embedded_engine import (
    eventually,
    pipeline,
    running_server,
    step,
)
from tests.embedded_settings import constant, failure, platform_spec, put, run_one, warm


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("settings") / "data") as running:
        warm(running)
        yield running


@pytest.fixture
def mounts(tmp_path):
    return tmp_path / "mounts"


def test_volumes_are_seen_at_their_paths_while_the_task_runs(server, tmp_path, mounts):
    data = server.places.data
    put(data / "secrets", "files", password="hidden", **{"..data": "not a key"})
    put(data / "config-maps", "files", **{"app.toml": "x = 1"})
    (data / "claims" / "made-by-hand").mkdir(parents=True)
    seen = tmp_path / "seen"

    run = run_one(
        server,
        f"ls {mounts}/secret {mounts}/config {mounts}/claim {mounts}/empty {mounts}/own > {seen}\n"
        f"cat {mounts}/secret/password {mounts}/config/app.toml >> {seen}\n"
        f"! touch {mounts}/secret/password/x; echo kept > {mounts}/claim/file; touch {mounts}/empty/gone",
        {
            "pvcMount": [{"constant": "made-by-hand", "mountPath": f"{mounts}/claim", "subPath": "a/b"}],
            "secretAsVolume": [{"secretName": "files", "mountPath": f"{mounts}/secret/"}],
            "configMapAsVolume": [
                {"configMapNameParameter": constant("files"), "mountPath": f"{mounts}/config"}
            ],
            "emptyDirMounts": [{"volumeName": "e", "mountPath": f"{mounts}/empty", "sizeLimit": "1Gi"}],
            "genericEphemeralVolume": [{"volumeName": "g", "mountPath": f"{mounts}/own", "size": "1Gi"}],
        },
    )

    assert run.state == "SUCCEEDED", server.log(run, "one")
    assert "password" in seen.read_text()
    assert "hiddenx = 1" in seen.read_text()
    assert "data" not in seen.read_text().replace(str(mounts), "").replace(str(data), "")
    assert (data / "claims" / "made-by-hand" / "a" / "b" / "file").read_text() == "kept\n"
    assert not mounts.exists()
    assert not list((data / "mounts").iterdir())
    assert not list(server.places.tasks(run.run_id).iterdir())
    log = server.log(run, "one")
    assert 'Not applied here: {"sizeLimit":"1Gi"} of emptyDirMounts[0].' in log
    assert 'Not applied here: {"size":"1Gi"} of genericEphemeralVolume[0].' in log


def test_an_empty_dir_is_new_for_each_attempt(server, tmp_path, mounts):
    tries = tmp_path / "tries"

    run = run_one(
        server,
        f"ls {mounts}/e >> {tries}; touch {mounts}/e/left; echo tried >> {tries}; [ $(wc -l < {tries}) = 2 ]",
        {"emptyDirMounts": [{"volumeName": "e", "mountPath": f"{mounts}/e"}]},
        retryPolicy={"maxRetryCount": 2, "backoffDuration": "0s"},
    )

    assert run.state == "SUCCEEDED"
    assert tries.read_text() == "tried\ntried\n"


def test_something_at_the_mount_path_is_left_alone_and_named(server, mounts):
    mounts.mkdir()
    (mounts / "here").write_text("mine")

    run = run_one(server, "true", {"emptyDirMounts": [{"volumeName": "e", "mountPath": f"{mounts}/here"}]})

    assert failure(server, run).startswith(
        f"FailedMount: emptyDirMounts[0] at {mounts}/here: there is something at this path already"
    )
    assert (mounts / "here").read_text() == "mine"


def test_a_path_where_the_server_may_not_write_is_named(server):
    # Not even root makes a folder in /proc.
    run = run_one(server, "true", {"emptyDirMounts": [{"volumeName": "e", "mountPath": "/proc/data/x"}]})

    assert failure(server, run).startswith(
        "FailedMount: emptyDirMounts[0] at /proc/data/x: this server cannot make this path"
    )


def test_a_symlink_made_by_hand_serves_and_stays(server, mounts):
    claim = server.places.data / "claims" / "linked"
    claim.mkdir(parents=True)
    mounts.mkdir()
    (mounts / "claim").symlink_to(claim)

    run = run_one(
        server,
        f"touch {mounts}/claim/x",
        {"pvcMount": [{"constant": "linked", "mountPath": f"{mounts}/claim"}]},
    )

    assert run.state == "SUCCEEDED"
    assert (claim / "x").exists()
    assert (mounts / "claim").is_symlink()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"pvcMount": [{"constant": "none", "mountPath": "{m}/x"}]},
            'persistentvolumeclaim "none" not found',
        ),
        ({"pvcMount": [{"constant": "../x", "mountPath": "{m}/x"}]}, "pvcMount[0]: '../x' is no name"),
        (
            {"pvcMount": [{"constant": "c", "mountPath": "{m}/x", "subPath": "../y"}]},
            "'../y' is no sub path",
        ),
        ({"pvcMount": [{"constant": "c", "mountPath": "x"}]}, "pvcMount[0]: 'x' is no mount path"),
        ({"pvcMount": [{"constant": "c", "mountPath": "/a/../b"}]}, "'/a/../b' is no mount path"),
        ({"pvcMount": [{"constant": "c"}]}, "not as KFP compiles them: KeyError: 'mountPath'"),
        (
            {"secretAsVolume": [{"secretName": "none", "mountPath": "{m}/x"}]},
            'x: secret "none" not found',
        ),
        ({"configMapAsVolume": [{"configMapName": "odd", "mountPath": "{m}/x"}]}, "'a b' is no key"),
        ({"emptyDirMounts": [{"volumeName": "../e", "mountPath": "{m}/x"}]}, "'../e' is no name of a volume"),
        (
            {
                "emptyDirMounts": [
                    {"volumeName": "e", "mountPath": "{m}/x"},
                    {"volumeName": "f", "mountPath": "{m}/x/y"},
                ]
            },
            "a mount path too or the other way round",
        ),
        ({"activeDeadlineSeconds": "soon"}, "not as KFP compiles them"),
    ],
)
def test_a_volume_that_cannot_be_mounted_fails_the_task_by_its_name(server, mounts, settings, message):
    def filled(value):
        match value:
            case dict():
                return {key: filled(item) for key, item in value.items()}
            case list():
                return [filled(item) for item in value]
            case _:
                return value.replace("{m}", str(mounts))

    put(server.places.data / "config-maps", "odd", **{"a b": "x"})

    run = run_one(server, "true", filled(settings))

    assert message in failure(server, run)
    assert not mounts.exists()


def test_tasks_that_want_the_same_path_for_different_folders_run_one_after_the_other(
    server, tmp_path, mounts
):
    trace = tmp_path / "trace"
    script = (
        f'[ -z "$(ls {mounts}/e)" ]; echo in >> {trace}; touch {mounts}/e/x; sleep 0.2; echo out >> {trace}'
    )
    empty = {"emptyDirMounts": [{"volumeName": "e", "mountPath": f"{mounts}/e"}]}

    run = server.run(
        pipeline({name: step(script) for name in "abc"}),
        platform_spec=platform_spec(dict.fromkeys("abc", empty)),
    )

    assert run.state == "SUCCEEDED", [server.log(run, name) for name in "abc"]
    assert trace.read_text().split() == ["in", "out"] * 3
    assert any("this one waits until it has ended" in server.log(run, name) for name in "abc")


def test_tasks_that_want_the_same_folder_at_a_path_run_side_by_side(server, mounts):
    (server.places.data / "claims" / "shared").mkdir(parents=True)
    claim = {"pvcMount": [{"constant": "shared", "mountPath": f"{mounts}/c"}]}
    # Each waits for what the other one writes.
    scripts = {
        mine: f"touch {mounts}/c/{mine}; until [ -e {mounts}/c/{other} ]; do sleep 0.02; done"
        for mine, other in ("ab", "ba")
    }

    run = server.run(
        pipeline({name: step(script) for name, script in scripts.items()}),
        platform_spec=platform_spec(dict.fromkeys("ab", claim)),
    )

    assert run.state == "SUCCEEDED"
    assert not mounts.exists()


def test_a_task_that_waits_for_a_path_can_be_terminated(server, tmp_path, mounts):
    ready = tmp_path / "ready"
    empty = {"one": {"emptyDirMounts": [{"volumeName": "e", "mountPath": f"{mounts}/e"}]}}
    first = server.submit(
        pipeline({"one": step(f"touch {ready}; sleep 1000")}), platform_spec=platform_spec(empty)
    )
    eventually(ready.exists)
    second = server.submit(pipeline({"one": step("true")}), platform_spec=platform_spec(empty))
    eventually(lambda: server.tasks(second).get("one") and server.tasks(second)["one"].state == "RUNNING")

    server.engine.terminate(second)

    assert server.wait(second).state == "FAILED"
    assert server.store.get_run(first).state == "RUNNING"
    server.engine.terminate(first)
    server.wait(first)
    eventually(lambda: not mounts.exists())
