"""References such as store://parking/function/python/download:3f2a."""

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.errors import DefinitionError, FunctionError, SourceError
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.project.references import EntityReference, is_reference, read_reference

ID = "00000000-0000-4000-8000-000000000001"

parts = st.text(
    st.characters(codec="utf-8", exclude_characters="/:", exclude_categories=["Z", "C"]), min_size=1
)


@given(parts, parts, parts, parts, st.none() | parts)
def test_what_is_written_is_read_again(project, entity, kind, name, version):
    reference = EntityReference(project, entity, kind, name, version)

    assert is_reference(str(reference))
    assert read_reference(str(reference), field="function") == reference


@given(st.text(st.sampled_from(string.ascii_letters + "/: "), max_size=30))
def test_any_other_text_is_refused_or_reads_as_what_it_says(text):
    with contextlib.suppress(DefinitionError):
        assert str(read_reference(f"store://{text}", field="function")) == f"store://{text}"


@pytest.fixture
def project():
    project = Project("parking")
    project.new_function("download", handler="f", code="def f(): pass", uuid=ID)
    project.new_function("wordcount", kind="container", image="i", command=["wc"])
    project.new_function("report", kind="digitalhub", function_kind="dbt")
    project.new_workflow("etl", handler="f", code="def f(): pass", uuid=ID)
    return project


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("download", "download"),
        ("store://parking/function/python/download", "download"),
        (f"store://parking/function/python/download:{ID}", "download"),
        ("store://parking/function/container/wordcount", "wordcount"),
        ("store://parking/function/dbt/report", "report"),
        ("store://parking/function/digitalhub/report", "report"),
    ],
)
def test_a_reference_finds_the_function(project, written, name):
    assert project.function(written) is project.functions[name]


@pytest.mark.parametrize(
    "written", ["etl", "store://parking/workflow/kfp/etl", f"store://parking/workflow/kfp/etl:{ID}"]
)
def test_a_reference_finds_the_workflow(project, written):
    assert project.workflow(written) is project.workflows["etl"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            "store://other/function/python/download",
            "'store://other/function/python/download' is of project 'other', and this is project 'parking'",
        ),
        (
            "store://parking/workflow/kfp/etl",
            (
                "'store://parking/workflow/kfp/etl' names a workflow, not a function. "
                "Allowed: store://parking/function/<kind>/<name>"
            ),
        ),
        (
            "store://parking/function/container/download",
            (
                "function 'download' is of kind 'python', not 'container'. "
                f"Allowed: store://parking/function/python/download:{ID}"
            ),
        ),
        (
            "store://parking/function/python/download:other",
            (
                f"function 'download' has the id '{ID}', not 'other'. "
                f"Allowed: store://parking/function/python/download:{ID}"
            ),
        ),
        (
            "store://parking/function/container/wordcount:other",
            "function 'wordcount' has no id, not 'other'. Allowed: store://parking/function/container/wordcount",
        ),
        (
            "store://parking/function/python/downlod",
            "project 'parking' has no function 'downlod'. Allowed: download, report, wordcount",
        ),
        (
            "store://parking/download",
            (
                "'store://parking/download' is not a reference. "
                "Allowed: a plain name, store://project/entity/kind/name:id, store://project/entity/kind/name"
            ),
        ),
    ],
)
def test_a_reference_that_does_not_fit_is_refused_with_what_there_is(project, written, expected):
    with pytest.raises(FunctionError) as caught:
        project.function(written)

    assert str(caught.value) == f"function: {expected}"


def test_an_unknown_workflow_is_refused_with_those_there_are(project):
    with pytest.raises(
        SourceError, match=r"workflow: project 'parking' has no workflow 'elt'\. Allowed: etl"
    ):
        project.workflow("elt")
