"""Blocks of steps in Python and as data: what they mean, and what every mistake is answered with."""

import pytest

from airflow_kfp_runtime.compiler import compile_pipeline
from airflow_kfp_runtime.dsl import pipeline_context, pipeline_from_steps, trace
from airflow_kfp_runtime.dsl.blocks import Branch, ForEach, OnExit, path_of
from airflow_kfp_runtime.errors import DefinitionError, StepError
from tests.block_strategies import project

PROJECT = project()


def refusal(write, **arguments):
    """Return what a handler's blocks are refused with, when they are written or compiled.

    :param write: writes steps; is given the context, a function that adds a step, and an argument.
    """

    def handler(url, all: list):
        with pipeline_context() as pc:

            def step(name, function="number", **inputs):
                return pc.step(name, function=function, inputs=inputs)

            return write(pc, step, {"url": url, "all": all}, **arguments)

    with pytest.raises(DefinitionError) as caught:
        compile_pipeline(trace(handler, name="p"), project=PROJECT)
    return str(caught.value)


def test_a_step_knows_its_blocks():
    with pipeline_context() as pc:
        last = pc.step("last", function="f")
        with pc.on_exit(last):
            first = pc.step("first", function="f", values=["x"])
            with pc.when(first.outputs["x"] > 1), pc.for_each([1, 2], parallelism=3) as item:
                inner = pc.step("inner", function="f", inputs={"i": item})
            with pc.otherwise(first.outputs["x"] == 0):
                other = pc.step("other", function="f")

    assert last.block is None
    assert [type(block) for block in path_of(inner.block)] == [OnExit, Branch, ForEach]
    assert [repr(block) for block in path_of(inner.block)] == [
        "on_exit(step 'last')",
        "when(step 'first', output 'x' > 1)",
        "for_each([1, 2])",
    ]
    assert repr(other.block) == "otherwise(step 'first', output 'x' == 0)"
    assert other.block.choice is inner.block.around.choice
    assert last.ends is first.block
    assert inner.block.parallelism == 3


def test_conditions_say_what_was_written():
    with pipeline_context() as pc:
        first = pc.step("first", function="f", values=["x"]).outputs["x"]

    assert repr(~((first >= 1) & (first != "a") | (first > 2))) == (
        "~(((step 'first', output 'x' >= 1) & (step 'first', output 'x' != 'a')) | "
        "(step 'first', output 'x' > 2))"
    )


def nothing(pc, step, given):
    with pc.when(given["url"] == "x"):
        pass


def two_ends(pc, step, given):
    last = step("last")
    with pc.on_exit(last):
        step("a")
    with pc.on_exit(last):
        step("b")


def end_elsewhere(pc, step, given):
    last = step("last")
    with pc.for_each([1]), pc.on_exit(last):
        step("a")


def other_context(pc, step, given):
    with pc.on_exit(pipeline_context().step("last", function="f")):
        step("a")


def lonely_otherwise(pc, step, given):
    with pc.when(given["url"] == "x"):
        step("a")
    step("between")
    with pc.otherwise():
        step("b")


def after_the_last(pc, step, given):
    with pc.when(given["url"] == "x"):
        step("a")
    with pc.otherwise():
        step("b")
    with pc.otherwise(given["url"] == "y"):
        step("c")


def of_another_level(pc, step, given):
    with pc.when(given["url"] == "x"):
        step("a")
    with pc.for_each([1]):
        step("b")
        with pc.otherwise():
            step("c")


def over_items(pc, step, given):
    with pc.for_each([{"parts": [1]}]) as item, pc.for_each(item["parts"]):
        step("a")


def key_of_key(pc, step, given):
    with pc.for_each(given["all"]) as item:
        step("a", x=item["a"]["b"])


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (nothing, "when(argument 'url' == 'x'): has no step in it"),
        (two_ends, "step 'last', on_exit: runs at the end of on_exit(step 'last') already"),
        (end_elsewhere, "step 'last', on_exit: has to be beside the block that it ends"),
        (other_context, "step 'last', on_exit: belongs to another pipeline_context()"),
        (lambda pc, step, given: pc.on_exit("last"), "on_exit: 'last' is not a step"),
        (lonely_otherwise, "otherwise: follows no when(): it belongs directly after one"),
        (of_another_level, "otherwise: follows no when(): it belongs directly after one"),
        (
            after_the_last,
            "follows otherwise() without a condition, which is the last branch of when(argument",
        ),
        (
            lambda pc, step, given: pc.when(True).__enter__(),
            "condition: True is not a condition. Allowed: step",
        ),
        (lambda pc, step, given: pc.when(given["url"]).__enter__(), "argument 'url' is not a condition"),
        (
            lambda pc, step, given: given["url"] == None,  # noqa: E711
            "argument 'url' cannot be compared with None: KFP comp",
        ),
        (lambda pc, step, given: given["url"] > [1], "cannot be compared with [1]: KFP compares texts"),
        (
            lambda pc, step, given: given["url"] > float("inf"),
            "cannot be compared with inf: it is inf, which",
        ),
        (lambda pc, step, given: (given["url"] == 1) & True, "condition: True is not a condition"),
        (
            lambda pc, step, given: pc.for_each([]).__enter__(),
            "for_each: [] is nothing to loop over. Allowed",
        ),
        (lambda pc, step, given: pc.for_each("abc").__enter__(), "for_each: 'abc' is nothing to loop over"),
        (
            lambda pc, step, given: pc.for_each([1, "a"]).__enter__(),
            "for_each([1, 'a']): are int, str: all have",
        ),
        (lambda pc, step, given: pc.for_each([None]).__enter__(), "are NoneType: all have to be of one type"),
        (
            lambda pc, step, given: pc.for_each([{1}]).__enter__(),
            "for_each([{1}]): [{1}] cannot be passed: [0]",
        ),
        (
            lambda pc, step, given: pc.for_each([given["url"]]).__enter__(),
            "holds an output or argument inside",
        ),
        (
            lambda pc, step, given: pc.for_each([1], parallelism=0).__enter__(),
            "parallelism: 0 is not a number",
        ),
        (
            lambda pc, step, given: pc.for_each([1], parallelism=True).__enter__(),
            "True is not a number of iter",
        ),
        (over_items, "item['parts'] of for_each([{'parts': [1]}]) cannot be looped over: KFP's server gives"),
        (key_of_key, "item['a'] of for_each(argument 'all') cannot be looked into: KFP takes one key"),
        (
            lambda pc, step, given: pc.collected(step("a").outputs["n"]),
            "step 'a', collected: is in no for_each",
        ),
        (
            lambda pc, step, given: pc.collected(given["url"]),
            "collected: argument 'url' is not an output of a",
        ),
        (
            lambda pc, step, given: pc.one_of(step("a").outputs["n"]),
            "step 'a', one_of: is in no when() or oth",
        ),
        (
            lambda pc, step, given: pc.one_of(given["url"]),
            "one_of: argument 'url' is not an output of a step",
        ),
        (lambda pc, step, given: pc.one_of(), "one_of: has no outputs. Allowed: one output of each branch"),
    ],
)
def test_what_makes_no_block_is_refused(write, expected):
    assert expected in refusal(write)


@pytest.mark.parametrize(
    ("items", "key", "expected"),
    [
        ([1], "a", "item of for_each([1]): has no 'a': the items are not mappings"),
        ([{"a": 1}, {"b": 1}], "a", "'a' is not in every item"),
        ([{"a": 1, "c": 1}, {"c": 1}], "a", "'a' is not in every item. Allowed: c"),
        ([{"a": 1}, {"a": "x"}], "a", "items['a'] of for_each([{'a': 1}, {'a': 'x'}]): are int, str"),
        ([{"a b": 1}], "a b", "'a b' is not a key that KFP can look up"),
        ([{"a": 1}], 0, "0 is not a key that KFP can look up"),
    ],
)
def test_an_item_has_the_keys_of_all_items(items, key, expected):
    def write(pc, step, given):
        with pc.for_each(items) as item:
            step("a", x=item[key])

    assert expected in refusal(write)


def blocks(pc, step, given):
    """Write a step in each kind of block, and return them by the kind."""
    made = {"last": step("last")}
    with pc.when(given["url"] == "x"):
        made["when"] = step("in when")
    with pc.otherwise():
        made["otherwise"] = step("in otherwise")
    with pc.when(given["url"] == "y"):
        made["alone"] = step("alone", function="text")
        with pc.for_each(["a"]) as item:
            made["both"] = step("in both", x=item)
    with pc.for_each([1, 2]) as item:
        made["loop"] = step("in loop", x=item)
        with pc.when(item == 1):
            made["sometimes"] = step("sometimes")
    with pc.on_exit(made["last"]):
        made["guarded"] = step("guarded")
    made["item"] = item
    return made


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (
            lambda pc, made: made["when"].outputs["n"],
            "output 'n' is in when(argument 'url' == 'x'), which may not run: use it inside that block, or",
        ),
        (
            lambda pc, made: f"{made['loop'].outputs['n']}",
            "step 'in loop', output 'n' is in for_each([1, 2]), and so there is one for each item",
        ),
        (lambda pc, made: made["both"].outputs["n"], "is in when(argument 'url' == 'y'), which may not run"),
        (lambda pc, made: made["item"], "item of for_each([1, 2]) is there only inside that block"),
        (
            lambda pc, made: made["last"].outputs["n"],
            "of the step that runs at the end of on_exit(step 'last')",
        ),
        (
            lambda pc, made: pc.collected(made["both"].outputs["n"]),
            "is in when(argument 'url' == 'y'), which may not run, and so it cannot be collected outside",
        ),
        (
            lambda pc, made: pc.collected(made["sometimes"].outputs["n"]),
            "is in when(item of for_each([1, 2]) == 1), which may not run, and so it cannot be collected",
        ),
        (
            lambda pc, made: pc.one_of(made["when"].outputs["n"]),
            "one_of: has no output of otherwise()",
        ),
        (
            lambda pc, made: pc.one_of(made["alone"].outputs["t"]),
            "one_of: when(argument 'url' == 'y') has no otherwise() without a condition",
        ),
        (
            lambda pc, made: pc.one_of(made["when"].outputs["n"], made["when"].outputs["f"]),
            "output 'f' and step 'in when', output 'n' are of one branch",
        ),
        (
            lambda pc, made: pc.one_of(made["when"].outputs["n"], made["alone"].outputs["t"]),
            "is in when(argument 'url' == 'y'), which does not belong to when(argument 'url' == 'x')",
        ),
        (
            lambda pc, made: pc.one_of(made["both"].outputs["n"]),
            "step 'in both', one_of: is in for_each(['a']), and so has an output for each item",
        ),
        (
            lambda pc, made: pc.one_of(made["when"].outputs["n"], made["otherwise"].outputs["f"]),
            "one_of: step 'in otherwise', output 'f' is a Model, and step 'in when', output 'n' a float",
        ),
        (
            lambda pc, made: pc.collected(
                pc.one_of(made["when"].outputs["n"], made["otherwise"].outputs["n"])
            ),
            "cannot be collected: KFP collects the outputs of steps that run in every iteration",
        ),
        (
            lambda pc, made: pc.one_of(made["when"].outputs["q"], made["otherwise"].outputs["n"]),
            "'q' is not an",
        ),
    ],
)
def test_a_value_crosses_the_border_of_a_block_in_the_right_form(use, expected):
    def write(pc, step, given):
        made = blocks(pc, step, given)
        step("use", x=use(pc, made))

    assert expected in refusal(write)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (
            "alone",
            "step 'use', after: step 'alone' is in when(argument 'url' == 'y'), which may not run, and KFP",
        ),
        (
            "last",
            "step 'use', after: step 'last' runs at the end of on_exit(step 'last'), and nothing can wait",
        ),
    ],
)
def test_a_step_does_not_wait_for_what_may_not_run(of, expected):
    assert expected in refusal(
        lambda pc, step, given: step("use").after(blocks(pc, step, given)[of]) and None
    )


def test_a_step_waits_for_whole_loops_and_choices():
    def handler(url):
        with pipeline_context() as pc:
            made = blocks(
                pc,
                lambda name, function="number", **x: pc.step(name, function=function, inputs=x),
                {"url": url},
            )
            pc.step("use", function="number").after(made["loop"], made["when"], made["guarded"])

    tasks = compile_pipeline(trace(handler), project=PROJECT).pipeline_spec["root"]["dag"]["tasks"]

    assert tasks["use"]["dependentTasks"] == ["condition-branches-1", "exit-handler-8", "for-loop-6"]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (
            lambda pc, step, made: step("end", x=made["loop"].outputs["n"]),
            "step 'end', inputs['x']: step 'in loop'",
        ),
        (
            lambda pc, step, made: step("end", x=f"{made['guarded'].outputs['n']}"),
            "inputs['x']: step 'guarded', output 'n' may not be there: the step runs at the end of on_exit(",
        ),
        (
            lambda pc, step, made: step("end").after(made["guarded"]),
            "step 'end', after: cannot wait for step 'guarded': it runs at the end of on_exit(step 'end')",
        ),
    ],
)
def test_the_step_at_the_end_needs_no_other(write, expected):
    def whole(pc, step, given):
        made = blocks(pc, step, given)
        with pc.on_exit(write(pc, step, made)):
            step("more")

    assert expected in refusal(whole)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (
            lambda made: made["last"].outputs["f"] == "x",
            "'f' is a Model, and KFP compares texts, numbers and tru",
        ),
        (
            lambda made: made["last"].outputs["n"] == "x",
            "'n' == 'x' compares float with str: both have to be",
        ),
        (lambda made: made["last"].outputs["n"] == True, "compares float with bool: both have to be texts"),  # noqa: E712
        (lambda made: made["all"] == "x", "argument 'all' is a list, and KFP compares texts"),
        (lambda made: made["last"].outputs["q"] == "x", "'q' is not an output of step 'last'. Allowed: f, n"),
        (lambda made: made["in loop"].outputs["n"] == 1, "is in for_each([1]), and so there is one for each"),
    ],
)
def test_a_condition_compares_what_kfp_can(condition, expected):
    def write(pc, step, given):
        made = {"last": step("last"), "all": given["all"]}
        with pc.for_each([1]):
            made["in loop"] = step("in loop")
        with pc.when(condition(made)):
            step("a")

    message = refusal(write)

    assert message.startswith("when(")
    assert expected in message


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (
            lambda pc, made, url: made.outputs["n"],
            "for_each(step 'first', output 'n'): goes through step 'first', o",
        ),
        (lambda pc, made, url: made.outputs["n"], "which is of type float and not a list"),
        (lambda pc, made, url: made.outputs["f"], "which is of type Model and not a list"),
        (
            lambda pc, made, url: pc.collected(made.outputs["f"]),
            "a list of artifacts, which KFP's server cannot",
        ),
    ],
)
def test_a_loop_goes_through_lists_of_plain_values(items, expected):
    def write(pc, step, given):
        with pc.for_each([1]):
            made = step("inner")
        first = step("first")
        with pc.for_each(items(pc, made if "artifacts" in expected else first, given["url"])):
            step("a")

    assert expected in refusal(write)


def test_a_typed_argument_that_is_no_list_is_not_looped_over():
    def handler(text: str):
        with pipeline_context() as pc, pc.for_each(text):
            pc.step("a", function="number")

    with pytest.raises(StepError, match="goes through argument 'text', which is of type str and not a list"):
        compile_pipeline(trace(handler), project=PROJECT)


def test_steps_in_blocks_that_wait_for_each_other_are_named_with_their_blocks():
    def write(pc, step, given):
        with pc.for_each([1, 2]):
            first = step("first")
            second = step("second")
        between = step("between", x=pc.collected(first.outputs["n"]))
        second.inputs = {"x": between.outputs["n"]}

    message = refusal(write)

    assert "the steps wait for each other: " in message
    assert "'between'" in message
    assert "for_each([1, 2])" in message


def test_a_step_may_have_the_name_of_a_block():
    def handler(url):
        with pipeline_context() as pc:
            pc.step("condition-1", function="number")
            pc.step("For Loop 3", function="number")
            with pc.when(url == "x"), pc.for_each([1]):
                pc.step("inner", function="number")

    package = compile_pipeline(trace(handler), project=PROJECT)

    assert package.step_names == {
        "condition-1": "condition-1",
        "for-loop-3": "For Loop 3",
        "condition-2/for-loop-4/inner": "inner",
    }


def test_the_outputs_of_a_pipeline_come_from_blocks_in_the_right_form():
    def write(pc, step, given):
        return {"n": blocks(pc, step, given)["loop"].outputs["n"]}

    assert refusal(write).startswith("pipeline output 'n': step 'in loop', output 'n' is in for_each([1, 2])")


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"when": {"left": 1, "is": ">", "right": 2}}, "steps[0], when: compares two constants. Allowed: {"),
        (
            {"when": {"left": {"argument": "a"}, "is": "=", "right": 2}},
            "when, is: '=' compares nothing. Allowed",
        ),
        ({"when": "a > 2"}, "steps[0], when: 'a > 2' is not a condition. Allowed: {\"left\""),
        ({"when": {"all": []}}, "steps[0], when: {'all': []} is not a condition"),
        ({"when": {"left": {"from": "z.q"}, "is": ">", "right": 2}}, "when, left: there is no step 'z'"),
        ({"when": {"left": {"argument": "a"}, "is": ">", "right": None}}, "cannot be compared with None"),
        ({"otherwise": None}, "steps[0], otherwise: follows no when: it belongs directly after one"),
        ({"for_each": []}, "for_each: [] is nothing to loop over"),
        ({"for_each": [1], "parallelism": "2"}, "parallelism: '2' is not a number of iterations"),
        ({"for_each": [1], "as": "a b"}, "steps[0], as: 'a b' is not a name for the item"),
        (
            {"for_each": [1], "name": "x"},
            "steps[0], name: is unknown in a block. Allowed: for_each, as, para",
        ),
        ({"on_exit": "x"}, "steps[0], on_exit: there is no step 'x'"),
        (
            {"when": {"left": {"argument": "a"}, "is": ">", "right": 1}, "steps": []},
            "steps[0], steps: [] is not a",
        ),
    ],
)
def test_a_block_that_is_written_wrongly_as_data_is_refused_with_its_place(block, expected):
    written = [{"steps": [{"name": "a", "function": "number"}], **block}]

    with pytest.raises(StepError) as caught:
        compile_pipeline(pipeline_from_steps(written, name="p"), project=PROJECT)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"item": "other"},
            "step 'a', inputs['x']: there is no for_each around whose item is 'other'. Allowed: n",
        ),
        ({"item": "n.key"}, "step 'a', inputs['x']: has no 'key': the items are not mappings"),
        (
            {"collected": "b.n"},
            "step 'a', inputs['x']: step 'b' is in no for_each(): use its output as it is",
        ),
        ({"one_of": ["b.n"]}, "step 'a', inputs['x']: step 'b' is in no when() or otherwise()"),
        ({"one_of": []}, "step 'a', inputs['x']: {'one_of': []} is not a reference. Allowed: {\"from\""),
        ({"collected": 3}, "step 'a', inputs['x']: {'collected': 3} is not a reference"),
    ],
)
def test_a_reference_that_is_written_wrongly_as_data_is_refused_with_its_place(value, expected):
    step = {"name": "a", "function": "number", "inputs": {"x": value}}
    written = [{"name": "b", "function": "number"}, {"for_each": [1], "as": "n", "steps": [step]}]

    with pytest.raises(StepError) as caught:
        pipeline_from_steps(written, name="p")
    assert expected in str(caught.value)
