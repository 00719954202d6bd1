"""The executor input is KFP's, and outputs are read back as KFP's launcher reads them."""

from __future__ import annotations

import json

import pytest

from airflow_kfp_runtime.embedded.engine.artifacts import Places
from airflow_kfp_runtime.embedded.engine.executor_input import OutputError, executor_input, read_outputs
from airflow_kfp_runtime.embedded.engine.values import Values

DEFINITIONS = {
    "parameters": {"n": {"parameterType": "NUMBER_INTEGER"}},
    "artifacts": {
        "model": {
            "artifactType": {"schemaTitle": "system.Model", "schemaVersion": "0.0.1"},
            "metadata": {"framework": "x"},
        }
    },
}


@pytest.fixture
def place(tmp_path):
    places = Places(tmp_path)
    place = places.output("pipe", "run", "task", places.working("run", "pod"))
    place.prepare()
    return place


@pytest.fixture
def told(place):
    return executor_input(Values(), DEFINITIONS, place)


def report(place, **members):
    place.executor_output.write_text(json.dumps(members))


def test_the_executor_input_has_values_plain_paths_and_output_files(place):
    data = {
        "id": "1",
        "name": "data",
        "type": "system.Dataset",
        "uri": "file:///a%20b",
        "metadata": {"r": 2.0},
    }

    told = executor_input(Values({"x": 1.0, "l": [2.0]}, {"data": [data]}), DEFINITIONS, place)

    assert told == {
        "inputs": {
            "parameterValues": {"x": 1, "l": [2]},
            "artifacts": {
                "data": {
                    "artifacts": [
                        {
                            "name": "data",
                            "uri": "/a b",
                            "type": {"schemaTitle": "system.Dataset"},
                            "metadata": {"r": 2},
                        }
                    ]
                }
            },
        },
        "outputs": {
            "parameters": {"n": {"outputFile": str(place.parameter("n"))}},
            "artifacts": {
                "model": {
                    "artifacts": [
                        {
                            "name": "model",
                            "uri": str(place.artifact("model")),
                            "type": {"schemaTitle": "system.Model", "schemaVersion": "0.0.1"},
                            "metadata": {"framework": "x"},
                        }
                    ]
                }
            },
            "outputFile": str(place.executor_output),
        },
    }
    assert "1.0" not in json.dumps(told["inputs"])


def test_what_is_empty_is_left_out(place):
    told = executor_input(Values(), {}, place)

    assert told == {"inputs": {}, "outputs": {"outputFile": str(place.executor_output)}}


def test_a_reported_value_wins_over_the_file(place, told):
    place.parameter("n").write_text("1")
    report(place, parameterValues={"n": 2.0})

    assert read_outputs(told, DEFINITIONS, place).parameters == {"n": 2}


def test_an_artifact_that_nothing_was_reported_of_is_where_it_was_planned(place, told):
    place.parameter("n").write_text("1")

    (artifact,) = read_outputs(told, DEFINITIONS, place).artifacts["model"]

    assert artifact.pop("id")
    assert artifact == {
        "name": "model",
        "type": "system.Model",
        "uri": place.artifact("model").as_uri(),
        "metadata": {"framework": "x"},
    }


def test_a_report_changes_uri_name_and_metadata(place, told):
    place.parameter("n").write_text("1")
    changed = {"name": "mine", "uri": "s3://bucket/model", "metadata": {"accuracy": 0.5}}
    report(place, artifacts={"model": {"artifacts": [changed]}})

    (artifact,) = read_outputs(told, DEFINITIONS, place).artifacts["model"]

    assert (artifact["name"], artifact["uri"]) == ("mine", "s3://bucket/model")
    assert artifact["metadata"] == {"framework": "x", "accuracy": 0.5}


def test_what_was_written_to_a_custom_path_is_brought_to_the_artifact(place, told, tmp_path):
    place.parameter("n").write_text("1")
    own = tmp_path / "own"
    own.mkdir()
    (own / "weights").write_text("w")
    planned = told["outputs"]["artifacts"]["model"]["artifacts"][0]
    report(place, artifacts={"model": {"artifacts": [planned | {"custom_path": str(own)}]}})

    read_outputs(told, DEFINITIONS, place)

    assert (place.artifact("model") / "weights").read_text() == "w"


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not JSON"), ("[]", "JSON object"), ("{}", "'n' .NUMBER_INTEGER. was not written")],
)
def test_a_report_that_is_wrong_or_lacks_a_value_is_an_error(place, told, text, message):
    place.executor_output.write_text(text)

    with pytest.raises(OutputError, match=message):
        read_outputs(told, DEFINITIONS, place)


def test_a_file_that_is_no_text_is_an_error(place, told):
    place.parameter("n").write_bytes(b"\xff\xfe")

    with pytest.raises(OutputError, match="'n'"):
        read_outputs(told, DEFINITIONS, place)
