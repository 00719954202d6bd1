"""Plays Kubernetes, which cannot run here: a server that keeps secrets and knows their conflicts."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class KubernetesApi(ThreadingHTTPServer):
    """The API of a cluster.

    :ivar secrets: those that there are, by name.
    :ivar replaced: how many were replaced.
    :ivar refuses: whether creating a secret is forbidden.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secrets: dict[str, dict[str, Any]] = {}
        self.replaced = 0
        self.refuses = False

    def connection(self, **extra: str) -> str:
        """An Airflow connection to it, as a variable ``AIRFLOW_CONN_...`` has it."""
        configuration = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.server_port}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        extra = {"kube_config": json.dumps(configuration), **extra}
        return json.dumps({"conn_type": "kubernetes", "extra": extra})

    def values(self, name: str) -> dict[str, str]:
        """What a secret holds."""
        data = self.secrets[name]["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


@contextmanager
def running_kubernetes_api() -> Iterator[KubernetesApi]:
    server = KubernetesApi()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: KubernetesApi

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
