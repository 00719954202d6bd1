"""Sources in object stores: moto's server, and one that refuses as the real stores do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace

import boto3
import pytest
from botocore.config import Config

from airflow_kfp_runtime.plugins import source_scheme
from airflow_kfp_runtime.sources import Credentials, Limits, S3Credentials, s3
from tests import http_server
from tests.environments import environment
from tests.git_server import Authority
from tests.http_server import HttpServer
from tests.source_opening import Opening, zip_of

CODE = b"def pipeline():\n    pass\n"
KEYS = S3Credentials(access_key="AKIATESTS", secret_key="hunter2-secret", session_token="hunter2-token")


@pytest.fixture(scope="module")
def moto():
    """The address of moto's server, in a process of its own."""
    python = environment("moto", ("moto[server]>=5",))
    process = subprocess.Popen(
        [python.with_name("moto_server"), "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )
    lines = iter(process.stderr.readline, "")
    yield next(found[0] for line in lines if (found := re.search(r"http://127.0.0.1:\d+", line)))
    process.kill()
    process.wait()
    process.stderr.close()


@pytest.fixture(scope="module")
def store(moto):
    """A client that writes to a bucket."""
    client = boto3.client(
        "s3",
        endpoint_url=moto,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket="flows")
    return client


@pytest.fixture
def opening(tmp_path, monkeypatch, moto):
    for name in [name for name in os.environ if re.match(r"AWS_|S3_|.*_proxy$", name, re.IGNORECASE)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Opening(tmp_path, monkeypatch, Limits(timeout=20, connect_timeout=5))
    made.credentials = Credentials(s3=replace(KEYS, endpoint_url=moto))
    yield made
    assert made.left() == []


@pytest.fixture
def server():
    started = HttpServer()
    yield started
    started.stop()


@pytest.mark.parametrize("name", ["s3", "s3a", "s3n", "zip+s3", "zip+s3a", "ZIP+S3"])
def test_the_schemes_are_known(name):
    assert source_scheme(name, field="code_src").fetch is s3.fetch


@pytest.mark.parametrize(
    ("location", "key"),
    [
        ("s3://flows/team/etl.py", "team/etl.py"),
        ("s3a://flows//team/etl.py", "team/etl.py"),
        ("s3://flows/a b%20c#1?x=ü/etl.py", "a b%20c#1?x=ü/etl.py"),
    ],
)
def test_a_python_file_is_fetched_by_its_key(store, opening, location, key):
    store.put_object(Bucket="flows", Key=key, Body=CODE)

    assert opening(location) == {"etl.py": CODE.decode()}


def test_an_archive_is_extracted(store, opening):
    store.put_object(Bucket="flows", Key="etl.zip", Body=zip_of({"flows/etl.py": CODE, "one.py": "1"}))

    assert opening("zip+s3://flows/etl.zip") == {"flows/etl.py": CODE.decode(), "one.py": "1"}


def test_an_object_that_has_not_changed_is_taken_from_the_cache(store, opening):
    store.put_object(Bucket="flows", Key="etl.py", Body=CODE)
    first = opening.version("s3://flows/etl.py")
    [entry] = opening.kept()
    (entry / "etl.py").write_text("kept = True\n")

    assert opening("s3://flows/etl.py") == {"etl.py": "kept = True\n"}
    store.put_object(Bucket="flows", Key="etl.py", Body=b"changed = True\n")
    assert opening("s3://flows/etl.py") == {"etl.py": "changed = True\n"}
    assert opening.version("s3://flows/etl.py") != first


@pytest.mark.parametrize(
    "names",
    [
        ("S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_ENDPOINT_URL", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"),
    ],
)
def test_credentials_are_taken_from_the_environment(store, opening, moto, monkeypatch, names):
    store.put_object(Bucket="flows", Key="etl.py", Body=CODE)
    opening.credentials = Credentials()
    for name, value in zip(names, (moto, "AKIATESTS", "hunter2-secret"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("S3_REGION", "eu-west-1")

    assert opening("s3://flows/etl.py") == {"etl.py": CODE.decode()}


def test_the_request_is_signed_with_region_and_token(server, opening):
    server.answers["/flows/etl.py"] = http_server.file(CODE)
    opening.credentials = Credentials(
        s3=replace(KEYS, endpoint_url=server.url(""), region="eu-west-1", path_style=True)
    )

    opening("s3://flows/etl.py")

    [(asked, headers)] = server.requests
    assert "%2Feu-west-1%2Fs3%2Faws4_request" in asked
    assert "X-Amz-Security-Token=hunter2-token" in asked
    assert "hunter2-secret" not in asked + str(headers)


def test_the_bucket_is_in_the_host_where_that_is_asked_for(opening):
    opening.credentials = Credentials(s3=replace(KEYS, endpoint_url="http://store.invalid", path_style=False))

    assert "no connection to http://flows.store.invalid/etl.py" in opening.refused("s3://flows/etl.py")


def test_the_older_signature_is_used_for_stores_that_know_no_other(server, opening, monkeypatch):
    server.answers["/flows/etl.py"] = http_server.file(CODE)
    opening.credentials = Credentials()
    monkeypatch.setenv("S3_ENDPOINT_URL", server.url(""))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2-secret")
    monkeypatch.setenv("S3_SIGNATURE_VERSION", "s3")

    opening("s3://flows/etl.py")

    assert "AWSAccessKeyId=AKIATESTS" in server.requests[0][0]


def test_a_store_with_a_certificate_of_its_own_is_read(tmp_path, opening):
    authority = Authority.create(tmp_path / "authority")
    server = HttpServer(authority)
    server.answers["/flows/etl.py"] = http_server.file(CODE)
    there = replace(KEYS, endpoint_url=server.url(""))

    for trusted in (str(authority.certificate), False):
        opening.credentials = Credentials(s3=replace(there, ca_certificate=trusted))
        assert opening("s3://flows/etl.py") == {"etl.py": CODE.decode()}
    opening.credentials = Credentials(s3=there)
    assert "is not trusted" in opening.refused("s3://flows/etl.py")
    server.stop()


def test_a_store_that_is_busy_is_asked_again(server, opening):
    answers = iter([http_server.status(503), http_server.drop, http_server.file(CODE)])
    server.answers["/flows/etl.py"] = lambda handler: next(answers)(handler)
    opening.credentials = Credentials(s3=replace(KEYS, endpoint_url=server.url("")))

    assert opening("s3://flows/etl.py") == {"etl.py": CODE.decode()}
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3://flows/missing.py", "answers 404 (NoSuchKey): the bucket 'flows' has no key 'missing.py'"),
        ("s3://missing/etl.py", "answers 404 (NoSuchBucket): there is no bucket 'missing'"),
    ],
)
def test_what_the_store_does_not_have_is_said(store, opening, location, message):
    assert message in opening.refused(location)


def refusal(status: int, code: str, more: str = "", **headers: str) -> http_server.Answer:
    """Refuse as S3 does."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message>{more}</Error>".encode()
    return lambda handler: handler.send(
        status,
        {
            "Content-Length": str(len(body)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        body,
    )


REFUSED = [
    pytest.param(refusal(403, "AccessDenied"), "they need s3:GetObject", id="denied"),
    pytest.param(http_server.status(403), "they need s3:GetObject", id="denied without a reason"),
    pytest.param(refusal(403, "InvalidAccessKeyId"), "does not accept the keys", id="unknown key"),
    pytest.param(refusal(403, "SignatureDoesNotMatch"), "does not accept the keys", id="wrong secret"),
    pytest.param(refusal(400, "ExpiredToken"), "the session token has expired", id="expired token"),
    pytest.param(refusal(403, "RequestTimeTooSkewed"), "the clock of this machine", id="clock"),
    pytest.param(refusal(403, "InvalidObjectState"), "restore it first", id="in Glacier"),
    pytest.param(
        refusal(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"),
        "the bucket is in the region 'eu-west-1'; set region_name",
        id="other region",
    ),
    pytest.param(
        refusal(400, "AuthorizationQueryParametersError", "<Region>eu-west-2</Region>"),
        "the region 'eu-west-2'",
        id="signed for another region",
    ),
    pytest.param(refusal(503, "SlowDown"), "answers 503 (SlowDown): try again later", id="busy"),
    pytest.param(refusal(418, "Teapot"), "answers 418 (Teapot): expected is 200", id="unheard of"),
    pytest.param(http_server.page(), "what comes is a web page", id="console instead of the API"),
    pytest.param(http_server.endless, "it has more than 1000000 bytes", id="endless"),
    pytest.param(http_server.short_of(1000, CODE), "ended the connection before all", id="too short"),
]


@pytest.mark.parametrize(("answer", "message"), REFUSED)
def test_a_refusal_says_what_to_do_and_leaves_nothing(server, opening, answer, message):
    server.answers["/flows/etl.py"] = answer
    opening.limits = Limits(download=1_000_000, timeout=20)
    opening.credentials = Credentials(s3=replace(KEYS, endpoint_url=server.url("")))

    said = opening.refused("s3://flows/etl.py")

    assert message in said
    assert "hunter2" not in said
    assert "Signature=" not in said
    assert opening.kept() == []


def test_a_store_that_stalls_is_left_at_the_deadline(server, opening):
    server.answers["/flows/etl.py"] = http_server.stall
    opening.limits = Limits(timeout=0.3)
    opening.credentials = Credentials(s3=replace(KEYS, endpoint_url=server.url("")))

    assert "was ended after 0.3 seconds" in opening.refused("s3://flows/etl.py")


def test_a_store_that_does_not_run_is_said_so(server, opening):
    opening.credentials = Credentials(s3=replace(KEYS, endpoint_url=server.url("")))
    server.stop()

    assert "Connection refused; check server and port" in opening.refused("s3://flows/etl.py")


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3://flows/etl.zip", "names a zip archive, which has the scheme zip+s3://"),
        ("s3n://flows/etl.sql", "names no file that ends in .py. Allowed: s3n://.../etl.py"),
        ("s3://flows", "names no key in its bucket"),
        ("s3://flows//", "names no key in its bucket. Allowed: s3://bucket/folder/etl.py"),
        ("zip+s3:///etl.zip", "names no bucket. Allowed: zip+s3://bucket/folder/etl.zip"),
        ("s3://f/etl.py", "'f' is not the name of a bucket"),
        ("s3://store:9000/etl.py", "'store:9000' is not the name of a bucket"),
        ("s3://AKIA:hunter2@flows/etl.py", "holds a user or keys, which would be seen in logs"),
    ],
)
def test_an_address_that_is_wrong_is_refused_before_anything_is_asked(opening, location, message):
    said = opening.refused(location)

    assert message in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"endpoint_url": "store.example.org"},
            "the endpoint 'store.example.org' of the object store is no web",
        ),
        ({"endpoint_url": "http://ann:hunter2@store"}, "endpoint_url: holds a user or a password"),
        ({"secret_key": None}, "have one key without the other"),
        ({"signature_version": "v9"}, "boto3 cannot sign the request"),
        ({"ca_certificate": "/missing.pem"}, "cannot be read from '/missing.pem': No such file"),
        (
            {"access_key": None, "secret_key": None, "session_token": None},
            "no credentials for the object store",
        ),
    ],
)
def test_credentials_that_are_wrong_are_refused_before_anything_is_asked(opening, changes, message):
    opening.credentials = Credentials(s3=replace(opening.credentials.s3, **changes))

    said = opening.refused("s3://flows/etl.py")

    assert message in said
    assert "hunter2" not in said


def test_a_variable_that_is_wrong_is_named(opening, monkeypatch):
    opening.credentials = Credentials()
    monkeypatch.setenv("S3_PATH_STYLE", "perhaps")

    assert "S3_PATH_STYLE is 'perhaps'. Allowed: true, false" in opening.refused("s3://flows/etl.py")


def test_without_boto3_the_error_says_what_to_install(opening, monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.setitem(sys.modules, "boto3.session", None)

    assert "pip install 'airflow-kfp-runtime[s3]'" in opening.refused("s3://flows/etl.py")
