"""A model of a KFP server for histories: what it answers to a call, in memory, with a clock of its own.

The embedded server is not used, for two reasons. It takes milliseconds for a call, of which a history has
hundreds.
And it is kinder than KFP: it starts an id once, whatever is sent. Here, as in KFP 2.17 (kfp-server.md), the
workflow is started before the row is written, so that a second POST of an id starts a second workflow under
it and is answered with a 500.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from airflow_kfp_runtime.client.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_kfp_runtime.client.call import Call

API = "/apis/v2beta1"
GOING_ON = ("PENDING", "RUNNING")


def answer(data: Any, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(data).encode())


def refusal(status: int, code: int, message: str) -> Answer:
    return answer({"code": code, "message": message, "details": []}, status)


NOT_FOUND = refusal(404, 5, "Not Found")


@dataclass
class ModelRun:
    """A run.

    :param requested_id: the id in the request, by which the histories tell generations apart.
    :param number: which workflow it is; its step puts that out.
    """

    run_id: str
    requested_id: str
    number: int
    description: str
    created_at: float
    reference: dict[str, str]
    states: list[str] = field(default_factory=lambda: ["PENDING"])
    terminations: int = 0

    @property
    def state(self) -> str:
        return self.states[-1]

    def go_on_to(self, state: str) -> None:
        """Do what the cluster does: a run that is being canceled can only fail, one that ended stays."""
        if self.state == "CANCELING":
            self.states.append("FAILED")
        elif self.state in GOING_ON and state != self.state:
            self.states.append(state)

    def shown(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "description": self.description,
            "state": self.state,
            "state_history": [{"state": state} for state in self.states],
            "created_at": datetime.fromtimestamp(self.created_at, timezone.utc).isoformat(),
            "pipeline_version_reference": self.reference,
        }


@dataclass
class ModelServer:
    """The server.

    :param honours_ids: whether a run gets the id that the client asks for.
    :param on_start: called with each run before it starts, beside those that are there.
    """

    now: Callable[[], float]
    on_start: Callable[[ModelRun], None]
    honours_ids: bool = True
    runs: dict[str, ModelRun] = field(default_factory=dict)
    workflows: list[ModelRun] = field(default_factory=list)
    experiments: list[str] = field(default_factory=list)
    pipelines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def handle(self, call: Call[Any]) -> Answer:
        """Act on a call, and answer it."""
        for method, pattern, act in self._routes():
            matched = re.fullmatch(f"{API}{pattern}", call.path)
            if matched and method == call.method:
                return act(call, *matched.groups())
        return NOT_FOUND

    def _routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        return [
            ("GET", "/runs/([^/:]+)", self._run),
            ("GET", "/runs", self._listed),
            ("POST", "/runs", self._create_run),
            ("POST", "/runs/([^/:]+):terminate", self._terminate),
            ("POST", "/runs/([^/:]+):retry", self._retry),
            ("GET", "/runs/([^/:]+)/tasks", self._tasks),
            ("GET", "/experiments", self._experiments),
            ("POST", "/experiments", self._create_experiment),
            ("GET", "/pipelines/names/([^/]+)", self._pipeline),
            ("POST", "/pipelines", self._create_pipeline),
            ("GET", "/pipelines/([^/]+)/versions", self._versions),
            ("GET", "/pipelines/([^/]+)/versions/([^/]+)", self._version),
            ("POST", "/pipelines/upload_version", self._upload),
        ]

    def _run(self, _: Call[Any], run_id: str) -> Answer:
        found = self.runs.get(run_id)
        return answer(found.shown()) if found else NOT_FOUND

    def _listed(self, call: Call[Any]) -> Answer:
        predicates = json.loads(unquote(call.query["filter"]))["predicates"]
        found = [run.shown() for run in self.runs.values() if all(_holds(run, row) for row in predicates)]
        return answer({"runs": found, "total_size": len(found)} if found else {})

    def _create_run(self, call: Call[Any]) -> Answer:
        body = call.json or {}
        number = len(self.workflows)
        requested = body["run_id"]
        run_id = requested if self.honours_ids else f"own-{number}"
        run = ModelRun(
            run_id=run_id,
            requested_id=requested,
            number=number,
            description=body.get("description", ""),
            created_at=self.now(),
            reference=body.get("pipeline_version_reference", {}),
        )
        self.on_start(run)
        self.workflows.append(run)
        if run_id in self.runs:
            return refusal(500, 13, f"Duplicate entry '{run_id}' for key 'PRIMARY'")
        self.runs[run_id] = run
        return answer(run.shown())

    def _terminate(self, _: Call[Any], run_id: str) -> Answer:
        run = self.runs.get(run_id)
        if run is None:
            return NOT_FOUND
        if run.state not in GOING_ON:
            return refusal(400, 3, f"Failed to terminate a run {run_id}. Row not found")
        run.states.append("CANCELING")
        run.terminations += 1
        return answer({})

    def _retry(self, _: Call[Any], run_id: str) -> Answer:
        run = self.runs.get(run_id)
        if run is None:
            return NOT_FOUND
        if run.state != "FAILED":
            return refusal(409, 10, "Workflow must be Failed/Error to retry")
        run.states.append("RUNNING")
        return answer({})

    def _tasks(self, _: Call[Any], run_id: str) -> Answer:
        run = self.runs.get(run_id)
        if run is None:
            return NOT_FOUND
        outputs = {"parameters": [{"parameter_key": "number", "value": run.number}]}
        step = {"task_id": "1", "parent_task_id": "0", "name": "train", "type": "RUNTIME", "state": run.state}
        if run.state == "SUCCEEDED":
            step["outputs"] = outputs
        return answer({"tasks": [{"task_id": "0", "name": "root", "type": "ROOT"}, step]})

    def _experiments(self, _: Call[Any]) -> Answer:
        rows = [{"experiment_id": name, "display_name": name} for name in self.experiments]
        return answer({"experiments": rows} if rows else {})

    def _create_experiment(self, call: Call[Any]) -> Answer:
        name = (call.json or {})["display_name"]
        if name in self.experiments:
            return refusal(409, 6, "Experiment already exists")
        self.experiments.append(name)
        return answer({"experiment_id": name, "display_name": name})

    def _pipeline(self, _: Call[Any], name: str) -> Answer:
        return answer({"pipeline_id": name, "display_name": name}) if name in self.pipelines else NOT_FOUND

    def _create_pipeline(self, call: Call[Any]) -> Answer:
        name = (call.json or {})["display_name"]
        if name in self.pipelines:
            return refusal(409, 6, "Pipeline already exists")
        self.pipelines[name] = []
        return answer({"pipeline_id": name, "display_name": name})

    def _versions(self, _: Call[Any], pipeline_id: str) -> Answer:
        rows = self.pipelines.get(pipeline_id, [])
        return answer({"pipeline_versions": rows} if rows else {})

    def _version(self, _: Call[Any], pipeline_id: str, version_id: str) -> Answer:
        rows = self.pipelines.get(pipeline_id, [])
        return next((answer(row) for row in rows if row["pipeline_version_id"] == version_id), NOT_FOUND)

    def _upload(self, call: Call[Any]) -> Answer:
        rows = self.pipelines.setdefault(call.query["pipelineid"], [])
        name = call.query["name"]
        if any(row["name"] == name for row in rows):
            return answer({"error_message": "Failed to create a pipeline version"}, 409)
        spec = json.loads(call.upload.content if call.upload else b"{}")
        row = {
            "pipeline_id": call.query["pipelineid"],
            "pipeline_version_id": f"v{len(rows)}",
            "name": name,
            "display_name": name,
            "pipeline_spec": spec,
        }
        rows.append(row)
        return answer(row)


def _holds(run: ModelRun, predicate: dict[str, Any]) -> bool:
    value = str(run.shown().get(predicate["key"], ""))
    match predicate["operation"]:
        case "EQUALS":
            return value == predicate["string_value"]
        case "IS_SUBSTRING":
            return predicate["string_value"] in value
        case "IN":
            return value in predicate["string_values"]["values"]
        case operation:
            raise NotImplementedError(operation)
