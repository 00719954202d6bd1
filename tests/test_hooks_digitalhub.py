"""The connection to a DigitalHub platform: the variables of its steps, and the secret that carries them."""

from __future__ import annotations

import json

import pytest

from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.hooks.digitalhub import DigitalHubHook, platform_variables
from tests.kubernetes_api import running_kubernetes_api

TOKEN = "obviously-fake-token"


@pytest.fixture
def kubernetes(monkeypatch):
    with running_kubernetes_api() as api:
        monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", api.connection(namespace="team-a"))
        yield api


@pytest.fixture
def connection(monkeypatch):
    """Set the connection ``digitalhub_default`` to these fields."""

    def define(**fields: object) -> DigitalHubHook:
        given = {"conn_type": "digitalhub", "host": "https://core.example", **fields}
        monkeypatch.setenv("AIRFLOW_CONN_DIGITALHUB_DEFAULT", json.dumps(given))
        return DigitalHubHook()

    return define


def variables(hook: DigitalHubHook) -> dict[str, str]:
    return platform_variables(hook.get_connection(hook.digitalhub_conn_id))


def test_a_user_and_a_password_become_the_variables_of_the_sdk(connection):
    assert variables(connection(login="u", password="p")) == {
        "DHCORE_ENDPOINT": "https://core.example",
        "DHCORE_USER": "u",
        "DHCORE_PASSWORD": "p",
    }


def test_a_password_alone_is_an_access_token(connection):
    assert variables(connection(password=TOKEN))["DHCORE_ACCESS_TOKEN"] == TOKEN


def test_every_extra_field_of_the_platform_arrives(connection):
    extra = {
        "personal_access_token": "a",
        "refresh_token": "b",
        "issuer": "https://login.example",
        "client_id": "c",
        "kubernetes_conn_id": "cluster",
    }

    assert variables(connection(extra=extra)) == {
        "DHCORE_ENDPOINT": "https://core.example",
        "DHCORE_PERSONAL_ACCESS_TOKEN": "a",
        "DHCORE_REFRESH_TOKEN": "b",
        "DHCORE_ISSUER": "https://login.example",
        "DHCORE_CLIENT_ID": "c",
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"host": ""}, "host: is empty; give the address of the DigitalHub platform"),
        ({"conn_type": "http"}, "is of type 'http', not 'digitalhub'"),
        ({"extra": {"token": TOKEN}}, "'token' is unknown"),
    ],
)
def test_a_wrong_connection_is_refused_without_its_secrets(connection, fields, message):
    with pytest.raises(DefinitionError, match=message) as raised:
        variables(connection(**fields))

    assert TOKEN not in str(raised.value)


def test_without_a_kubernetes_connection_nothing_is_written(connection):
    assert connection(password=TOKEN).write_secrets(["digitalhub"]) == ()


def test_the_secret_is_written_into_the_namespace_of_the_kubernetes_connection(connection, kubernetes):
    hook = connection(password=TOKEN, extra={"kubernetes_conn_id": "cluster"})

    assert hook.write_secrets(["digitalhub", "digitalhub"]) == ("digitalhub",)
    secret = kubernetes.secrets["digitalhub"]
    assert secret["metadata"]["namespace"] == "team-a"
    assert kubernetes.values("digitalhub") == {
        "DHCORE_ENDPOINT": "https://core.example",
        "DHCORE_ACCESS_TOKEN": TOKEN,
    }


def test_a_changed_connection_changes_the_secret_and_an_equal_one_does_not(connection, kubernetes):
    extra = {"kubernetes_conn_id": "cluster"}
    connection(password="old", extra=extra).write_secrets(["digitalhub"])
    connection(password="old", extra=extra).write_secrets(["digitalhub"])
    assert kubernetes.replaced == 0

    connection(password="new", extra=extra).write_secrets(["digitalhub"], namespace="team-b")

    assert kubernetes.values("digitalhub")["DHCORE_ACCESS_TOKEN"] == "new"


def test_the_namespace_of_the_connection_wins_over_that_of_the_run(connection, kubernetes):
    extra = {"kubernetes_conn_id": "cluster", "namespace": "team-c"}
    connection(password=TOKEN, extra=extra).write_secrets(["digitalhub"], namespace="team-b")

    assert kubernetes.secrets["digitalhub"]["metadata"]["namespace"] == "team-c"


def test_a_secret_of_somebody_else_is_left_alone(connection, kubernetes):
    foreign = {"metadata": {"name": "digitalhub"}, "data": {}}
    kubernetes.secrets["digitalhub"] = foreign

    with pytest.raises(DefinitionError, match="was not written by this provider"):
        connection(password=TOKEN, extra={"kubernetes_conn_id": "cluster"}).write_secrets(["digitalhub"])
    assert kubernetes.secrets["digitalhub"] is foreign


def test_a_refusal_of_the_kubernetes_api_says_what_the_account_needs(connection, kubernetes):
    kubernetes.refuses = True

    with pytest.raises(DefinitionError, match="403 Forbidden; the account of kubernetes_conn_id") as raised:
        connection(password=TOKEN, extra={"kubernetes_conn_id": "cluster"}).write_secrets(["digitalhub"])
    assert TOKEN not in str(raised.value)
