"""DAG whose runs go on while processes are killed: eight tasks, each with a pipeline that takes seconds.

Each pipeline says which task it belongs to, and draws a number, by which its outputs are known from those of
another run.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project

OWNER = "{{ ti.run_id }}.{{ ti.task_id }}.{{ ti.map_index }}"

#: How many pipelines a DAG run has.
PIPELINES = 8

NAP = 'sleep "$(shuf -i 1-8 -n 1)"; '
SAY = NAP + 'printf %s "$1" > "$2"; printf %s "$(shuf -i 1-1000000000 -n 1)" > "$3"'
#: Fails where it is the first of its task.
STUMBLE = NAP + 'if mkdir "$1"; then echo stumbled; exit 1; fi'

project = Project("soak")


def shell(name: str, script: str, *arguments: str, **options: object) -> None:
    command = ["sh", "-c", script, "sh", *arguments]
    project.new_function(name, kind="container", image="alpine", command=command, **options)


shell("say", SAY, "$(inputs.owner)", "$(outputs.owner)", "$(outputs.draw)", outputs={"draw": "int"})
shell("stumble", STUMBLE, "$(inputs.mark)")
shell("fail", NAP + "echo doomed; exit 1")


def saying(owner: str):
    with pipeline_context() as pc:
        pc.step(name="say", function="say", inputs={"owner": owner}, values=["owner", "draw"])


def stumbling(owner: str, mark: str):
    with pipeline_context() as pc:
        say = pc.step(name="say", function="say", inputs={"owner": owner}, values=["owner", "draw"])
        pc.step(name="stumble", function="stumble", inputs={"mark": mark}).after(say)


def failing():
    with pipeline_context() as pc:
        pc.step(name="fail", function="fail")


with DAG("soak", schedule=None, params={"marks": ""}, max_active_runs=100):
    usual = {
        "project": project,
        "deferrable": True,
        "poll_interval": 2,
        # Each kill costs a try.
        "retries": 40,
        "retry_delay": timedelta(seconds=1),
    }
    says = {"workflow": saying, "arguments": {"owner": OWNER}}
    stumbles = {
        "workflow": stumbling,
        "arguments": {"owner": OWNER, "mark": "{{ params.marks }}/" + OWNER},
    }
    KfpPipelineOperator.partial(task_id="mapped", workflow=saying, **usual).expand(
        arguments=[says["arguments"]] * 2
    )
    KfpPipelineOperator(task_id="deferred", **says, **usual)
    KfpPipelineOperator(task_id="in_worker", **says, **(usual | {"deferrable": False}))
    KfpPipelineOperator(task_id="stumbles", **stumbles, **usual)
    KfpPipelineOperator(task_id="resumes", on_retry="resume", **stumbles, **usual)
    KfpPipelineOperator(
        task_id="resumes_in_worker", on_retry="resume", **stumbles, **(usual | {"deferrable": False})
    )
    KfpPipelineOperator(task_id="doomed", workflow=failing, **(usual | {"retries": 2}))
