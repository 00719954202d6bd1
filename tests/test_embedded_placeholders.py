"""Placeholders stand for what KFP has them stand for; everything else stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.embedded.engine.placeholders import PlaceholderError, Scope, expand

INPUT = {
    "inputs": {
        "parameterValues": {"s": 'a "b"\n', "n": 5, "d": {"k": [1]}, "empty": "", "f": False},
        "artifacts": {
            "data": {
                "artifacts": [{"name": "data", "uri": "/files/data", "metadata": {"rows": 2, "who": "me"}}]
            }
        },
    },
    "outputs": {
        "parameters": {"out": {"outputFile": "/out/file"}},
        "artifacts": {"model": {"artifacts": [{"name": "model", "uri": "/files/model"}]}},
        "outputFile": "/out/metadata.json",
    },
}
SCOPE = Scope({"pipeline_job_uuid": "run-1"}, INPUT, optional={"absent"})


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{$.inputs.parameters['s']}}", 'a "b"\n'),
        ("<{{$.inputs.parameters['n']}}|{{$.inputs.parameters['f']}}>", "<5|false>"),
        ("{{$.inputs.parameters['d']}}", '{"k":[1]}'),
        ("[{{$.inputs.parameters['empty']}}]", "[]"),
        ("{{$.inputs.artifacts['data'].uri}} {{$.inputs.artifacts['data'].path}}", "/files/data /files/data"),
        ("{{$.inputs.artifacts['data'].name}}", "data"),
        ("{{$.inputs.artifacts['data'].metadata}}", '{"rows":2,"who":"me"}'),
        ("{{$.inputs.artifacts['data'].metadata['who']}}", "me"),
        ("{{$.inputs.artifacts['data'].metadata['none']}}", ""),
        ("{{$.outputs.parameters['out'].output_file}}", "/out/file"),
        ("{{$.outputs.artifacts['model'].path}}", "/files/model"),
        ("{{$.outputs.output_file}}", "/out/metadata.json"),
        ("{{$.outputMetadataUri}}", "/out/metadata.json"),
        ("{{$.pipeline_job_uuid}}", "run-1"),
        ("{{$.inputs.parameters['s'].json_escape[1]}}", 'a \\"b\\"\\n'),
    ],
)
def test_a_placeholder_is_replaced_by_what_it_stands_for(text, filled):
    assert SCOPE.fill(text) == filled


def test_the_executor_input_is_json_and_can_be_escaped():
    assert json.loads(SCOPE.fill("{{$}}")) == INPUT
    assert json.loads(json.loads(f'"{SCOPE.fill("{{$.json_escape[1]}}")}"')) == INPUT


@pytest.mark.parametrize(
    "text", ["{{$.inputs.parameters['unknown']}}", "{{$.nothing}}", "{{ x }}", "{{$x}}", "{$}", "{{item}}"]
)
def test_what_is_no_placeholder_stays(text):
    assert SCOPE.fill(text) == text


@given(st.text())
def test_a_value_that_looks_like_a_placeholder_is_not_filled_again(text):
    value = f"{{{{$.inputs.parameters['other']}}}}{text}"
    scope = Scope({}, {"inputs": {"parameterValues": {"a": value, "other": "leak"}}})

    assert scope.fill("{{$.inputs.parameters['a']}}") == value


def test_an_optional_input_without_a_value_is_an_error_that_names_it():
    with pytest.raises(PlaceholderError, match="'absent'"):
        SCOPE.fill("x {{$.inputs.parameters['absent']}}")


def test_the_file_of_an_artifact_that_is_elsewhere_is_an_error_that_names_its_uri():
    elsewhere = {
        "data": {"artifacts": [{"name": "data", "uri": "s3://bucket/key"}]},
        "none": {"artifacts": []},
    }
    scope = Scope({}, {"inputs": {"artifacts": elsewhere}})

    assert scope.fill("{{$.inputs.artifacts['data'].uri}}") == "s3://bucket/key"
    with pytest.raises(
        PlaceholderError, match="wants a file of the artifact 'data', which is at s3://bucket/key"
    ):
        scope.fill("{{$.inputs.artifacts['data'].path}}")
    with pytest.raises(PlaceholderError, match="the list of artifacts 'none' is empty"):
        scope.fill("{{$.inputs.artifacts['none'].path}}")


def test_structures_become_the_elements_that_apply():
    given_x = '{"IfPresent": {"InputName": "x", "Then": ["--x", "{{$.y}}"], "Else": ["--no"]}}'
    one = '{"IfPresent": {"InputName": "x", "Then": {"Concat": ["x=", "{{$.x}}"]}}}'
    line = ["program", given_x, one, '{"Concat": ["a", "b", {"IfPresent": {"InputName": "y", "Then": "c"}}]}']

    assert expand(line, {"x", "y"}) == ["program", "--x", "{{$.y}}", "x={{$.x}}", "abc"]
    assert expand(line, set()) == ["program", "--no", "ab"]


@pytest.mark.parametrize("element", ['{"Concat": ', '{"a": 1}', "print({'Concat': 1})", ""])
def test_other_elements_are_taken_as_they_are(element):
    assert expand([element], set()) == [element]
