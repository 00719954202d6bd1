"""Functions of a DigitalHub platform: what its wrapper is called with, and what the steps after it get."""

import json

import pytest

from airflow_kfp_runtime.compiler import compile_handler, compile_steps
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.runtimes.digitalhub import ENVIRONMENT, wrapper_text
from airflow_kfp_runtime.runtimes.digitalhub.specification import ACTIONS, DEFAULT_IMAGE, DEFAULT_SECRET
from tests.digitalhub_wrapper import Wrapper
from tests.embedded_engine import running_server
from tests.embedded_settings import put


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("digitalhub") / "data") as running:
        yield running


@pytest.fixture
def wrapper(tmp_path):
    return Wrapper.create(tmp_path / "wrapper")


def project_of(wrapper, form="0.13", **functions):
    """A project whose functions run through the stub: ``{name: fields}``."""
    project = Project("parking")
    for name, fields in functions.items():
        given = {"function_kind": "python", "wrapper": form, "command": wrapper.command, **fields}
        project.new_function(name, kind="digitalhub", **given)
    return project


def run(server, package, parameters=None):
    return server.run(package.pipeline_spec, parameters, package.platform_spec)


def succeeded(server, package, parameters=None):
    done = run(server, package, parameters)
    assert done.state == "SUCCEEDED", server.log(done, "one")
    return done


def one_step(wrapper, form="0.13", *, function=None, settings=None, **step):
    project = project_of(wrapper, form, train=function or {})
    return compile_steps(
        [{"name": "one", "function": "train", **step}], name="p", project=project, settings=settings
    )


def argument(call, option):
    arguments = call["arguments"]
    return arguments[arguments.index(option) + 1]


def kwargs_of(call):
    return json.loads(argument(call, "--kwargs"))


def test_the_wrapper_of_0_13_gets_the_functions_key_and_the_run_as_json(server, wrapper):
    package = one_step(
        wrapper, function_id="1a2b", inputs={"di": "store://parking/dataitem/table/d:1"}, action="job"
    )

    succeeded(server, package)

    [call] = wrapper.calls()
    assert call["arguments"][:3] == ["--entity", "store://parking/function/python/train:1a2b", "--kwargs"]
    assert kwargs_of(call) == {
        "inputs": {"di": "store://parking/dataitem/table/d:1"},
        "action": "job",
        "wait": True,
    }


def test_the_wrapper_of_0_9_gets_options_in_the_order_that_it_documents(server, wrapper):
    package = one_step(
        wrapper,
        "0.9",
        function={"id": "1a2b", "arguments": {"local_execution": True}},
        inputs={"di": "store://parking/dataitem/table/d:1", "url": "https://example.org/a?b=c"},
        parameters={"n": 3, "names": ["a", "b"], "text": "k=v=w"},
        outputs={"dataset": "clean.set"},
        values=["rows"],
        node_selector={"disk": "ssd"},
    )

    succeeded(server, package)

    [call] = wrapper.calls()
    assert call["arguments"] == [
        *("--project", "parking"),
        *("--function", "train"),
        *("--function_id", "1a2b"),
        *("--action", "job"),
        *("--jsonprops", '{"node_selector": [{"key": "disk", "value": "ssd"}]}'),
        *("-a", "local_execution=true"),
        *("-ie", "di=store://parking/dataitem/table/d:1"),
        *("-ie", "url=https://example.org/a?b=c"),
        *("-iv", "n=3"),
        *("-iv", 'names=["a", "b"]'),
        *("-iv", "text=k=v=w"),
        *("-oe", "dataset=clean_set"),
        *("-ov", "rows"),
    ]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("0.9", ["--project", "hub", "--workflow", "etl", "--workflow_id", "7", "--action", "pipeline"]),
        ("0.13", ["--entity", "store://hub/workflow/kfp/etl:7"]),
    ],
)
def test_a_workflow_of_the_platform_is_named_by_its_key(server, wrapper, form, expected):
    succeeded(
        server,
        one_step(
            wrapper, form, function={"function": "store://hub/workflow/kfp/etl:7", "function_kind": "kfp"}
        ),
    )

    [call] = wrapper.calls()
    assert call["arguments"][: len(expected)] == expected


def test_values_of_every_type_reach_the_run_as_they_are(server, wrapper):
    values = {
        "text": 'a "quoted" {{$}} {{x}} \\ line\nend é k=v=w',
        "whole": 3,
        "ratio": 0.5,
        "yes": True,
        "names": ["a", {"b": [1]}],
        "table": {"a": {"b": {"c": "{{"}}},
    }

    def pipeline(text: str, whole: int, ratio: float, yes: bool, names: list, table: dict):
        given = {"text": text, "whole": whole, "ratio": ratio, "yes": yes, "names": names, "table": table}
        with pipeline_context() as pc:
            pc.step(
                name="one", function="train", action="job", parameters={**given, "constant": values["table"]}
            )

    package = compile_handler(pipeline, project=project_of(wrapper, train={}))
    succeeded(server, package, values)

    parameters = kwargs_of(wrapper.calls()[0])["parameters"]
    assert parameters == {**values, "constant": values["table"]}
    assert type(parameters["whole"]) is int


def test_the_key_of_an_output_flows_to_the_steps_after_it(server, wrapper):
    def pipeline(url: str):
        with pipeline_context() as pc:
            download = pc.step(
                name="download",
                function="downloader",
                action="job",
                inputs={"url": url},
                outputs={"dataset": "dataset"},
            )
            spire = pc.step(
                name="spire",
                function="process",
                action="job",
                inputs={"di": download.outputs["dataset"]},
                outputs={"table": "spire.table"},
                values=["rows"],
            )
            pc.step(
                name="last",
                function="process",
                action="job",
                inputs={"a": spire.outputs["spire_table"], "b": download.outputs["run_id"]},
                parameters={"rows": spire.outputs["rows"]},
            )

    package = compile_handler(pipeline, project=project_of(wrapper, "0.9", downloader={}, process={}))
    done = run(server, package, {"url": "https://example.org/a.csv"})

    assert done.state == "SUCCEEDED"
    first, second, third = wrapper.calls()
    assert argument(first, "-ie") == "url=https://example.org/a.csv"
    assert argument(second, "-ie") == "di=store://parking/dataitem/table/dataset:of-downloader"
    assert third["arguments"][-6:] == [
        "-ie",
        "a=store://parking/dataitem/table/table:of-process",
        "-ie",
        "b=run-1",
        "-iv",
        "rows=plain",
    ]
    outputs = {path: task.outputs["parameters"] for path, task in server.tasks(done).items()}
    assert outputs["spire"] == {
        "run_id": "run-1",
        "spire_table": "store://parking/dataitem/table/table:of-process",
        "rows": "plain",
    }
    assert outputs["last"] == {"run_id": "run-1"}


@pytest.mark.parametrize("file", ["entity_employees", "entity_department_50"])
def test_an_output_is_found_by_the_runs_name_and_by_the_workflows(server, wrapper, file):
    wrapper.behave(files={"entity_employees": None, file: "store://key"})
    outputs = {"employees": "department.50"}

    done = succeeded(server, one_step(wrapper, outputs=outputs, action="job"))

    assert server.tasks(done)["one"].outputs["parameters"]["department_50"] == "store://key"


def test_a_run_that_fails_fails_its_step_with_the_status_of_the_wrapper(server, wrapper):
    wrapper.behave(status=3)

    done = run(server, one_step(wrapper, outputs={"dataset": "dataset"}))

    assert done.state == "FAILED"
    assert server.tasks(done)["one"].exit_code == 3
    assert "\nthe run on the platform has ended\n" in server.log(done, "one")


def test_an_output_that_the_run_has_not_made_fails_the_step_and_is_named(server, wrapper):
    wrapper.behave(files={"entity_dataset": None})

    done = run(server, one_step(wrapper, outputs={"dataset": "dataset"}))

    assert done.state == "FAILED"
    assert "has succeeded, but it has no output 'dataset'" in server.log(done, "one")


def test_a_wrapper_that_tells_no_run_id_has_succeeded_all_the_same(server, wrapper):
    wrapper.behave(files={"run_id": None})

    done = succeeded(server, one_step(wrapper))

    assert server.tasks(done)["one"].outputs["parameters"] == {"run_id": ""}


def test_endpoint_and_credentials_come_from_the_secret_and_are_nowhere_else(server, wrapper):
    put(
        server.places.data / "secrets",
        "hub-of-team",
        DHCORE_ENDPOINT="https://core.example",
        DHCORE_USER="ann",
        DHCORE_PASSWORD="s3cret",
        OTHER="no",
    )
    package = one_step(wrapper, function={"secret": "hub-of-team"})

    done = succeeded(server, package)

    [call] = wrapper.calls()
    assert call["environment"] == {
        "DHCORE_ENDPOINT": "https://core.example",
        "DHCORE_USER": "ann",
        "DHCORE_PASSWORD": "s3cret",
    }
    assert "s3cret" not in package.to_yaml() + server.log(done, "one")
    [config] = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    [entries] = [config["secretAsEnv"]]
    assert {pair["envVar"] for entry in entries for pair in entry["keyToEnv"]} == set(ENVIRONMENT)
    assert all(entry["optional"] for entry in entries)


def test_image_secret_and_labels_are_digitalhubs_own():
    project = Project("parking")
    project.new_function("train", kind="digitalhub", function="store://hub/function/dbt/sql:9")
    package = compile_steps([{"name": "one", "function": "train"}], name="p", project=project)

    [executor] = package.pipeline_spec["deploymentSpec"]["executors"].values()
    [config] = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"] == DEFAULT_IMAGE
    assert executor["container"]["command"] == ["python", "-c", wrapper_text()]
    assert config["podMetadata"]["labels"] == {
        "kfp-digitalhub-runtime-project": "hub",
        "kfp-digitalhub-runtime-function": "sql",
        "kfp-digitalhub-runtime-function_id": "9",
        "kfp-digitalhub-runtime-action": "transform",
    }
    assert config["secretAsEnv"][0]["secretNameParameter"]["runtimeValue"]["constant"] == DEFAULT_SECRET


@pytest.mark.parametrize(("kind", "action"), [(kind, action) for kind in ACTIONS for action in ACTIONS[kind]])
def test_every_kind_and_action_of_the_platform_passes_through(kind, action):
    project = Project("parking")
    function = project.new_function("f", kind="digitalhub", function_kind=kind)

    package = compile_steps(
        [{"name": "one", "function": function, "action": action}], name="p", project=project
    )

    [executor] = package.pipeline_spec["deploymentSpec"]["executors"].values()
    call = json.loads(executor["container"]["args"][-1])
    entity = "workflow" if kind == "kfp" else "function"
    assert call["options"] == {"entity": f"store://parking/{entity}/{kind}/f"}
    assert call["arguments"] == {"action": action, "wait": True}


def test_a_platform_may_have_kinds_and_actions_that_are_not_known_here():
    project = Project("parking")
    project.new_function("new", kind="digitalhub", function_kind="ray")
    project.new_function("more", kind="digitalhub", function_kind="dbt", actions=["test"])
    steps = [
        {"name": "a", "function": "new", "action": "cluster"},
        {"name": "b", "function": "more", "action": "test"},
    ]

    package = compile_steps(steps, name="p", project=project)

    assert len(package.pipeline_spec["deploymentSpec"]["executors"]) == 2


def test_a_step_of_the_platform_and_one_of_another_kind_pass_values_to_each_other(server, wrapper):
    project = project_of(wrapper, train={})
    project.new_function(
        "say", kind="python", handler="f", code="def f(key: str) -> str:\n    return key + '!'\n"
    )

    def pipeline():
        with pipeline_context() as pc:
            one = pc.step(name="one", function="train", action="job", outputs={"model": "model"})
            two = pc.step(name="two", function="say", inputs={"key": one.outputs["model"]})
            pc.step(name="three", function="train", action="job", parameters={"p": two.outputs["Output"]})

    done = run(server, compile_handler(pipeline, project=project))

    assert done.state == "SUCCEEDED"
    assert kwargs_of(wrapper.calls()[1])["parameters"] == {
        "p": "store://parking/dataitem/table/model:of-train!"
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "function_kind is missing: it is the kind of the function on the platform. Allowed: python,"),
        ({"function_kind": ""}, "'' is not a name: it is empty or has a space"),
        ({"function_kind": "python", "function": "a/b"}, "'a/b' is not a name"),
        (
            {"function": "store://p/function/python"},
            "is not a key. Allowed: store://<project>/function/<kind>/",
        ),
        ({"function": "store://p/dataitem/table/d:1"}, "is not a key"),
        ({"function": "store://p/function/kfp/d:1"}, "only workflows are of kind kfp, and all are"),
        ({"function": "store://p/workflow/python/d:1"}, "only workflows are of kind kfp, and all are"),
        (
            {"function": "store://p/function/python/d:1", "function_kind": "dbt"},
            "the key says 'python' and function_kind says 'dbt'; give one of them",
        ),
        (
            {"function": "store://p/function/python/d:1", "project": "q"},
            "the key says 'p' and project says 'q'",
        ),
        ({"function_kind": "python", "id": "1", "function_id": "2"}, "function_id says '2' and id says '1'"),
        ({"function_kind": "python", "wrapper": "0.14"}, "wrapper"),
        ({"function_kind": "python", "command": ["python"]}, "command"),
        ({"function_kind": "python", "secret": "Not A Name"}, "secret"),
        ({"function_kind": "python", "arguments": {"inputs": {}}}, "'inputs' is the step's to say"),
        (
            {"function_kind": "python", "arguments": {"envs": []}},
            "'envs' is a setting; give it in the function's",
        ),
        ({"function_kind": "python", "functionkind": "dbt"}, "functionkind"),
        ({"function_kind": "python", "source": "a.py"}, "source"),
    ],
)
def test_a_wrong_function_is_refused(fields, message):
    with pytest.raises(DefinitionError) as caught:
        Project("parking").new_function("train", kind="digitalhub", **fields)

    assert message in str(caught.value)
    assert "function 'train'" in str(caught.value)


@pytest.mark.parametrize(
    ("function", "step", "message"),
    [
        (
            {},
            {"action": "transform"},
            "action: 'transform' is not an action of DigitalHub's kind 'python'; where",
        ),
        ({"function_kind": "ray"}, {}, "action: is missing: which actions a function of kind 'ray' has"),
        ({}, {"outputs": {"a": "run_id"}}, "outputs['a']: 'run_id' is already the name of output 'run_id'"),
        ({}, {"outputs": {"a": "x.y", "b": "x_y"}}, "two outputs are named 'x_y'"),
        ({}, {"outputs": {"a": "b", "b": "c"}}, "outputs['a']: is called 'b', which is another output"),
        (
            {"function_kind": "dbt"},
            {"outputs": {"t": "t"}},
            "'t' is not an output of a dbt function. Allowed: output_table",
        ),
        ({}, {"inputs": {"di": {"from": "data.model"}}}, "takes keys of its entities and plain values"),
        ({}, {"parameters": {"a=b": 1}}, "parameters: 'a=b' is not a name"),
        ({"function": "f" * 64}, {}, "labels['kfp-digitalhub-runtime-function']: "),
        ({"function": "é"}, {}, "labels['kfp-digitalhub-runtime-function']: 'é' "),
        (
            {"id": "1"},
            {"function_id": "2"},
            "function_id: '2' is another version than the function's own id, '1'",
        ),
        ({}, {"inputs": {"di": {"from": "data.run_id"}}}, "'run_id' is not an output of step 'data'"),
    ],
)
def test_a_step_that_does_not_fit_is_refused(wrapper, function, step, message):
    project = project_of(wrapper, train=function)
    project.new_function("data", kind="python", handler="f", code="def f(model: Output[Model]): ...")
    steps = [{"name": "data", "function": "data"}, {"name": "one", "function": "train", **step}]

    with pytest.raises(DefinitionError) as caught:
        compile_steps(steps, name="p", project=project)

    assert message in str(caught.value)
    assert "step 'one'" in str(caught.value)


def test_a_pipeline_without_a_project_has_to_name_the_platforms():
    from airflow_kfp_runtime.project import new_function

    function = new_function("f", kind="digitalhub", function_kind="python")

    with pytest.raises(
        DefinitionError, match="function 'f', project: is missing, and the pipeline is of no project"
    ):
        compile_steps([{"name": "one", "function": function}], name="p")


def test_the_text_that_travels_is_small_and_holds_no_placeholder():
    assert len(wrapper_text()) < 4096
    assert "{{" not in wrapper_text()
