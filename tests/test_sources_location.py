"""Where a source is, as users write it: what is accepted, and that nothing secret is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.location import Location

HOSTS = st.from_regex(r"[a-z]{1,8}(\.[a-z]{2,5}){0,2}(:[1-9][0-9]{0,3})?", fullmatch=True)
SCHEMES = st.sampled_from(["https", "zip+https", "git+https", "s3", "HTTP"])
# Longer than what stands in the rest of an address by chance, and of any characters.
SECRETS = st.text(st.characters(exclude_categories=["C"]), min_size=1).map(lambda text: f"hunter2{text}")


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("etl.py", Location(None, "etl.py")),
        ("../flows/etl#1.zip", Location(None, "../flows/etl#1.zip")),
        ("C:\\flows\\etl.py", Location(None, "C:\\flows\\etl.py")),
        ("https://example.org/etl.py?a=1", Location("https", "example.org/etl.py?a=1")),
        ("ZIP+S3://bucket/key.zip", Location("zip+s3", "bucket/key.zip")),
        ("git+ssh://git@host/etl.git#v1:flows", Location("git+ssh", "git@host/etl.git", "v1:flows")),
        ("git+https://host/etl.git#", Location("git+https", "host/etl.git", "")),
    ],
)
def test_a_location_is_a_path_or_has_a_scheme(text, location):
    assert Location.parse(text, field="code_src") == location


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "code_src: is empty. Allowed: flows/etl.py"),
        ("  ", "is empty"),
        ("etl.py\n", "a control character"),
        ("file:///flows/etl.py", "Allowed: the path itself, without it"),
        ("FILE://etl.py", "begins with 'file://'"),
        ("git@github.com:team/etl.git", "Allowed: git+ssh://git@github.com/team/etl.git"),
        ("ext::sh -c whoami", "a helper program of git"),
        ("--upload-pack=whoami", "begins with '-'"),
    ],
)
def test_a_form_that_is_never_accepted_is_refused_with_the_one_that_is(text, message):
    with pytest.raises(SourceError) as refused:
        Location.parse(text, field="code_src")

    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("flows/etl.py", "flows/etl.py"),
        ("https://example.org/etl.py", "https://example.org/etl.py"),
        ("https://example.org/etl.py?signature=s", "https://example.org/etl.py?***"),
        ("https://ann:s@example.org/etl.py", "https://***@example.org/etl.py"),
        ("https://s@example.org/etl.py", "https://***@example.org/etl.py"),
        ("https://unpkg.com/etl@1.0/etl.py", "https://unpkg.com/etl@1.0/etl.py"),
        ("git+https://example.org/etl.git#v1", "git+https://example.org/etl.git"),
    ],
)
def test_a_location_is_shown_without_what_may_be_secret(text, shown):
    assert Location.parse(text, field="code_src").shown == shown


@given(st.text())
def test_any_text_is_read_or_refused(text):
    try:
        location = Location.parse(text, field="code_src")
    except SourceError:
        return
    assert location.shown
    if location.scheme is None:
        assert location.rest == text


@given(st.builds("{}://{}".format, SCHEMES, st.text()))
def test_any_address_has_a_server_or_is_refused(text):
    try:
        host, port = Location.parse(text, field="code_src").host_and_port(field="code_src")
    except SourceError:
        return
    assert host == host.lower()
    assert port is None or 0 < port < 65536


@given(SCHEMES, HOSTS, SECRETS)
def test_a_password_is_neither_shown_nor_in_an_error(scheme, host, secret):
    text = f"{scheme}://ann:{secret}@{host}/etl.py"

    location = Location.parse(text, field="code_src")

    assert "hunter2" not in location.shown
    assert location.shown.endswith(f"***@{host}/etl.py") or "?" in secret or "#" in secret
    with pytest.raises(SourceError) as refused:
        location.host_and_port(field="code_src")
    assert "hunter2" not in str(refused.value)


@given(SCHEMES, HOSTS, SECRETS)
def test_a_query_is_not_shown(scheme, host, secret):
    location = Location.parse(f"{scheme}://{host}/etl.py?signature={secret}", field="code_src")

    assert "hunter2" not in location.shown
