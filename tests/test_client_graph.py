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
