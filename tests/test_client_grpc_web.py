"""The framing of gRPC-web."""

import base64

import pytest

from airflow_kfp_runtime.client import grpc_web
from airflow_kfp_runtime.errors import (
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    ServerUnavailableError,
)

HEADERS = {"content-type": "application/grpc-web+proto"}
OK = grpc_web.frame(b"grpc-status:0\r\n", trailers=True)


def message(body, headers=HEADERS):
    return grpc_web.message("POST /x", 200, headers, body)


def test_a_frame_is_a_flag_a_length_and_the_content():
    assert grpc_web.frame(b"abc") == b"\x00\x00\x00\x00\x03abc"
    assert OK[0] == 0x80


def test_the_message_is_the_first_frame_and_may_be_empty():
    assert message(grpc_web.frame(b"abc") + OK) == b"abc"
    assert message(grpc_web.frame(b"") + OK) == b""


def test_the_text_form_is_base64():
    body = base64.b64encode(grpc_web.frame(b"abc") + OK)

    assert message(body, {"content-type": "application/grpc-web-text+proto"}) == b"abc"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (5, NotFoundError),
        (7, PermissionDeniedError),
        (12, NotFoundError),
        (13, ServerError),
        (14, ServerUnavailableError),
    ],
)
def test_a_status_is_its_own_error_in_the_trailers_and_in_the_headers(code, kind):
    trailers = grpc_web.frame(f"grpc-status: {code}\r\nGrpc-Message: no%20such".encode(), trailers=True)

    for body, headers in (
        (trailers, HEADERS),
        (b"", {**HEADERS, "grpc-status": str(code), "grpc-message": "no%20such"}),
    ):
        with pytest.raises(ServerError, match="no such") as raised:
            message(body, headers)
        assert type(raised.value) is kind
        assert raised.value.code == code


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (b"{}", {"content-type": "application/json"}, "content type"),
        (grpc_web.frame(b"abc")[:-1], HEADERS, "cut off"),
        (b"\x00\x00", HEADERS, "cut off"),
        (grpc_web.frame(b"abc"), HEADERS, "without a status"),
        (OK, HEADERS, "no message"),
        (b"\x01" + grpc_web.frame(b"abc")[1:], HEADERS, "compressed"),
    ],
)
def test_what_is_no_grpc_web_answer_is_refused(body, headers, words):
    with pytest.raises(ValueError, match=words):
        message(body, headers)
