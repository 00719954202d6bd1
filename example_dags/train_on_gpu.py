"""Train on a GPU, with what the steps need of Kubernetes: a node, a volume, a secret.

Shows: a step for which a GPU is reserved, with the tolerations and the affinity that lead it to a node that
has one; a persistent volume claim that is made for the run, shared by two steps, and deleted in the end,
also after a failure; a key of a secret as an environment variable of one step alone; and ``settings`` for
the whole pipeline, of which each step gets its part.

It needs a secret ``model-signing`` with a key ``key``. In a cluster::

    kubectl create secret generic model-signing --from-literal=key=...

The embedded server has secrets in its data directory, so there it is the file ``secrets/model-signing/key``.
That server makes claims as folders, shown at the mount path for as long as a step runs: here that is
``/tmp/airflow-kfp-runtime/digits``, which has to be free. Node, tolerations and GPU it cannot give: the log
of the step lists them, and the training takes the processor.

Data: the handwritten digits that scikit-learn ships (UCI, CC BY 4.0): 1797 images of 8 x 8 pixels.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_kfp_runtime.dsl import Input, Model, Output, pipeline_context
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project

FOLDER = "/tmp/airflow-kfp-runtime/digits"


def prepare(folder: str, test_share: float) -> int:
    """Write the images and their classes to a folder, and return how many are there to train with."""
    from pathlib import Path

    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, classes = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, classes, test_size=test_share, stratify=classes, random_state=0)
    names = ("images", "unseen_images", "classes", "unseen_classes")
    np.savez(Path(folder) / "digits.npz", **dict(zip(names, parts, strict=True)))
    return len(parts[0])


def train(folder: str, rounds: int, model: Output[Model]) -> float:
    """Train a linear classifier, on the GPU where CuPy is there; return its accuracy on unseen images."""
    from pathlib import Path

    import numpy as np

    try:
        import cupy as xp
    except ImportError:
        xp = np

    with np.load(Path(folder) / "digits.npz") as digits:
        found = {name: xp.asarray(digits[name]) for name in digits.files}
    images, truth = found["images"], xp.eye(10)[found["classes"]]
    weights = xp.zeros((images.shape[1], 10))
    for _ in range(rounds):
        odds = xp.exp(images @ weights)
        weights += images.T @ (truth - odds / odds.sum(axis=1, keepdims=True)) / len(images)

    predicted = xp.argmax(found["unseen_images"] @ weights, axis=1)
    np.savetxt(model.path, weights if xp is np else xp.asnumpy(weights), delimiter=",")
    return float((predicted == found["unseen_classes"]).mean())


def sign(model: Input[Model]) -> str:
    """Return a signature of the model, by the key that only this step has."""
    import hashlib
    import hmac
    import os
    from pathlib import Path

    key = os.environ["SIGNING_KEY"].encode()
    return hmac.new(key, Path(model.path).read_bytes(), hashlib.sha256).hexdigest()


project = Project("digits")
project.new_function("prepare", kind="python", handler=prepare, requirements=["scikit-learn>=1.5,<2"])
project.new_function(
    "train", kind="python", handler=train, image="cupy/cupy:v13.6.0", requirements=["numpy>=1.26"]
)
project.new_function("sign", kind="python", handler=sign)

#: The claim: the two steps that name this volume share it.
DIGITS = {
    "volume_type": "persistent_volume_claim",
    "name": "digits",
    "mount_path": FOLDER,
    "spec": {"size": "1Gi", "storage_class": "standard"},
}

#: As NVIDIA's operator labels nodes that have a GPU.
GPU_NODES = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "nvidia.com/gpu.present", "operator": "Exists"}]}
            ]
        }
    }
}


def training_pipeline(rounds: int, test_share: float = 0.25):
    """Prepare the images on a volume, train on them, and sign the model."""
    with pipeline_context() as pc:
        prepared = pc.step(
            name="prepare",
            function="prepare",
            parameters={"folder": FOLDER, "test_share": test_share},
            values=["images"],
            volumes=[DIGITS],
            # What it leaves on the volume is none of its outputs: KFP must not take them from an earlier run.
            caching=False,
        )
        trained = pc.step(
            name="train",
            function="train",
            parameters={"folder": FOLDER, "rounds": rounds},
            outputs={"model": "model"},
            values=["accuracy"],
            volumes=[DIGITS],
            resources={"cpu": "1", "mem": {"requests": "1Gi", "limits": "4Gi"}, "gpu": "1"},
            tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            affinity=GPU_NODES,
        ).after(prepared)
        pc.step(
            name="sign",
            function="sign",
            inputs={"model": trained.outputs["model"]},
            values=["signature"],
            secrets=[{"name": "model-signing", "keys": {"key": "SIGNING_KEY"}}],
        )


with DAG(
    "train_on_gpu",
    schedule=None,
    tags=["kubeflow", "example"],
    doc_md=__doc__,
    params={"rounds": Param(200, type="integer", minimum=1, title="Rounds of training")},
):
    training = KfpPipelineOperator(
        task_id="training",
        workflow=training_pipeline,
        project=project,
        arguments={"rounds": "{{ params.rounds }}"},
        settings={
            "labels": {"airflow-dag": "{{ dag.dag_id }}"},
            "timeout": 3600,
            "steps": {"prepare": {"retries": 2}},
        },
        deferrable=True,
        poll_interval=5,
    )

    @task
    def report(outputs: dict) -> str:
        """Say how good the model is, and how it is signed."""
        accuracy, signature = outputs["train"]["accuracy"], outputs["sign"]["signature"]
        sentence = f"{accuracy:.1%} of the digits were read correctly; the model's signature is {signature}."
        print(sentence)
        return sentence

    report(training.output)
