"""The few calls of Airflow's REST API that the demo and the tests need (Airflow 3, ``/api/v2``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

#: The states in which a DAG run has ended.
ENDED = frozenset({"success", "failed"})


@dataclass(frozen=True)
class TaskInstance:
    """One task of a DAG run.

    :param state: Airflow's word for it (``deferred``, ``success``, ...), ``None`` before it is scheduled.
    :param map_index: -1 unless the task is mapped.
    :param try_number: 1 for the first try.
    :param max_tries: the number that Airflow changes when the task is cleared, and leaves over retries.
    """

    task_id: str
    state: str | None
    map_index: int
    try_number: int
    max_tries: int
    start: datetime | None
    end: datetime | None

    @property
    def seconds(self) -> float | None:
        """How long it took, deferral included; ``None`` unless it ran and has ended."""
        return (self.end - self.start).total_seconds() if self.start and self.end else None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TaskInstance:
        """Read the API's answer."""
        return cls(
            task_id=data["task_id"],
            state=data["state"],
            map_index=data["map_index"],
            try_number=data["try_number"],
            max_tries=data["max_tries"],
            start=_moment(data["start_date"]),
            end=_moment(data["end_date"]),
        )


class AirflowClient:
    """A client of one deployment's REST API; a context manager.

    :param url: the API server's address.
    """

    def __init__(self, url: str, *, username: str, password: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        token = self._send("POST", "/auth/token", json={"username": username, "password": password})
        self._http.headers["Authorization"] = f"Bearer {token['access_token']}"

    def dag_is_known(self, dag_id: str) -> bool:
        """Whether the DAG processor has read this DAG."""
        return self._http.get(f"/api/v2/dags/{dag_id}").is_success

    def import_errors(self) -> dict[str, str]:
        """DAG files that could not be read: file name to stack trace."""
        answer = self._send("GET", "/api/v2/importErrors")
        return {error["filename"]: error["stack_trace"] for error in answer["import_errors"]}

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Trigger a DAG and return the run id.

        :param conf: values for the DAG's params.
        """
        body = {"logical_date": None, "conf": conf or {}}
        return str(self._send("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """The state of a DAG run: ``queued``, ``running``, ``success`` or ``failed``."""
        return str(self._send("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """The task instances of a DAG run, in the order in which they started."""
        answer = self._send("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        tasks = [TaskInstance.from_json(task) for task in answer["task_instances"]]
        return sorted(tasks, key=lambda task: (task.start is None, task.start and task.start.timestamp()))

    def tries(self, dag_id: str, run_id: str, task: TaskInstance) -> list[TaskInstance]:
        """The tries of a task, the first first, with the state in which each ended."""
        index = "" if task.map_index < 0 else f"/{task.map_index}"
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}{index}/tries"
        answer = self._send("GET", path)
        return [TaskInstance.from_json(entry) for entry in answer["task_instances"]]

    def events(self, dag_id: str, run_id: str, task: TaskInstance) -> list[str]:
        """What Airflow's event log says last of a task, an entry a line, the newest first."""
        query = {"dag_id": dag_id, "run_id": run_id, "task_id": task.task_id, "map_index": task.map_index}
        answer = self._send("GET", "/api/v2/eventLogs", params={**query, "order_by": "-event_log_id"})
        return [
            f"{event['when']} try {event['try_number']}: {event['event']} {event['extra'] or ''}"
            for event in answer["event_logs"]
        ]

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """The value of an XCom; ``None`` where there is none."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        answer = self._http.get(path, params={"map_index": map_index, "stringify": False})
        return None if answer.status_code == httpx.codes.NOT_FOUND else _checked(answer)["value"]

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str | None]:
        """The extra links of a task: name to address."""
        answer = self._send("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links")
        return dict(answer["extra_links"])

    def log(self, dag_id: str, run_id: str, task: TaskInstance) -> str:
        """What the last try of a task logged, a line an event, stack traces included."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/logs/{task.try_number}"
        answer = self._send(
            "GET", path, params={"map_index": task.map_index}, headers={"Accept": "application/json"}
        )
        return "\n".join(_log_line(event) for event in answer["content"])

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str, *, map_index: int = -1) -> None:
        """Set the state of a task, as the UI's *Mark as* does."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        index = f"/{map_index}" if map_index >= 0 else ""
        self._send("PATCH", path + index, json={"new_state": state})

    def mark_run(self, dag_id: str, run_id: str, state: str) -> None:
        """Set the state of a DAG run, which ends its tasks."""
        self._send("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", json={"state": state})

    def clear(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> None:
        """Let a task run again, as the UI's *Clear task instance* does."""
        task = [task_id, map_index] if map_index >= 0 else task_id
        body = {"dag_run_id": run_id, "task_ids": [task], "dry_run": False, "only_failed": False}
        self._send("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", json=body)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, method: str, path: str, **options: Any) -> Any:
        return _checked(self._http.request(method, path, **options))


def _checked(answer: httpx.Response) -> Any:
    if answer.is_error:
        request = answer.request
        raise RuntimeError(
            f"{request.method} {request.url.path} answered {answer.status_code}: {answer.text[:2000]}"
        )
    return answer.json()


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def _log_line(event: dict[str, Any] | str) -> str:
    if isinstance(event, str):
        return event
    errors = [
        f"{error.get('exc_type')}: {error.get('exc_value')}" for error in event.get("error_detail") or []
    ]
    return "\n".join([str(event.get("event", "")), *errors])
