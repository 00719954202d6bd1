"""The embedded server's API without its engine: what tests of single calls share."""

from __future__ import annotations

import json
import socket
import threading
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import uvicorn

from airflow_kfp_runtime.embedded.api import ApiOptions, create_app
from airflow_kfp_runtime.embedded.engine.artifacts import workflow_name
from airflow_kfp_runtime.embedded.engine.check import check
from airflow_kfp_runtime.embedded.state.rows import TaskRow, now
from airflow_kfp_runtime.embedded.state.store import Store

if TYPE_CHECKING:
    from pathlib import Path

API = "/apis/v2beta1"


@dataclass
class RecordingEngine:
    """An engine that runs nothing: it keeps what it is asked for, and moves states as the engine does."""

    store: Store
    asked: list[tuple[str, str]] = field(default_factory=list)

    def check(self, pipeline_spec, platform_spec):
        check(pipeline_spec, platform_spec)

    def submit(self, run_id):
        self.asked.append(("submit", run_id))

    def terminate(self, run_id):
        self.asked.append(("terminate", run_id))
        return self.store.set_run_state(run_id, "CANCELING", only_from={"PENDING", "RUNNING", "PAUSED"})

    def retry(self, run_id):
        self.asked.append(("retry", run_id))
        return self.store.set_run_state(run_id, "RUNNING", only_from={"FAILED"})

    def discard(self, run_id):
        self.asked.append(("discard", run_id))


class _Server:
    """A uvicorn in a thread whose application can be exchanged: to start one takes longer than a test."""

    idle: ClassVar[list[_Server]] = []

    def __init__(self) -> None:
        self.app: Any = None
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(
            uvicorn.Config(self._answer, log_level="critical", lifespan="off", interface="asgi3")
        )
        threading.Thread(target=server.run, args=([listener],), daemon=True).start()

    async def _answer(self, scope, receive, send):
        await self.app(scope, receive, send)


class Api:
    """The API of a store of its own, served by a thread of this process."""

    def __init__(self, data: Path, *, next_api: bool = False) -> None:
        self.data = data
        self.store = Store(data / "server.db")
        self.engine = RecordingEngine(self.store)
        app = create_app(self.store, self.engine, data, ApiOptions(next_api))
        self._server = _Server.idle.pop() if _Server.idle else _Server()
        self._server.app = app
        self.url = self._server.url
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def close(self) -> None:
        self.http.close()
        _Server.idle.append(self._server)
        self.store.close()

    def get(self, path: str, **query: Any):
        return self.http.get(f"{API}{path}", params=query)

    def post(self, path: str, message: Any = None):
        return self.http.post(f"{API}{path}", content=b"" if message is None else json.dumps(message))

    def delete(self, path: str, **query: Any):
        return self.http.delete(f"{API}{path}", params=query)

    def upload(self, spec: Any, path: str = "/pipelines/upload", **query: Any):
        content = spec if isinstance(spec, bytes) else json.dumps(spec).encode()
        return self.http.post(f"{API}{path}", params=query, files={"uploadfile": ("p.yaml", content)})

    def run(self, *, spec: dict | None = None, parameters: dict | None = None, **fields: Any):
        """Submit a run with the pipeline inline."""
        message = {"display_name": "run", "pipeline_spec": spec or pipeline_spec(), **fields}
        if parameters is not None:
            message["runtime_config"] = {"parameters": parameters}
        return self.post("/runs", message)

    def finished(self, run_id: str, *tasks: TaskRow, state: str = "SUCCEEDED") -> None:
        """Put a run into an end state, with these tasks."""
        for task in tasks:
            self.store.save_task(task)
        self.store.set_run_state(run_id, state)


def pipeline_spec(name: str = "pipe", **parameters: dict[str, Any]) -> dict[str, Any]:
    """The IR of one step that echoes; ``parameters`` are the pipeline's own."""
    root: dict[str, Any] = {
        "dag": {
            "tasks": {
                "train": {
                    "taskInfo": {"name": "train"},
                    "componentRef": {"name": "comp-train"},
                    "inputs": {"parameters": {"epochs": {"runtimeValue": {"constant": 3}}}},
                }
            }
        }
    }
    if parameters:
        root["inputDefinitions"] = {"parameters": parameters}
    return {
        "pipelineInfo": {"name": name},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "root": root,
        "components": {
            "comp-train": {
                "executorLabel": "exec-train",
                "inputDefinitions": {"parameters": {"epochs": {"parameterType": "NUMBER_INTEGER"}}},
            }
        },
        "deploymentSpec": {
            "executors": {"exec-train": {"container": {"image": "alpine", "command": ["echo", "trained"]}}}
        },
    }


def pod_name(run_id: str) -> str:
    """The pod of the step of a run of :func:`pipeline_spec`."""
    return f"{workflow_name('pipe', run_id)}-system-container-impl-42"


def run_tasks(run_id: str, **step: Any) -> list[TaskRow]:
    """The tasks of a run of :func:`pipeline_spec`: the root and its one step, with fields of the step."""
    moment = now()
    root = TaskRow(
        str(uuid.uuid4()), run_id, "root", "", "ROOT", moment,
        state="SUCCEEDED", started_at=moment, finished_at=moment,
    )  # fmt: skip
    train = TaskRow(
        str(uuid.uuid4()), run_id, "train", "train", "CONTAINER", moment,
        parent_task_id=root.task_id, state="SUCCEEDED", started_at=moment, finished_at=moment,
        pod_name=pod_name(run_id), exit_code=0, attempts=1,
        executor_input={"inputs": {"parameterValues": {"epochs": 3}}, "outputs": {}},
        inputs={"parameters": {"epochs": 3}, "artifacts": {}},
    )  # fmt: skip
    return [root, replace(train, **step)]
