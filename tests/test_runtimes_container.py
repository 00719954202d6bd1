"""The kind `container`: what its command lines become, and what it refuses."""

import pytest
from pydantic import ValidationError

from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import StepError
from airflow_kfp_runtime.plugins import function_kind
from airflow_kfp_runtime.runtimes.component import ComponentRequest

DATASET = ArtifactType("system.Dataset")
MODEL = ArtifactType("system.Model")


def component(function, *, inputs=None, outputs=None, values=(), action="job"):
    kind = function_kind("container")
    specification = kind.specification.model_validate({"image": "alpine", **function})
    request = ComponentRequest(
        "train", "trainer", specification, action, inputs or {}, outputs or {}, list(values)
    )
    return kind.build(request)


def test_references_become_kfps_placeholders_wherever_they_stand():
    made = component(
        {
            "command": ["sh", "-c", "cp $(inputs.di) $(outputs.dataset)", "--at=$(inputs.di.uri)"],
            "args": ["n=$(parameters.n)/$(inputs.n)", "$(outputs.dataset.uri)", "$(outputs.rows)"],
        },
        inputs={"di": DATASET, "n": ParameterType.INTEGER},
        outputs={"dataset": "clean"},
        values=["rows"],
    )

    assert made.implementation.command == (
        "sh",
        "-c",
        "cp {{$.inputs.artifacts['di'].path}} {{$.outputs.artifacts['clean'].path}}",
        "--at={{$.inputs.artifacts['di'].uri}}",
    )
    assert made.implementation.args == (
        "n={{$.inputs.parameters['n']}}/{{$.inputs.parameters['n']}}",
        "{{$.outputs.artifacts['clean'].uri}}",
        "{{$.outputs.parameters['rows'].output_file}}",
    )
    assert made.outputs == {"clean": ArtifactType(), "rows": ParameterType.STRING}
    assert {name: declared.type for name, declared in made.inputs.items()} == {
        "di": DATASET,
        "n": ParameterType.INTEGER,
    }


def test_kfps_component_notation_means_the_same():
    made = component(
        {
            "command": ["program"],
            "args": [{"inputValue": "n"}, {"inputPath": "di"}, {"inputUri": "di"}, {"outputPath": "m"}],
        },
        inputs={"di": DATASET, "n": None},
        outputs={"m": "m"},
    )

    assert made.implementation.args == (
        "{{$.inputs.parameters['n']}}",
        "{{$.inputs.artifacts['di'].path}}",
        "{{$.inputs.artifacts['di'].uri}}",
        "{{$.outputs.artifacts['m'].path}}",
    )
    assert made.inputs["n"].type is None


def test_an_escaped_reference_and_the_shells_own_substitutions_stay_text():
    made = component({"command": ["sh", "-c", "echo $$(inputs.x) $(date) $HOME"]})

    assert made.implementation.command[-1] == "echo $(inputs.x) $(date) $HOME"


def test_a_reference_inside_the_shells_own_substitution_is_filled_in():
    made = component({"command": ["sh", "-c", "echo $(cat $(inputs.x)) $$(input.sh)"]}, inputs={"x": DATASET})

    assert made.implementation.command[-1] == "echo $(cat {{$.inputs.artifacts['x'].path}}) $(input.sh)"


@pytest.mark.parametrize(
    "written",
    [
        "$(input.a)",
        "$(output.x)",
        "$(parameter.n)",
        "$(params.n)",
        "$(inputs.)",
        "$(inputs. a)",
        "$(Inputs.a)",
        "${inputs.a}",
        "{{inputs.a}}",
        "{{ outputs.x }}",
        "$(inputs.a",
    ],
)
def test_what_is_meant_as_a_reference_and_is_none_is_refused(written):
    with pytest.raises(StepError) as caught:
        component({"command": ["p", f"--x={written}"]}, inputs={"a": None})

    assert f"step 'train', command[1]: {written} is not a reference to an input or output" in str(
        caught.value
    )
    assert "Allowed: $(inputs.NAME), $(parameters.NAME), $(outputs.NAME)" in str(caught.value)


@pytest.mark.parametrize(
    "written", ["$(inputs_of me)", "$(date)", "$(input)", "${output:-x}", "{{$.inputs.parameters['a']}}"]
)
def test_what_only_resembles_a_reference_stays_text(written):
    made = component({"command": ["p", written, "$(inputs.a)"]}, inputs={"a": None})

    assert made.implementation.command[1] == written


@pytest.mark.parametrize(
    "written", ["{{$}}", "{{$.inputs.parameters['a']}}", "{{$.json_escape[1].inputs.parameters['a']}}"]
)
def test_kfps_own_placeholders_use_an_input_too(written):
    assert component({"command": ["p", written]}, inputs={"a": None}).implementation.command[1] == written


def test_declared_types_win_and_declared_outputs_exist_without_the_steps_naming_them():
    made = component(
        {
            "command": ["train", "$(inputs.epochs)", "$(outputs.model)", "$(outputs.accuracy)"],
            "inputs": {"epochs": "float"},
            "outputs": {"model": "system.Model", "accuracy": "NUMBER_DOUBLE"},
        },
        inputs={"epochs": ParameterType.INTEGER},
        outputs={"model": "trained.model"},
    )

    assert made.inputs["epochs"].type is ParameterType.DOUBLE
    assert made.outputs == {"trained_model": MODEL, "accuracy": ParameterType.DOUBLE}


def test_an_output_may_be_referred_to_by_the_workflows_name_too():
    made = component({"command": ["p", "$(outputs.clean)"]}, outputs={"dataset": "clean"})

    assert made.implementation.command == ("p", "{{$.outputs.artifacts['clean'].path}}")


def test_a_program_alone_may_be_a_text_as_digitalhub_has_it():
    assert component({"command": "/bin/run me", "args": ["-v"]}).implementation.command == ("/bin/run me",)


def test_env_takes_a_mapping_or_digitalhubs_list():
    as_list = component({"command": ["p"], "env": [{"name": "A", "value": "1"}]})

    assert (
        as_list.implementation.env
        == component({"command": ["p"], "env": {"A": "1"}}).implementation.env
        == {"A": "1"}
    )


@pytest.mark.parametrize(
    ("function", "step", "message"),
    [
        (
            {"command": ["p", "-u", "$(inputs.ulr)"]},
            {"inputs": {"url": ParameterType.STRING}},
            "step 'train', command[2]: $(inputs.ulr) refers to an input that the step does not have",
        ),
        (
            {"command": ["p"], "args": ["$(outputs.x)"]},
            {},
            "an output that the step does not have. Allowed: none: the step has no outputs",
        ),
        (
            {"command": ["p", "$(inputs.di)"], "inputs": {"di": "Model"}},
            {"inputs": {"di": DATASET}},
            "inputs['di']: what is connected is a Dataset, which function 'trainer' does not take. Allowed: ",
        ),
        (
            {"command": ["p", "$(inputs.di)"], "inputs": {"di": "Model"}},
            {"inputs": {"di": None}},
            "what is connected is a plain value, which",
        ),
        (
            {"command": ["p"], "inputs": {"di": "Model"}},
            {},
            "step 'train', inputs['di']: function 'trainer' needs this input",
        ),
        (
            {"command": ["p", "$(inputs.used)"]},
            {"inputs": {"used": None, "n": DATASET}},
            "inputs['n']: nothing in command or args refers to this input, so the program would never get it",
        ),
        ({"command": ["p"]}, {"outputs": {"a": "b"}}, "pass it as $(outputs.a)"),
        (
            {"command": ["p"]},
            {"outputs": {"a": "x.y", "b": "x_y"}},
            "'x_y' is already the name of output 'a'",
        ),
        ({"command": ["$(inputs.p)"]}, {"inputs": {"p": None}}, "begin the command with `env`"),
        ({"command": ["p", {"concat": "a"}]}, {}, 'is not a reference. Allowed: {"inputValue": NAME}'),
        (
            {"command": ["p", "$(inputs.n.path)"]},
            {"inputs": {"n": ParameterType.INTEGER}},
            "'n' is a parameter, which has no path",
        ),
        ({"command": ["p", {"inputValue": "d"}]}, {"inputs": {"d": DATASET}}, "'d' is an artifact"),
        ({"command": ["p", "$(outputs.n.uri)"]}, {"values": ["n"]}, "'n' is a plain value, which has no uri"),
    ],
)
def test_what_does_not_fit_is_refused_with_step_field_and_what_is_allowed(function, step, message):
    with pytest.raises(StepError) as caught:
        component(function, **step)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ({}, "does not know the image's ENTRYPOINT"),
        ({"command": ["p"], "outputs": {"a": "Datset"}}, "'Datset' is not a type. Allowed: str"),
        ({"command": ["p"], "env": {"A": "$(inputs.a)"}}, "in command and args only"),
        ({"command": ["p"], "env": {"A": "$(input.a)"}}, "in command and args only"),
        ({"command": ["p"], "comand": ["p"]}, "comand"),
    ],
)
def test_a_wrong_specification_is_refused(function, message):
    with pytest.raises(ValidationError) as caught:
        function_kind("container").specification.model_validate({"image": "alpine", **function})

    assert message in str(caught.value)
