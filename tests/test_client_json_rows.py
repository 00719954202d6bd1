"""Reading a JSON object whose long list is handed on row by row: the same rows that ``json`` reads."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.client import yielding
from airflow_kfp_runtime.client.json_rows import read_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text() | st.sampled_from(["runs", "Runs"]), VALUES, max_size=5)


def read(text: str) -> dict[str, object]:
    rows: list[object] = []
    members = read_object(text, ("runs",), rows.append)
    return members if "runs" in members or not rows else members | {"runs": rows}


@given(OBJECTS, st.sampled_from([None, 2]), st.booleans())
def test_what_is_read_is_what_json_reads(data, indent, ascii_only):
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)

    assert read(f" {text}\n") == {
        name: value for name, value in data.items() if (name, value) != ("runs", [])
    }


@given(OBJECTS, st.data())
def test_a_text_that_is_cut_off_is_no_object(data, draw):
    text = json.dumps(data)
    with pytest.raises(ValueError, match="char"):
        read(text[: draw.draw(st.integers(0, len(text) - 1))])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"runs": [1,]}',
        '{"runs": [1 2]}',
        '{"runs": [1}',
        '{"a" 1}',
        "{1: 2}",
        "{} {}",
        '{"a": 1,}',
    ],
)
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(ValueError, match="char"):
        read(text)


def test_a_thread_beside_a_loop_lets_it_run_and_no_other_thread_pauses(monkeypatch):
    pauses: list[str] = []
    monkeypatch.setattr(yielding, "_TURN", 0.0)
    monkeypatch.setattr(yielding.time, "sleep", lambda _: pauses.append(threading.current_thread().name))

    def beside() -> None:
        yielding.share_with_loop()
        yielding.give_way()

    thread = threading.Thread(target=beside, name="beside")
    thread.start()
    thread.join()
    yielding.give_way()

    assert pauses == ["beside"]
