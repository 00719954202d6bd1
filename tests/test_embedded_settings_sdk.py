"""The embedded engine runs what the kfp SDK and kfp-kubernetes compile for Kubernetes settings, unchanged."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from tests.embedded_engine import running_server
from tests.embedded_settings import put
from tests.environments import KFP_SDK, environment

PIPELINES = """
import sys
from kfp import compiler, dsl, kubernetes

folder, mounts = sys.argv[1:]


@dsl.container_component
def shell(script: str):
    return dsl.ContainerSpec(image="alpine", command=["sh", "-ec"], args=[script])


@dsl.container_component
def name(text: dsl.OutputPath(str)):
    return dsl.ContainerSpec(
        image="alpine", command=["sh", "-ec", 'mkdir -p "$(dirname "$0")"; printf by-output > "$0"', text]
    )


@dsl.container_component
def touch(path: str):
    return dsl.ContainerSpec(image="alpine", command=["sh", "-ec", 'echo shared > "$0"', path])


@dsl.container_component
def copy(path: str):
    return dsl.ContainerSpec(image="alpine", command=["cp", path, f"{folder}/a-workspace"])


@dsl.pipeline(name="a-claim")
def a_claim():
    made = kubernetes.CreatePVC(
        access_modes=["ReadWriteMany"], size="5Gi", pvc_name_suffix="-mine", storage_class_name="fast"
    )
    write = shell(script=f"mkdir {mounts}/claim/part; echo one > {mounts}/claim/part/file")
    kubernetes.mount_pvc(write, pvc_name=made.outputs["name"], mount_path=f"{mounts}/claim")
    read = shell(script=f"cat {mounts}/here/file > {folder}/a-claim").after(write)
    kubernetes.mount_pvc(read, pvc_name=made.outputs["name"], mount_path=f"{mounts}/here", sub_path="part")
    kubernetes.DeletePVC(pvc_name=made.outputs["name"]).after(read)


@dsl.pipeline(name="in-a-handler")
def in_a_handler():
    made = kubernetes.CreatePVC(access_modes=["ReadWriteOnce"], size="5Gi", pvc_name="fixed")
    with dsl.ExitHandler(kubernetes.DeletePVC(pvc_name="fixed")):
        write = shell(script=f"echo nested > {mounts}/claim/file")
        kubernetes.mount_pvc(write, pvc_name=made.outputs["name"], mount_path=f"{mounts}/claim")
        fail = shell(script=f"cat {mounts}/claim/file > {folder}/in-a-handler; exit 5").after(write)
        kubernetes.mount_pvc(fail, pvc_name=made.outputs["name"], mount_path=f"{mounts}/claim")


@dsl.pipeline(name="all-settings")
def all_settings(secret: str, cpu: str, labels: dict, toleration: dict, affinity: dict, pull: str = "none"):
    named = name()
    task = shell(
        script=f'cd {mounts}; cat secret/KEY config/KEY > {folder}/all-settings; touch empty/x own/x; '
        f'echo "|$SECRET|$CONFIG|$POD|$TEAM|$PLAIN|${{NONE-unset}}" >> {folder}/all-settings'
    )
    task.set_env_variable("PLAIN", "plain")
    task.set_cpu_limit(cpu).set_memory_request("1Gi")
    task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)
    task.set_retry(1, backoff_duration="0s")
    kubernetes.use_secret_as_env(task, secret, {"KEY": "SECRET"})
    kubernetes.use_secret_as_env(task, "nowhere", {"KEY": "NONE"}, optional=True)
    kubernetes.use_secret_as_volume(task, secret, f"{mounts}/secret")
    kubernetes.use_config_map_as_env(task, named.output, {"KEY": "CONFIG"})
    kubernetes.use_config_map_as_volume(task, named.output, f"{mounts}/config")
    kubernetes.empty_dir_mount(task, "empty", f"{mounts}/empty", medium="Memory", size_limit="1Gi")
    kubernetes.add_ephemeral_volume(task, "own", f"{mounts}/own", ["ReadWriteOnce"], "1Gi")
    kubernetes.use_field_path_as_env(task, "POD", "metadata.name")
    kubernetes.use_field_path_as_env(task, "TEAM", "metadata.labels['team']")
    kubernetes.add_pod_label(task, "team", "red")
    kubernetes.set_timeout(task, 50)
    kubernetes.set_image_pull_policy(task, "Always")
    kubernetes.set_image_pull_secrets(task, [pull])
    kubernetes.add_node_selector_json(task, labels)
    kubernetes.add_toleration(task, key="a", operator="Exists", toleration_seconds=10)
    kubernetes.add_toleration_json(task, toleration)
    kubernetes.add_node_affinity_json(task, affinity)
    kubernetes.set_security_context(task, run_as_user=1000)


@dsl.pipeline(name="too-long")
def too_long():
    kubernetes.set_timeout(shell(script="sleep 1000"), 1)


@dsl.pipeline(
    name="a-workspace", pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi"))
)
def a_workspace():
    write = touch(path=f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/file")
    copy(path=f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/file").after(write)


for pipeline in (a_claim, in_a_handler, all_settings, too_long, a_workspace):
    compiler.Compiler().compile(pipeline, f"{folder}/{pipeline.name}.yaml")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sdk")


@pytest.fixture(scope="module")
def compiled(folder):
    """The pipelines above as the SDK compiles them, by name: the IR and the platform spec."""
    source = folder / "pipelines.py"
    source.write_text(PIPELINES)
    python = environment("kfp", KFP_SDK)
    done = subprocess.run(
        [python, source, folder, folder / "mounts"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return {file.stem: list(yaml.safe_load_all(file.read_text())) for file in folder.glob("*.yaml")}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("settings") / "data") as running:
        yield running


@pytest.fixture
def run(server, compiled):
    def run(name, **arguments):
        spec, platform_spec = compiled[name]
        return server.run(spec, arguments, platform_spec=platform_spec)

    return run


def test_a_claim_is_made_shared_and_deleted(server, run, folder):
    ended = run("a-claim")

    assert ended.state == "SUCCEEDED", ended.error
    assert (folder / "a-claim").read_text() == "one\n"
    assert not list((server.places.data / "claims").iterdir())
    assert "storage_class_name 'fast'" in server.log(ended, "createpvc")


def test_a_claim_is_deleted_by_an_exit_task_after_a_failure(server, run, folder):
    ended = run("in-a-handler")

    assert ended.state == "FAILED"
    assert (folder / "in-a-handler").read_text() == "nested\n"
    states = {path: task.state for path, task in server.tasks(ended).items()}
    assert states["exit-handler-1/shell-2"] == "FAILED"
    assert states["deletepvc"] == "SUCCEEDED"
    assert not (server.places.data / "claims" / "fixed").exists()


def test_all_settings_are_honoured_or_listed(server, run, folder):
    data = server.places.data
    put(data / "secrets", "by-argument", KEY="secret ")
    put(data / "config-maps", "by-output", KEY="config")

    ended = run(
        "all-settings",
        secret="by-argument",
        cpu="500m",
        labels={"disk": "ssd"},
        toleration={"key": "gpu"},
        affinity={"preferredDuringSchedulingIgnoredDuringExecution": []},
        pull="registry",
    )

    task = server.tasks(ended)["shell"]
    log = server.log(ended, "shell")
    assert ended.state == "SUCCEEDED", log
    assert (folder / "all-settings").read_text() == (
        f"secret config|secret |config|{task.pod_name}|red|plain|unset\n"
    )
    said = [line for line in log.splitlines() if line.startswith("Not applied here: ")]
    for setting in (
        '{"medium":"Memory","sizeLimit":"1Gi"} of emptyDirMounts[0]',
        'imagePullSecret [{"secretNameParameter":"registry"}]',
        "imagePullPolicy Always",
        'nodeSelector {"nodeSelectorJson":{"disk":"ssd"}}',
        '"tolerationSeconds":"10"',
        '{"tolerationJson":{"key":"gpu"}}',
        "nodeAffinity ",
        'securityContext {"runAsUser":"1000"}',
        "cpu limit 500m",
        "memory request 1Gi",
        "accelerator nvidia.com/gpu x ",
    ):
        assert len([line for line in said if setting in line]) == 1, (setting, said)
    assert not (folder / "mounts").exists()


def test_a_timeout_fails_the_task(server, run):
    ended = run("too-long")

    assert ended.state == "FAILED"
    assert server.tasks(ended)["shell"].error.startswith(
        "DeadlineExceeded: Pod was active on the node longer"
    )


def test_the_tasks_of_a_run_share_its_workspace(run, folder):
    ended = run("a-workspace")

    assert ended.state == "SUCCEEDED", ended.error
    assert (folder / "a-workspace").read_text() == "shared\n"
