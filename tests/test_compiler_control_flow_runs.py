"""Pipelines with blocks, run for real in the embedded server: what each block does, and what comes out."""

import time
import uuid

from airflow_kfp_runtime.client import ClientSettings, KfpClient, RunState, calls, flows
from airflow_kfp_runtime.client.outputs import read_outputs
from airflow_kfp_runtime.client.run_request import RunRequest
from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import Dataset, Input, Output, pipeline_context
from airflow_kfp_runtime.project import Project


def double(number: int) -> int:
    return 2 * number


def label(region: str, size: int, text: str, table: Output[Dataset]) -> str:
    from pathlib import Path

    Path(table.path).write_text(text)
    return f"{region}:{size}"


def total(numbers: list) -> int:
    return sum(numbers)


def join(labels: list, tables: Input[list[Dataset]]) -> str:
    from pathlib import Path

    return f"{sorted(labels)} {sorted(Path(table.path).read_text() for table in tables)}"


def say(text: str, fail: bool = False) -> str:
    if fail:
        raise RuntimeError(text)
    return text


def keep(folder: str, text: str) -> str:
    from pathlib import Path

    kept = Path(folder, "kept.txt")
    found = kept.read_text() if kept.exists() else "nothing"
    kept.write_text(text)
    return f"{text} after {found}"


PROJECT = Project("blocks")
for function in (double, label, total, join, say, keep):
    PROJECT.new_function(function.__name__, handler=function)


def run(kfp_server, handler, **arguments):
    """Run a pipeline; return its state and the outputs of its steps by their names, and of the pipeline."""
    package = compile_handler(handler, project=PROJECT, enable_caching=False)
    with KfpClient(ClientSettings(kfp_server.url)) as client:
        request = RunRequest(
            str(uuid.uuid4()),
            package.name,
            pipeline_spec=package.pipeline_spec,
            platform_spec=package.platform_spec,
            parameters=package.check_arguments(arguments),
        )
        run_id = client.run(flows.submit_run(request)).run_id
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = client.send(calls.get_run(run_id))
            if found.state in {RunState.SUCCEEDED, RunState.FAILED}:
                outputs = client.run(read_outputs(found))
                names = package.step_names
                return found.state, {names.get(path, path): of for path, of in outputs.tasks.items()}, outputs
            time.sleep(0.1)
    raise TimeoutError(run_id)


def branching(number: int, mode: str):
    with pipeline_context() as pc:
        doubled = pc.step("double", function="double", inputs={"number": number})
        with pc.when((doubled.outputs["Output"] > 6.5) & (mode != "it's")):
            many = pc.step("many", function="say", inputs={"text": f"many in {mode}"})
        with pc.otherwise(doubled.outputs["Output"] == 2):
            two = pc.step("two", function="say", inputs={"text": "two"})
        with pc.otherwise():
            other = pc.step("other", function="say", inputs={"text": "other"})
        chosen = pc.one_of(many.outputs["Output"], two.outputs["Output"], other.outputs["Output"])
        pc.step("use", function="say", inputs={"text": f"chosen: {chosen}"}).after(many)
        return {"chosen": chosen}


def test_one_branch_runs_and_gives_its_output(kfp_server):
    for number, mode, ran, text in (
        (4, "x", "many", "many in x"),
        (4, "it's", "other", "other"),
        (1, "x", "two", "two"),
    ):
        state, tasks, outputs = run(kfp_server, branching, number=number, mode=mode)

        assert state is RunState.SUCCEEDED
        assert outputs.pipeline == {"chosen": text}
        assert tasks["use"] == {"Output": f"chosen: {text}"}
        assert {"many", "two", "other"} & {name for name, of in tasks.items() if of} == {ran}


def looping(regions: list[str], sizes: list):
    with pipeline_context() as pc:
        with pc.for_each(regions) as region, pc.for_each([{"size": 1}, {"size": 2}], parallelism=1) as item:
            made = pc.step(
                "label",
                function="label",
                inputs={"region": region, "size": item["size"], "text": f"{region}-{item['size']}"},
            )
            with pc.when(item["size"] > 1):
                pc.step("large", function="say", inputs={"text": f"{region} {item['size']}"})
        joined = pc.step(
            "join",
            function="join",
            inputs={
                "labels": pc.collected(made.outputs["Output"]),
                "tables": pc.collected(made.outputs["table"]),
            },
        )
        with pc.for_each(sizes) as size:
            twice = pc.step("double", function="double", inputs={"number": size})
            pc.step("all", function="total", inputs={"numbers": sizes})
        numbers = pc.collected(twice.outputs["Output"])
        pc.step("total", function="total", inputs={"numbers": numbers})
        with pc.for_each(numbers) as number:
            pc.step("again", function="double", inputs={"number": number})
        return {"joined": joined.outputs["Output"], "numbers": numbers}


def test_loops_run_for_each_item_and_their_outputs_are_collected(kfp_server):
    state, tasks, outputs = run(kfp_server, looping, regions=["north", "south"], sizes=[1, 2, 3])

    assert state is RunState.SUCCEEDED
    assert outputs.pipeline == {
        "joined": "['north:1', 'north:2', 'south:1', 'south:2'] ['north-1', 'north-2', 'south-1', 'south-2']",
        "numbers": [2, 4, 6],
    }
    assert tasks["total"] == {"Output": 12}


def ending(fail: bool = False, text: str = "done"):
    with pipeline_context() as pc:
        last = pc.step("last", function="say", inputs={"text": f"{text}, however"})
        with pc.on_exit(last):
            first = pc.step("first", function="say", inputs={"text": "first", "fail": fail})
            with pc.when(first.outputs["Output"] == "first"):
                pc.step("second", function="say", inputs={"text": "second"})
        return {"first": first.outputs["Output"]}


def test_the_step_at_the_end_runs_however_the_block_has_ended(kfp_server):
    for fail in (False, True):
        state, tasks, outputs = run(kfp_server, ending, fail=fail)

        assert state is (RunState.FAILED if fail else RunState.SUCCEEDED)
        assert tasks["last"] == {"Output": "done, however"}
        assert outputs.pipeline == ({} if fail else {"first": "first"})
        assert bool(tasks.get("second")) is not fail


def test_claims_of_steps_in_a_loop_are_those_of_one_iteration(kfp_server, tmp_path):
    def volume(name, **spec):
        return {
            "volume_type": "persistent_volume_claim",
            "name": name,
            "mount_path": str(tmp_path / name),
            "spec": {"size": "1Gi", "storage_class": "standard", **spec},
        }

    before = set((kfp_server.data / "claims").glob("*"))

    def claiming():
        with pipeline_context() as pc, pc.for_each(["a", "b"], parallelism=1) as letter:
            own = {"folder": str(tmp_path / "own"), "text": letter}
            shared = {"folder": str(tmp_path / "shared"), "text": letter}
            kept = pc.step("own", function="keep", inputs=own, volumes=[volume("own", shared=False)])
            found = pc.step("shared", function="keep", inputs=shared, volumes=[volume("shared")])
        return {key: pc.collected(step.outputs["Output"]) for key, step in (("own", kept), ("shared", found))}

    state, _, outputs = run(kfp_server, claiming)

    assert state is RunState.SUCCEEDED
    assert sorted(outputs.pipeline["own"]) == ["a after nothing", "b after nothing"]
    assert sorted(outputs.pipeline["shared"]) == ["a after nothing", "b after a"]
    assert set((kfp_server.data / "claims").glob("*")) <= before
