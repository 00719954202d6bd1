"""The filter's JSON and its escaping, against what the server does to it."""

import json
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, unquote_plus, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.client.filters import Operation, Predicate, encode, equals, not_before, one_of
from airflow_kfp_runtime.client.settings import ClientSettings
from airflow_kfp_runtime.client.transport import build_request

HTTP = httpx.Client()

texts = st.text(st.characters(exclude_categories=["Cs"]))


def as_the_server_reads(url: httpx.URL) -> dict:
    """Decode as KFP does: once as a query, then the filter's value once more."""
    once = parse_qs(urlsplit(str(url)).query, strict_parsing=True)["filter"][0]
    return json.loads(unquote_plus(once, errors="strict"))


@given(texts)
def test_any_text_reaches_the_server_as_it_was_written(value):
    with httpx.Client() as http:
        request = build_request(
            ClientSettings("http://kfp"), http, calls.list_runs(equals("display_name", value)), token=None
        )

    predicate = as_the_server_reads(request.url)["predicates"][0]

    assert predicate == {"operation": "EQUALS", "key": "display_name", "string_value": value}


def test_an_airflow_run_id_keeps_its_plus_and_its_percent():
    run_id = "scheduled__2026-01-01T00:00:00+00:00 100%41"

    assert "+" not in encode(equals("display_name", run_id))
    assert (
        json.loads(unquote_plus(encode(equals("display_name", run_id))))["predicates"][0]["string_value"]
        == run_id
    )


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (equals("page", 3), {"int_value": 3}),
        (equals("page", 2**40), {"long_value": str(2**40)}),
        (one_of("run_id", ["a", "b"]), {"string_values": {"values": ["a", "b"]}}),
        (one_of("run_id", []), {"string_values": {"values": []}}),
        (Predicate(Operation.IN, "n", (1, 2)), {"int_values": {"values": [1, 2]}}),
        (Predicate(Operation.IN, "n", (1, 2**40)), {"long_values": {"values": ["1", str(2**40)]}}),
        (
            not_before("finished_at", datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))),
            {"timestamp_value": "2026-01-02T01:04:05Z"},
        ),
        (not_before("finished_at", datetime(2026, 1, 2)), {"timestamp_value": "2026-01-02T00:00:00Z"}),
    ],
)
def test_a_value_is_written_in_the_field_of_its_type(predicate, expected):
    written = json.loads(unquote_plus(encode(predicate)))["predicates"][0]

    assert {name: value for name, value in written.items() if name not in ("operation", "key")} == expected


def test_several_predicates_stand_beside_each_other():
    written = json.loads(unquote_plus(encode(equals("a", "1"), equals("b", "2"))))

    assert [row["key"] for row in written["predicates"]] == ["a", "b"]


def test_150_run_ids_fit_a_url_of_8_kilobytes():
    ids = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(150)]
    request = build_request(
        ClientSettings("http://kfp"), HTTP, calls.list_runs(one_of("run_id", ids)), token=None
    )

    assert len(str(request.url)) < 8192
