"""The embedded engine runs steps with the variables, deadlines and names that one machine can give them."""

from __future__ import annotations

import signal
import socket

import pytest

from tests.embedded_engine import (
    alive,
    argument,
    pipeline,
    running_server,
    step,
)
from tests.embedded_settings import as_env, constant, failure, platform_spec, put, run_one, warm


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("settings") / "data") as running:
        warm(running)
        yield running


@pytest.fixture
def mounts(tmp_path):
    return tmp_path / "mounts"


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
