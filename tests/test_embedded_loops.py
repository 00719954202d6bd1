"""The engine runs loops, conditions and importers as KFP on Kubernetes does."""

from __future__ import annotations

import json

import pytest

from airflow_kfp_runtime.embedded.api.nodes import workflow_nodes
from airflow_kfp_runtime.embedded.state.rows import END_STATES
from tests.embedded_engine import (
    Server,
    argument,
    branch,
    eventually,
    loop,
    nested,
    output_of,
    pipeline,
    running_server,
    step,
)

OUT = {"out": "STRING"}
ALWAYS = "ALL_UPSTREAM_TASKS_COMPLETED"
#: A script that puts out its argument ``item``.
ECHO = 'mkdir -p "$(dirname "$out")"; printf "%s" "$item" > "$out"'


def echo(source=None, before="", **task):
    """A step that puts out one of its inputs."""
    environment = [
        {"name": "item", "value": "{{$.inputs.parameters['item']}}"},
        {"name": "out", "value": "{{$.outputs.parameters['out'].output_file}}"},
    ]
    inputs = {"item": ("STRING", argument("item") if source is None else source)}
    return step(inputs=inputs, outputs=OUT, container=shell(before + ECHO, environment), **task)


def shell(script, environment):
    return {"command": ["sh", "-ec", script], "env": environment}


def takes(name, kind="LIST"):
    """A step that puts its input out as text."""
    return echo({"task": name, "key": "out"})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("data")) as running:
        yield running


def states(server, run):
    return {path: task.state for path, task in server.tasks(run).items() if path}


def failed_pods(server, run):
    """The messages of the failed pods of the workflow that KFP would have made, by their display names."""
    nodes = workflow_nodes(run, server.store.tasks_of(run.run_id))
    return {node.display_name: node.message for node in nodes if (node.kind, node.phase) == ("Pod", "Failed")}


def outputs(server, run):
    tasks = server.tasks(run)
    return {path: task.outputs["parameters"].get("out") for path, task in tasks.items() if task.outputs}


def test_each_iteration_has_its_item_and_all_outputs_are_collected_in_order(server):
    each = loop({"say": echo()}, ["b", "a", "c"], outputs={"out": ("STRING", output_of("say", "out"))})

    run = server.run(pipeline({"each": each, "all": takes("each")}))

    found = outputs(server, run)
    assert run.state == "SUCCEEDED", run.error
    assert [found[f"each/{index}/say"] for index in range(3)] == ["b", "a", "c"]
    assert found["each"] == ["b", "a", "c"]
    assert found["all"] == '["b","a","c"]'
    types = {path: task.type for path, task in server.tasks(run).items()}
    assert (types["each"], types["each/1"], types["each/1/say"]) == ("LOOP", "ITERATION", "CONTAINER")


@pytest.mark.parametrize("items", [["x", "y"], '["x", "y"]'])
def test_items_come_from_an_argument_also_as_text(server, items):
    each = loop({"say": echo()}, argument("names"), outputs={"out": ("STRING", output_of("say", "out"))})
    each["inputs"]["items"] = ("LIST" if isinstance(items, list) else "STRING", argument("names"))
    each["nested"][1]["items"] = each["inputs"]["items"][0]

    run = server.run(pipeline({"each": each}, inputs={"names": each["nested"][1]["items"]}), {"names": items})

    assert outputs(server, run)["each"] == ["x", "y"]


@pytest.mark.parametrize("items", ["no list", '{"a": 1}'])
def test_items_that_are_no_list_fail_the_loop(server, items):
    each = loop({"say": echo()}, argument("names"))
    each["inputs"]["items"] = ("STRING", argument("names"))
    each["nested"][1]["items"] = "STRING"

    run = server.run(pipeline({"each": each}, inputs={"names": "STRING"}), {"names": items})

    assert run.state == "FAILED"
    message = f"The items of the loop (items) are no list: {items!r}."
    assert run.error == f"Task 'each' failed: {message}"
    assert failed_pods(server, run) == {"iteration-driver": message}


def test_an_item_of_another_type_fails_its_iteration(server):
    each = loop({"say": step()}, ["1", 2], kind="NUMBER_INTEGER")

    run = server.run(pipeline({"each": each}))

    assert states(server, run) == {
        "each": "FAILED",
        "each/0": "FAILED",
        "each/1": "SUCCEEDED",
        "each/1/say": "SUCCEEDED",
    }
    message = "Input parameter 'item': '1' is not of type NUMBER_INTEGER."
    assert server.tasks(run)["each"].error == f"Iteration 0 failed: {message}"
    assert failed_pods(server, run) == {"iteration-item-driver": message}


def test_no_items_are_no_iterations_and_an_empty_list(server):
    each = loop({"say": echo()}, [], outputs={"out": ("STRING", output_of("say", "out"))})

    run = server.run(pipeline({"each": each, "all": takes("each")}))

    assert run.state == "SUCCEEDED", run.error
    assert outputs(server, run) == {"": None, "each": [], "all": "[]"}


def test_outputs_of_loops_in_loops_are_one_flat_list(server):
    inner = loop(
        {"say": echo()},
        ["1", "2"],
        outputs={"out": ("STRING", output_of("say", "out"))},
    )
    outer = loop({"inner": inner}, ["a", "b"], outputs={"out": ("STRING", output_of("inner", "out"))})

    run = server.run(pipeline({"outer": outer}))

    found = outputs(server, run)
    assert found["outer"] == ["1", "2", "1", "2"]
    assert found["outer/1"] == found["outer/1/inner"] == ["1", "2"]
    assert found["outer/1/inner/0/say"] == "1"


def test_a_limit_holds_back_iterations_with_all_that_is_in_them(server, tmp_path):
    script = f'test -z "$(ls {tmp_path})"; touch {tmp_path}/"$item"; sleep 0.05; rm {tmp_path}/"$item"; '
    each = loop(
        {"one": echo(before=script), "two": echo(before=script, dependentTasks=["one"])},
        list("abcd"),
        parallelism=1,
    )

    run = server.run(pipeline({"each": each}))

    assert run.state == "SUCCEEDED", run.error
    tasks = server.tasks(run)
    starts = [tasks[f"each/{index}"].started_at for index in range(4)]
    ends = [tasks[f"each/{index}"].finished_at for index in range(4)]
    assert all(end <= start for end, start in zip(ends[:-1], starts[1:], strict=True))


def test_a_failed_iteration_fails_the_loop_once_the_others_have_ended(server):
    each = loop({"say": echo(before='test "$item" != b; ')}, list("abc"), parallelism=1)

    run = server.run(pipeline({"each": each, "after": step(dependentTasks=["each"])}))

    found = states(server, run)
    assert run.state == "FAILED"
    assert (found["each/0"], found["each/1"], found["each/2"]) == ("SUCCEEDED", "FAILED", "SUCCEEDED")
    assert found["after"] == "SKIPPED"
    assert run.error == (
        "Task 'each' failed: Iteration 1 failed: Task 'say' failed: The step ended with exit status 1."
    )


def test_what_is_to_run_at_the_end_of_a_block_runs_in_each_iteration_however_the_block_has_ended(server):
    item = {"item": ("STRING", argument("item"))}
    body = nested({"say": echo(before='test "$item" != b; ')}, inputs=item)
    report = echo(triggerPolicy={"strategy": ALWAYS}, dependentTasks=["body"])
    status = {"raw": {"taskFinalStatus": {"producerTask": "body"}}}
    report["inputs"] = {"item": ("TASK_FINAL_STATUS", status)}

    run = server.run(pipeline({"each": loop({"body": body, "report": report}, ["a", "b"])}))

    assert run.state == "FAILED"
    told = [json.loads(outputs(server, run)[f"each/{index}/report"]) for index in range(2)]
    assert [status["state"] for status in told] == ["COMPLETE", "FAILED"]
    assert told[1]["error"] == {"message": "Task 'say' failed: The step ended with exit status 1."}


def test_a_retry_runs_only_the_iterations_again_that_have_not_succeeded(server, tmp_path):
    ready = tmp_path / "ready"
    script = f'echo >> {tmp_path}/"$item"; test "$item" != b || test -e {ready}; '
    each = loop(
        {"say": echo(before=script)}, list("abc"), outputs={"out": ("STRING", output_of("say", "out"))}
    )
    run = server.run(pipeline({"each": each}))
    assert run.state == "FAILED"

    ready.touch()
    server.engine.retry(run.run_id)
    run = server.wait(run.run_id)

    assert run.state == "SUCCEEDED", run.error
    assert outputs(server, run)["each"] == ["a", "b", "c"]
    assert [(tmp_path / item).read_text().count("\n") for item in "abc"] == [1, 2, 1]


def test_a_run_goes_on_in_the_middle_of_a_loop_when_the_server_comes_back(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.touch()
    script = f'echo >> {tmp_path}/"$item"; while test "$item" = b -a -e {blocked}; do sleep 0.02; done; '
    each = loop(
        {"say": echo(before=script)},
        list("abc"),
        parallelism=1,
        outputs={"out": ("STRING", output_of("say", "out"))},
    )
    server = Server(tmp_path / "data")
    run_id = server.submit(pipeline({"each": each}))
    eventually((tmp_path / "b").exists)
    server.engine.stop()
    server.store.close()

    blocked.unlink()
    with running_server(tmp_path / "data") as server:
        run = server.wait(run_id)

        assert run.state == "SUCCEEDED", run.error
        assert outputs(server, run)["each"] == ["a", "b", "c"]
        assert [(tmp_path / item).read_text().count("\n") for item in "abc"] == [1, 2, 1]
        assert len(server.tasks(run)) == len(server.store.tasks_of(run_id)) == 8


def test_a_run_that_is_cancelled_in_a_loop_starts_no_more_iterations(server, tmp_path):
    each = loop({"say": echo(before=f'touch {tmp_path}/"$item"; sleep 60; ')}, list("abc"), parallelism=1)
    run_id = server.submit(pipeline({"each": each}))
    eventually((tmp_path / "a").exists)

    server.engine.terminate(run_id)
    run = server.wait(run_id)

    assert run.state == "FAILED"
    assert all(task.state in END_STATES for task in server.tasks(run).values())
    assert states(server, run)["each/2"] == "SKIPPED"
    assert not (tmp_path / "b").exists()


def test_fewer_items_after_a_retry_leave_no_iterations_behind(server, tmp_path):
    items = tmp_path / "items"
    items.write_text('["a", "b", "c"]')
    listing = echo(
        "x", before=f"item=$(cat {items}); ", triggerPolicy={"strategy": ALWAYS}, dependentTasks=["bad"]
    )
    listing["outputs"] = {"out": "LIST"}
    bad = step(f"test -e {tmp_path}/good")
    each = loop({"say": echo()}, output_of("list", "out"))
    run = server.run(pipeline({"bad": bad, "list": listing, "each": each}))
    assert {"each/2", "each/2/say"} <= states(server, run).keys()

    items.write_text('["a"]')
    (tmp_path / "good").touch()
    server.engine.retry(run.run_id)
    run = server.wait(run.run_id)

    assert run.state == "SUCCEEDED", run.error
    assert states(server, run).keys() == {"bad", "list", "each", "each/0", "each/0/say"}


HEADS = "inputs.parameter_values['side'] == 'heads'"
SIDE = {"side": ("STRING", argument("side"))}


@pytest.mark.parametrize(("side", "chosen"), [("heads", "a"), ("tails", "b")])
def test_one_of_two_branches_runs_and_what_follows_has_its_output(server, side, chosen):
    branches = nested(
        {
            "first": branch(
                HEADS, {"say": echo("a")}, inputs=SIDE, outputs={"out": ("STRING", output_of("say", "out"))}
            ),
            "other": branch(
                f"!({HEADS})",
                {"say": echo("b")},
                inputs=SIDE,
                outputs={"out": ("STRING", output_of("say", "out"))},
            ),
        },
        inputs=SIDE,
        outputs={"out": ("STRING", output_of("first", "out"))},
    )
    spec = pipeline({"branches": branches, "after": takes("branches")}, inputs={"side": "STRING"})
    spec["components"]["comp-branches"]["dag"]["outputs"]["parameters"]["out"] = {
        "valueFromOneof": {
            "parameterSelectors": [
                {"producerSubtask": name, "outputParameterKey": "out"} for name in ("first", "other")
            ]
        }
    }

    run = server.run(spec, {"side": side})

    assert run.state == "SUCCEEDED", run.error
    assert outputs(server, run)["after"] == chosen
    taken, skipped = ("first", "other") if chosen == "a" else ("other", "first")
    found = states(server, run)
    assert found[f"branches/{taken}/say"] == "SUCCEEDED"
    assert found[f"branches/{skipped}"] == "SKIPPED"
    assert f"branches/{skipped}/say" not in found


def test_what_depends_on_a_skipped_task_is_skipped_and_the_run_succeeds(server):
    say = echo(argument("side"), triggerPolicy={"condition": "inputs.parameter_values['item'] == 'x'"})
    after = step(dependentTasks=["say"])
    always = step(dependentTasks=["say"], triggerPolicy={"strategy": ALWAYS})

    run = server.run(
        pipeline({"say": say, "after": after, "always": always}, inputs={"side": "STRING"}), {"side": "y"}
    )

    assert run.state == "SUCCEEDED", run.error
    assert states(server, run) == {"say": "SKIPPED", "after": "SKIPPED", "always": "SUCCEEDED"}
    assert server.tasks(run)["say"].inputs["parameters"] == {"item": "y"}


def test_a_condition_that_cannot_be_evaluated_fails_its_task(server):
    say = echo(argument("side"), triggerPolicy={"condition": "int(inputs.parameter_values['item']) > 1"})

    run = server.run(pipeline({"say": say}, inputs={"side": "STRING"}), {"side": "many"})

    assert run.state == "FAILED"
    assert 'cannot be evaluated: int() cannot convert the string "many"' in run.error


def test_an_output_that_only_some_iterations_have_is_not_collected(server):
    condition = "inputs.parameter_values['item'] == 'a'"
    given = {"item": ("STRING", argument("item"))}
    maybe = branch(
        condition, {"say": echo()}, inputs=given, outputs={"out": ("STRING", output_of("say", "out"))}
    )
    each = loop({"maybe": maybe}, ["a", "b"], outputs={"out": ("STRING", output_of("maybe", "out"))})

    run = server.run(pipeline({"each": each}))
    assert run.state == "SUCCEEDED", run.error
    assert outputs(server, run)["each"] is None
    assert outputs(server, run)["each/0"] == "a"

    run = server.run(pipeline({"each": each, "all": takes("each")}))
    assert "Input parameter 'item' was not produced by task 'each', which has succeeded" in run.error


def importing(uri, **members):
    spec = pipeline({"import": step(outputs={"artifact": "system.Dataset"}), "use": reader()})
    importer = {"artifactUri": uri, "typeSchema": {"schemaTitle": "system.Dataset"}, **members}
    spec["deploymentSpec"]["executors"]["exec-import"] = {"importer": importer}
    return spec


def reader():
    data = "{{$.inputs.artifacts['data'].uri}}"
    environment = [
        {"name": "item", "value": data},
        {"name": "out", "value": "{{$.outputs.parameters['out'].output_file}}"},
    ]
    inputs = {"data": ("system.Dataset", output_of("import", "artifact"))}
    return step(inputs=inputs, outputs=OUT, container=shell(ECHO, environment))


def test_an_importer_records_a_uri_and_a_step_gets_it(server):
    run = server.run(
        importing({"constant": "s3://bucket/key"}, metadata={"rows": 3, "by": ["{{$.pipeline_job_uuid}}"]})
    )

    assert run.state == "SUCCEEDED", run.error
    task = server.tasks(run)["import"]
    (artifact,) = task.outputs["artifacts"]["artifact"]
    assert (task.type, artifact["uri"]) == ("IMPORTER", "s3://bucket/key")
    assert artifact["metadata"] == {"rows": 3, "by": [run.run_id]}
    assert outputs(server, run)["use"] == "s3://bucket/key"
    assert [row.uri for row in server.store.artifacts_of(run.run_id)] == ["s3://bucket/key"]
    assert (
        "Not fetched here: the input artifact 'data': there is its URI s3://bucket/key, no file."
        in server.log(run, "use")
    )


def test_an_importer_of_a_file_of_this_machine_gives_its_path(server, tmp_path):
    file = tmp_path / "data.csv"
    file.touch()

    run = server.run(importing({"constant": str(file)}))

    assert outputs(server, run)["use"] == str(file)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ({"constant": "/nowhere/data.csv"}, "nothing is at /nowhere/data.csv"),
        ({"constant": ""}, "was given no URI"),
        ({"runtimeParameter": "uri"}, "input 'uri', its URI, has no value"),
    ],
)
def test_an_importer_without_anything_to_import_fails(server, uri, message):
    run = server.run(importing(uri))

    assert run.state == "FAILED"
    assert message in run.error
    assert states(server, run)["use"] == "SKIPPED"


def test_a_loop_runs_over_artifacts(server):
    make = step(
        'mkdir -p "$(dirname "$1")"; echo x > "$1"',
        outputs={"data": "system.Dataset"},
        container={"command": ["sh", "-ec", 'echo x > "$1"', "sh", "{{$.outputs.artifacts['data'].path}}"]},
    )
    many = loop({"make": make}, ["1", "2"], outputs={"data": ("system.Dataset", output_of("make", "data"))})
    use = reader()
    use["inputs"] = {"data": ("system.Dataset", argument("item"))}
    each = loop({"use": use}, output_of("many", "data"), kind="system.Dataset")

    run = server.run(pipeline({"many": many, "each": each}))

    assert run.state == "SUCCEEDED", run.error
    made = [artifact["uri"] for artifact in server.tasks(run)["many"].outputs["artifacts"]["data"]]
    assert len(made) == 2
    found = outputs(server, run)
    assert [f"file://{found[f'each/{index}/use']}" for index in range(2)] == made
