"""The kind component: where its YAML comes from, what becomes of it, and what is refused."""

import json
import zipfile

import pytest
import yaml

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.errors import DefinitionError, FunctionError
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.sources import Sources
from airflow_kfp_runtime.sources.cache import Cache
from tests import kfp_ir
from tests.http_server import HttpServer, file

SAY = {
    "name": "Say It",
    "inputs": [{"name": "The text", "type": "String"}, {"name": "count", "type": "Integer", "default": "1"}],
    "outputs": [{"name": "heard", "type": "String"}, {"name": "log"}],
    "implementation": {
        "container": {
            "image": "alpine:3",
            "command": ["say", {"inputValue": "The text"}, {"outputPath": "heard"}],
            "args": [{"outputPath": "log"}, {"inputValue": "count"}],
        }
    },
}


def container(*arguments, inputs=(), outputs=(), **more):
    """Return a component with these arguments."""
    made = {"image": "i", "command": ["run"], "args": list(arguments), **more}
    return {"inputs": list(inputs), "outputs": list(outputs), "implementation": {"container": made}}


def compiled(function, step=None, *, sources=None):
    """Return the package of a pipeline whose one step has a function of this kind."""
    project = Project("p")
    project.new_function("it", kind="component", **function)

    def handler():
        with pipeline_context() as pc:
            pc.step(**{"name": "say", "function": "it", "inputs": {"the_text": "hello"}, **(step or {})})

    return compile_handler(handler, project=project, sources=sources)


def executor(package):
    return package.pipeline_spec["deploymentSpec"]["executors"]["exec-say"]["container"]


def test_a_component_is_a_container_with_the_settings_of_the_step():
    package = compiled({"spec": SAY}, {"resources": {"cpu": "1"}, "env": {"A": "b"}, "retries": 1})

    assert executor(package) == {
        "image": "alpine:3",
        "command": [
            "say",
            "{{$.inputs.parameters['the_text']}}",
            "{{$.outputs.parameters['heard'].output_file}}",
        ],
        "args": ["{{$.outputs.artifacts['log'].path}}", "{{$.inputs.parameters['count']}}"],
        "env": [{"name": "A", "value": "b"}],
        "resources": {"cpuRequest": 1.0, "resourceCpuRequest": "1"},
    }
    definitions = package.pipeline_spec["components"]["comp-say"]["inputDefinitions"]["parameters"]
    assert definitions["count"] == {"parameterType": "NUMBER_INTEGER", "isOptional": True, "defaultValue": 1}
    kfp_ir.check(package.pipeline_spec)


def test_outputs_get_the_names_that_the_step_gives_them():
    package = compiled({"spec": SAY}, {"outputs": {"heard": "said", "log": "protocol.txt"}})

    assert executor(package)["command"][2] == "{{$.outputs.parameters['said'].output_file}}"
    assert executor(package)["args"][0] == "{{$.outputs.artifacts['protocol_txt'].path}}"
    definitions = package.pipeline_spec["components"]["comp-say"]["outputDefinitions"]
    assert (set(definitions["parameters"]), set(definitions["artifacts"])) == ({"said"}, {"protocol_txt"})


@pytest.fixture
def files(tmp_path):
    """A folder with the component in every form that a source can have."""
    text = yaml.safe_dump(SAY)
    (tmp_path / "say.yaml").write_text(text)
    (tmp_path / "say.json").write_text(json.dumps(SAY))
    tree = tmp_path / "components" / "say"
    tree.mkdir(parents=True)
    (tree / "component.yaml").write_text(text)
    with zipfile.ZipFile(tmp_path / "components.zip", "w") as archive:
        archive.writestr("say/component.yaml", text)
    return tmp_path


@pytest.mark.parametrize(
    "function",
    [
        {"source": "say.yaml"},
        {"source": "say.json"},
        {"source": "components/say"},
        {"source": "components", "path": "say/component.yaml"},
        {"source": "components.zip", "path": "say/component.yaml"},
        {"text": yaml.safe_dump(SAY)},
        {"text": json.dumps(SAY)},
    ],
    ids=str,
)
def test_it_comes_from_every_source(files, function):
    package = compiled(function, sources=Sources((files,)))

    assert package.pipeline_spec == compiled({"spec": SAY}).pipeline_spec


def test_it_comes_from_an_address(tmp_path, files):
    server = HttpServer()
    try:
        server.answers["/say/component.yaml"] = file((files / "say.yaml").read_bytes())
        sources = Sources(cache=Cache(tmp_path / "cache"))
        package = compiled({"source": server.url("/say/component.yaml")}, sources=sources)
    finally:
        server.stop()

    assert package.pipeline_spec == compiled({"spec": SAY}).pipeline_spec


def test_a_compiled_component_is_a_container_and_a_compiled_pipeline_a_graph():
    alone = compiled({"spec": SAY}).pipeline_spec
    renamed = json.loads(
        json.dumps(alone).replace("comp-say", "comp-handler").replace("exec-say", "exec-handler")
    )

    component = compiled({"spec": renamed}).pipeline_spec
    graph = compiled({"spec": alone}, {"inputs": {}}).pipeline_spec

    assert component["components"]["comp-say"]["executorLabel"] == "exec-say"
    assert graph["components"]["comp-say"]["dag"]["tasks"]["say"]["componentRef"]["name"] == "comp-say--say"


def test_an_embedded_condition_and_text_are_what_the_server_fills_in():
    who = {"name": "who", "type": "String", "optional": True}
    condition = {"if": {"cond": {"isPresent": "who"}, "then": ["--who", {"inputValue": "who"}]}}
    inside = {"if": {"cond": {"isPresent": "who"}, "then": {"inputValue": "who"}, "else": "nobody"}}
    text = {"concat": ["<", {"concat": ["to ", inside, ","]}, ">"]}

    package = compiled(
        {"spec": container(condition, {"concat": ["to ", inside, "!"]}, inputs=[who])}, {"inputs": {}}
    )

    value = "{{$.inputs.parameters['who']}}"
    assert [json.loads(argument) for argument in executor(package)["args"]] == [
        {"IfPresent": {"InputName": "who", "Then": ["--who", value]}},
        {"IfPresent": {"InputName": "who", "Then": f"to {value}!", "Else": "to nobody!"}},
    ]
    with pytest.raises(FunctionError, match="is a condition inside another"):
        compiled({"spec": container(text, inputs=[who])}, {"inputs": {}})


TEXT = {"name": "t", "type": "String"}
DATA = {"name": "d", "type": "Dataset"}
ARGUMENT = "step 'say', function 'it', implementation.container.args[0]"


def ir(**more):
    """Return an IR of one task, without its component."""
    tasks = {"a": {"componentRef": {"name": "comp-a"}}}
    return {"pipelineInfo": {"name": "x"}, "root": {"dag": {"tasks": tasks}}, **more}


def component_ir(executor, **inputs):
    """Return a compiled component."""
    component = {"executorLabel": "exec-x", "inputDefinitions": {"parameters": inputs}}
    return ir(components={"comp-x": component}, deploymentSpec={"executors": {"exec-x": executor}})


REFUSED = [
    (
        container({"inputValue": "x"}, inputs=[TEXT]),
        f"{ARGUMENT}: 'x' is not an input of the component. Allowed: t",
    ),
    (
        container({"outputPath": "x"}),
        f"{ARGUMENT}: 'x' is not an output of the component. Allowed: none: it has no",
    ),
    (
        container({"inputPath": "t"}, inputs=[TEXT]),
        "'t' is a plain value, which is in no file: change its type, or the placeholder. Allowed",
    ),
    (
        container({"inputValue": "d"}, inputs=[DATA]),
        'which has no value: change its type, or the placeholder. Allowed: {"inputPath": d}, {"inputUri": d}',
    ),
    (container({"outputUri": "t"}, outputs=[TEXT]), 'Allowed: {"outputPath": t}'),
    (container(3), f'{ARGUMENT}: 3 is not a text: write "3", in quotes'),
    (
        container({"inputMetadata": "t"}, inputs=[TEXT]),
        f"{ARGUMENT}: 'inputMetadata' is not a placeholder of KFP v2",
    ),
    (container({"inputValue": "t", "inputPath": "t"}), f"{ARGUMENT}: {{'inputValue': 't'"),
    (
        container({"if": {"cond": True, "then": "x"}}),
        f"{ARGUMENT}: {{'cond': True, 'then': 'x'}} is not a condition",
    ),
    (
        container({"concat": ["a", *[{"if": {"cond": {"isPresent": "t"}, "then": "x"}}] * 2]}, inputs=[TEXT]),
        f"{ARGUMENT}: has several conditions in one argument",
    ),
    (
        container(env={"A": {"inputValue": "t"}}, inputs=[TEXT]),
        "implementation.container.env.A: {'inputValue': 't'}",
    ),
    (container(env=["A=b"]), "implementation.container.env: is a list, not a mapping"),
    (container(image=""), "implementation.container.image: '' is not an image"),
    (container(command="run it"), "implementation.container.command: is a str, not a list"),
    (container(fileOutputs={"t": "/t"}), "fileOutputs: has outputs at fixed paths"),
    (container(command=[]), "implementation.container.command: is missing: KFP v2 starts the program itself"),
    (
        container({"if": {"cond": {"isPresent": "d"}, "then": "x"}}, inputs=[DATA]),
        f"{ARGUMENT}: depends on 'd', an artifact, and KFP v2 evaluates conditions on plain values",
    ),
    ({"implementation": {"graph": {"tasks": {}}}}, "implementation.graph: is a graph of components"),
    ({"implementation": {}}, "implementation.container: is missing"),
    (container(inputs=[{"type": "String"}]), "inputs[0]: {'type': 'String'} has no name"),
    (container(inputs=[{"name": "A b"}, {"name": "a_b"}]), "inputs[1]: 'a_b' is called 'a_b', as 'A b' is"),
    (container(outputs=[TEXT, dict(TEXT)]), "outputs[1]: 't' is called 't', as 't' is"),
    ({**container(), "inputs": {"t": "String"}}, "inputs: is a dict, not a list"),
    (
        container(inputs=[{"name": "n", "type": "Integer", "default": "many"}]),
        "inputs[0].default: 'many' is not of the type NUMBER_INTEGER",
    ),
    (
        container(inputs=[{"name": "s", "type": "PipelineTaskFinalStatus"}]),
        "inputs[0]: is of type PipelineTaskFinal",
    ),
    (
        {"apiVersion": "argoproj.io/v1", "kind": "Workflow"},
        "kind: is a pipeline of KFP v1, compiled for Argo",
    ),
    ({"name": "x"}, "pipelineInfo: is neither a component of KFP v1"),
    ({"pipelineInfo": {"name": "x"}, "root": {"dag": {}}}, "root: is compiled without tasks"),
    (ir(), "components: task 'a' of 'root' refers to the component 'comp-a', which is not there"),
    (
        ir(components={"comp-a": {"executorLabel": "exec-a"}}),
        "components: 'comp-a' refers to the executor 'exec-a', which is not there",
    ),
    (ir(root={"dag": {"tasks": {"a": {}}}}), "is not built as KFP v2 compiles it (KeyError: 'componentRef')"),
    (
        component_ir({"importer": {}}),
        "deploymentSpec: its executor is of the kind importer, which a step cannot be",
    ),
    (
        component_ir({"container": {"image": "i", "lifecycle": {}}}),
        "deploymentSpec: its container has 'lifecycle'",
    ),
    (
        component_ir({"container": {"image": "i"}}, status={"parameterType": "TASK_FINAL_STATUS"}),
        "its input 'status' is of type TASK_FINAL_STATUS, which a step cannot give. Allowed: STRING",
    ),
    (
        {
            "pipeline_spec": {"pipelineInfo": {"name": "x"}, "root": {"dag": {"tasks": {"a": {}}}}},
            "platform_spec": {"a": 1},
        },
        "platforms: its second document is not a platform spec",
    ),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED, ids=[message[-40:] for _, message in REFUSED])
def test_a_wrong_definition_is_refused_with_its_place(spec, message):
    with pytest.raises(DefinitionError) as raised:
        compiled({"spec": spec}, {"inputs": {}})

    assert message in str(raised.value)
    assert str(raised.value).startswith("step 'say', function 'it'")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"inputs": {}}, "inputs['the_text']: function 'it' needs this input"),
        (
            {"inputs": {"The_text": "x"}},
            "inputs['The_text']: 'The_text' is not an input of function 'it'. Allowed: count, the_text",
        ),
        (
            {"inputs": {"the_text": 5}},
            "inputs['the_text']: 5 is an int, which function 'it' does not take. Allowed: str",
        ),
        (
            {"outputs": {"told": "x"}},
            "outputs['told']: 'told' is not an output of function 'it'. Allowed: heard, log",
        ),
        ({"values": ["log"]}, "values: output 'log' of function 'it' is an artifact, not a plain value"),
        ({"action": "deploy"}, "action: 'deploy' is not an action of kind 'component'. Allowed: job"),
    ],
)
def test_a_wrong_step_is_refused(step, message):
    with pytest.raises(DefinitionError) as raised:
        compiled({"spec": SAY}, step)

    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ({}, "none is given: one of source, text and spec is needed"),
        ({"text": "a: 1", "spec": {}}, "text and spec are given: one of source, text and spec is needed"),
        ({"text": "a: 1", "path": "b"}, "path names a file in source, and there is no source"),
        ({"sorce": "a"}, "is not a field of this kind. Allowed: source"),
    ],
)
def test_a_wrong_function_is_refused_when_it_is_made(function, message):
    with pytest.raises(FunctionError, match=message):
        Project("p").new_function("it", kind="component", **function)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ({"text": "a: [1"}, "text: is not YAML: "),
        (
            {"text": "--- 1\n--- 2\n--- 3\n"},
            "text: holds 3 YAML documents. Allowed: a component, a compiled pipeline",
        ),
        ({"text": "[1]"}, "text: holds a list, not a mapping"),
        ({"text": "a: 2026-01-01"}, "text: is not JSON: ['a'] is of type date"),
        ({"source": "gone.yaml"}, "source: there is no file or folder 'gone.yaml'"),
        (
            {"source": "say.py"},
            "source: 'say.py' is a file that is no source. Allowed: a file that ends in .yaml",
        ),
        (
            {"source": "components"},
            "path: there is no 'component.yaml' in 'components': name the file in it. Allowed: say/",
        ),
        ({"source": "components", "path": "../say.yaml"}, "path: '../say.yaml' leads out of the source"),
        ({"source": "say.yaml", "path": "say.yaml"}, "path: 'say.yaml' is a file, so that nothing is in it"),
        ({"source": "ftp://example.org/component.yaml"}, "source: 'ftp' is not the scheme of a source"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused(files, function, message):
    (files / "say.py").write_text("")

    with pytest.raises(DefinitionError) as raised:
        compiled(function, sources=Sources((files,)))

    assert f"step 'say', function 'it', {message}" in str(raised.value)


def test_a_program_that_names_its_outputs_itself_keeps_the_names():
    spec = container({"executorInput": None}, outputs=[TEXT])

    assert compiled({"spec": spec}, {"inputs": {}, "outputs": {"t": "t"}}).pipeline_spec
    with pytest.raises(DefinitionError) as raised:
        compiled({"spec": spec}, {"inputs": {}, "outputs": {"t": "named"}})
    assert str(raised.value) == (
        "step 'say', outputs['t']: the program of function 'it' writes its output under the name 't', which "
        "cannot be 'named': use step.outputs['t']. Allowed: {'t': 't'}"
    )
