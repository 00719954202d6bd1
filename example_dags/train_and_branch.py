"""Train a classifier in a pipeline, and let its accuracy decide how the DAG goes on.

Shows: steps that need packages (``requirements``; they are installed in the step's container, never in
Airflow's environment); a model and metrics as outputs; values with their types, so that a ``@task.branch``
can compare the accuracy with a threshold; and typed DAG params as the pipeline's arguments.

Data: the breast cancer set that scikit-learn ships (UCI, CC BY 4.0): 569 tumours, 30 measurements of each.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_kfp_runtime.dsl import Dataset, Input, Metrics, Model, Output, pipeline_context
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project

REQUIREMENTS = ["scikit-learn>=1.5,<2"]


def prepare(test_share: float, training: Output[Dataset], test: Output[Dataset]) -> None:
    """Write the set as two tables, the last column the class: one to train on and one to test with."""
    import numpy as np
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    features, classes = load_breast_cancer(return_X_y=True)
    rows = np.column_stack([features, classes])
    for output, part in zip(
        (training, test),
        train_test_split(rows, test_size=test_share, stratify=classes, random_state=0),
        strict=True,
    ):
        np.savetxt(output.path, part, delimiter=",")
        output.metadata["rows"] = len(part)


def train(
    training: Input[Dataset], test: Input[Dataset], trees: int, model: Output[Model], metrics: Output[Metrics]
) -> tuple[float, float]:
    """Train a random forest, keep it, and return its accuracy and recall on rows it has not seen."""
    import joblib
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import accuracy_score, recall_score

    known, unseen = (np.loadtxt(table.path, delimiter=",") for table in (training, test))
    classifier = RandomForestClassifier(n_estimators=trees, random_state=0)
    classifier.fit(known[:, :-1], known[:, -1])
    joblib.dump(classifier, model.path)

    predicted = classifier.predict(unseen[:, :-1])
    accuracy = accuracy_score(unseen[:, -1], predicted)
    recall = recall_score(unseen[:, -1], predicted)
    metrics.log_metric("accuracy", accuracy)
    metrics.log_metric("recall", recall)
    return accuracy, recall


project = Project("tumours")
project.new_function("prepare", kind="python", handler=prepare, requirements=REQUIREMENTS)
project.new_function("train", kind="python", handler=train, requirements=REQUIREMENTS)


def training_pipeline(trees: int, test_share: float = 0.25):
    """Prepare the data, then train on it."""
    with pipeline_context() as pc:
        prepared = pc.step(
            name="prepare",
            function="prepare",
            parameters={"test_share": test_share},
            outputs={"training": "training", "test": "test"},
        )
        pc.step(
            name="train",
            function="train",
            inputs={"training": prepared.outputs["training"], "test": prepared.outputs["test"]},
            parameters={"trees": trees},
            outputs={"model": "model", "metrics": "metrics"},
            values=["accuracy", "recall"],
        )


with DAG(
    "train_and_branch",
    schedule=None,
    tags=["kubeflow", "example"],
    doc_md=__doc__,
    # For the threshold of `choose`: without it a template gives text.
    render_template_as_native_obj=True,
    params={
        "trees": Param(200, type="integer", minimum=1, title="Trees in the forest"),
        "threshold": Param(0.9, type="number", minimum=0, maximum=1, title="Accuracy that is good enough"),
    },
):
    training = KfpPipelineOperator(
        task_id="training",
        workflow=training_pipeline,
        project=project,
        arguments={"trees": "{{ params.trees }}"},
        deferrable=True,
        poll_interval=5,
    )

    @task.branch
    def choose(outputs: dict, threshold: float) -> str:
        """Go on with the model if it is good enough."""
        return "release" if outputs["train"]["accuracy"] >= threshold else "discard"

    @task
    def release(outputs: dict) -> str:
        """Say where the model is; here it would be registered or deployed."""
        print(f"Release {outputs['train']['model']['uri']}")
        return outputs["train"]["model"]["uri"]

    @task
    def discard(outputs: dict) -> None:
        """Say how far the model falls short."""
        print(f"Only {outputs['train']['accuracy']:.1%} of the tumours were classified correctly.")

    chosen = choose(training.output, "{{ params.threshold }}")
    chosen >> [release(training.output), discard(training.output)]
