"""Claims that a run makes and deletes: the graphs around the steps, and what runs of them give."""

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.client import ClientSettings, KfpClient, RunState, calls, flows
from airflow_kfp_runtime.client.outputs import OutputReader, read_outputs
from airflow_kfp_runtime.client.run_request import RunRequest
from airflow_kfp_runtime.compiler import compile_handler, compile_steps
from airflow_kfp_runtime.dsl import Dataset, Input, Output, pipeline_context
from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.project import Project
from tests import kfp_ir
from tests.strategies import pipelines
from tests.strategies import project as random_project


def fetch(folder: str, table: Output[Dataset]) -> int:
    """Write to the claim and to an artifact."""
    from pathlib import Path

    Path(folder, "shared.txt").write_text("from fetch")
    Path(table.path).write_text("rows")
    return 3


def train(table: Input[Dataset], rows: int, folder: str, fail: bool = False) -> str:
    """Return what the other step left in the claim."""
    from pathlib import Path

    if fail:
        raise RuntimeError("no such luck")
    return f"{Path(folder, 'shared.txt').read_text()}, {rows} {Path(table.path).read_text()}"


PROJECT = Project("claims")
for function in (fetch, train):
    PROJECT.new_function(function.__name__, handler=function)


def claim(name="data", mount_path="/data", **spec):
    source = {"size": "1Gi", "storage_class": "standard", **spec}
    return {
        "volume_type": "persistent_volume_claim",
        "name": name,
        "mount_path": mount_path,
        "spec": source,
    }


def handler(folder, of_fetch=(), of_train=(), default="default"):
    """Return the handler of a pipeline whose two steps have these volumes."""

    def pipeline(fail: bool = False, note: str = default):
        with pipeline_context() as pc:
            first = pc.step("fetch it", function="fetch", inputs={"folder": folder}, volumes=list(of_fetch))
            given = {"table": first.outputs["table"], "rows": first.outputs["Output"], "fail": fail}
            last = pc.step(
                "train",
                function="train",
                inputs={**given, "folder": folder},
                volumes=list(of_train),
                envs={"NOTE": "n"},
                resources={"cpu": note},
            )
        return {"said": last.outputs["Output"], "table": first.outputs["table"]}

    return pipeline


def compiled(of_fetch=(), of_train=(), folder="/data", default="default", **options):
    return compile_handler(handler(folder, of_fetch, of_train, default), project=PROJECT, **options)


def tasks(package, *path):
    """Return the tasks of the pipeline, or of a nested graph in it."""
    spec = package.pipeline_spec
    dag = spec["root"]["dag"]
    for name in path:
        dag = spec["components"][dag["tasks"][name]["componentRef"]["name"]]["dag"]
    return dag["tasks"]


BOTH = {"of_fetch": [claim()], "of_train": [claim()]}
ONE, TWO = "exit-handler-1", "exit-handler-2"


def test_without_new_claims_nothing_is_nested():
    package = compiled([claim(size=None, claim_name="there", storage_class=None)])

    assert set(tasks(package)) == {"fetch-it", "train"}
    assert package.step_names == {"fetch-it": "fetch it", "train": "train"}


def test_steps_that_name_one_claim_share_it():
    package = compiled(**BOTH)

    assert set(tasks(package)) == {"createpvc", "deletepvc", ONE}
    assert set(tasks(package, ONE)) == {"fetch-it", "train"}
    assert package.step_names == {f"{ONE}/fetch-it": "fetch it", f"{ONE}/train": "train"}
    mounts = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    assert [config["pvcMount"][0]["pvcNameParameter"] for config in mounts] == [
        {"componentInputParameter": "pipelinechannel--createpvc-name"}
    ] * 2
    kfp_ir.check(package.pipeline_spec, package.platform_spec)


def test_a_claim_is_deleted_however_the_steps_have_ended():
    deleting = tasks(compiled(**BOTH))["deletepvc"]

    assert deleting["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert deleting["dependentTasks"] == ["createpvc", ONE]


def test_claims_nest_because_the_server_starts_one_exit_task_for_a_graph():
    package = compiled([claim(), claim("other", "/other")])

    assert set(tasks(package)) == {"createpvc", "deletepvc", ONE}
    assert set(tasks(package, ONE)) == {"createpvc-2", "deletepvc-2", TWO}
    assert set(tasks(package, ONE, TWO)) == {"fetch-it", "train"}
    assert set(package.step_names) == {f"{ONE}/{TWO}/fetch-it", f"{ONE}/{TWO}/train"}
    # Equal components are one: the two tasks that make claims differ in what they are given.
    assert {name for name in package.pipeline_spec["components"] if "pvc" in name} == {
        "comp-createpvc",
        "comp-deletepvc",
    }
    kfp_ir.check(package.pipeline_spec, package.platform_spec)


def test_a_step_with_a_claim_of_its_own_is_alone_in_its_graph():
    own = claim("scratch", "/scratch", shared=False)
    package = compiled([own], [own])

    assert set(tasks(package)) == {
        "createpvc",
        "createpvc-2",
        "deletepvc",
        "deletepvc-2",
        ONE,
        TWO,
    }
    assert set(tasks(package, ONE)) == {"fetch-it"}
    assert set(tasks(package, TWO)) == {"train"}
    assert tasks(package)[TWO]["inputs"]["artifacts"] == {
        "pipelinechannel--fetch-it-table": {
            "taskOutputArtifact": {
                "producerTask": ONE,
                "outputArtifactKey": "pipelinechannel--fetch-it-table",
            }
        }
    }
    kfp_ir.check(package.pipeline_spec, package.platform_spec)


def test_the_pipelines_outputs_come_through_the_nested_graphs():
    package = compiled([claim(), claim("own", "/own", shared=False)], [claim()], collect_outputs=True)

    spec = package.pipeline_spec
    kfp_ir.check(spec, package.platform_spec)
    assert spec["root"]["dag"]["outputs"] == {
        "parameters": {
            "said": {
                "valueFromParameter": {
                    "producerSubtask": ONE,
                    "outputParameterKey": "pipelinechannel--train-Output",
                }
            }
        },
        "artifacts": {
            "table": {
                "artifactSelectors": [
                    {"producerSubtask": ONE, "outputArtifactKey": "pipelinechannel--fetch-it-table"}
                ]
            }
        },
    }
    assert set(tasks(package, ONE)) == {"train", "createpvc-2", "deletepvc-2", TWO, "collect-outputs"}


def test_a_step_that_comes_after_one_in_another_graph_comes_after_the_graph():
    def pipeline():
        own = claim("own", "/own", shared=False)
        with pipeline_context() as pc:
            first = pc.step("first", function="fetch", inputs={"folder": "a"}, volumes=[own])
            second = pc.step("second", function="fetch", inputs={"folder": "b"}).after(first)
            third = pc.step("third", function="fetch", inputs={"folder": "c"}, volumes=[own])
            third.after(second, first)

    package = compile_handler(pipeline, project=PROJECT)

    found = tasks(package)
    assert found["second"]["dependentTasks"] == [ONE]
    assert found[TWO]["dependentTasks"] == ["createpvc-2", ONE, "second"]
    assert "dependentTasks" not in tasks(package, TWO)["third"]
    kfp_ir.check(package.pipeline_spec, package.platform_spec)


def test_names_that_steps_have_are_left_to_them():
    def pipeline():
        with pipeline_context() as pc:
            pc.step("exit handler 1", function="fetch", inputs={"folder": "a"}, volumes=[claim()])

    package = compile_handler(pipeline, project=PROJECT)

    assert set(tasks(package)) == {"createpvc-2", "deletepvc-2", TWO}


def test_two_claims_of_one_name_are_refused():
    with pytest.raises(
        SettingError, match="differs from volume 'data' of step 'fetch it', and it is one claim"
    ):
        compiled([claim()], [claim(size="2Gi")])


def test_two_mounts_of_one_claim_are_one_claim():
    def pipeline():
        volumes = [claim(), {**claim(), "mount_path": "/again"}]
        with pipeline_context() as pc:
            pc.step("fetch", function="fetch", inputs={"folder": "a"}, volumes=volumes)
            pc.step(
                "more", function="fetch", inputs={"folder": "b"}, volumes=[claim(mount_path="/elsewhere")]
            )

    assert set(tasks(compile_handler(pipeline, project=PROJECT))) == {"createpvc", "deletepvc", ONE}


def test_a_claim_without_a_storage_class_has_a_warning():
    assert compiled(**BOTH).warnings == ()
    (warning,) = compiled([claim(storage_class=None)]).warnings

    assert warning.startswith("volume 'data': KFP makes the claim with the storage class 'standard'")


def test_an_argument_that_may_be_absent_has_a_warning_where_it_crosses_a_border():
    (warning,) = compiled(**BOTH, default=None).warnings

    assert warning.startswith("argument 'note': give each run a value for it.")
    assert compiled(default=None).warnings == ()


@st.composite
def settled(draw):
    """Random pipelines with random claims, and with settings that other steps' outputs give."""
    written = draw(pipelines())
    for position, step in enumerate(written.steps):
        names = draw(st.lists(st.sampled_from(["x", "y"]), unique=True))
        step["volumes"] = [
            claim(f"{name}-own" if own else name, f"/{name}", shared=not own)
            for name in names
            for own in [draw(st.booleans())]
        ]
        texts = [earlier["name"] for earlier in written.steps[:position] if earlier["function"] == "plain"]
        if texts and draw(st.booleans()):
            step["resources"] = {"memory": {"from": f"{draw(st.sampled_from(texts))}.n"}}
    return written


@given(written=settled(), collect=st.booleans())
def test_whatever_is_nested_every_value_comes_from_the_graph_it_is_used_in(written, collect):
    package = compile_steps(
        written.steps,
        name="random",
        project=random_project(),
        outputs=written.outputs,
        collect_outputs=collect,
    )

    kfp_ir.check(package.pipeline_spec, package.platform_spec)
    assert sorted(package.step_names.values()) == sorted(step["name"] for step in written.steps)
    for path in package.step_names:
        *around, name = path.split("/")
        assert name in tasks(package, *around)


@pytest.fixture
def folders(tmp_path):
    """Where the claims are mounted: the embedded server puts a link there while a step runs."""
    return {"shared": str(tmp_path / "shared"), "own": str(tmp_path / "own")}


def package_with_two_claims(folders):
    shared = claim(mount_path=folders["shared"])
    own = claim("own", folders["own"], shared=False)
    return compiled([shared, own], [shared], folder=folders["shared"], collect_outputs=True)


def run(settings, package, **arguments):
    """Run a package and return how it ended, what was read of it, and the ends of its tasks by name."""
    with KfpClient(settings) as client:
        request = RunRequest(
            str(uuid.uuid4()),
            package.name,
            pipeline_spec=package.pipeline_spec,
            platform_spec=package.platform_spec,
            parameters={"note": "1", **arguments},
        )
        run_id = client.run(flows.submit_run(request)).run_id
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = client.send(calls.get_run(run_id))
            if found.state in {RunState.SUCCEEDED, RunState.FAILED}:
                ends = {task.display_name: task.state for task in found.task_details}
                return found, client.run(read_outputs(found)), ends
            time.sleep(0.1)
    raise TimeoutError(run_id)


@pytest.mark.parametrize("reader", [OutputReader.METADATA, OutputReader.MANIFEST])
def test_outputs_of_steps_in_nested_graphs_are_read(kfp_server, folders, reader):
    hidden = {"metadata_url": f"{kfp_server.url}/nowhere"} if reader is OutputReader.MANIFEST else {}

    found, outputs, ends = run(ClientSettings(kfp_server.url, **hidden), package_with_two_claims(folders))

    assert (found.state, outputs.reader, outputs.unread) == (RunState.SUCCEEDED, reader, ())
    assert outputs.tasks[f"{ONE}/train"] == {"Output": "from fetch, 3 rows"}
    assert outputs.tasks[f"{ONE}/{TWO}/fetch-it"]["Output"] == 3
    assert outputs.pipeline["said"] == "from fetch, 3 rows"
    assert outputs.pipeline["table"] == outputs.tasks[f"{ONE}/{TWO}/fetch-it"]["table"]
    assert ends["deletepvc"] is ends["deletepvc-2"] is RunState.SUCCEEDED


def test_claims_are_deleted_after_a_failure(kfp_server, folders):
    before = set((kfp_server.data / "claims").glob("*"))

    found, outputs, ends = run(ClientSettings(kfp_server.url), package_with_two_claims(folders), fail=True)

    assert found.state is RunState.FAILED
    assert ends["deletepvc"] is ends["deletepvc-2"] is RunState.SUCCEEDED
    assert outputs.tasks[f"{ONE}/{TWO}/fetch-it"]["Output"] == 3
    assert set((kfp_server.data / "claims").glob("*")) <= before
