"""Sources at web addresses, from a real server."""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import signal
import ssl
import sys
import threading

import pytest

from airflow_kfp_runtime.sources import Limits
from tests import http_server
from tests.embedded_engine import eventually
from tests.git_server import Authority
from tests.http_server import HttpServer
from tests.source_opening import Opening, zip_of

CODE = b"def pipeline():\n    pass\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server():
    started = HttpServer()
    yield started
    started.stop()


@pytest.fixture
def secure_server(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    started = HttpServer(authority)
    yield started
    started.stop()


@pytest.fixture
def opening(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    made = Opening(tmp_path, monkeypatch, Limits(timeout=20, connect_timeout=5))
    yield made
    assert made.left() == []


def test_a_python_file_is_fetched_under_its_name(server, opening):
    server.answers["/flows/etl%2Dv1.py"] = http_server.file(CODE)

    assert opening(server.url("/flows/etl%2Dv1.py")) == {"etl-v1.py": CODE.decode()}


def test_a_file_that_was_compressed_in_parts_comes_as_a_whole(server, opening):
    packed = gzip.compress(CODE[:10]) + gzip.compress(CODE[10:])
    server.answers["/etl.py"] = http_server.file(packed, Content_Encoding="gzip")

    assert opening(server.url("/etl.py")) == {"etl.py": CODE.decode()}


def test_a_file_is_fetched_over_https(secure_server, opening):
    secure_server.answers["/etl.py"] = http_server.file(CODE)

    assert opening(secure_server.url("/etl.py")) == {"etl.py": CODE.decode()}


def test_an_archive_is_extracted_whatever_its_address_ends_in(server, opening):
    server.answers["/repository/zip/main"] = http_server.file(
        zip_of({"etl-main/flows/etl.py": CODE, "etl-main/README.md": "read"})
    )

    assert opening(server.url("/repository/zip/main", archive=True)) == {
        "README.md": "read",
        "flows/etl.py": CODE.decode(),
    }


def test_other_kinds_of_files_are_fetched_for_who_asks_for_them(server, opening):
    server.answers["/component.yaml"] = http_server.file(b"name: c\n")

    assert opening(server.url("/component.yaml"), suffixes=(".yaml",)) == {"component.yaml": "name: c\n"}


@pytest.mark.parametrize(
    "answer",
    [http_server.file(CODE), http_server.dated(CODE, "Wed, 21 Oct 2026 07:28:00 GMT")],
    ids=["etag", "date"],
)
def test_a_file_that_has_not_changed_is_taken_from_the_cache(server, opening, answer):
    server.answers["/etl.py"] = answer

    first, second = opening.version(server.url("/etl.py")), opening.version(server.url("/etl.py"))

    assert first == second
    assert server.sent == [200, 304]


def test_a_file_that_has_changed_is_fetched_again(server, opening):
    server.answers["/etl.py"] = http_server.file(CODE)
    opening(server.url("/etl.py"))
    server.answers["/etl.py"] = http_server.file(b"changed = True\n")

    assert opening(server.url("/etl.py")) == {"etl.py": "changed = True\n"}


def test_a_file_that_the_cache_has_lost_is_fetched_whole(server, opening):
    server.answers["/etl.py"] = http_server.file(CODE)
    opening(server.url("/etl.py"))
    [entry] = opening.kept()
    (entry / "etl.py").unlink()
    entry.rmdir()

    assert opening(server.url("/etl.py")) == {"etl.py": CODE.decode()}
    assert server.requests[-1][1].get("If-None-Match") is None


def test_one_content_at_two_addresses_is_kept_once(server, opening):
    server.answers |= {"/a/etl.py": http_server.file(CODE), "/b/etl.py": http_server.file(CODE)}
    opening(server.url("/a/etl.py"))
    opening(server.url("/b/etl.py"))

    assert len(opening.kept()) == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed_relative_ones_too(server, opening, code):
    server.answers |= {
        "/etl.py": http_server.redirect("../stored?x=1", code),
        "/stored": http_server.file(CODE),
    }

    assert opening(server.url("/etl.py")) == {"etl.py": CODE.decode()}


def test_a_redirect_to_https_is_followed(server, secure_server, opening):
    server.answers["/etl.py"] = http_server.redirect(secure_server.url("/stored"))
    secure_server.answers["/stored"] = http_server.file(CODE)

    assert opening(server.url("/etl.py")) == {"etl.py": CODE.decode()}


def test_what_a_store_keeps_compressed_is_unpacked(server, opening):
    server.answers["/etl.py"] = http_server.zipped(CODE)

    assert opening(server.url("/etl.py")) == {"etl.py": CODE.decode()}
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


def test_a_proxy_of_the_environment_is_used(server, opening, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url(""))
    server.answers["http://example.invalid/etl.py"] = http_server.file(CODE)

    assert opening("http://example.invalid/etl.py") == {"etl.py": CODE.decode()}


def test_the_signature_of_an_address_is_not_logged(server, opening, caplog):
    caplog.set_level(logging.DEBUG, "httpx")
    server.answers["/etl.py"] = http_server.redirect("/stored?signature=secret")
    server.answers["/stored"] = http_server.file(CODE)

    opening(server.url("/etl.py?signature=secret"))

    assert server.requests[-1][0] == "/stored?signature=secret"
    assert "secret" not in caplog.text


GZIP_BOMB = bytes(64 * 1024 * 1024)
REFUSED = [
    pytest.param(http_server.status(401), "answers 401: it wants a login", id="401"),
    pytest.param(http_server.status(403), "aws_conn_id", id="403"),
    pytest.param(http_server.status(404), "answers 404: there is no such file", id="404"),
    pytest.param(http_server.status(410), "the file was removed", id="410"),
    pytest.param(http_server.status(429, Retry_After="30"), "it asks for 30 seconds", id="429"),
    pytest.param(http_server.status(503), "answers 503: try again later", id="503"),
    pytest.param(http_server.status(204), "answers 204: expected is 200", id="204"),
    pytest.param(http_server.status(206), "answers 206: expected is 200", id="206"),
    pytest.param(http_server.status(304), "answers 304: expected is 200", id="304 unasked"),
    pytest.param(http_server.status(302), "answers 302: expected is 200", id="redirect to nowhere"),
    pytest.param(http_server.redirect("/etl.py"), "more than 5 times, perhaps in a circle", id="circle"),
    pytest.param(http_server.redirect("file:///etc/passwd"), "'file://'", id="to a file"),
    pytest.param(
        http_server.redirect("ftp://example.org/etl.py"), "redirected to 'ftp://example.org", id="ftp"
    ),
    pytest.param(http_server.redirect("javascript:alert(1)"), "redirected", id="to javascript"),
    pytest.param(
        http_server.redirect("http://u:secret@127.0.0.1/"), "a user or a password", id="to a password"
    ),
    pytest.param(http_server.redirect("http://[::1/etl.py"), "redirected", id="to no address"),
    pytest.param(
        http_server.redirect("http://127.0.0.1:99999/"), "no valid server and port", id="to no port"
    ),
    pytest.param(http_server.page(), "what comes is a web page", id="login page"),
    pytest.param(http_server.page(b"\n <html>"), "'raw' or 'download' link", id="page that shows it"),
    pytest.param(
        http_server.short_of(1000, CODE), "ended the connection before all had come", id="too short"
    ),
    pytest.param(
        http_server.short_of(10**12, b""), "it has 1000000000000 bytes; the limit is", id="too long"
    ),
    pytest.param(http_server.drop, "ended the connection before all had come", id="dropped"),
    pytest.param(http_server.raw(b"SSH-2.0-OpenSSH\r\n"), "ended the connection", id="not HTTP"),
    pytest.param(http_server.endless, "it has more than 1000000 bytes", id="endless"),
    pytest.param(http_server.zipped(GZIP_BOMB), "it has more than 1000000 bytes", id="gzip bomb"),
    pytest.param(http_server.zipped(CODE, "br"), "sends it compressed (br)", id="unknown encoding"),
    pytest.param(http_server.file(CODE, Content_Encoding="gzip"), "sends is damaged", id="not compressed"),
    pytest.param(
        http_server.file(gzip.compress(CODE)[:-9], Content_Encoding="gzip"),
        "sends is damaged",
        id="compressed, and cut off",
    ),
    pytest.param(
        http_server.file(gzip.compress(CODE) + b"more", Content_Encoding="gzip"),
        "sends is damaged",
        id="compressed, and more behind it",
    ),
    pytest.param(
        http_server.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"),
        "ended",
        id="bad chunk",
    ),
]


@pytest.mark.parametrize(("answer", "message"), REFUSED)
def test_a_misbehaving_server_is_refused_and_leaves_nothing(server, opening, answer, message):
    opening.limits = Limits(download=1_000_000, timeout=20, connect_timeout=5)
    server.answers["/etl.py"] = answer

    said = opening.refused(server.url("/etl.py?signature=secret"))

    assert message in said
    assert "secret" not in said
    assert opening.kept() == []


@pytest.mark.parametrize(
    "answer",
    [
        http_server.stall,
        http_server.drip(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        http_server.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
    ],
    ids=["stalls", "header drips", "body drips"],
)
def test_a_slow_server_is_left_at_the_deadline(server, opening, answer):
    opening.limits = Limits(timeout=0.3)
    server.answers["/etl.py"] = answer

    assert "was ended after 0.3 seconds" in opening.refused(server.url("/etl.py"))


def test_a_server_that_answers_no_handshake_is_left(server, opening):
    """A plain server waits for a line that the beginning of a TLS connection does not have."""
    opening.limits = Limits(timeout=2, connect_timeout=0.3)

    said = opening.refused(server.url("/etl.py").replace("http:", "https:"))

    assert "no connection to" in said or "no TLS connection" in said


def test_a_certificate_of_an_unknown_authority_is_refused(secure_server, opening, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    secure_server.answers["/etl.py"] = http_server.file(CODE)

    said = opening.refused(secure_server.url("/etl.py?signature=secret"))

    assert "is not trusted (unable to get local issuer certificate)" in said
    assert "SSL_CERT_FILE" in said
    assert "secret" not in said


def test_a_redirect_from_https_to_http_is_refused(server, secure_server, opening):
    server.answers["/etl.py"] = http_server.file(CODE)
    secure_server.answers["/etl.py"] = http_server.redirect(server.url("/etl.py?signature=secret"))

    said = opening.refused(secure_server.url("/etl.py"))

    assert "is redirected from https to" in said
    assert "secret" not in said
    assert server.requests == []


def test_a_server_that_does_not_run_is_said_so(server, opening):
    server.stop()

    assert "Connection refused; check server and port" in opening.refused(server.url("/etl.py"))


def test_what_failed_before_is_not_taken_for_the_reason(server, opening):
    server.stop()

    try:
        raise ssl.SSLError("of something else")
    except ssl.SSLError:
        said = opening.refused(server.url("/etl.py"))

    assert "Connection refused" in said


def test_a_server_without_an_address_is_said_so(opening):
    assert "; check server and port" in opening.refused("http://nowhere.invalid/etl.py")


class TaskEnded(BaseException):
    """What a signal's handler raises, wherever the task is."""


def test_a_signal_that_ends_the_task_ends_its_download(server, opening):
    def ended(*_: object) -> None:
        raise TaskEnded

    main = threading.main_thread().ident

    def answer(handler: http_server.Handler) -> None:
        # Not while it still sends: asyncio makes a broken connection of what is raised there.
        eventually(lambda: sys._current_frames()[main].f_code.co_name == "select")
        os.kill(os.getpid(), signal.SIGUSR1)
        http_server.stall(handler)

    server.answers["/etl.py"] = answer
    before = signal.signal(signal.SIGUSR1, ended)
    try:
        with pytest.raises(TaskEnded):
            opening(server.url("/etl.py"))
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_files_are_fetched_where_an_event_loop_runs(server, opening):
    server.answers["/etl.py"] = http_server.file(CODE)

    async def notebook():
        return opening(server.url("/etl.py"))

    assert asyncio.run(notebook()) == {"etl.py": CODE.decode()}


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("https://example.org/etl.zip", "names a zip archive, which has the scheme zip+https://"),
        ("http://example.org/etl.txt", "names no file that ends in .py"),
        ("https://github.com/team/etl.git", "git+https://.../etl.git for a repository"),
        ("https://example.org/etl?file=etl.py", "names no file that ends in .py"),
        ("https://example.org/.py", "names no file that ends in .py"),
        ("https://example.org/a%2Fb.py", "names no file that ends in .py"),
        ("https://example.org", "names no file that ends in .py"),
        ("https://example.org/etl.py#main", "a part after '#', which only git addresses have"),
        ("https://ann:secret@example.org/etl.py", "holds a user or a password"),
        ("zip+https://secret@example.org/etl.zip", "holds a user or a password"),
        ("https:///etl.py", "no valid server and port"),
        ("https://example.org:port/etl.py", "no valid server and port"),
        ("https://example.org:0/etl.py", "no valid server and port"),
        ("https://exa mple.org/etl.py", "no valid server and port"),
        ("https://xn--.example.org/etl.py", "no address that can be asked"),
        ("https://example.org/etl.py\nHost: x", "a control character"),
    ],
)
def test_an_address_that_is_wrong_is_refused_before_anything_is_asked(opening, location, message):
    said = opening.refused(location)

    assert message in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CODE, "what comes is no zip archive"),
        (b"<!doctype html>", "what comes is a web page"),
        (b"", "what comes is no zip archive"),
        (zip_of({"etl.py": CODE})[:-10], "cannot be read as zip"),
        (zip_of({"../etl.py": CODE}), "stay in their folder"),
    ],
)
def test_what_is_no_archive_is_refused(server, opening, content, message):
    server.answers["/etl.zip"] = http_server.file(content)

    assert message in opening.refused(server.url("/etl.zip", archive=True))
    assert opening.kept() == []
