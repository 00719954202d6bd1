"""Pipeline documents and run arguments as the embedded server reads and checks them."""

from datetime import datetime, timezone

import pytest
import yaml

from airflow_kfp_runtime.embedded.api.arguments import ArgumentsError, check_arguments, expand_macros
from airflow_kfp_runtime.embedded.api.specs import SpecError, check_pipeline_name, read_document, read_struct
from tests.embedded_api import pipeline_spec

PLATFORM = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {}}}}}
MOMENT = datetime(2026, 8, 1, 14, 5, 9, tzinfo=timezone.utc)


def test_a_yaml_file_with_two_documents_is_a_pipeline_and_its_platform():
    text = "# PIPELINE DEFINITION\n" + yaml.safe_dump_all([pipeline_spec(), PLATFORM])

    document = read_document(text)

    assert document.pipeline_spec == pipeline_spec()
    assert document.platform_spec == PLATFORM
    assert document.as_struct() == {"pipeline_spec": pipeline_spec(), "platform_spec": PLATFORM}


def test_a_pipeline_is_sent_inline_alone_or_with_its_platform():
    assert read_struct(pipeline_spec()).as_struct() == pipeline_spec()
    both = {"pipeline_spec": pipeline_spec(), "platform_spec": PLATFORM}
    assert read_struct(both).as_struct() == both


def test_what_looks_like_a_date_stays_text():
    spec = pipeline_spec(day={"parameterType": "STRING"})
    text = yaml.safe_dump(spec).replace("parameterType: STRING", "defaultValue: 2026-08-01")

    assert read_document(text).pipeline_spec["root"]["inputDefinitions"]["parameters"]["day"] == {
        "defaultValue": "2026-08-01"
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no pipeline spec is provided"),
        ("just text", "no pipeline spec is provided"),
        ("a: [", "unable to decode yaml"),
        (b"\xff\xfe\xfa", "unable to decode yaml"),
        (yaml.safe_dump_all([pipeline_spec(), pipeline_spec("b")]), "multiple pipeline specs"),
        (yaml.safe_dump_all([pipeline_spec(), PLATFORM, PLATFORM | {}]), "multiple platform specs"),
        (yaml.safe_dump(pipeline_spec() | {"tasks": {}}), 'unknown field "tasks"'),
        (yaml.safe_dump(pipeline_spec() | {"schemaVersion": "2.0.0"}), "only supports schema version 2.1.0"),
        (yaml.safe_dump(pipeline_spec() | {"pipelineInfo": {}}), "name is empty"),
        (yaml.safe_dump(pipeline_spec() | {"pipelineInfo": {"name": "___"}}), "lower case alphanumeric"),
        (yaml.safe_dump(pipeline_spec("../../etc")), "lower case alphanumeric"),
        (yaml.safe_dump(pipeline_spec() | {"root": {}}), "root component is empty"),
        (yaml.safe_dump(pipeline_spec() | {"components": []}), "components is not an object"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {}", "Argo workflow"),
    ],
)
def test_a_document_that_is_no_pipeline_is_refused_with_the_reason(text, complaint):
    with pytest.raises(SpecError, match=complaint):
        read_document(text)


def test_an_upload_wants_a_stricter_name_than_a_run():
    check_pipeline_name("my-pipe-2")
    for name in ("My-pipe", "-pipe", "pipe.one", "a" * 129):
        with pytest.raises(SpecError, match="pipeline's name must contain"):
            check_pipeline_name(name)


ONE_OF_EACH = {
    "count": ("NUMBER_INTEGER", 3, True),
    "ratio": ("NUMBER_DOUBLE", 0.5, "0.5"),
    "text": ("STRING", "x", 1),
    "flag": ("BOOLEAN", False, 0),
    "items": ("LIST", [1], {"a": 1}),
    "config": ("STRUCT", {"a": 1}, [1]),
}


@pytest.mark.parametrize(("name", "case"), ONE_OF_EACH.items())
def test_an_argument_has_the_declared_type(name, case):
    kind, right, wrong = case
    spec = pipeline_spec(**{name: {"parameterType": kind}})

    check_arguments(spec, {name: right})
    for value in (wrong, None):
        with pytest.raises(ArgumentsError, match=f"input parameter {name} requires type"):
            check_arguments(spec, {name: value})


def test_a_missing_argument_needs_a_default_and_an_extra_one_is_refused():
    spec = pipeline_spec(
        a={"parameterType": "STRING"},
        b={"parameterType": "STRING", "defaultValue": "x"},
        c={"parameterType": "STRING", "isOptional": True},
    )

    check_arguments(spec, {"a": ""})
    with pytest.raises(ArgumentsError, match="parameter a is not optional"):
        check_arguments(spec, {"b": "y"})
    with pytest.raises(ArgumentsError, match="not required by pipeline: d, e"):
        check_arguments(spec, {"a": "", "d": 1, "e": 2})
    with pytest.raises(ArgumentsError, match="not required by pipeline: d"):
        check_arguments(pipeline_spec(), {"d": 1})


def test_an_argument_is_one_of_the_literals():
    spec = pipeline_spec(size={"parameterType": "STRING", "literals": ["s", "m"]})

    check_arguments(spec, {"size": "s"})
    with pytest.raises(ArgumentsError, match="not one of the literals"):
        check_arguments(spec, {"size": "xl"})


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("[[RunUUID]]", "the-run"),
        ("a-[[RunUUID]]-[[RunUUID]]", "a-the-run-the-run"),
        ("[[CurrentTime]]", "20260801140509"),
        ("[[CurrentTime.2006-01-02T15:04:05]]", "2026-08-01T14:05:09"),
        ("[[CurrentTime.Jan 02, 06]]", "Aug 01, 26"),
        ("{{$.currentTime.strftime('%d.%m.%Y')}}", "01.08.2026"),
        ("[[ScheduledTime]]", "[[ScheduledTime]]"),
        ("{{$.scheduledTime.strftime('%d')}}", "{{$.scheduledTime.strftime('%d')}}"),
        ("[[Index]] [[Unknown]] {{$.other}}", "[[Index]] [[Unknown]] {{$.other}}"),
        ("[RunUUID]", "[RunUUID]"),
    ],
)
def test_macros_in_string_arguments_are_expanded(text, expanded):
    arguments = {"a": text, "b": [text], "c": 1}

    found = expand_macros(arguments, run_id="the-run", created_at=MOMENT, scheduled_at=None)

    assert found == {"a": expanded, "b": [text], "c": 1}


def test_the_scheduled_time_is_known_where_the_run_has_one():
    found = expand_macros(
        {"a": "[[ScheduledTime]]"}, run_id="r", created_at=datetime.now(timezone.utc), scheduled_at=MOMENT
    )

    assert found == {"a": "20260801140509"}
