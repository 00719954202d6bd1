"""A package as a file and back: nothing is lost, for any text, and only KFP v2's IR is read."""

import dataclasses
import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_kfp_runtime.compiler import PipelinePackage, compile_steps
from airflow_kfp_runtime.errors import SourceError
from tests.strategies import FLOATS, TEXTS, json_values, pipelines, project

PROJECT = project()
IR = {
    "pipelineInfo": {"name": "p"},
    "root": {"dag": {"tasks": {}}},
    "sdkVersion": "airflow-kfp-runtime-0.1.0",
    "schemaVersion": "2.1.0",
}
PLATFORM = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {}}}}}


def holding(value, platform=None):
    return PipelinePackage("p", {**IR, "components": {"held": value}}, platform)


@pytest.mark.parametrize("form", [PipelinePackage.to_yaml, PipelinePackage.to_json])
@given(json_values() | st.lists(FLOATS), st.sampled_from([None, PLATFORM]))
def test_what_is_written_is_read_as_the_same(form, value, platform):
    package = holding(value, platform)

    read = PipelinePackage.load(form(package))

    assert read.pipeline_spec == package.pipeline_spec
    assert read.platform_spec == package.platform_spec
    assert read.content_hash == package.content_hash
    assert form(read) == form(package)


@given(st.text(st.sampled_from("\n\t\r a:#-|>'\"\\{}[]&*!%@`é\x85\u2028\u2029\ufeff\x7f\x00😀"), max_size=12))
def test_texts_that_are_hard_for_yaml_survive_in_both_forms(text):
    package = holding([text, {text: text}])

    assert PipelinePackage.load(package.to_yaml()).pipeline_spec == package.pipeline_spec
    assert yaml.safe_load(package.to_yaml()) == package.pipeline_spec
    assert PipelinePackage.load(package.to_json()).pipeline_spec == package.pipeline_spec
    assert json.loads(package.to_json()) == package.pipeline_spec


@pytest.mark.parametrize(
    "text",
    ["1e3", "12345e67", "0o17", "+1.", ".5e1", "-.5", "1_000", "y", "N", "yes", "on", "null", "~", "1:30"],
)
def test_a_text_that_another_parser_takes_for_something_else_is_quoted(text):
    assert f"- '{text}'\n" in holding([text]).to_yaml()


@settings(max_examples=40)
@given(pipelines())
def test_a_compiled_pipeline_survives_with_its_hash(written):
    package = compile_steps(written.steps, name="p", project=PROJECT, outputs=written.outputs)

    for text in (package.to_yaml(), package.to_json()):
        read = PipelinePackage.load(text)
        assert read.content_hash == package.content_hash
        assert read.to_yaml() == package.to_yaml()


def test_programs_stay_readable():
    assert "held: |-\n    first line\n    second line\n" in holding("first line\nsecond line").to_yaml()


def test_the_hash_is_that_of_what_runs():
    package = holding("a")
    newer = dataclasses.replace(package, pipeline_spec={**package.pipeline_spec, "sdkVersion": "later"})
    other = holding("b")

    assert package.content_hash == newer.content_hash
    assert len(package.content_hash) == 64
    assert len({package.content_hash, other.content_hash, holding("a", PLATFORM).content_hash}) == 3


def test_packages_are_read_from_paths_texts_and_mappings(tmp_path):
    package = holding("ä", PLATFORM)
    path = tmp_path / "pipeline.yaml"
    path.write_text(package.to_yaml(), encoding="utf-8")

    for source in (
        path,
        str(path),
        package.to_yaml(),
        package.to_json(),
        {"pipeline_spec": package.pipeline_spec, "platform_spec": PLATFORM},
    ):
        assert PipelinePackage.load(source) == package
    assert PipelinePackage.load(IR) == PipelinePackage("p", IR)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("missing.yaml", "missing.yaml: cannot be read: "),
        ("{\n", "pipeline: is not YAML: "),
        ("a: 1\n", "pipeline: is not a compiled KFP v2 pipeline: it has no 'pipelineInfo' and 'root'"),
        ("- 1\n", "pipeline: is not a compiled KFP v2 pipeline"),
        ("\n", "pipeline: is not a compiled KFP v2 pipeline"),
        ({"kind": "Workflow", "apiVersion": "argoproj.io/v1alpha1"}, "is a pipeline of KFP v1: compile it"),
        ({"pipelineInfo": {}, "root": {}}, "pipeline: has no 'pipelineInfo.name'"),
        ({"pipelineInfo": "p", "root": {}}, "pipeline: has no 'pipelineInfo.name'"),
        ({"pipelineInfo": {"name": 5}, "root": {}}, "pipeline: has no 'pipelineInfo.name'"),
        ({**IR, "root": {"when": {1, 2}}}, "pipeline: is not JSON: ['root']['when'] is of type set"),
        (json.dumps(IR) + "\n---\n{}\n", "pipeline: has a second document that is not a platform spec"),
        (
            "a: 1\n---\nb: 2\n---\nc: 3\n",
            "pipeline: holds 3 YAML documents. Allowed: the IR, a platform spec",
        ),
        ("a: 2026-01-01\nb: 1\n", "pipeline: is not JSON: ['a'] is of type date"),
    ],
)
def test_anything_else_is_refused_with_its_place(source, expected):
    with pytest.raises(SourceError) as caught:
        PipelinePackage.load(source)

    assert expected in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "pipeline.yaml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(SourceError, match="cannot be read"):
        PipelinePackage.load(path)


@given(TEXTS)
def test_loading_a_text_never_fails_in_another_way(text):
    try:
        PipelinePackage.load(f"{text}\n")
    except SourceError:
        return
    raise AssertionError("no random text is a pipeline")
