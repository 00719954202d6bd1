"""DAGs for tests with a real Airflow: workers are killed or frozen in their first tries."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project

POINTS = ("before_intent", "after_intent", "during_post", "after_post", "before_deferral")


def pass_gate(folder: str) -> None:
    """Wait until a file is there."""
    import time
    from pathlib import Path

    while not Path(folder, "gate").exists():
        time.sleep(0.05)


project = Project("killed")
project.new_function("nap", kind="container", image="alpine", command=["sleep", "1"])
project.new_function("pass_gate", kind="python", handler=pass_gate)


def napping():
    with pipeline_context() as pc:
        pc.step(name="nap", function="nap")


def gated(folder: str):
    with pipeline_context() as pc:
        pc.step(name="pass_gate", function="pass_gate", inputs={"folder": folder})


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str) -> None:
    """Make this process kill itself at a point of the submission; it runs one try of one task."""
    from airflow_kfp_runtime.client import KfpClient
    from airflow_kfp_runtime.operators.intent import Intents

    announce, send = Intents.announce, KfpClient.send

    def announce_and_die(*arguments):
        announce(*arguments)
        die()

    def send_and_die(client, call):
        if call.label == "POST /apis/v2beta1/runs":
            if point == "during_post":
                threading.Thread(target=send, args=(client, call), daemon=True).start()
                time.sleep(0.02)
                die()
            send(client, call)
            die()
        return send(client, call)

    match point:
        case "before_intent":
            Intents.announce = die
        case "after_intent":
            Intents.announce = announce_and_die
        case "during_post" | "after_post":
            KfpClient.send = send_and_die


class FrozenOnce(KfpPipelineOperator):
    """Stops the process that speaks to Airflow for it, in its first try, right before the intent.

    That one's id is left in the folder; the intent waits until that process goes on.
    """

    def __init__(self, *, folder: str, **arguments) -> None:
        super().__init__(**arguments)
        self.folder = folder

    def execute(self, context):
        from airflow_kfp_runtime.operators.intent import Intents

        folder = Path(self.render_template(self.folder, context))
        announce = Intents.announce

        def freeze_and_announce(*arguments):
            supervisor = os.getppid()
            os.kill(supervisor, signal.SIGSTOP)
            (folder / "supervisor").write_text(str(supervisor))
            announce(*arguments)

        if context["ti"].try_number == 1:
            Intents.announce = freeze_and_announce
        return super().execute(context)


class TakenForDead(KfpPipelineOperator):
    """Stops the process that speaks to Airflow for it, in its first try, while it waits.

    That one's id is left in the folder, and a file by the second try that waits.
    """

    def execute(self, context):
        from airflow_kfp_runtime.operators import kfp

        folder, wait_for = Path(self.arguments["folder"]), kfp.wait_for
        is_first = context["ti"].try_number == 1

        def freeze_and_wait(*arguments):
            if is_first:
                supervisor = os.getppid()
                os.kill(supervisor, signal.SIGSTOP)
                (folder / "supervisor").write_text(str(supervisor))
            else:
                (folder / "second").touch()
            return wait_for(*arguments)

        kfp.wait_for = freeze_and_wait
        return super().execute(context)


class KilledOnce(KfpPipelineOperator):
    """Dies in its first try."""

    def __init__(self, *, point: str, **arguments) -> None:
        super().__init__(**arguments)
        self.point = point

    def execute(self, context):
        self.dies = context["ti"].try_number == 1
        if self.dies:
            arm(self.point)
        return super().execute(context)

    def defer(self, **arguments):
        if self.dies:
            die()
        super().defer(**arguments)


with DAG("killed_workers", schedule=None):
    for at in POINTS:
        KilledOnce(
            task_id=at,
            point=at,
            workflow=napping,
            project=project,
            deferrable=True,
            poll_interval=2,
            retries=1,
            retry_delay=timedelta(seconds=1),
        )

with DAG("taken_for_dead", schedule=None, params={"folder": ""}):
    TakenForDead(
        task_id="run",
        workflow=gated,
        project=project,
        arguments={"folder": "{{ params.folder }}"},
        poll_interval=2,
        retries=1,
        retry_delay=timedelta(seconds=1),
    )

with DAG("replaced_try", schedule=None, params={"folder": ""}):
    FrozenOnce(
        task_id="run", folder="{{ params.folder }}", workflow=napping, project=project, poll_interval=2
    )
