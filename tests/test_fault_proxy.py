"""The proxy of the fault tests: what the client gets, and what the server has seen."""

import json
import math

import httpx
import pytest

from tests.embedded_api import Api, pipeline_spec
from tests.fault_proxy import (
    FaultProxy,
    answers,
    delayed,
    drop,
    duplicated,
    malformed,
    page,
    refuses,
    slow,
    truncated,
)

RUNS = "/apis/v2beta1/runs"
RUN = {"display_name": "run", "pipeline_spec": pipeline_spec()}


@pytest.fixture
def api(tmp_path):
    made = Api(tmp_path)
    yield made
    made.close()


@pytest.fixture
def proxy(api):
    with FaultProxy(api.url) as made:
        yield made


@pytest.fixture
def http(proxy):
    with httpx.Client(base_url=proxy.url, timeout=10) as client:
        yield client


def runs_of(api):
    return len(api.get("/runs").json().get("runs", []))


def test_without_a_fault_the_client_gets_the_servers_answers(api, proxy, http):
    made = http.post(RUNS, json=RUN)
    run_id = made.json()["run_id"]

    assert http.get(f"{RUNS}/{run_id}").json() == api.get(f"/runs/{run_id}").json()
    assert http.get(RUNS, params={"page_size": "1"}).json()["total_size"] == 1
    assert http.get(f"{RUNS}/none").status_code == 404
    assert [(row.method, row.path, row.status) for row in proxy.ledger] == [
        ("POST", RUNS, 200),
        ("GET", f"{RUNS}/{run_id}", 200),
        ("GET", RUNS, 200),
        ("GET", f"{RUNS}/none", 404),
    ]


@pytest.mark.parametrize("acted", [False, True])
def test_a_connection_drops_before_or_after_the_server_has_acted(api, proxy, http, acted):
    proxy.fail("POST", RUNS, drop(acted=acted))

    with pytest.raises(httpx.RemoteProtocolError):
        http.post(RUNS, json=RUN)
    assert proxy.sent("POST", RUNS) == 1
    assert proxy.reached("POST", RUNS) == runs_of(api) == int(acted)


@pytest.mark.parametrize("acted", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "header"),
    [
        (lambda acted: answers(429, acted=acted, Retry_After="3"), 429, ("retry-after", "3")),
        (lambda acted: refuses(500, 13, "no", acted=acted), 500, ("content-type", "application/json")),
        (lambda acted: page(502, acted=acted), 502, ("content-type", "text/html")),
        (lambda acted: page(acted=acted), 200, ("content-type", "text/html")),
    ],
)
def test_an_answer_takes_the_servers_place(api, proxy, http, fault, status, header, acted):
    proxy.fail("POST", RUNS, fault(acted))

    answer = http.post(RUNS, json=RUN)

    assert answer.status_code == status
    assert answer.headers[header[0]] == header[1]
    assert runs_of(api) == int(acted)


def test_json_without_an_end(proxy, http):
    proxy.fail("GET", RUNS, malformed())

    answer = http.get(RUNS)

    assert answer.status_code == 200
    with pytest.raises(ValueError):
        answer.json()


def test_a_body_that_ends_too_early(proxy, http):
    proxy.fail("GET", RUNS, truncated)

    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        http.get(RUNS)


def test_a_request_that_reaches_the_server_twice(api, proxy, http):
    proxy.fail("POST", RUNS, duplicated)

    http.post(RUNS, json=RUN)

    assert proxy.sent("POST", RUNS) == 1
    assert proxy.reached("POST", RUNS) == runs_of(api) == 2


@pytest.mark.parametrize("acted", [False, True])
def test_a_delay_lasts_longer_than_the_client_waits(proxy, http, acted):
    proxy.fail("GET", RUNS, delayed(30, acted=acted))

    with pytest.raises(httpx.ReadTimeout):
        http.get(RUNS, timeout=0.3)
    assert proxy.reached("GET", RUNS) == int(acted)


def test_a_slow_body_arrives_whole(proxy, http):
    http.post(RUNS, json=RUN)
    expected = http.get(RUNS).json()
    proxy.fail("GET", RUNS, slow(0.0005))

    with http.stream("GET", RUNS) as answer:
        chunks = list(answer.iter_raw())
    assert len(chunks) > 10
    assert json.loads(b"".join(chunks)) == expected


def test_a_rule_can_wait_and_last(proxy, http):
    proxy.fail("GET", RUNS, answers(503), after=1, times=2)
    proxy.fail("", "/experiments", answers(504), times=math.inf)

    assert [http.get(RUNS).status_code for _ in range(4)] == [200, 503, 503, 200]
    assert [http.get("/apis/v2beta1/experiments").status_code for _ in range(3)] == [504] * 3


def test_a_server_that_is_down_is_a_bad_gateway():
    with FaultProxy("http://127.0.0.1:1") as proxy:
        assert httpx.get(f"{proxy.url}{RUNS}").status_code == 502
