"""What the compiler refuses: each mistake with its step, its place and what would be right."""

from datetime import date

import pytest
from pydantic import BaseModel

from airflow_kfp_runtime.dsl import pipeline_context, trace
from airflow_kfp_runtime.errors import ArgumentError, DefinitionError, SourceError
from airflow_kfp_runtime.project import Function, new_function
from airflow_kfp_runtime.runtimes.component import Component, Container, FunctionKind, InputDeclaration
from tests.parking_project import compiled, refusal, steps_of


def test_an_argument_that_steps_take_for_different_types_has_to_be_annotated():
    def write(n):
        with pipeline_context() as pc:
            first = pc.step(name="a", function="download", inputs={"url": "u", "rows": n})
            pc.step(name="b", function="train", inputs={"di": first.outputs["dataset"], "rate": n})

    def as_lists_too(n):
        with pipeline_context() as pc:
            pc.step(name="a", function="download", inputs={"url": n})
            pc.step(name="b", function="report", inputs={"accuracy": 1.0, "items": n})

    def annotated(n: int):
        write(n)

    assert refusal(write, ArgumentError) == (
        "argument 'n': is int for step 'a' and float for step 'b': annotate it in the handler's signature"
    )
    assert refusal(as_lists_too) == ("step 'b', inputs['items']: argument 'n' is a str. Allowed: list")
    assert compiled(annotated).parameters == {"n": {"parameterType": "NUMBER_INTEGER"}}


def test_a_value_of_the_wrong_type_is_named_with_where_it_comes_from_and_where_it_stands():
    def of(step):
        def handler(url: str):
            with pipeline_context() as pc:
                first = pc.step(name="a", function="download", inputs={"url": "u"})
                pc.step(name="b", **step(url, first.outputs["dataset"]))

        return refusal(handler)

    assert of(lambda url, data: {"function": "download", "inputs": {"url": "u", "rows": 1.5}}) == (
        "step 'b', inputs['rows']: 1.5 is a float. Allowed: int"
    )
    assert of(
        lambda url, data: {"function": "download", "inputs": {"url": "u"}, "parameters": {"rows": url}}
    ) == ("step 'b', parameters['rows']: argument 'url' is a str. Allowed: int")
    assert of(lambda url, data: {"function": "download", "inputs": {"url": data}}) == (
        "step 'b', inputs['url']: output 'dataset' of step 'a' is a Dataset, but the function declares str; "
        "annotate the argument as `url: Input[Dataset]`"
    )
    assert of(lambda url, data: {"function": "download", "parameters": {"ulr": "u"}}).startswith(
        "step 'b', parameters['ulr']: 'ulr' is not an input of function 'download'."
    )


def test_an_argument_of_the_pipeline_cannot_be_an_artifact():
    def handler(di):
        with pipeline_context() as pc:
            pc.step(name="a", function="train", inputs={"di": di})

    problem = refusal(handler, DefinitionError)

    assert problem.startswith("step 'a', inputs['di']: ")
    assert "artifact" in problem


@pytest.mark.parametrize("encoded", ["ä", "a", "/w=="])
def test_a_function_whose_base64_cannot_be_read_is_refused(encoded):
    function = new_function("mine", base64=encoded, handler="mine")
    handler = steps_of(lambda pc: pc.step(name="a", function=function) and None)

    assert "base64: is not base64 of UTF-8 text" in refusal(handler, SourceError)


class Nothing(BaseModel):
    """The specification of a function that needs none."""


def test_what_a_plugins_kind_makes_has_to_fit_the_step():
    made = Component({"needed": InputDeclaration()}, {}, Container("i", ("true",)))
    kind = FunctionKind("own", Nothing, ("job",), lambda request: made)
    function = Function("mine", kind, Nothing())

    unknown = steps_of(lambda pc: pc.step(name="a", function=function, parameters={"x": 1}) and None)
    missing = steps_of(lambda pc: pc.step(name="a", function=function) and None)

    assert refusal(unknown) == (
        "step 'a', parameters['x']: 'x' is not an input of the function. Allowed: needed"
    )
    assert refusal(missing) == "step 'a', inputs['needed']: the function needs this input"


def test_a_step_in_place_of_its_output_is_refused_with_its_outputs():
    def write(pc):
        first = pc.step(name="a", function="echo", values=["text"])
        pc.step(name="b", function="echo", inputs={"x": first})

    assert refusal(steps_of(write)) == (
        "step 'b', inputs['x']: is step 'a' itself: pass one of its outputs. Allowed: its outputs['text']"
    )


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            {"function": "tarin"},
            "step 'a', function: project 'parking' has no function 'tarin'. Allowed: download",
        ),
        (
            {"function": 5},
            "step 'a', function: 5 is not a function. Allowed: a function's name in the project",
        ),
        ({"function": None, "workflow": "w"}, "step 'a', workflow: project 'parking' has no workflow 'w'"),
        ({"action": "serve"}, "step 'a', action: 'serve' is not an action of kind 'container'. Allowed: job"),
        (
            {"inputs": {"x": date(2026, 1, 1)}},
            "step 'a', inputs['x']: datetime.date(2026, 1, 1) cannot be passed",
        ),
        (
            {"inputs": {"x": date(2026, 1, 1)}},
            "Allowed: an output of a step, an argument of the pipeline, a JSON",
        ),
        ({"inputs": {"x": float("nan")}}, "step 'a', inputs['x']: nan cannot be passed: it is nan"),
        (
            {"parameters": {"x": {"k": {1}}}},
            "step 'a', parameters['x']: {'k': {1}} cannot be passed: ['k'] is of",
        ),
        ({"inputs": {"x": 2**53 + 1}}, "which KFP would round: pass it as a text"),
        (
            {"inputs": {"x": "{{argument:gone}}"}},
            "step 'a', inputs['x']: {{argument:gone}} refers to another",
        ),
        (
            {"inputs": {"x": "{{output:gone:n}}"}},
            "step 'a', inputs['x']: {{output:gone:n}} refers to another",
        ),
    ],
)
def test_a_wrong_step_is_refused_with_its_place(step, expected):
    problem = refusal(steps_of(lambda pc: pc.step(**{"name": "a", "function": "echo", **step}) and None))

    assert expected in problem


def test_a_function_by_name_needs_a_project():
    problem = refusal(steps_of(lambda pc: pc.step(name="a", function="echo") and None), project=None)

    assert problem.startswith("step 'a', function: names function 'echo', and there is no project")


@pytest.mark.parametrize("wrap", [lambda it: [it], lambda it: {"a": {"b": it}}, lambda it: [f"n={it}"]])
def test_a_reference_inside_a_list_or_dict_is_refused(wrap):
    def with_argument(n):
        with pipeline_context() as pc:
            pc.step(name="a", function="echo", inputs={"x": wrap(n)})

    @steps_of
    def with_output(pc):
        first = pc.step(name="f", function="download", inputs={"url": "u"})
        pc.step(name="a", function="echo", parameters={"x": wrap(first.outputs["Output"])})

    expected = "holds an output or argument inside a list or dict, where KFP cannot put it"
    assert refusal(with_argument).startswith(f"step 'a', inputs['x']: {expected}")
    assert refusal(with_output).startswith(f"step 'a', parameters['x']: {expected}")


def test_an_output_that_the_function_does_not_have_is_refused():
    @steps_of
    def as_input(pc):
        first = pc.step(name="f", function="download", inputs={"url": "u"})
        pc.step(name="a", function="train", inputs={"di": first.outputs["datset"]})

    @steps_of
    def in_text(pc):
        first = pc.step(name="f", function="nothing")
        pc.step(name="a", function="echo", parameters={"x": f"n={first.outputs['n']}"})

    @steps_of
    def as_result(pc):
        return {"best": pc.step(name="f", function="nothing").outputs["best"]}

    assert refusal(as_input) == (
        "step 'a', inputs['di']: 'datset' is not an output of step 'f'. Allowed: Output, dataset"
    )
    assert refusal(in_text) == (
        "step 'a', parameters['x']: 'n' is not an output of step 'f'. Allowed: none: that step has no outputs"
    )
    assert refusal(as_result).startswith("pipeline output 'best': 'best' is not an output of step 'f'")


def test_an_artifact_in_a_text_is_refused():
    @steps_of
    def handler(pc):
        first = pc.step(name="f", function="download", inputs={"url": "u"})
        pc.step(name="a", function="echo", inputs={"x": f"at {first.outputs['dataset']}"})

    assert refusal(handler) == (
        "step 'a', inputs['x']: puts step 'f', output 'dataset', which is an artifact, into a text: "
        "connect it as an input of its own"
    )


def test_references_to_another_pipeline_are_refused():
    elsewhere = pipeline_context().step(name="far", function="download", outputs={"dataset": "d"})
    kept = []

    def other(n):
        kept.append(n)
        pipeline_context().step(name="b", function="nothing")

    trace(other)
    with_output = steps_of(
        lambda pc: pc.step(name="a", function="train", inputs={"di": elsewhere.outputs["d"]}) and None
    )
    with_argument = steps_of(lambda pc: pc.step(name="a", function="echo", inputs={"x": kept[0]}) and None)

    assert refusal(with_output) == (
        "step 'a', inputs['di']: refers to step 'far', output 'd', of another pipeline_context(). Allowed: a"
    )
    assert refusal(with_argument).startswith(
        "step 'a', inputs['x']: refers to argument 'n' of another pipeline"
    )


def test_a_cycle_is_refused_with_its_steps():
    @steps_of
    def handler(pc):
        first, second, third = (pc.step(name=name, function="nothing") for name in "abc")
        second.after(first)
        third.after(second)
        first.after(third)

    @steps_of
    def itself(pc):
        step = pc.step(name="a", function="nothing")
        step.after(step)

    assert refusal(handler) == (
        "step 'a', inputs or after: the steps wait for each other: 'a' -> 'c' -> 'b' -> 'a'"
    )
    assert "the steps wait for each other: 'a' -> 'a'" in refusal(itself)


def test_two_references_that_kfp_could_not_tell_apart_are_refused():
    @steps_of
    def handler(pc):
        first = pc.step(name="a-b", function="download", inputs={"url": "u"}, values=["c"])
        second = pc.step(name="a", function="download", inputs={"url": "u"}, values=["b-c"])
        pc.step(name="x", function="echo", inputs={"x": f"{first.outputs['c']}{second.outputs['b-c']}"})

    problem = refusal(handler)

    assert "are both 'pipelinechannel--a-b-c' to KFP: rename one" in problem


def test_the_collecting_tasks_name_may_be_taken():
    handler = steps_of(lambda pc: pc.step(name="collect outputs", function="nothing") and None)

    assert "is the name of the task that collect_outputs=True adds: rename the step" in refusal(
        handler, collect_outputs=True
    )
