"""Try several models at a time, and deploy the best one only if it is good enough: all of it in one pipeline.

Shows: ``pc.for_each`` with a step for each candidate, and ``pc.collected``, the list of what they gave;
``pc.when`` and ``pc.otherwise``, which the run decides by a value that no one knows before; ``pc.one_of``,
the output of the branch that ran; and how the next task tells which one it was: a step that did not run has
no outputs, ``{}``. (``train_and_branch`` has the DAG decide instead.)

Data: 400 made-up points of two kinds, which overlap. A point is of the kind of most of its neighbours.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_kfp_runtime.dsl import Dataset, Input, Output, pipeline_context
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project


def prepare(points: Output[Dataset]) -> None:
    """Write points with their kinds, 0 and 1."""
    import json
    import random
    from pathlib import Path

    draw = random.Random(7)
    rows = [(draw.gauss(kind, 0.5), draw.gauss(kind, 0.5), kind) for kind in (0, 1) for _ in range(200)]
    draw.shuffle(rows)
    Path(points.path).write_text(json.dumps(rows))


def evaluate(points: Input[Dataset], neighbours: int) -> dict:
    """Return how often the nearest neighbours among the first half tell the kind of the second."""
    import json
    from math import dist
    from pathlib import Path

    rows = json.loads(Path(points.path).read_text())
    known, unseen = rows[: len(rows) // 2], rows[len(rows) // 2 :]

    def kind_of(point: list) -> int:
        nearest = sorted(known, key=lambda row: dist(row[:2], point))[:neighbours]
        return round(sum(row[2] for row in nearest) / neighbours)

    right = sum(kind_of(row[:2]) == row[2] for row in unseen)
    return {"neighbours": neighbours, "accuracy": right / len(unseen)}


def choose(results: list) -> tuple[int, float]:
    """Return the best candidate and its accuracy."""
    best = max(results, key=lambda result: result["accuracy"])
    return best["neighbours"], best["accuracy"]


def deploy(neighbours: int) -> str:
    """Stand in for a deployment."""
    return f"deployed with {neighbours} neighbours"


def explain(accuracy: float, threshold: float) -> str:
    """Say how far the best candidate falls short."""
    return f"not deployed: {accuracy:.1%} of the points are right, {threshold:.1%} are needed"


def announce(outcome: str) -> None:
    """Stand in for a message to the team."""
    print(outcome)


project = Project("deployment")
for function in (prepare, evaluate, choose, deploy, explain, announce):
    project.new_function(function.__name__, kind="python", handler=function)


def pipeline(candidates: list[int], threshold: float):
    """Evaluate the candidates, and deploy the best one if it is good enough."""
    with pipeline_context() as pc:
        points = pc.step("prepare", function="prepare").outputs["points"]
        with pc.for_each(candidates, parallelism=2) as neighbours:
            tried = pc.step(
                "evaluate",
                function="evaluate",
                inputs={"points": points},
                parameters={"neighbours": neighbours},
                values=["result"],
            )
        best = pc.step(
            "choose",
            function="choose",
            inputs={"results": pc.collected(tried.outputs["result"])},
            values=["neighbours", "accuracy"],
        )

        with pc.when(best.outputs["accuracy"] >= threshold):
            deployed = pc.step(
                "deploy",
                function="deploy",
                inputs={"neighbours": best.outputs["neighbours"]},
                values=["outcome"],
            )
        with pc.otherwise():
            explained = pc.step(
                "explain",
                function="explain",
                inputs={"accuracy": best.outputs["accuracy"]},
                parameters={"threshold": threshold},
                values=["outcome"],
            )
        outcome = pc.one_of(deployed.outputs["outcome"], explained.outputs["outcome"])
        pc.step("announce", function="announce", inputs={"outcome": outcome})


with DAG(
    "conditional_deployment",
    schedule=None,
    tags=["kubeflow", "example"],
    doc_md=__doc__,
    # Without it a template gives text.
    render_template_as_native_obj=True,
    params={
        "candidates": Param([1, 5, 25], type="array", items={"type": "integer"}, title="Neighbours to ask"),
        "threshold": Param(0.8, type="number", minimum=0, maximum=1, title="Accuracy that is good enough"),
    },
):
    deployment = KfpPipelineOperator(
        task_id="deployment",
        workflow=pipeline,
        project=project,
        arguments={"candidates": "{{ params.candidates }}", "threshold": "{{ params.threshold }}"},
        deferrable=True,
        poll_interval=5,
    )

    @task
    def report(outputs: dict) -> str:
        """Say which branch ran, and what it gave."""
        branch = "deploy" if outputs["deploy"] else "explain"
        print(outputs[branch]["outcome"])
        return f"{branch}: {outputs[branch]['outcome']}"

    report(deployment.output)
