"""The IR's graph as far as outputs need it."""

from airflow_kfp_runtime.client.graph import Graph, Source
from tests.client_pipelines import nested_pipeline

GRAPH = Graph.of(nested_pipeline("p"))


def test_tasks_are_found_by_their_paths():
    assert list(GRAPH.tasks) == ["", "prepare", "outer", "outer/train", "report"]
    assert Graph.of({"pipeline_spec": nested_pipeline("p"), "platform_spec": {}}) == GRAPH


def test_an_input_is_followed_to_the_task_that_made_it_also_out_of_a_nested_pipeline():
    assert GRAPH.source("outer/train", "rows") == Source("prepare", "rows")
    assert GRAPH.source("outer/train", "data") == Source("prepare", "data")
    assert GRAPH.source("report", "accuracy") == Source("outer", "accuracy")
    assert GRAPH.source("report", "unknown") is None
    assert GRAPH.source("unknown", "x") is None


def test_an_output_of_a_nested_pipeline_is_also_that_of_the_task_inside_and_the_other_way_round():
    downwards = {}
    GRAPH.put(downwards, Source("outer", "accuracy"), 1.0)
    assert downwards == {"outer": {"accuracy": 1.0}, "outer/train": {"accuracy": 1.0}}

    upwards = {"outer/train": {"accuracy": 1.0}}
    assert GRAPH.resolve(upwards) == {"score": 1.0}
    assert upwards["outer"] == {"accuracy": 1.0}


def test_an_output_of_either_branch_is_that_of_the_branch_that_ran():
    spec = nested_pipeline("p")
    selectors = [
        {"producerSubtask": "skipped", "outputParameterKey": "x"},
        {"producerSubtask": "report", "outputParameterKey": "text"},
    ]
    spec["root"]["dag"]["outputs"]["parameters"]["score"] = {
        "valueFromOneof": {"parameterSelectors": selectors}
    }

    assert Graph.of(spec).resolve({"report": {"text": "done"}})["score"] == "done"


def test_a_value_gets_the_type_that_json_and_protobuf_do_not_keep():
    assert repr(GRAPH.typed("prepare", "rows", 3.0)) == "3"
    assert repr(GRAPH.typed("outer/train", "accuracy", 1)) == "1.0"
    assert GRAPH.typed("prepare", "label", "3") == "3"
    assert GRAPH.typed("unknown", "x", "3") == "3"


def test_a_component_inside_itself_ends_instead_of_going_on_for_ever():
    task = {"componentRef": {"name": "again"}}
    spec = {"root": {"dag": {"tasks": {"a": task}}}, "components": {"again": {"dag": {"tasks": {"b": task}}}}}

    assert list(Graph.of(spec).tasks) == ["", "a"]


def test_an_ir_of_nothing_is_a_graph_of_nothing():
    assert Graph.of({}).resolve({"a": {"x": 1}}) == {}


def each(**inner):
    """A pipeline with a loop ``each`` over ``train``, and ``report``, which takes what it gathers."""
    train = {"outputDefinitions": {"parameters": {"x": {"parameterType": "NUMBER_DOUBLE"}}}}
    handed_on = {"valueFromParameter": {"producerSubtask": "train", "outputParameterKey": "x"}}
    body = {"tasks": {"train": task("comp-train"), **inner}, "outputs": {"parameters": {"xs": handed_on}}}
    loop = task(
        "comp-each", before={"componentInputParameter": "start"}, parameterIterator={"itemInput": "item"}
    )
    gathered = {"taskOutputParameter": {"producerTask": "each", "outputParameterKey": "xs"}}
    return {
        "root": {
            "dag": {
                "tasks": {"each": loop, "report": task("comp-report", xs=gathered)},
                "outputs": {
                    "parameters": {
                        "all": {"valueFromParameter": {"producerSubtask": "each", "outputParameterKey": "xs"}}
                    }
                },
            }
        },
        "components": {
            "comp-each": {
                "dag": body,
                "outputDefinitions": {"parameters": {"xs": {"parameterType": "LIST"}}},
            },
            "comp-train": train,
        },
    }


def task(component, **members):
    inputs = {name: members.pop(name) for name in list(members) if not name.endswith("Iterator")}
    return {"componentRef": {"name": component}, "inputs": {"parameters": inputs}, **members}


def test_an_iteration_is_the_task_of_its_loop_and_what_is_in_it_is_in_the_ir_once():
    graph = Graph.of(each())

    assert graph.task("each/2").path == "each"
    assert graph.task("each/2/train").path == "each/train"
    assert graph.task("train/2") is None
    assert repr(graph.typed("each/2/train", "x", 1)) == "1.0"
    # The declared type is that of the list, so that the iteration's own value keeps its type.
    assert repr(graph.typed("each/2", "xs", 1.0)) == "1.0"
    assert graph.declared == {"each": ("xs",), "each/train": ("x",), "report": ()}


def test_an_input_in_an_iteration_is_followed_inside_of_it_and_out_of_the_loop():
    inside = {"taskOutputParameter": {"producerTask": "train", "outputParameterKey": "x"}}
    outside = {"componentInputParameter": "before"}
    graph = Graph.of(each(show=task("comp-show", x=inside, y=outside)))
    spec = each(show=task("comp-show", y=outside))
    spec["root"]["dag"]["tasks"]["each"]["inputs"]["parameters"]["before"] = {
        "taskOutputParameter": {"producerTask": "report", "outputParameterKey": "text"}
    }

    assert graph.source("each/1/show", "x") == Source("each/1/train", "x")
    assert graph.source("each/1/show", "y") is None
    assert Graph.of(spec).source("each/1/show", "y") == Source("report", "text")
    assert graph.source("report", "xs") == Source("each", "xs")


def test_what_a_loop_gathers_is_that_of_its_iterations_and_the_other_way_round():
    graph = Graph.of(each())
    downwards = {}
    graph.put(downwards, Source("each", "xs"), [1.0, 2.0])
    assert downwards == {
        "each": {"xs": [1.0, 2.0]},
        "each/0": {"xs": 1.0},
        "each/0/train": {"x": 1.0},
        "each/1": {"xs": 2.0},
        "each/1/train": {"x": 2.0},
    }

    upwards = {"each/0/train": {"x": 1.0}, "each/1/train": {"x": 2.0}}
    assert graph.resolve(upwards, {"each": 2}) == {"all": [1.0, 2.0]}
    assert upwards == downwards

    assert graph.resolve({"each/0/train": {"x": 1.0}}, {"each": 2}) == {}
    assert graph.resolve({}, {"each": 0}) == {"all": []}
    assert graph.resolve({}, {}) == {}


def test_loops_in_loops_gather_one_flat_list_which_cannot_be_taken_apart_again():
    spec = each()
    spec["root"]["dag"] = {
        "tasks": {"outer": task("comp-outer", parameterIterator={"itemInput": "item"})},
        "outputs": {
            "parameters": {
                "all": {"valueFromParameter": {"producerSubtask": "outer", "outputParameterKey": "xs"}}
            }
        },
    }
    inner = {"valueFromParameter": {"producerSubtask": "each", "outputParameterKey": "xs"}}
    loop = task("comp-each", parameterIterator={"itemInput": "item"})
    spec["components"]["comp-outer"] = {
        "dag": {"tasks": {"each": loop}, "outputs": {"parameters": {"xs": inner}}}
    }
    graph = Graph.of(spec)

    outputs = {f"outer/{i}/each/{j}/train": {"x": 2 * i + j} for i in range(2) for j in range(2)}
    assert graph.resolve(outputs, {"outer": 2, "outer/0/each": 2, "outer/1/each": 2}) == {"all": [0, 1, 2, 3]}

    downwards = {}
    graph.put(downwards, Source("outer", "xs"), [0, 1, 2, 3])
    assert downwards == {"outer": {"xs": [0, 1, 2, 3]}}
