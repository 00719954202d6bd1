"""The connection: what its fields become, what is refused, and what testing it says."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading

import certifi
import pytest

from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.hooks.kfp import KfpHook

SECRETS = ("the-token", "the-cookie", "the-header")


@pytest.fixture
def connection(monkeypatch):
    """Set the connection ``kfp_default`` to these fields."""

    def define(**fields: object) -> KfpHook:
        monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", json.dumps({"conn_type": "kfp", **fields}))
        return KfpHook()

    return define


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"host": "http://ml-pipeline.kubeflow.svc:8888"}, "http://ml-pipeline.kubeflow.svc:8888"),
        ({"host": "https://kubeflow.example/pipeline/"}, "https://kubeflow.example/pipeline"),
        ({"host": "localhost", "port": 8888}, "http://localhost:8888"),
        ({"host": "kubeflow.example", "port": 443}, "https://kubeflow.example:443"),
        ({"host": "kubeflow.example", "schema": "https"}, "https://kubeflow.example"),
        ({"host": "https://kubeflow.example", "port": 8443}, "https://kubeflow.example:8443"),
        ({"host": "http://localhost:1", "port": 2}, "http://localhost:1"),
    ],
)
def test_the_address_is_put_together_from_the_fields(connection, fields, address):
    assert connection(**fields).settings.host == address


def test_a_connection_can_be_a_uri(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", "kfp://:the-token@localhost:8888/?namespace=team-a")
    settings = KfpHook().settings

    assert (settings.host, settings.token, settings.namespace) == (
        "http://localhost:8888",
        "the-token",
        "team-a",
    )


def test_every_extra_field_arrives(connection):
    settings = connection(
        host="https://kubeflow.example",
        password="the-token",
        extra={
            "namespace": "team-a",
            "ui_url": "https://ui.example/",
            "metadata_url": "https://metadata.example",
            "ca_certificate": "/certificates/ca.pem",
            "user": "ann@example.com",
            "headers": {"x-key": "the-header"},
            "cookie": "authservice_session=the-cookie; lang=en",
            "connect_timeout": "2.5",
            "read_timeout": 60,
        },
    ).settings

    assert settings.token == "the-token"
    assert settings.namespace == "team-a"
    assert settings.ui_url == "https://ui.example"
    assert settings.metadata_url == "https://metadata.example"
    assert settings.verify == "/certificates/ca.pem"
    assert settings.headers == {"x-key": "the-header", "kubeflow-userid": "ann@example.com"}
    assert settings.cookies == {"authservice_session": "the-cookie", "lang": "en"}
    assert (settings.connect_timeout, settings.read_timeout) == (2.5, 60.0)
    assert not any(secret in repr(settings) for secret in SECRETS)


@pytest.mark.parametrize(("value", "verify"), [(False, False), ("false", False), (True, True), ("", True)])
def test_checking_of_certificates_can_be_switched_off(connection, value, verify):
    assert connection(host="https://kubeflow.example", extra={"verify": value}).settings.verify is verify


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "connection 'kfp_default', host: is empty; give the address"),
        ({"host": "ftp://kubeflow.example"}, "connection 'kfp_default', host: 'ftp://kubeflow.example'"),
        ({"host": "http://ann:the-token@kubeflow.example"}, "host: holds a user or a password"),
        (
            {"host": "h", "extra": {"name_space": "x"}},
            "extra: 'name_space' is unknown. Allowed: ca_",
        ),
        ({"host": "h", "extra": {"read_timeout": "soon"}}, "read_timeout: 'soon' is not a number of seconds"),
        ({"host": "h", "extra": {"verify": "perhaps"}}, "verify: 'perhaps' is neither true nor false"),
        ({"host": "h", "extra": {"cookie": "the-cookie"}}, "cookie: does not read name=value; name=value"),
        ({"host": "h", "extra": {"headers": "the-header"}}, "headers: is not a mapping of names to values"),
        ({"host": "h", "password": "the-token", "extra": {"token_file": "/t"}}, "token: is given beside"),
    ],
)
def test_a_wrong_field_is_named_and_no_secret_is_shown(connection, fields, message):
    hook = connection(**fields)

    with pytest.raises(DefinitionError) as refused:
        _ = hook.settings

    assert message in str(refused.value)
    assert not any(secret in str(refused.value) for secret in SECRETS)


def test_the_link_leads_to_the_ui(connection):
    with_ui = connection(host="http://ml-pipeline:8888", extra={"ui_url": "https://ui.example/"})
    assert with_ui.run_url("1-2") == "https://ui.example/#/runs/details/1-2"

    without = connection(host="http://ml-pipeline:8888")
    assert without.run_url("1-2") == "http://ml-pipeline:8888/#/runs/details/1-2"


async def test_the_event_loop_reads_the_same_settings(connection):
    hook = connection(host="http://localhost:8888", password="the-token")

    assert await hook.load() == connection(host="http://localhost:8888", password="the-token").settings


def test_the_first_request_in_an_event_loop_imports_nothing(kfp_server):
    script = """
import asyncio, sys
from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.hooks.kfp import KfpHook

async def send():
    async with await KfpHook().async_client() as client:
        before = set(sys.modules)
        await client.send(calls.health())
        print("imported:", sorted(set(sys.modules) - before))

asyncio.run(send())
"""
    connection = json.dumps({"conn_type": "kfp", "host": kfp_server.url})
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"AIRFLOW_CONN_KFP_DEFAULT": connection},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "imported: []"


async def test_the_event_loop_goes_on_while_the_certificates_of_a_client_are_read(connection, tmp_path):
    # The read waits for whoever writes, which here is the event loop itself.
    file = tmp_path / "ca.pem"
    os.mkfifo(file)
    hook = connection(host="https://localhost:8888", extra={"ca_certificate": str(file)})
    certificates = certifi.contents()
    rescued: list[bool] = []
    rescue = threading.Timer(10, lambda: (rescued.append(True), file.write_text(certificates)))
    rescue.start()

    making = asyncio.create_task(hook.async_client())
    await asyncio.to_thread(file.write_text, certificates)
    rescue.cancel()
    await (await making).close()

    assert rescued == []


def test_testing_a_good_connection_says_version_and_namespace(connection, kfp_server):
    works, message = connection(host=kfp_server.url).test_connection()

    assert works
    assert message.startswith("Kubeflow Pipelines ")
    assert message.endswith(", no namespace")


def test_testing_a_dead_address_says_what_the_connection_failed_with(connection):
    works, message = connection(host="http://127.0.0.1:9").test_connection()

    assert not works
    assert "cannot connect to 127.0.0.1:9" in message


def test_testing_a_connection_that_is_wrong_says_what_is_wrong(connection):
    assert connection().test_connection()[1].startswith("connection 'kfp_default', host: is empty")


def test_airflow_makes_the_hook_from_the_connection(connection, airflow_database):
    from airflow.models.connection import Connection

    connection(host="http://localhost:8888")
    hook = Connection(conn_id="kfp_default", conn_type="kfp").get_hook()

    assert isinstance(hook, KfpHook)
    assert hook.kfp_conn_id == "kfp_default"


def test_the_password_of_another_type_of_connection_is_never_used(monkeypatch):
    fields = {"conn_type": "http", "host": "http://localhost:1", "password": "the-token"}
    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", json.dumps(fields))

    with pytest.raises(DefinitionError) as caught:
        _ = KfpHook().settings

    assert str(caught.value) == "connection 'kfp_default': is of type 'http', not 'kfp'"


def test_a_connection_without_a_type_is_accepted(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", json.dumps({"host": "http://localhost:1"}))

    assert KfpHook().settings.host == "http://localhost:1"
