"""Filters and pages of list calls, against a plain reading of the same conditions in Python."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_kfp_runtime.embedded.api.listing.filters import FilterError, Operation, Predicate, parse_filter
from airflow_kfp_runtime.embedded.api.listing.listings import RUNS, STATUS_WORDS
from airflow_kfp_runtime.embedded.api.listing.paging import PagingError, parse_query, read_page
from airflow_kfp_runtime.embedded.state.rows import RunRow
from airflow_kfp_runtime.embedded.state.store import Selection, Store

MOMENT = datetime(2026, 8, 1, 12, tzinfo=timezone.utc)
SCALARS = [one for one in Operation if one not in (Operation.IN, Operation.IS_SUBSTRING)]
COMPARE = {
    Operation.EQUALS: lambda value, wanted: value == wanted,
    Operation.NOT_EQUALS: lambda value, wanted: value != wanted,
    Operation.GREATER_THAN: lambda value, wanted: value > wanted,
    Operation.GREATER_THAN_EQUALS: lambda value, wanted: value >= wanted,
    Operation.LESS_THAN: lambda value, wanted: value < wanted,
    Operation.LESS_THAN_EQUALS: lambda value, wanted: value <= wanted,
    Operation.IN: lambda value, wanted: value in wanted,
    Operation.IS_SUBSTRING: lambda value, wanted: wanted.lower() in value.lower(),
}
READ = {
    "run_id": lambda run: run.run_id,
    "name": lambda run: run.display_name,
    "experiment_id": lambda run: run.experiment_id,
    "state": lambda run: run.state,
    "status": lambda run: STATUS_WORDS[run.state],
    "created_at": lambda run: int(run.created_at.timestamp()),
    "finished_at": lambda run: int(run.finished_at.timestamp()) if run.finished_at else 0,
}
NAMES = st.text("abAB+ %ü", max_size=4)
STATES = st.sampled_from(sorted(STATUS_WORDS))
MOMENTS = st.integers(0, 5_000).map(lambda tenth: MOMENT + timedelta(seconds=tenth / 1000))
TEXT_VALUES = NAMES | STATES | st.sampled_from(["e1", "e2", "Succeeded"])
#: The wildcards of LIKE work in a substring, as in the real server; here they would only blur the law.
SUBSTRINGS = st.text("abAB+ ", max_size=3)


@st.composite
def runs(draw):
    return [
        RunRow(
            run_id=f"r{number}",
            display_name=draw(NAMES),
            experiment_id=draw(st.sampled_from(["e1", "e2"])),
            pipeline_spec={},
            created_at=draw(MOMENTS),
            scheduled_at=MOMENT,
            state=draw(STATES),
            finished_at=draw(st.none() | MOMENTS),
        )
        for number in range(draw(st.integers(0, 12)))
    ]


@st.composite
def predicates(draw):
    if draw(st.booleans()):
        key = draw(st.sampled_from(["created_at", "finished_at"]))
        value = int(draw(MOMENTS).timestamp())
        return Predicate(draw(st.sampled_from(SCALARS)), key, value)
    key = draw(st.sampled_from(["run_id", "name", "experiment_id", "state", "status"]))
    operation = draw(st.sampled_from(list(Operation)))
    match operation:
        case Operation.IN:
            return Predicate(operation, key, tuple(draw(st.lists(TEXT_VALUES, max_size=3))))
        case Operation.IS_SUBSTRING:
            return Predicate(operation, key, draw(SUBSTRINGS))
    return Predicate(operation, key, draw(TEXT_VALUES))


def as_json(predicate):
    match predicate.value:
        case tuple():
            value = {"string_values": {"values": list(predicate.value)}}
        case int():
            moment = datetime.fromtimestamp(predicate.value, timezone.utc)
            value = {"timestamp_value": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
        case str():
            value = {"string_value": predicate.value}
    return {"operation": predicate.operation.name, "key": predicate.key, **value}


def as_text(wanted):
    """As a client must send it: escaped once more than HTTP does by itself."""
    return quote(json.dumps({"predicates": [as_json(predicate) for predicate in wanted]}))


def filled(rows):
    store = Store(Path(":memory:"))
    store.insert(*rows)
    return store


@settings(max_examples=300, deadline=None)
@given(rows=runs(), wanted=st.lists(predicates(), max_size=3))
def test_a_filter_picks_the_rows_that_meet_all_its_predicates(rows, wanted):
    store = filled(rows)

    query = replace(parse_query(RUNS, {"filter": as_text(wanted)}), page_size=200)
    found = read_page(store, RUNS, query, Selection())

    meets = [
        row.run_id
        for row in rows
        if all(COMPARE[one.operation](READ[one.key](row), one.value) for one in wanted)
    ]
    assert sorted(row.run_id for row in found.rows) == sorted(meets)
    assert found.total == len(meets)
    store.close()


@settings(max_examples=150, deadline=None)
@given(
    rows=runs(),
    key=st.sampled_from(["created_at", "finished_at", "name", "state"]),
    descending=st.booleans(),
    size=st.integers(1, 5),
)
def test_pages_put_together_are_all_rows_once_in_order(rows, key, descending, size):
    store = filled(rows)
    sort_by = f"{key} desc" if descending else key
    parameters = {"sort_by": sort_by, "page_size": str(size)}
    seen = []
    while True:
        page = read_page(store, RUNS, parse_query(RUNS, parameters), Selection())
        assert len(page.rows) <= size
        assert page.total == len(rows)
        seen += page.rows
        if not page.next_token:
            break
        parameters = {"page_token": page.next_token, "page_size": str(size)}

    read = {"name": "display_name"}.get(key, key)
    zero = datetime.fromtimestamp(0, timezone.utc)

    def place(row):
        value = getattr(row, read)
        return (zero if value is None else value, row.run_id)

    ordered = sorted(rows, key=place, reverse=descending)
    assert [row.run_id for row in seen] == [row.run_id for row in ordered]
    store.close()


def test_rows_that_come_between_two_pages_shift_nothing():
    def row(number):
        return RunRow(f"r{number}", "x", "e", {}, MOMENT + timedelta(seconds=number), MOMENT)

    store = filled([row(number) for number in (2, 4, 6)])
    first = read_page(store, RUNS, parse_query(RUNS, {"page_size": "2"}), Selection())
    store.insert(row(1), row(3))
    store.delete(RunRow, "r6")
    store.insert(row(7))

    rest = read_page(store, RUNS, parse_query(RUNS, {"page_token": first.next_token}), Selection())

    assert [found.run_id for found in (*first.rows, *rest.rows)] == ["r2", "r4", "r7"]
    store.close()


def test_the_value_is_unescaped_a_second_time():
    message = {"predicates": [{"operation": "EQUALS", "key": "name", "stringValue": "a+b"}]}

    assert parse_filter(json.dumps(message))[0].value == "a b"
    assert parse_filter(quote(json.dumps(message)))[0].value == "a+b"
    with pytest.raises(FilterError, match="invalid URL escape"):
        parse_filter('{"predicates": [{"operation": "EQUALS", "key": "name", "stringValue": "5%"}]}')


@pytest.mark.parametrize(
    ("predicate", "complaint"),
    [
        ({"operation": "IN", "key": "name", "string_value": "a"}, "IN operator with scalar"),
        ({"operation": "EQUALS", "key": "name", "string_values": {"values": ["a"]}}, "on array type"),
        ({"operation": "IS_SUBSTRING", "key": "name", "int_value": 1}, "non string value"),
        ({"operation": "LIKE", "key": "name", "string_value": "a"}, "invalid predicate operation: LIKE"),
        ({"operation": "EQUALS", "string_value": "a"}, "key cannot be empty"),
        ({"operation": "EQUALS", "key": "name"}, "exactly one value"),
        ({"operation": "EQUALS", "key": "name", "string_value": "a", "int_value": 1}, "exactly one value"),
        ({"operation": "EQUALS", "key": "name", "text": "a"}, 'unknown field "text"'),
        ({"operation": "EQUALS", "key": "name", "string_value": 5}, "invalid string"),
        ({"operation": "EQUALS", "key": "name", "long_value": True}, "invalid integer"),
        ({"operation": "EQUALS", "key": "created_at", "timestamp_value": "2026-08-01"}, "invalid timestamp"),
    ],
)
def test_a_predicate_that_is_wrong_is_refused_with_the_reason(predicate, complaint):
    with pytest.raises(FilterError, match=complaint):
        parse_filter(json.dumps({"predicates": [predicate]}))


@pytest.mark.parametrize("text", ["[]", "{", '{"predicate": []}', '"x"', '{"predicates": [1]}'])
def test_what_is_not_a_filter_is_refused(text):
    with pytest.raises(FilterError, match="failed to parse valid filter"):
        parse_filter(text)


def test_numbers_may_be_strings_and_names_camel_case_as_protobuf_writes_them():
    (predicate,) = parse_filter(
        '{"predicates": [{"operation": 8, "key": "created_at", "longValues": {"values": ["5", 6]}}]}'
    )

    assert predicate == Predicate(Operation.IN, "created_at", (5, 6))


@pytest.mark.parametrize(
    "text",
    ["2026-08-01T12:00:00Z", "2026-08-01T12:00:00.987654321Z", "2026-08-01T14:00:00.5+02:00"],
)
def test_times_are_compared_in_whole_seconds(text):
    message = {"operation": "EQUALS", "key": "created_at", "timestamp_value": text}

    (predicate,) = parse_filter(quote(json.dumps({"predicates": [message]})))

    assert predicate.value == int(MOMENT.timestamp())


def test_a_key_that_runs_do_not_have_is_refused():
    text = as_text([Predicate(Operation.EQUALS, "pipeline_id", "p")])

    with pytest.raises(FilterError, match='unrecognized field "pipeline_id"'):
        parse_query(RUNS, {"filter": text})


def token_of(parameters):
    rows = [RunRow(f"r{number}", "x", "e", {}, MOMENT, MOMENT, state="FAILED") for number in range(3)]
    store = filled(rows)
    page = read_page(store, RUNS, parse_query(RUNS, {**parameters, "page_size": "2"}), Selection())
    store.close()
    return page.next_token


@pytest.mark.parametrize(
    "predicate",
    [
        Predicate(Operation.IN, "state", ("FAILED",)),
        Predicate(Operation.GREATER_THAN, "created_at", 0),
    ],
)
def test_a_filter_with_a_list_or_a_time_repeated_beside_the_token_is_refused(predicate):
    parameters = {"filter": as_text([predicate])}
    token = token_of(parameters)

    assert parse_query(RUNS, {"page_token": token}).predicates == (predicate,)
    with pytest.raises(PagingError, match="does not match"):
        parse_query(RUNS, {"page_token": token, **parameters})


def test_a_filter_with_a_string_may_be_repeated_beside_the_token_but_not_changed():
    parameters = {"filter": as_text([Predicate(Operation.EQUALS, "state", "FAILED")])}
    token = token_of(parameters)

    assert parse_query(RUNS, {"page_token": token, **parameters}).start is not None
    with pytest.raises(PagingError, match="does not match"):
        parse_query(
            RUNS, {"page_token": token, "filter": as_text([Predicate(Operation.EQUALS, "state", "RUNNING")])}
        )
    with pytest.raises(PagingError, match="does not match"):
        parse_query(RUNS, {"page_token": token, "sort_by": "name"})


@pytest.mark.parametrize("token", ["x", "e30=", "bnVsbA==", "eyJzdGFydCI6WzEsMl19", "Zm9v"])
def test_a_broken_page_token_is_refused(token):
    with pytest.raises(PagingError, match="Invalid page token"):
        parse_query(RUNS, {"page_token": token})


@pytest.mark.parametrize(
    ("asked", "given_size"), [("", 20), ("0", 20), ("5", 5), ("200", 200), ("1000", 200)]
)
def test_a_page_has_20_rows_unless_asked_and_200_at_most(asked, given_size):
    assert parse_query(RUNS, {"page_size": asked}).page_size == given_size


@pytest.mark.parametrize("parameters", [{"page_size": "-1"}, {"page_size": "x"}, {"sort_by": "name up"}])
def test_a_wrong_page_size_or_order_is_refused(parameters):
    with pytest.raises(PagingError):
        parse_query(RUNS, parameters)
