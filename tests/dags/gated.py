"""DAGs for tests with a real Airflow: their pipelines wait until the test lets them go on."""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_kfp_runtime.dsl import Dataset, Output, pipeline_context
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project


def pass_gate(gate: str, table: Output[Dataset]) -> tuple[int, dict]:
    """Wait until a file is there, and return the number in it."""
    import time
    from pathlib import Path

    print("waiting at the gate")
    while not Path(gate).exists():
        time.sleep(0.05)
    number = int(Path(gate).read_text())
    Path(table.path).write_text(str(number))
    return number, {"digits": list(str(number))}


project = Project("gated")
project.new_function("pass_gate", kind="python", handler=pass_gate)


def gated(gate: str):
    with pipeline_context() as pc:
        pc.step(
            name="Pass gate",
            function="pass_gate",
            inputs={"gate": gate},
            outputs={"table": "table"},
            values=["number", "details"],
        )


@task
def add_one(outputs: dict) -> int:
    return outputs["Pass gate"]["number"] + 1


for deferrable in (True, False):
    with DAG(f"gated_{'in_triggerer' if deferrable else 'in_worker'}", schedule=None, params={"gate": ""}):
        run = KfpPipelineOperator(
            task_id="run",
            workflow=gated,
            project=project,
            arguments={"gate": "{{ params.gate }}"},
            deferrable=deferrable,
            poll_interval=2,
        )
        add_one(run.output)
