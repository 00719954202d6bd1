"""Steps that are workflows: arguments, outputs, settings, names, and what is refused."""

import pytest

from airflow_kfp_runtime.compiler import compile_handler, compile_steps
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.dsl.pipeline import trace
from airflow_kfp_runtime.dsl.serialization import pipeline_as_data
from airflow_kfp_runtime.errors import DefinitionError, SettingError, StepError
from airflow_kfp_runtime.project import Project, Workflow
from tests import kfp_ir

FETCH = {"kind": "container", "image": "i", "command": ["get", "$(inputs.url)", "$(outputs.dataset)"]}
COUNT = {"kind": "container", "image": "i", "command": ["wc", "$(inputs.table)", "$(outputs.rows)"]}


def etl(url: str, day: int = 1):
    with pipeline_context() as pc:
        fetched = pc.step(
            name="Fetch It", function="fetch", inputs={"url": f"{url}/{day}"}, outputs={"dataset": "dataset"}
        )
        table = fetched.outputs["dataset"]
        counted = pc.step(name="count", function="count", inputs={"table": table}, values=["rows"])
    return {"table": table, "rows": counted.outputs["rows"]}


def single(table):
    with pipeline_context() as pc:
        return pc.step(name="count", function="count", inputs={"table": table}, values=["rows"]).outputs[
            "rows"
        ]


def nothing():
    with pipeline_context() as pc:
        pc.step(name="count", function="fetch", inputs={"url": "u"}, outputs={"dataset": "d"})


@pytest.fixture
def project():
    made = Project("parking")
    made.new_function("fetch", **FETCH)
    made.new_function("count", **COUNT)
    made.new_function("say", kind="container", image="i", command=["say", "$(inputs.text)"])
    for handler in (etl, single, nothing):
        made.new_workflow(handler.__name__, handler=handler)
    return made


def compiled(project, /, *, then=None, argument=None, **step):
    """Return the package of a pipeline with one step, and one after it that gets ``then`` of its outputs."""

    def handler(given=argument):
        with pipeline_context() as pc:
            fields = {"name": "Prepare", "workflow": "etl", "inputs": {"url": "u"}, **step}
            prepared = pc.step(**fields)
            if then:
                pc.step(name="say", function="say", inputs={"text": prepared.outputs[then]})

    return compile_handler(handler, name="outer", project=project)


def test_arguments_are_the_inputs_and_what_the_handler_returns_the_outputs(project):
    package = compiled(project, inputs={"url": "u"}, parameters={"day": 2}, outputs={"rows": "n"}, then="n")

    spec = package.pipeline_spec
    task, component = spec["root"]["dag"]["tasks"]["prepare"], spec["components"]["comp-prepare"]
    assert task["inputs"]["parameters"] == {
        "url": {"runtimeValue": {"constant": "u"}},
        "day": {"runtimeValue": {"constant": 2}},
    }
    assert component["inputDefinitions"]["parameters"] == {
        "url": {"parameterType": "STRING"},
        "day": {"parameterType": "NUMBER_INTEGER", "isOptional": True, "defaultValue": 1},
    }
    assert set(component["outputDefinitions"]["parameters"]) == {"n"}
    assert set(component["outputDefinitions"]["artifacts"]) == {"table"}
    assert component["dag"]["outputs"]["parameters"]["n"]["valueFromParameter"] == {
        "producerSubtask": "count",
        "outputParameterKey": "rows",
    }
    kfp_ir.check(spec, package.platform_spec)


def test_the_names_of_steps_inside_have_the_names_around_them(project):
    project.new_workflow("middle", handler=middle)

    package = compiled(project, workflow="middle", inputs={})

    assert package.step_names == {
        "prepare": "Prepare",
        "prepare/e-t-l": "Prepare/E T L",
        "prepare/e-t-l/fetch-it": "Prepare/E T L/Fetch It",
        "prepare/e-t-l/count": "Prepare/E T L/count",
    }
    kfp_ir.check(package.pipeline_spec)


def middle():
    with pipeline_context() as pc:
        pc.step(name="E T L", workflow="etl", inputs={"url": "u"})


def test_the_names_go_on_under_the_graph_of_a_claim(project):
    claim = {
        "volume_type": "persistent_volume_claim",
        "name": "data",
        "mount_path": "/d",
        "spec": {"size": "1Gi"},
    }

    def handler():
        with pipeline_context() as pc:
            fetched = pc.step(
                name="fetch", function="fetch", inputs={"url": "u"}, outputs={"dataset": "d"}, volumes=[claim]
            )
            pc.step(name="it", workflow="single", inputs={"table": fetched.outputs["d"]})

    package = compile_handler(handler, project=project)

    assert package.step_names["exit-handler-1/it/count"] == "it/count"
    kfp_ir.check(package.pipeline_spec, package.platform_spec)


def test_a_single_output_may_have_a_name_of_its_own(project):
    table = {"name": "get", "function": "fetch", "inputs": {"url": "u"}, "outputs": {"dataset": "d"}}
    count = {
        "name": "count",
        "workflow": "single",
        "inputs": {"table": {"from": "get.d"}},
        "values": ["total"],
    }
    say = {"name": "say", "function": "say", "inputs": {"text": {"from": "count.total"}}}

    package = compile_steps([table, count, say], name="outer", project=project)

    component = package.pipeline_spec["components"]["comp-count"]
    assert set(component["outputDefinitions"]["parameters"]) == {"total"}
    assert (
        component["inputDefinitions"]["artifacts"]["table"]["artifactType"]["schemaTitle"]
        == "system.Artifact"
    )
    kfp_ir.check(package.pipeline_spec)


def test_the_workflow_itself_may_be_given_without_a_project():
    project = Project("other")
    project.new_function("fetch", **FETCH)
    project.new_function("count", **COUNT)
    workflow = project.new_workflow("etl", handler=etl)

    package = compiled(None, workflow=workflow)

    assert package.step_names["prepare/fetch-it"] == "Prepare/Fetch It"


def test_a_function_of_the_kind_runs_a_workflow(project):
    project.new_function("prepare", kind="workflow", workflow="etl")

    package = compiled(project, workflow=None, function="prepare", action="pipeline")

    assert package.pipeline_spec["components"] == compiled(project).pipeline_spec["components"]


def test_a_reference_and_an_id_name_a_workflow(project):
    project.new_workflow("etl", handler=etl, uuid="c0ffee00-0000-4000-8000-000000000001")
    components = compiled(project).pipeline_spec["components"]

    for step in (
        {"workflow": "store://parking/workflow/kfp/etl"},
        {"workflow": "store://parking/workflow/kfp/etl:c0ffee00-0000-4000-8000-000000000001"},
        {"workflow_id": "c0ffee00-0000-4000-8000-000000000001"},
    ):
        assert compiled(project, **step).pipeline_spec["components"] == components


def executors(package):
    return package.pipeline_spec["deploymentSpec"]["executors"]


def test_settings_of_the_step_are_those_of_all_steps_inside(project):
    package = compiled(project, resources={"cpu": "2"}, labels={"team": "a"}, retries=2, caching=False)

    tasks = package.pipeline_spec["components"]["comp-prepare"]["dag"]["tasks"]
    for name in ("fetch-it", "count"):
        assert tasks[name]["retryPolicy"]["maxRetryCount"] == 2
        assert tasks[name]["cachingOptions"] == {}
        assert (
            executors(package)[f"exec-prepare--{name}"]["container"]["resources"]["resourceCpuRequest"] == "2"
        )
    assert "retryPolicy" not in package.pipeline_spec["root"]["dag"]["tasks"]["prepare"]
    configs = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert configs["exec-prepare--count"]["podMetadata"]["labels"] == {"team": "a"}


def test_settings_of_the_pipeline_reach_the_steps_inside_and_profiles_win_there(project):
    def handler():
        with pipeline_context() as pc:
            pc.step(name="Prepare", workflow="etl", inputs={"url": "u"}, profile="small")

    package = compile_handler(
        handler,
        project=project,
        settings={"resources": {"cpu": "4", "mem": "1Gi"}, "workspace": {"size": "1Gi"}},
        profiles={"small": {"resources": {"cpu": "1"}}},
    )

    resources = executors(package)["exec-prepare--count"]["container"]["resources"]
    assert resources["resourceCpuRequest"] == "1"
    assert package.platform_spec["platforms"]["kubernetes"]["pipelineConfig"]["workspace"]["size"] == "1Gi"


def test_two_steps_of_one_workflow_share_what_is_equal(project):
    def handler():
        with pipeline_context() as pc:
            pc.step(name="a", workflow="etl", inputs={"url": "u"})
            pc.step(name="b", workflow="etl", inputs={"url": "v"})
            pc.step(name="c", workflow="etl", inputs={"url": "v"}, resources={"cpu": "1"})

    package = compile_handler(handler, project=project)

    tasks = package.pipeline_spec["root"]["dag"]["tasks"]
    assert [tasks[name]["componentRef"]["name"] for name in "abc"] == ["comp-a", "comp-a", "comp-c"]
    assert package.step_names["b/count"] == "b/count"
    kfp_ir.check(package.pipeline_spec)


def test_warnings_inside_have_the_step(project):
    def claiming():
        with pipeline_context() as pc:
            claim = {"volume_type": "persistent_volume_claim", "name": "v", "mount_path": "/d"}
            volume = {**claim, "spec": {"size": "1Gi"}}
            pc.step(
                name="fetch",
                function="fetch",
                inputs={"url": "u"},
                outputs={"dataset": "d"},
                volumes=[volume],
            )

    project.new_workflow("claiming", handler=claiming)

    (warning,) = compiled(project, workflow="claiming", inputs={}).warnings

    assert warning.startswith(
        "step 'Prepare': volume 'v': KFP makes the claim with the storage class 'standard'"
    )


def test_a_workflow_that_contains_itself_is_refused_with_the_way(project):
    def a():
        with pipeline_context() as pc:
            pc.step(name="to b", workflow="b")

    def b():
        with pipeline_context() as pc:
            pc.step(name="to a", workflow="a")

    first, second = project.new_workflow("a", handler=a), project.new_workflow("b", handler=b)

    for workflow, message in (
        (first, "step 'to b/to a', workflow: a workflow cannot contain itself: a -> b -> a"),
        (second, "step 'to a/to b', workflow: a workflow cannot contain itself: b -> a -> b"),
    ):
        with pytest.raises(StepError) as raised:
            compile_handler(workflow)
        assert str(raised.value) == message
    with pytest.raises(StepError, match=r"step 'Prepare/to b/to a', workflow: .*: a -> b -> a"):
        compiled(project, workflow="a", inputs={})


REFUSED = [
    (
        {"workflow": "elt"},
        "step 'Prepare', workflow: project 'parking' has no workflow 'elt'. Allowed: etl, nothing, single",
    ),
    ({"inputs": {}}, "step 'Prepare', inputs['url']: workflow 'etl' needs this input"),
    (
        {"inputs": {"url": "u", "dya": 1}},
        "step 'Prepare', inputs['dya']: 'dya' is not an input of workflow 'etl'. Allowed: day, url",
    ),
    (
        {"parameters": {"day": "monday"}},
        "parameters['day']: 'monday' is a str, which workflow 'etl' does not take. Allowed: int",
    ),
    (
        {"outputs": {"lines": "n"}},
        "step 'Prepare', outputs['lines']: 'lines' is not an output of workflow 'etl'. Allowed: rows, table",
    ),
    (
        {"values": ["table"]},
        "values: output 'table' of workflow 'etl' is an artifact, not a plain value: write outputs={'table'",
    ),
    (
        {"workflow": "nothing", "inputs": {}, "outputs": {"x": "y"}},
        "outputs['x']: 'x' is not an output of workflow 'nothing'. Allowed: none: it has no outputs",
    ),
    (
        {"outputs": {"rows": "table"}},
        "outputs['rows']: 'table' is already the name of output 'table'; give this one another",
    ),
    (
        {"action": "job"},
        "step 'Prepare', action: 'job' is not an action of kind 'workflow'. Allowed: pipeline",
    ),
    (
        {"workflow": etl},
        "is not a workflow. Allowed: a workflow's name in the project, what new_workflow() returned",
    ),
    (
        {"workflow": "store://elsewhere/workflow/kfp/etl"},
        "step 'Prepare', workflow: ",
    ),
    ({"workflow_id": "other"}, "step 'Prepare', workflow: workflow 'etl' has no id, not 'other'"),
    (
        {"resources": {"cpu": "none"}},
        "step 'Prepare', resources.cpu: ",
    ),
    (
        {"timeout": 60, "volumes": [{"volume_type": "secret", "name": "s"}]},
        "step 'Prepare', volumes",
    ),
]


@pytest.mark.parametrize(("step", "message"), REFUSED, ids=[str(list(step)) for step, _ in REFUSED])
def test_a_wrong_step_is_refused_with_its_place(project, step, message):
    with pytest.raises(DefinitionError) as raised:
        compiled(project, **step)

    assert message in str(raised.value)


def test_an_error_inside_has_the_way_to_it(project):
    def wrong(url: str):
        with pipeline_context() as pc:
            pc.step(name="get", function="fetch", inputs={"address": url})

    project.new_workflow("wrong", handler=wrong)

    with pytest.raises(StepError, match=r"step 'Prepare/get', .*address"):
        compiled(project, workflow="wrong")


def test_an_error_of_the_workflow_itself_names_it(project):
    def wrong(url: bytes):
        raise AssertionError

    project.new_workflow("wrong", handler=wrong)

    with pytest.raises(DefinitionError, match="step 'Prepare', workflow 'wrong', argument 'url': "):
        compiled(project, workflow="wrong")


def test_a_run_time_value_cannot_reach_the_settings_inside(project):
    def handler(cpu: str):
        with pipeline_context() as pc:
            pc.step(name="Prepare", workflow="etl", inputs={"url": "u"}, resources={"cpu": cpu})

    with pytest.raises(DefinitionError, match=r"step 'Prepare.*cpu.*: refers to argument 'cpu' of another"):
        compile_handler(handler, project=project)


def test_a_claim_that_steps_share_cannot_be_shared_with_a_workflow(project):
    volume = {
        "volume_type": "persistent_volume_claim",
        "name": "data",
        "mount_path": "/d",
        "spec": {"size": "1Gi"},
    }

    def handler():
        with pipeline_context() as pc:
            pc.step(name="Prepare", workflow="etl", inputs={"url": "u"})
            pc.step(name="say", function="say", inputs={"text": "t"})

    with pytest.raises(SettingError) as raised:
        compile_handler(handler, project=project, settings={"volumes": [volume]})
    assert str(raised.value).startswith(
        "step 'Prepare', volumes['data']: is a new claim that step 'say' shares"
    )


def test_a_function_that_is_a_workflow_is_told_from_one(project):
    with pytest.raises(
        StepError, match=r"step 'Prepare', function: .* it is a workflow, write it as workflow="
    ):
        compiled(project, workflow=None, function=project.workflow("etl"))


def test_a_workflow_that_a_handler_makes_anew_each_time_is_found_too(project):
    def again():
        with pipeline_context() as pc:
            pc.step(name="again", workflow=Workflow("again", handler=again, project=project))

    with pytest.raises(StepError, match="a workflow cannot contain itself: again -> again"):
        compile_handler(Workflow("again", handler=again, project=project))


def test_a_workflow_itself_cannot_leave_the_process_of_a_handler(project):
    def handler():
        with pipeline_context() as pc:
            pc.step(name="Prepare", workflow=project.workflow("etl"), inputs={"url": "u"})

    with pytest.raises(StepError, match=r"step 'Prepare', workflow: is a workflow itself, .*: give its name"):
        pipeline_as_data(trace(handler))
