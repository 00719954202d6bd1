"""Secrets in texts that others have written are found in each form that servers repeat them in."""

from __future__ import annotations

import base64
import html
import json
import logging
import threading
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.redaction import Redaction

SECRET = "m4rked/+t&k<n>\"'\\=ü end"
FORMS = {
    "as it is": lambda text: text,
    "in capitals": str.upper,
    "of a URL": lambda text: quote(text, safe=""),
    "of a path": quote,
    "of a form": quote_plus,
    "of a URL in small letters": lambda text: quote(text, safe="").lower(),
    "of HTML": html.escape,
    "of JSON": json.dumps,
    "of JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "of JSON by PHP": lambda text: json.dumps(text).replace("/", "\\/"),
    "of JSON by Go": lambda text: (
        json.dumps(text, ensure_ascii=False)
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
    ),
    "of Python": repr,
    "of bytes in Python": lambda text: repr(text.encode()),
    "of bytes in an exception": lambda text: repr(ValueError(f"{text.encode()!r}\"'")),
    "of a list in Python": lambda text: repr([f"'{text}\"", text]),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_each_form_that_a_server_may_repeat_it_in(form):
    said = f"denied: {FORMS[form](f'session={SECRET}; x')} is old"

    shown = Redaction(["other", SECRET]).text(said)

    assert "***" in shown
    assert "rked" not in shown.lower()
    assert shown.lower().startswith("denied: ")
    assert shown.endswith(" is old")


@given(secret=st.text(min_size=6, max_size=60), before=st.text(max_size=8), after=st.text(max_size=8))
def test_a_secret_is_found_in_the_base64_of_what_holds_it(secret, before, after):
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        said = encode((before + secret + after).encode(errors="replace")).decode()
        shown = Redaction([secret]).text(f"authorization: Basic {said}")
        if secret.strip():
            assert "***" in shown
            assert len(shown.partition("Basic ")[2]) <= len(said) - len(secret) + 3


@given(secret=st.text(), said=st.text())
def test_whatever_a_secret_is_it_is_not_shown(secret, said):
    if secret.strip() and secret not in "***":
        assert secret not in Redaction([secret]).text(f"{said}{secret}").replace("***", "")


def test_a_text_without_the_secret_stays_as_it_is():
    assert Redaction([SECRET]).text("denied") == "denied"
    assert Redaction(["", None, "  "]).text("a b") == "a b"
    assert Redaction(["dev"], shortest=6).text("the device") == "the device"


@given(at=st.integers(0, 200), length=st.integers(1, 40))
def test_a_secret_is_not_cut_in_two(at, length):
    shown = Redaction(["abcdefghij"]).beginning("." * at + "abcdefghij" * 200, length)

    assert len(shown) <= length
    assert not set(shown) - {".", "*"}


def test_no_secret_is_in_its_representation():
    assert "rked" not in repr(Redaction([SECRET]))


def test_what_libraries_log_meanwhile_is_without_the_secrets(caplog):
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("httpcore.http11")
    redaction = Redaction([SECRET])

    with redaction.in_logs():
        logger.debug("return_value=%r", [(b"Location", SECRET.encode())])
        other = threading.Thread(target=logger.debug, args=("of another: %s", SECRET))
        other.start()
        other.join()
    logger.debug("afterwards: %s", SECRET)

    assert [record.getMessage() for record in caplog.records] == [
        "return_value=[(b'Location', b'***')]",
        f"of another: {SECRET}",
        f"afterwards: {SECRET}",
    ]
