"""Plain pages to look at: the recent runs, and one run with its steps, outputs and logs.

A link made for KFP's UI (``/#/runs/details/<id>``) arrives here as well: a browser keeps what follows ``#``
to itself, so a few lines of script on the first page go on to ``/runs/<id>``.
"""

from __future__ import annotations

import html
import json
from collections import deque
from string import Template
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from airflow_kfp_runtime.embedded.api.context import Context  # noqa: TC001 -- FastAPI reads annotations
from airflow_kfp_runtime.embedded.api.system import log_file
from airflow_kfp_runtime.embedded.state.rows import END_STATES, RunRow, now, timestamp
from airflow_kfp_runtime.embedded.state.store import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from airflow_kfp_runtime.embedded.api.context import ApiContext
    from airflow_kfp_runtime.embedded.state.rows import TaskRow

RECENT_RUNS = 50

#: How the names of outputs begin that compilers add to hand a value on from inside a block.
_CHANNEL = "pipelinechannel--"

router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
$refresh<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
a { color: #0757b8; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { white-space: pre-wrap; margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #ddd; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dd { margin: 0; }
.state { font-weight: 600; }
.time { white-space: nowrap; }
.SUCCEEDED { color: #17703c; }
.FAILED, .error { color: #b3261e; }
.SKIPPED { color: #666; }
.RUNNING { color: #0757b8; }
</style>
$script</head>
<body>
$body
<footer><p><small>$footer</small></p></footer>
</body>
</html>
""")
_HASH_SCRIPT = """<script>
const found = location.hash.match(/^#\\/runs\\/details\\/([^/?]+)/);
if (found) location.replace("/runs/" + found[1]);
</script>
"""
_FOOTER = "The embedded server of airflow-kfp-runtime: the API of Kubeflow Pipelines on one machine."


@router.get("/")
def recent_runs(context: Context) -> HTMLResponse:
    """The page with the youngest runs."""
    runs = context.store.select(RunRow, Selection(order_by="created_at DESC, run_id", limit=RECENT_RUNS))
    rows = [
        (
            f'<a href="/runs/{_text(run.run_id)}">{_text(run.display_name)}</a>',
            _text(run.pipeline_spec["pipelineInfo"]["name"]),
            _state(run.state),
            timestamp(run.created_at),
            _duration(run.created_at, run.finished_at, run.state),
        )
        for run in runs
    ]
    body = "<h1>Runs</h1>\n" + (
        _table(("Run", "Pipeline", "State", "Created", "Duration"), rows)
        if rows
        else "<p>There are no runs yet.</p>"
    )
    return _page("Runs", body, script=_HASH_SCRIPT)


@router.get("/runs/{run_id}")
def one_run(context: Context, run_id: str) -> HTMLResponse:
    """The page of a run: its steps with state, time, outputs and log. It reloads until the run ends."""
    run = context.store.get_run(run_id)
    if run is None:
        return _page("No such run", f"<h1>Run {_text(run_id)} was not found</h1>", status=404)
    facts = {
        "Pipeline": _text(run.pipeline_spec["pipelineInfo"]["name"]),
        "State": _state(run.state),
        "Created": timestamp(run.created_at),
        "Duration": _duration(run.created_at, run.finished_at, run.state),
        "Run id": f"<code>{_text(run.run_id)}</code>",
        "Arguments": _values(run.parameters),
        "Error": f'<pre class="error">{_text(run.error)}</pre>' if run.error else "",
    }
    shown = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items() if value)
    tasks = _in_order(context.store.tasks_of(run_id))
    rows = [_step(context, task) for task in tasks if task.type != "ROOT"]
    steps = (
        _table(("Step", "State", "Started", "Duration", "Outputs", "Log"), rows)
        if rows
        else "<p>None yet.</p>"
    )
    head = f'<p><a href="/">All runs</a></p>\n<h1>{_text(run.display_name)}</h1>'
    body = f"{head}\n<dl>{shown}</dl>\n<h2>Steps</h2>\n{steps}"
    return _page(run.display_name, body, reload=run.state not in END_STATES)


def _in_order(tasks: Iterable[TaskRow]) -> list[TaskRow]:
    """The tasks, each followed by those in it; those beside each other in the order of their first start."""
    children: dict[str | None, list[TaskRow]] = {}
    for task in tasks:
        children.setdefault(task.parent_task_id, []).append(task)
    ordered: list[TaskRow] = []
    pending = deque(children.get(None, []))
    while pending:
        task = pending.popleft()
        ordered.append(task)
        pending.extendleft(reversed(children.get(task.task_id, [])))
    return ordered


def _step(context: ApiContext, task: TaskRow) -> tuple[str, ...]:
    error = f'<pre class="error">{_text(task.error)}</pre>' if task.error else ""
    artifacts = {
        name: [artifact["uri"] for artifact in found] for name, found in task.outputs["artifacts"].items()
    }
    uris = {name: found[0] if len(found) == 1 else found for name, found in artifacts.items()}
    outputs = {**task.outputs["parameters"], **uris}
    log = ""
    if log_file(context.data, task) is not None:
        log = f'<a href="/apis/v1alpha1/runs/{_text(task.run_id)}/nodes/{_text(task.pod_name)}/log">log</a>'
    return (
        _step_name(task),
        _state(task.state) + error,
        f'<span class="time">{timestamp(task.started_at)}</span>' if task.started_at else "",
        _duration(task.started_at, task.finished_at, task.state) if task.started_at else "",
        _values({name: value for name, value in outputs.items() if not name.startswith(_CHANNEL)}),
        log,
    )


def _step_name(task: TaskRow) -> str:
    """The task's own name, further in than those around it; a pointer is shown the whole path."""
    *around, name = task.path.split("/")
    shown = f"iteration {name}" if task.type == "ITERATION" else name
    depth = f"{1.5 * len(around):g}em"
    return f'<span title="{_text(task.path)}" style="padding-left: {depth}">{_text(shown)}</span>'


def _page(
    title: str, body: str, *, script: str = "", reload: bool = False, status: int = 200
) -> HTMLResponse:
    refresh = '<meta http-equiv="refresh" content="3">\n' if reload else ""
    return HTMLResponse(
        _PAGE.substitute(title=_text(title), body=body, script=script, refresh=refresh, footer=_FOOTER),
        status,
    )


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _values(values: dict[str, Any]) -> str:
    lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())
    text = "\n".join(lines)
    return f"<pre>{_text(text)}</pre>" if text else ""


def _state(state: str) -> str:
    return f'<span class="state {_text(state)}">{_text(state)}</span>'


def _duration(start: datetime, end: datetime | None, state: str) -> str:
    if end is None and state in END_STATES:
        return ""
    elapsed = (end or now()) - start
    return f"{elapsed.total_seconds():.1f} s"


def _text(text: str) -> str:
    return html.escape(text, quote=True)
