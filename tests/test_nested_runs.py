"""Real runs of steps that are workflows, components from YAML, and functions of the kfp SDK."""

import time
import uuid
from pathlib import Path

import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient, RunRequest, RunState, calls, flows
from airflow_kfp_runtime.client.outputs import read_outputs
from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import Dataset, Input, Output, pipeline_context
from airflow_kfp_runtime.project import Project
from tests import kfp_components
from tests.environments import KFP_SDK, environment

SOURCE = Path(__file__).with_name("kfp_sdk_source.py")
END = (RunState.SUCCEEDED, RunState.FAILED)


def fetch(url: str, table: Output[Dataset], rows: int = 3) -> int:
    with open(table.path, "w") as file:  # noqa: PTH123 - it runs in a step, without further imports
        file.write(f"{url}\n" * rows)
    return rows


def count(table: Input[Dataset]) -> int:
    with open(table.path) as file:  # noqa: PTH123
        return len(file.readlines())


def describe(rows: int, where: str) -> str:
    return f"{rows} rows of {where}"


def etl(url: str, rows: int = 2):
    with pipeline_context() as pc:
        made = pc.step(name="fetch", function="fetch", inputs={"url": url, "rows": rows})
        counted = pc.step(name="count", workflow="counting", inputs={"table": made.outputs["table"]})
    return {"table": made.outputs["table"], "rows": counted.outputs["Output"]}


def counting(table):
    with pipeline_context() as pc:
        return pc.step(name="lines", function="count", inputs={"table": table}).outputs["Output"]


@pytest.fixture(scope="module")
def project():
    made = Project("nested")
    for function in (fetch, count, describe):
        made.new_function(function.__name__, kind="python", handler=function)
    for handler in (etl, counting):
        made.new_workflow(handler.__name__, handler=handler)
    made.new_function("greet", kind="component", text=kfp_components.CONCAT)
    sdk = {"kind": "kfp", "source": str(SOURCE), "kfp_python": str(environment("kfp", KFP_SDK))}
    for name in ("add", "weigh", "write", "written_twice", "branching"):
        made.new_function(name, handler=name, **sdk)
    return made


def run(kfp_server, project, handler, arguments=None):
    """Run what a handler writes and return its outputs, after it has succeeded."""
    package = compile_handler(handler, project=project)
    with KfpClient(ClientSettings(kfp_server.url)) as client:
        request = RunRequest(
            str(uuid.uuid4()),
            handler.__name__,
            pipeline_spec=package.pipeline_spec,
            platform_spec=package.platform_spec,
            parameters=arguments or {},
        )
        started = client.run(flows.submit_run(request))
        deadline = time.monotonic() + 300
        while (ended := client.send(calls.get_run(started.run_id))).state not in END:
            assert time.monotonic() < deadline, ended.state
            time.sleep(0.1)
        assert ended.state is RunState.SUCCEEDED, client.run(flows.explain_failure(started.run_id))
        outputs = client.run(read_outputs(ended))
    assert not outputs.unread
    return outputs


def test_workflows_in_workflows_get_values_and_artifacts_and_give_them(kfp_server, project):
    def everything(url: str):
        with pipeline_context() as pc:
            first = pc.step(name="first", workflow="etl", inputs={"url": url}, outputs={"rows": "n"})
            again = pc.step(
                name="again", workflow="etl", inputs={"url": "other"}, parameters={"rows": first.outputs["n"]}
            )
            given = {"rows": again.outputs["rows"], "where": f"{url}!"}
            told = pc.step(name="tell", function="describe", inputs=given)
        return {"text": told.outputs["Output"], "table": again.outputs["table"]}

    outputs = run(kfp_server, project, everything, {"url": "here"})

    assert outputs.pipeline["text"] == "2 rows of here!"
    assert outputs.pipeline["table"]["type"] == "system.Dataset"
    assert outputs.tasks["first"]["n"] == 2
    assert outputs.tasks["again/fetch"]["Output"] == 2
    assert outputs.tasks["again/count"]["Output"] == 2
    assert outputs.tasks["again/count/lines"]["Output"] == 2


def test_components_of_version_1_get_their_arguments(kfp_server, project):
    def greetings(who: str):
        with pipeline_context() as pc:
            pc.step(name="plain", function="greet", inputs={"who": who})
            pc.step(
                name="titled", function="greet", inputs={"who": who, "title": "Dr."}, outputs={"text": "it"}
            )

    outputs = run(kfp_server, project, greetings, {"who": "Ada Lovelace"})

    assert outputs.tasks["plain"]["text"] == "hello Ada Lovelace!|<none>|"
    assert outputs.tasks["titled"]["it"] == "hello Ada Lovelace!|<Dr.>|"


def test_what_the_sdk_writes_runs_among_other_steps(kfp_server, project):
    def mixed(n: int):
        with pipeline_context() as pc:
            sum_ = pc.step(name="sum", function="add", inputs={"a": n}, values=["total"])
            wrote = pc.step(
                name="write",
                function="write",
                inputs={"text": "x", "lines": sum_.outputs["total"]},
                outputs={"out": "table", "size": "n"},
            )
            twice = pc.step(name="twice", function="written_twice", inputs={"text": f"{wrote.outputs['n']}"})
            counted = pc.step(name="count", function="count", inputs={"table": wrote.outputs["table"]})
        return {"counted": counted.outputs["Output"], "twice": twice.outputs["Output"]}

    outputs = run(kfp_server, project, mixed, {"n": 3})

    assert outputs.pipeline == {"counted": 5, "twice": 2}
    assert outputs.tasks["sum"] == {"total": 5}
    assert outputs.tasks["twice/write"]["size"] == 2


def test_a_python_function_of_the_sdk_gives_its_outputs_the_names_of_the_step(kfp_server, project):
    names = {"table": "measured.table", "note": "remark", "weight": "heavy", "unit": "unit"}

    def weighing():
        with pipeline_context() as pc:
            weighed = pc.step(name="weigh", function="weigh", inputs={"amount": 1.5}, outputs=names)
            table = weighed.outputs["measured_table"]
            counted = pc.step(name="count", function="count", inputs={"table": table}, values=["lines"])
        return {"heavy": weighed.outputs["heavy"], "lines": counted.outputs["lines"]}

    outputs = run(kfp_server, project, weighing)

    assert outputs.pipeline == {"heavy": 3.0, "lines": 2}
    weighed = dict(outputs.tasks["weigh"])
    table = weighed.pop("measured_table")
    assert weighed == {"heavy": 3.0, "unit": "kg", "remark": "noted"}
    assert table["metadata"]["rows"] == 2


def test_loops_and_branches_are_inside_and_around(kfp_server, project):
    def mixed(days: list):
        with pipeline_context() as pc:
            with pc.for_each(days) as day:
                step = pc.step(name="etl", workflow="etl", inputs={"url": "u", "rows": day})
            branched = pc.step(name="branched", function="branching", inputs={"numbers": days, "limit": 3})
            with pc.when(branched.outputs["Output"] == 1):
                pc.step(name="small", workflow="etl", inputs={"url": "small", "rows": 1})
            with pc.otherwise():
                pc.step(name="large", workflow="etl", inputs={"url": "large"})
        return {"rows": pc.collected(step.outputs["rows"]), "branched": branched.outputs["Output"]}

    outputs = run(kfp_server, project, mixed, {"days": [1, 4]})

    assert outputs.pipeline == {"rows": [1, 4], "branched": 1}
    assert outputs.tasks["condition-branches-2/condition-3/small"]["rows"] == 1
    assert not any("large" in path for path in outputs.tasks)
    squares = [outputs.tasks[f"branched/for-loop-1/{index}/square"]["result"] for index in (0, 1)]
    assert squares == [1, 16]


def test_steps_inside_share_a_claim_of_their_own_and_settings_of_the_step(kfp_server, project):
    shell = {"kind": "container", "image": "alpine:3.20"}
    save = 'echo "$LEVEL" > /data/level'
    project.new_function("save", command=["sh", "-c", save], **shell)
    load = 'mkdir -p "$(dirname "$1")"; cat /data/level > "$1"'
    project.new_function("load", command=["sh", "-c", load, "sh", "$(outputs.level)"], **shell)
    claim = {"volume_type": "persistent_volume_claim", "name": "data", "mount_path": "/data"}

    def saving():
        with pipeline_context() as pc:
            saved = pc.step(name="save", function="save")
            return pc.step(name="load", function="load", values=["level"]).after(saved).outputs["level"]

    project.new_workflow("saving", handler=saving)

    def outer():
        with pipeline_context() as pc:
            settings = {"env": {"LEVEL": "debug"}, "volumes": [{**claim, "spec": {"size": "1Mi"}}]}
            return pc.step(name="saving", workflow="saving", **settings).outputs["Output"]

    outputs = run(kfp_server, project, outer)

    assert outputs.pipeline["Output"].strip() == "debug"
    assert "saving/createpvc" in outputs.tasks


def test_the_source_of_a_handler_names_workflows_of_its_project(kfp_server, project):
    code = """
from airflow_kfp_runtime.dsl import pipeline_context


def handler(url: str):
    with pipeline_context() as pc:
        made = pc.step(name="made", workflow="etl", inputs={"url": url})
    return made.outputs["rows"]
"""
    project.new_workflow("from_text", handler="handler", code=code)

    def outer():
        with pipeline_context() as pc:
            return pc.step(name="outer", workflow="from_text", inputs={"url": "u"}).outputs["Output"]

    assert run(kfp_server, project, outer).pipeline == {"Output": 2}
