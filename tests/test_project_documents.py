"""YAML with places, within bounds."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.project import documents
from airflow_kfp_runtime.project.documents import read_documents

scalars = st.none() | st.booleans() | st.integers() | st.text()
#: A key of YAML has at most 1024 characters, escapes among them.
keys = st.text(max_size=80)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(keys, values), st.sampled_from([None, 2, "\t"]))
def test_json_reads_as_json(data, indent):
    # YAML, and so this reader, has no control characters and no lone surrogates but as escapes.
    written = json.dumps(data, ensure_ascii=True, indent=indent)

    (document,), problems = read_documents(written.encode(), "project.json")

    assert problems == []
    assert document.plain == data


@given(st.dictionaries(keys, values))
def test_what_pyyaml_writes_is_read_as_it_was(data):
    (document,), problems = read_documents(yaml.safe_dump(data).encode(), "p.yaml")

    assert problems == []
    assert document.plain == data


def test_each_value_knows_its_place():
    (document,), _ = read_documents(b"a: 1\nb:\n  - x\n  - {c: 2}\n", "p.yaml")

    marks = {location: str(mark) for location, mark in document.marks().items()}

    assert marks == {
        (): "p.yaml:1:1",
        ("a",): "p.yaml:1:1",
        ("b",): "p.yaml:2:1",
        ("b", 0): "p.yaml:3:5",
        ("b", 1): "p.yaml:4:5",
        ("b", 1, "c"): "p.yaml:4:6",
    }


def test_anchors_aliases_and_merge_keys_are_understood():
    lines = ["base: &base {a: 1, b: 1}", "other: &other {b: 3}", "own: {<<: [*base, *other], c: 2, a: 0}"]
    text = "\n".join([*lines, "same: *base"]).encode()

    (document,), problems = read_documents(text, "p.yaml")

    assert problems == []
    assert document.plain["own"] == {"a": 0, "b": 1, "c": 2}
    assert document.plain["same"] == {"a": 1, "b": 1}


def test_dates_stay_texts_and_tags_of_yaml_are_read():
    text = b"created: 2024-01-01T10:00:00Z\nversion: !!str 3.10\nsign: =\n"

    (document,), problems = read_documents(text, "p.yaml")

    assert problems == []
    assert document.plain == {"created": "2024-01-01T10:00:00Z", "version": "3.10", "sign": "="}


def test_a_byte_order_mark_is_no_part_of_the_text():
    (document,), _ = read_documents("\ufeffa: ä\n".encode(), "p.yaml")

    assert document.plain == {"a": "ä"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a: 1\nb: 2\na: 3\n", "p.yaml:3:1: 'a' stands here twice, first in line 1"),
        (b"a: {b: 1, b: 2}\n", "p.yaml:1:11: 'b' stands here twice, first in line 1"),
        (b"5: x\n", "p.yaml:1:1: has a key that is 5, not a text: put it in quotes"),
        (b"on: x\n", "p.yaml:1:1: has a key that is True, not a text: put it in quotes"),
        (b"[a]: x\n", "p.yaml:1:1: has a key that is a list, not a text: put it in quotes"),
        (
            b"a: !!python/object/apply:os.system [ls]\n",
            "p.yaml:1:4: 'tag:yaml.org,2002:python/object/apply:os.system' ",
        ),
        (b"a: !secret x\n", "p.yaml:1:4: '!secret' is not a tag that is read"),
        (b"a: !!int x\n", "p.yaml:1:4: 'x' is not of the tag 'tag:yaml.org,2002:int'"),
        (b"a: {<<: 5}\n", "p.yaml:1:9: << takes a mapping or a list of mappings"),
    ],
)
def test_what_is_wrong_with_keys_and_tags_has_its_place(text, expected):
    _, problems = read_documents(text, "p.yaml")

    assert [expected in str(problem.exception()) for problem in problems] == [True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a: b: c\n", "p.yaml:1:5: is not YAML: mapping values are not allowed"),
        (b"a: 1\nb: 'x\n", "p.yaml:3:1: is not YAML: found unexpected end of stream"),
        (b"a:\n\t- b\n", "p.yaml:2:1: is not YAML: "),
        (b"a: 1\nb: \x07\n", "p.yaml:2:4: a control character cannot be in YAML"),
        (b"a: 1\nb: \xff\n", "p.yaml:2:4: byte 0xff is not UTF-8"),
        ("a: 1\n".encode("utf-16"), "p.yaml:1:1: byte 0xff is not UTF-8"),
        (b"a: *b\n", "p.yaml:1:4: *b repeats what is not complete before it"),
        (b"a: &a [*a]\n", "p.yaml:1:8: *a repeats what is not complete before it"),
        (b"[" * 100_000, "p.yaml:1:52: is nested deeper than 50 levels"),
        (b"- " * 100_000, "p.yaml:1:103: is nested deeper than 50 levels"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text, expected):
    with pytest.raises(SourceError) as caught:
        read_documents(text, "p.yaml")

    assert expected in str(caught.value)


def test_aliases_cannot_multiply_without_bounds():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]

    with pytest.raises(SourceError, match=r"p\.yaml:5:5: holds more than 100000 values"):
        read_documents("\n".join(lines).encode(), "p.yaml")


def test_a_file_has_a_largest_size(monkeypatch):
    monkeypatch.setattr(documents, "LARGEST_FILE", 10)

    with pytest.raises(SourceError, match=r"p\.yaml: has more than 10 bytes"):
        read_documents(b"a: 12345678\n", "p.yaml")
