"""Both clients against a real server that answers well, badly, late, or not at all."""

import asyncio
import gc
import os
import socket
import ssl
import threading
import traceback
from datetime import datetime, timezone
from ipaddress import ip_address

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_kfp_runtime.client import (
    AsyncKfpClient,
    ClientSettings,
    KfpClient,
    RunRequest,
    RunState,
    Wait,
    calls,
    flows,
)
from airflow_kfp_runtime.client.filters import equals
from airflow_kfp_runtime.client.transport import failure_of
from airflow_kfp_runtime.errors import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    ServerUnavailableError,
    UnexpectedResponseError,
)
from tests.client_script import Reply, serving

TOKEN = "token-that-nobody-may-see"
COOKIE = "cookie-that-nobody-may-see"
RUN = {"run_id": "r", "state": "RUNNING"}
LOGIN_PAGE = Reply(
    b"<!DOCTYPE html><html><head><title>Log in</title></head></html>", headers={"content-type": "text/html"}
)


def settings(url, **changes):
    return ClientSettings(url, **{"token": TOKEN, "connect_timeout": 2, "read_timeout": 2, **changes})


def send_sync(config, call):
    with KfpClient(config) as client:
        return client.send(call)


def send_async(config, call):
    async def send():
        async with AsyncKfpClient(config) as client:
            return await client.send(call)

    return asyncio.run(send())


both = pytest.mark.parametrize("send", [send_sync, send_async])


@both
def test_a_call_carries_path_query_token_and_headers_and_returns_its_result(send):
    with serving(Reply({"runs": [RUN]})) as server:
        page = send(
            settings(server.url + "/pipeline/", headers={"kubeflow-userid": "me"}, cookies={"session": "s"}),
            calls.list_runs(experiment_id="a b&c", page_size=5),
        )

    request = server.requests[0]
    assert page.items[0].state is RunState.RUNNING
    assert request.path == "/pipeline/apis/v2beta1/runs?experiment_id=a%20b%26c&page_size=5"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["kubeflow-userid"] == "me"
    assert request.headers["cookie"] == "session=s"


@both
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"code": 3, "message": "bad"}, InvalidRequestError),
        (401, {"code": 16, "message": "who"}, AuthenticationError),
        (403, {"code": 7, "message": "no"}, PermissionDeniedError),
        (404, {"code": 5, "message": "none"}, NotFoundError),
        (409, {"code": 6, "message": "taken"}, ConflictError),
        (409, {"code": 10, "message": "not failed"}, ConflictError),
        (429, {"code": 8, "message": "slowly"}, ServerUnavailableError),
        (500, {"code": 13, "message": "broken"}, ServerError),
        (501, {"code": 12, "message": "unknown"}, ServerError),
        (503, {"code": 14, "message": "busy"}, ServerUnavailableError),
    ],
)
def test_each_refusal_is_its_own_error(send, status, body, kind):
    with (
        serving(Reply({**body, "details": [{"message": "more"}]}, status)) as server,
        pytest.raises(ServerError) as raised,
    ):
        send(settings(server.url), calls.get_run("r"))

    error = raised.value
    assert type(error) is kind
    assert (error.status, error.code, error.message) == (status, body["code"], body["message"])
    assert error.call == "GET /apis/v2beta1/runs/r"
    assert error.details == ("more",)


@both
@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (LOGIN_PAGE, AuthenticationError, "'Log in'"),
        (LOGIN_PAGE, AuthenticationError, "or the host in the connection is not that of KFP's API"),
        (
            Reply(status=302, headers={"location": "https://dex.example/auth?state=secret"}),
            AuthenticationError,
            "dex.example",
        ),
        (Reply(status=307, headers={"location": "/login"}), AuthenticationError, "redirects"),
        (
            Reply(b"<html>Bad Gateway</html>", 502, {"content-type": "text/html"}),
            ServerUnavailableError,
            "HTML page",
        ),
        (Reply(b"upstream connect error", 503, {"retry-after": "7"}), ServerUnavailableError, "upstream"),
        (
            Reply(b"<html>no such site</html>", 404, {"content-type": "text/html"}),
            UnexpectedResponseError,
            "HTML page; this is not KFP's API: check host, port and path",
        ),
        (Reply(b'{"run_id": "r", "sta', 200), UnexpectedResponseError, "not KFP's"),
        (Reply(b"[1]", 200), UnexpectedResponseError, "JSON object"),
        (Reply(b'{"hello": "world"}', 200), UnexpectedResponseError, "run_id"),
        (Reply(b"[" * 100_000, 200), UnexpectedResponseError, "not KFP's"),
        (Reply(b"garbage", 200, {"content-encoding": "gzip"}), UnexpectedResponseError, "decompressed"),
        (
            Reply({"error_message": "Failed to create a pipeline", "error_details": "duplicate"}, 409),
            ConflictError,
            "Failed",
        ),
        (Reply({"error": "gone", "code": 5, "message": "gone"}, 404), NotFoundError, "gone"),
        (Reply(b"name too long", 400, {"content-type": "text/plain"}), InvalidRequestError, "name too long"),
        (Reply(RUN, cut=5), ServerUnavailableError, "broke"),
        (Reply(reset=True), ServerUnavailableError, "broke"),
    ],
)
def test_what_stands_in_front_of_kfp_is_told_from_kfp(send, reply, kind, words):
    with serving(reply) as server, pytest.raises(ServerError) as raised:
        send(settings(server.url), calls.get_run("r"))

    assert type(raised.value) is kind
    assert words in str(raised.value)
    assert "state=secret" not in str(raised.value)


@both
def test_a_server_that_stalls_is_unavailable_after_the_timeout(send):
    with (
        serving(Reply(RUN, stall=True)) as server,
        pytest.raises(ServerUnavailableError, match=r"no answer from 127.0.0.1:\d+ within 0.2 s"),
    ):
        send(settings(server.url, read_timeout=0.2), calls.get_run("r"))


@both
def test_nobody_at_the_address_is_unavailable(send):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ServerUnavailableError, match="cannot connect to"):
            send(settings(f"http://127.0.0.1:{taken.getsockname()[1]}"), calls.get_run("r"))


@both
def test_an_answer_without_end_is_cut_off_at_the_limit(send):
    call = calls.get_run("r")
    limited = type(call)(call.method, call.path, call.parse, limit=1000)
    with (
        serving(Reply(b" " * 5000)) as server,
        pytest.raises(UnexpectedResponseError, match="larger than 1000 bytes"),
    ):
        send(settings(server.url), limited)


@both
def test_retry_after_is_kept(send):
    with (
        serving(Reply({"message": "busy"}, 503, {"retry-after": "7"})) as server,
        pytest.raises(ServerUnavailableError) as raised,
    ):
        send(settings(server.url), calls.get_run("r"))

    assert raised.value.details == ("Retry-After: 7",)


@both
@pytest.mark.parametrize(
    "reply",
    [
        Reply({"code": 16, "message": f"the token {TOKEN} has expired"}, 401),
        Reply(f"you sent session={COOKIE}".encode(), 500),
        Reply(reset=True),
        LOGIN_PAGE,
    ],
)
def test_no_secret_is_in_an_error_or_in_anything_it_refers_to(send, reply):
    with serving(reply) as server, pytest.raises(ServerError) as raised:
        send(settings(server.url, cookies={"session": COOKIE}), calls.get_run("r"))

    error = raised.value
    seen = [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    for word in (TOKEN, COOKIE):
        assert not any(word in text for text in seen)
    assert error.__cause__ is None
    assert error.__context__ is None or not hasattr(error.__context__, "request")


@both
def test_a_token_that_http_cannot_carry_is_refused_without_showing_it(send):
    with serving(Reply(RUN)) as server, pytest.raises(ServerError) as raised:
        send(settings(server.url, token=f"{TOKEN}\nx: y"), calls.get_run("r"))

    assert "characters that HTTP does not allow" in str(raised.value)
    assert TOKEN not in "".join(traceback.format_exception(raised.value))
    assert not raised.value.transient


def test_a_token_file_is_read_for_each_request(tmp_path):
    file = tmp_path / "token"
    with serving(Reply(RUN)) as server, KfpClient(ClientSettings(server.url, token_file=str(file))) as client:
        for token in ("first-token", "second-token\n"):
            file.write_text(token)
            client.send(calls.get_run("r"))
        file.unlink()
        with pytest.raises(AuthenticationError, match="cannot be read"):
            client.send(calls.get_run("r"))

    assert [request.headers["authorization"] for request in server.requests] == [
        "Bearer first-token",
        "Bearer second-token",
    ]


async def test_the_event_loop_goes_on_while_a_token_file_is_read(tmp_path):
    # The read waits for whoever writes, which here is the event loop itself.
    file = tmp_path / "token"
    os.mkfifo(file)
    rescue = threading.Timer(10, file.write_text, ["the loop was blocked"])
    rescue.start()
    with serving(Reply(RUN)) as server:
        async with AsyncKfpClient(ClientSettings(server.url, token_file=str(file))) as client:
            sent = asyncio.create_task(client.send(calls.get_run("r")))
            await asyncio.sleep(0)
            await asyncio.to_thread(file.write_text, "in-time")
            rescue.cancel()
            await sent

    assert server.requests[0].headers["authorization"] == "Bearer in-time"


def test_one_connection_serves_many_calls_also_after_an_error():
    with (
        serving(Reply(RUN), Reply({"message": "none"}, 404), Reply(RUN)) as server,
        KfpClient(settings(server.url)) as client,
    ):
        client.send(calls.get_run("r"))
        with pytest.raises(NotFoundError):
            client.send(calls.get_run("other"))
        client.send(calls.get_run("r"))

    assert len(server.connections) == 1


async def test_calls_at_once_do_not_wait_for_each_other():
    with serving(Reply(RUN, stall=True)) as server:
        async with AsyncKfpClient(settings(server.url, read_timeout=10)) as client:
            sent = [asyncio.create_task(client.send(calls.get_run("r"))) for _ in range(20)]
            await asyncio.to_thread(server.wait_for_requests, 20)
            server.released.set()
            runs = await asyncio.gather(*sent)

    assert [run.run_id for run in runs] == ["r"] * 20


def test_an_upload_is_a_file_in_the_field_that_kfp_reads():
    with serving(Reply({"pipeline_id": "p", "pipeline_version_id": "v", "name": "1"})) as server:
        version = send_sync(
            settings(server.url), calls.upload_pipeline_version("p", "1", "root: ü", description="d")
        )

    request = server.requests[0]
    assert version.reference.pipeline_version_id == "v"
    assert request.path == "/apis/v2beta1/pipelines/upload_version?pipelineid=p&name=1&description=d"
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="uploadfile"; filename="pipeline.yaml"' in request.body
    assert "root: ü".encode() in request.body


def test_a_log_is_text_and_its_error_under_200_an_error():
    with serving(Reply(b"step 1\n<html>\nstep 2", headers={"content-type": "text/html"})) as server:
        assert send_sync(settings(server.url), calls.read_log("r", "pod")) == "step 1\n<html>\nstep 2"
    with (
        serving(Reply({"error_message": "pod is gone", "error_details": "..."})) as server,
        pytest.raises(ServerError, match="pod is gone"),
    ):
        send_sync(settings(server.url), calls.read_log("r", "pod"))
    with serving(Reply(b"x" * (2 * 1024 * 1024) + b"the end")) as server:
        log = send_sync(settings(server.url), calls.read_log("r", "pod"))
    assert len(log) == 1024 * 1024
    assert log.endswith("the end")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody trusts yet, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kfp")])
    day = datetime(2026, 1, 1, tzinfo=timezone.utc)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), day, day.replace(year=2126)
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path_factory.mktemp("tls") / "kfp.pem"
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@both
def test_a_certificate_is_checked_against_the_ca_that_was_given(send, certificate):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with serving(Reply(RUN), tls=tls) as server:
        assert send(settings(server.url, verify=str(certificate)), calls.get_run("r")).run_id == "r"
        assert send(settings(server.url, verify=False), calls.get_run("r")).run_id == "r"
        with pytest.raises(ServerError, match="is not trusted") as raised:
            send(settings(server.url), calls.get_run("r"))

    assert not raised.value.transient
    assert len(server.requests) == 2


def test_a_ca_file_that_is_not_there_is_named():
    with pytest.raises(ServerError, match="CA file"):
        KfpClient(ClientSettings("https://kfp", verify="/nowhere/ca.crt"))


@pytest.mark.parametrize("empty", ["", ".", ".."])
def test_an_id_that_would_name_the_collection_is_refused_before_anything_is_sent(empty):
    with pytest.raises(ValueError, match="is not an id"):
        calls.delete_run(empty)


def test_ids_and_names_cannot_leave_their_place_in_the_path():
    assert calls.get_run("../x?y#z").path == "/apis/v2beta1/runs/..%2Fx%3Fy%23z"
    assert calls.get_pipeline_by_name("a/b c").path == "/apis/v2beta1/pipelines/names/a%2Fb%20c"


def two_calls_with_a_wait():
    first = yield calls.get_run("r")
    yield Wait(0)
    try:
        yield calls.get_run("gone")
    except NotFoundError as error:
        return first.run_id, error.status
    return None


def test_both_clients_run_the_same_flow_with_results_waits_and_errors():
    with serving(
        Reply(RUN), Reply({"message": "none"}, 404), Reply(RUN), Reply({"message": "none"}, 404)
    ) as server:
        with KfpClient(settings(server.url)) as client:
            assert client.run(two_calls_with_a_wait()) == ("r", 404)

        async def run():
            async with AsyncKfpClient(settings(server.url)) as other:
                return await other.run(two_calls_with_a_wait())

        assert asyncio.run(run()) == ("r", 404)


async def test_a_flow_that_is_cancelled_is_closed():
    ended = []

    def flow():
        try:
            yield Wait(60)
        finally:
            ended.append(True)

    async with AsyncKfpClient(settings("http://127.0.0.1:9")) as client:
        task = asyncio.create_task(client.run(flow()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    gc.collect()
    assert ended == [True]


def test_a_page_keeps_what_the_token_does_not_hold():
    first = calls.list_runs(equals("state", "RUNNING"), experiment_id="e", sort_by="created_at desc")
    second = calls.next_page(first, "token")

    assert second.query == {"experiment_id": "e", "page_size": "200", "page_token": "token"}


def test_a_run_is_submitted_once_when_the_connection_breaks_after_sending(monkeypatch):
    monkeypatch.setattr(flows, "LOOK_UP_DELAYS", (0.0, 0.0))
    missing = Reply({"message": "none"}, 404)
    with (
        serving(missing, Reply(reset=True), missing, Reply(RUN)) as server,
        KfpClient(settings(server.url)) as client,
    ):
        run = client.run(flows.submit_run(RunRequest("r", "training", pipeline_spec={"root": {}})))

    assert run.run_id == "r"
    assert [request.method for request in server.requests] == ["GET", "POST", "GET", "GET"]


def test_https_to_a_server_that_speaks_http_says_so():
    error = failure_of(
        calls.health(),
        httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number"),
        ClientSettings(host="https://127.0.0.1:1"),
    )

    assert str(error).endswith("127.0.0.1:1 speaks http, not https")
    assert not error.transient
