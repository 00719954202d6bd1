"""AWS connections: what their fields become for sources in S3, and what is refused."""

from __future__ import annotations

import json
import subprocess

import pytest

from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.hooks.sources import ConnectionCredentials
from airflow_kfp_runtime.sources.credentials import S3Credentials
from tests.environments import environment

SECRET = "marked-7d21-secret"


@pytest.fixture
def aws(monkeypatch):
    """Read a connection of type ``aws`` with these fields."""

    def read(**fields: object) -> S3Credentials:
        monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps({"conn_type": "aws", **fields}))
        read = ConnectionCredentials(None, "store")
        assert read.git is None
        return read.s3

    return read


def test_everything_about_a_store_arrives(aws):
    read = aws(
        login="key",
        password=SECRET,
        extra={
            "aws_session_token": "the session",
            "region_name": "eu-south-1",
            "endpoint_url": "https://minio.example.org:9000",
            "verify": "/certificates/ca.pem",
            "config_kwargs": {"s3": {"addressing_style": "path"}, "retries": {"max_attempts": 2}},
        },
    )

    assert read == S3Credentials(
        access_key="key",
        secret_key=SECRET,
        session_token="the session",
        endpoint_url="https://minio.example.org:9000",
        region="eu-south-1",
        path_style=True,
        ca_certificate="/certificates/ca.pem",
    )
    assert SECRET not in repr(read)
    assert "the session" not in repr(read)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, S3Credentials()),
        (
            {"extra": {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}},
            S3Credentials(access_key="key", secret_key="secret"),
        ),
        (
            {"extra": {"endpoint_url": "a", "service_config": {"s3": {"endpoint_url": "b"}}}},
            S3Credentials(endpoint_url="b"),
        ),
        ({"extra": {"verify": False}}, S3Credentials(ca_certificate=False)),
        ({"extra": {"verify": True}}, S3Credentials()),
        (
            {"extra": {"config_kwargs": {"s3": {"addressing_style": "virtual"}}}},
            S3Credentials(path_style=False),
        ),
        ({"extra": {"config_kwargs": {"s3": {"addressing_style": "auto"}}}}, S3Credentials()),
    ],
)
def test_a_store_can_be_described_in_other_ways(aws, fields, expected):
    assert aws(**fields) == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"conn_type": "git"}, "connection 'store': is of type 'git', not 'aws'"),
        ({"extra": {"bucket": "b"}}, "extra: 'bucket' is unknown. Allowed: assume_role_kwargs"),
        ({"host": "minio.example.org"}, "host: is not read from a connection of type 'aws'"),
        ({"login": "key"}, "connection 'store': has one key without the other"),
        ({"password": SECRET}, "connection 'store': has one key without the other"),
        ({"extra": {"aws_secret_access_key": SECRET}}, "connection 'store': has one key without the other"),
        ({"extra": {"aws_session_token": SECRET}}, "aws_session_token: belongs to keys"),
        ({"extra": {"verify": 3}}, "verify: 3 is neither true, false nor the path"),
        ({"extra": {"config_kwargs": "path"}}, "config_kwargs: is a str, not a mapping"),
        ({"extra": {"config_kwargs": {"proxies": {}}}}, "config_kwargs: 'proxies' is not supported"),
        ({"extra": {"config_kwargs": {"s3": {"a": 1}}}}, "config_kwargs: 'a' is not supported"),
        (
            {"extra": {"config_kwargs": {"s3": {"addressing_style": "x"}}}},
            "'x' is no addressing style. Allowed: auto, path, virtual",
        ),
        ({"extra": {"service_config": []}}, "service_config: is a list, not a mapping"),
        ({"extra": {"role_arn": "arn:aws:iam::1:role/r"}}, "role_arn: needs the Amazon provider: install"),
        ({"extra": {"profile_name": "p"}}, "profile_name: needs the Amazon provider"),
    ],
)
def test_what_is_wrong_with_an_aws_connection_is_said_without_its_secrets(aws, fields, message):
    with pytest.raises(DefinitionError) as refused:
        aws(**fields)

    assert message in str(refused.value)
    assert SECRET not in str(refused.value)


def test_with_the_amazon_provider_it_gets_the_keys(tmp_path):
    python = environment("amazon", ("apache-airflow-providers-amazon>=9",), editable=True)
    (tmp_path / "credentials").write_text(
        "[reader]\naws_access_key_id = key\naws_secret_access_key = secret\naws_session_token = session\n"
    )
    script = (
        "from airflow_kfp_runtime.hooks.sources import ConnectionCredentials\n"
        "read = ConnectionCredentials(aws_conn_id='store').s3\n"
        "print(read.access_key, read.secret_key, read.session_token, read.region)\n"
    )
    done = subprocess.run(
        [python, "-c", script],
        env={
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW_CONN_STORE": json.dumps(
                {"conn_type": "aws", "extra": {"profile_name": "reader", "region_name": "eu-south-1"}}
            ),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        capture_output=True,
        text=True,
    )

    assert done.stdout.splitlines()[-1:] == ["key secret session eu-south-1"], done.stderr
