"""The embedded engine runs steps with the Kubernetes settings that one machine can honour."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.embedded_engine import (
    alive,
    argument,
    eventually,
    nested,
    output_of,
    pipeline,
    running_server,
    step,
)
from tests.embedded_settings import as_env, constant, platform_spec, put

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


def warm(server):
    """Have the environment of all tasks made, which counts for a deadline, as pulling an image does."""
    server.run(pipeline({"first": step()}))


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


def run_one(server, script, settings, **members):
    """Run a pipeline of one step."""
    return server.run(
        pipeline({"one": step(script, **members)}), platform_spec=platform_spec({"one": settings})
    )


def failure(server, run, path="one"):
    """The first line of a task's error."""
    assert run.state == "FAILED"
    return server.tasks(run)[path].error.splitlines()[0]


# Variables


def test_variables_come_from_the_container_then_secrets_then_config_maps_then_fields(server, tmp_path):
    data = server.places.data
    put(data / "secrets", "order", KEY="from the secret", other="second\n")
    put(data / "config-maps", "order", KEY="from the config map", third="3")
    seen = tmp_path / "seen"
    variables = [{"name": name, "value": "container"} for name in ("A", "B", "C", "D")]

    run = run_one(
        server,
        f'printf "%s|" "$A" "$B" "$C" "$D" "$E" > {seen}',
        {
            "secretAsEnv": [as_env("order", {"KEY": "B"}), as_env("order", {"KEY": "C", "other": "E"})],
            "configMapAsEnv": [as_env("order", {"KEY": "C", "third": "D"}, "configMap")],
            "fieldPathAsEnv": [{"name": "D", "fieldPath": "metadata.namespace"}],
        },
        container={"env": variables},
    )

    assert run.state == "SUCCEEDED"
    assert seen.read_text() == "container|from the secret|from the config map|kubeflow|second\n|"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (as_env("nowhere", {"KEY": "ENV"}), 'CreateContainerConfigError: secret "nowhere" not found'),
        (
            as_env("there", {"none": "ENV"}),
            'CreateContainerConfigError: couldn\'t find key none in secret "there"',
        ),
        (as_env("../secrets/there", {"KEY": "ENV"}), "secretAsEnv[0]: '../secrets/there' is no name"),
        (as_env("there", {"../there/KEY": "ENV"}), "secretAsEnv[0]: '../there/KEY' is no key"),
        (as_env("there", {"KEY": "A=B"}), "secretAsEnv[0]: 'A=B' is no name of an environment variable"),
        (as_env("there", {"nul": "ENV"}), 'The key nul of secret "there" has a NUL byte'),
        (as_env("linked", {"KEY": "ENV"}), "is a link out of"),
        (as_env("linked", {"folder": "ENV"}), "couldn't find key folder"),
    ],
)
def test_a_secret_that_cannot_be_had_fails_the_task_by_its_name_and_shows_no_value(
    server, tmp_path, entry, message
):
    secrets = server.places.data / "secrets"
    put(secrets, "there", KEY="the hidden value", nul="the hidden\0value")
    if not (secrets / "linked").exists():
        put(tmp_path, "outside", KEY="the hidden value")
        (secrets / "linked" / "folder").mkdir(parents=True)
        (secrets / "linked" / "KEY").symlink_to(tmp_path / "outside" / "KEY")

    run = run_one(server, "true", {"secretAsEnv": [entry]})

    assert message in failure(server, run)
    assert "hidden" not in repr([run, *server.tasks(run).values()])


def test_what_is_optional_may_be_missing(server, tmp_path, mounts):
    data = server.places.data
    put(data / "secrets", "partial", have="x")
    seen = tmp_path / "seen"

    run = run_one(
        server,
        f'echo "${{A-unset}} ${{B-unset}} ${{C-unset}} $(ls {mounts}/s | wc -l)" > {seen}',
        {
            "secretAsEnv": [
                as_env("none", {"KEY": "A"}, optional=True),
                as_env("partial", {"have": "B", "none": "C"}, optional=True),
            ],
            "secretAsVolume": [
                {"secretName": "none", "mountPath": f"{mounts}/s", "optional": True},
            ],
        },
    )

    assert run.state == "SUCCEEDED"
    assert seen.read_text().split() == ["unset", "x", "unset", "0"]


def test_a_secrets_value_is_in_no_log_row_or_file_that_stays(server):
    put(
        server.places.data / "secrets", "quiet", KEY="unspeakable", PIP="https://user:unspeakable@host/simple"
    )
    settings = {
        "secretAsEnv": [as_env("quiet", {"KEY": "ENV", "PIP": "PIP_EXTRA_INDEX_URL"})],
        "secretAsVolume": [{"secretNameParameter": constant("quiet"), "mountPath": "/nowhere/below/root"}],
    }

    run = run_one(server, "exit 3", settings | {"secretAsVolume": []})

    assert run.state == "FAILED"
    kept = [file for file in server.places.run(run.run_id).rglob("*") if file.is_file()]
    assert kept
    assert not [file for file in kept if b"unspeakable" in file.read_bytes()]
    assert "unspeakable" not in repr([run, *server.tasks(run).values()])


def test_field_paths_tell_what_is_known_of_the_task(server, tmp_path):
    seen = tmp_path / "seen"
    paths = {
        "NAME": "metadata.name",
        "UID": "metadata.uid",
        "NODE": "spec.nodeName",
        "ADDRESS": "status.podIP",
        "TEAM": "metadata.labels['team']",
        "NOTE": "metadata.annotations['example.org/note']",
        "NONE": "metadata.labels['none']",
    }

    run = run_one(
        server,
        f'printf "%s\\n" "$NAME" "$UID" "$NODE" "$ADDRESS" "$TEAM" "$NOTE" "$NONE" > {seen}'.replace(
            "UID", "ID"
        ),
        {
            "fieldPathAsEnv": [
                {"name": name.replace("UID", "ID"), "fieldPath": path} for name, path in paths.items()
            ],
            "podMetadata": {"labels": {"team": "red"}, "annotations": {"example.org/note": "a note"}},
        },
    )

    task = server.tasks(run)["one"]
    assert seen.read_text().split("\n")[:-1] == [
        task.pod_name,
        task.task_id,
        socket.gethostname(),
        "127.0.0.1",
        "red",
        "a note",
        "",
    ]


def test_a_field_path_that_no_pod_has_fails_the_task(server):
    run = run_one(server, "true", {"fieldPathAsEnv": [{"name": "A", "fieldPath": "spec.containers"}]})

    assert "fieldPathAsEnv[0]: the field path 'spec.containers' is not supported" in failure(server, run)


# Volumes


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


# Claims


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


# Deadline


def test_the_deadline_ends_the_whole_process_tree_in_the_words_of_kubernetes(server, tmp_path):
    pids = tmp_path / "pids"
    run = run_one(
        server,
        f"setsid sh -c 'echo $$ >> {pids}; exec sleep 1000' & echo $$ >> {pids}; sleep 1000; true",
        {"activeDeadlineSeconds": "2"},
    )

    assert failure(server, run) == (
        "DeadlineExceeded: Pod was active on the node longer than the specified deadline "
        "(activeDeadlineSeconds 2)."
    )
    assert server.tasks(run)["one"].exit_code == 128 + signal.SIGTERM
    numbers = [int(line) for line in pids.read_text().split()]
    assert len(numbers) == 2
    assert not any(alive(number) for number in numbers)


def test_each_attempt_has_its_deadline(server, tmp_path):
    tries = tmp_path / "tries"

    run = run_one(
        server,
        f"echo x >> {tries}; [ $(wc -l < {tries}) = 2 ] || sleep 1000",
        {"activeDeadlineSeconds": "1"},
        retryPolicy={"maxRetryCount": 1, "backoffDuration": "0s"},
    )

    assert run.state == "SUCCEEDED"
    assert server.tasks(run)["one"].attempts == 2


def test_a_process_that_ignores_the_end_of_its_time_is_killed(tmp_path):
    with running_server(tmp_path / "data", grace=0.2) as server:
        warm(server)
        run = run_one(server, "trap '' TERM; while true; do sleep 0.05; done", {"activeDeadlineSeconds": "1"})

        assert failure(server, run).startswith("DeadlineExceeded")
        assert server.tasks(run)["one"].exit_code == 128 + signal.SIGKILL


# What is known at run time only, and what is not applied


def test_names_come_from_arguments_and_other_tasks(server, tmp_path, mounts):
    data = server.places.data
    put(data / "secrets", "by-argument", KEY="secret")
    put(data / "config-maps", "by-output", KEY="config")
    (data / "claims" / "by-output").mkdir(parents=True)
    seen = tmp_path / "seen"
    output = {"taskOutputParameter": {"producerTask": "first", "outputParameterKey": "name"}}
    spec = pipeline(
        {
            "first": step(
                "printf by-output > \"{{$.outputs.parameters['name'].output_file}}\"",
                outputs={"name": "STRING"},
            ),
            "second": step(
                f'echo "$S $C" > {seen}; touch {mounts}/c/x',
                dependentTasks=["first"],
                inputs={"cpu": ("STRING", argument("cpu"))},
                container={"resources": {"resourceCpuLimit": "{{$.inputs.parameters['cpu']}}"}},
            ),
        },
        inputs={"secret": "STRING", "cpu": "STRING", "labels": ("STRUCT", None), "absent": ("STRING", None)},
    )
    settings = {
        "secretAsEnv": [
            as_env("", {"KEY": "S"}, secretNameParameter={"componentInputParameter": "secret"}),
            as_env("", {"KEY": "T"}, secretNameParameter={"componentInputParameter": "absent"}),
        ],
        "configMapAsEnv": [as_env("", {"KEY": "C"}, "configMap", configMapNameParameter=output)],
        "pvcMount": [{"mountPath": f"{mounts}/c", "pvcNameParameter": output}],
        "nodeSelector": {"nodeSelectorJson": {"componentInputParameter": "labels"}},
        "tolerations": [{"tolerationJson": constant({"key": "gpu"})}],
        "imagePullPolicy": "Always",
        "podMetadata": {"labels": {"a": "b"}},
    }

    run = server.run(
        spec,
        {"secret": "by-argument", "cpu": "500m", "labels": {"disk": "ssd"}},
        platform_spec=platform_spec({"second": settings}),
    )

    assert run.state == "SUCCEEDED", run.error
    assert seen.read_text() == "secret config\n"
    assert (data / "claims" / "by-output" / "x").exists()
    said = server.log(run, "second").splitlines()
    assert said[1:] == [
        "secretAsEnv[1] is left out: its parameter has no value.",
        'Not applied here: nodeSelector {"nodeSelectorJson":{"disk":"ssd"}}.',
        'Not applied here: tolerations [{"tolerationJson":{"key":"gpu"}}].',
        "Not applied here: imagePullPolicy Always.",
        'Only fieldPathAsEnv sees it here: podMetadata {"labels":{"a":"b"}}.',
        "Not applied here: cpu limit 500m.",
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"componentInputParameter": "absent"},
            "pvcMount[0]: the parameter for the claim's name has no value",
        ),
        ({"componentInputParameter": "number"}, "pvcMount[0]: 5 is no name"),
        (
            {"taskOutputParameter": {"producerTask": "nobody", "outputParameterKey": "x"}},
            "pvcMount[0]: the task 'nobody', whose output it is, is not one that this task waits for",
        ),
        ({"elsewhere": {}}, "pvcMount[0]: it comes from ['elsewhere'], which is not supported"),
    ],
)
def test_a_name_that_cannot_be_resolved_fails_the_task(server, mounts, source, message):
    spec = pipeline({"one": step()}, inputs={"absent": ("STRING", None), "number": "NUMBER_INTEGER"})
    mount = {"pvcMount": [{"mountPath": f"{mounts}/c", "pvcNameParameter": source}]}

    run = server.run(spec, {"number": 5}, platform_spec=platform_spec({"one": mount}))

    assert message in failure(server, run)


def test_shared_memory_is_that_of_the_machine(server):
    memory = {"emptyDirMounts": [{"volumeName": "m", "mountPath": "/dev/shm", "medium": "Memory"}]}

    run = run_one(server, "test -d /dev/shm", memory)

    assert run.state == "SUCCEEDED"
    assert "/dev/shm is that of this machine" in server.log(run, "one")


# The workspace


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
