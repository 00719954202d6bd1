"""The connection to a DigitalHub platform: the variables of its steps, and the secret that carries them.

Kubernetes cannot run here: its API is played by a server that keeps secrets and knows their conflicts.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.hooks.digitalhub import DigitalHubHook, platform_variables

TOKEN = "obviously-fake-token"


class KubernetesApi(BaseHTTPRequestHandler):
    """Creates, reads and replaces secrets, as Kubernetes does."""

    def do_POST(self):
        body = self._body()
        name = body["metadata"]["name"]
        if self.server.refuses:
            self._answer(403, {"kind": "Status", "message": "secrets is forbidden"})
        elif name in self.server.secrets:
            self._answer(409, {"kind": "Status", "reason": "AlreadyExists"})
        else:
            self.server.secrets[name] = body
            self._answer(201, body)

    def do_GET(self):
        self._answer(200, self.server.secrets[self.path.rpartition("/")[2]])

    def do_PUT(self):
        self.server.replaced += 1
        body = self._body()
        self.server.secrets[body["metadata"]["name"]] = body
        self._answer(200, body)

    def _body(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Keep the tests' output to the tests."""


@pytest.fixture
def kubernetes(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), KubernetesApi)
    server.secrets, server.replaced, server.refuses = {}, 0, False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    configuration = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    extra = {"kube_config": json.dumps(configuration), "namespace": "team-a"}
    connection = {"conn_type": "kubernetes", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", json.dumps(connection))
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


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


def values(secret: dict) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


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
    assert values(secret) == {"DHCORE_ENDPOINT": "https://core.example", "DHCORE_ACCESS_TOKEN": TOKEN}


def test_a_changed_connection_changes_the_secret_and_an_equal_one_does_not(connection, kubernetes):
    extra = {"kubernetes_conn_id": "cluster"}
    connection(password="old", extra=extra).write_secrets(["digitalhub"])
    connection(password="old", extra=extra).write_secrets(["digitalhub"])
    assert kubernetes.replaced == 0

    connection(password="new", extra=extra).write_secrets(["digitalhub"], namespace="team-b")

    assert values(kubernetes.secrets["digitalhub"])["DHCORE_ACCESS_TOKEN"] == "new"


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

    with pytest.raises(
        DefinitionError, match="403 Forbidden; the account of kubernetes_conn_id"
    ) as raised:
        connection(password=TOKEN, extra={"kubernetes_conn_id": "cluster"}).write_secrets(["digitalhub"])
    assert TOKEN not in str(raised.value)
