"""A tour of the official SDK client through a server; the SDK interpreter runs it, and it prints what it saw.

    python kfp_tour.py http://127.0.0.1:8888 FOLDER

Its steps are containers whose commands any machine has, so that nothing is installed.
"""

# Without postponed annotations, which the SDK's decorators do not read.
import json
import sys
import time
from pathlib import Path

import kfp
from kfp import compiler, dsl
from kfp_server_api import ApiException


@dsl.container_component
def greet(name: str, greeting: dsl.OutputPath(str)):
    return dsl.ContainerSpec(
        image="alpine",
        command=["sh", "-c", 'mkdir -p "$(dirname "$1")"; printf "hello %s" "$0" > "$1"'],
        args=[name, greeting],
    )


@dsl.container_component
def shout(text: str):
    return dsl.ContainerSpec(image="alpine", command=["sh", "-c", 'echo "$0!"'], args=[text])


@dsl.container_component
def sleep(seconds: int):
    return dsl.ContainerSpec(image="alpine", command=["sleep"], args=[seconds])


@dsl.container_component
def need(flag: str):
    return dsl.ContainerSpec(
        image="alpine", command=["sh", "-c", 'test -e "$0" || { echo "no $0" >&2; exit 3; }'], args=[flag]
    )


@dsl.pipeline(name="greetings", description="Two steps.")
def greetings(name: str = "world", times: int = 1) -> str:
    made = greet(name=name)
    shout(text=made.outputs["greeting"])
    return made.outputs["greeting"]


@dsl.pipeline(name="sleeper")
def sleeper(seconds: int = 600):
    sleep(seconds=seconds)


@dsl.pipeline(name="needy")
def needy(flag: str):
    done = greet(name="first")
    need(flag=flag).after(done)


@dsl.pipeline(name="branching")
def branching(name: str = "x"):
    made = greet(name=name)
    with dsl.If(made.outputs["greeting"] == "goodbye"):
        shout(text="yes")


def refusal(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except ApiException as error:
        body = json.loads(error.body)
        return {"status": error.status, "code": body.get("code"), "message": body.get("message")}
    return None


def wait_for_state(client, run_id, *states):
    deadline = time.monotonic() + 60
    while (run := client.get_run(run_id)).state not in states:
        if time.monotonic() > deadline:
            raise TimeoutError(f"run {run_id} is {run.state}, not one of {states}")
        time.sleep(0.05)
    return run


def summary(run):
    return {
        "run_id": run.run_id,
        "state": run.state,
        "display_name": run.display_name,
        "experiment_id": run.experiment_id,
        "states": [change.state for change in run.state_history],
        "tasks": {task.display_name: task.state for task in run.run_details.task_details},
        "pipeline_spec": bool(run.pipeline_spec),
        "finished": run.finished_at.year > 1970,
    }


def tour(host: str, folder: Path) -> dict:
    client = kfp.Client(host=host)
    seen: dict = {"multi_user": client.get_kfp_healthz().multi_user}
    package = str(folder / "greetings.yaml")
    compiler.Compiler().compile(greetings, package)

    experiment = client.create_experiment("tour", description="of the SDK")
    seen["experiment"] = {
        "by_name": client.get_experiment(experiment_name="tour").experiment_id == experiment.experiment_id,
        "again": client.create_experiment("tour").experiment_id == experiment.experiment_id,
        "listed": [one.display_name for one in client.list_experiments(page_size=200).experiments],
    }

    pipeline = client.upload_pipeline(package, pipeline_name="greetings-uploaded", description="uploaded")
    version = client.upload_pipeline_version(
        package, pipeline_version_name="second", pipeline_id=pipeline.pipeline_id
    )
    seen["pipeline"] = {
        "id_by_name": client.get_pipeline_id("greetings-uploaded") == pipeline.pipeline_id,
        "description": client.get_pipeline(pipeline.pipeline_id).description,
        "listed": [one.display_name for one in client.list_pipelines(page_size=200).pipelines],
        "versions": sorted(
            one.display_name for one in client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
        ),
        "spec_name": client.get_pipeline_version(
            pipeline.pipeline_id, version.pipeline_version_id
        ).pipeline_spec["pipelineInfo"]["name"],
        "duplicate": refusal(client.upload_pipeline, package, pipeline_name="greetings-uploaded"),
    }

    submitted = client.run_pipeline(
        experiment.experiment_id,
        "by version",
        pipeline_id=pipeline.pipeline_id,
        version_id=version.pipeline_version_id,
        params={"name": "Ada"},
    )
    seen["by_version"] = summary(client.wait_for_run_completion(submitted.run_id, 60, sleep_duration=0.1))
    inline = client.create_run_from_pipeline_package(
        package, {"name": "Grace", "times": 2}, run_name="inline", experiment_name="tour"
    )
    seen["inline"] = summary(inline.wait_for_run_completion(60))

    finished = json.dumps(
        {"predicates": [{"operation": "EQUALS", "key": "state", "stringValue": "SUCCEEDED"}]}
    )
    runs = client.list_runs(experiment_id=experiment.experiment_id, sort_by="created_at desc", page_size=1)
    rest = client.list_runs(experiment_id=experiment.experiment_id, page_token=runs.next_page_token)
    seen["listing"] = {
        "pages": [[run.display_name for run in page.runs] for page in (runs, rest)],
        "filtered": len(client.list_runs(experiment_id=experiment.experiment_id, filter=finished).runs),
        "wrong_parameter": refusal(
            client.create_run_from_pipeline_package, package, {"unknown": 1}, experiment_name="tour"
        ),
    }

    sleeping = client.create_run_from_pipeline_func(sleeper, {}, run_name="sleeps", experiment_name="tour")
    wait_for_state(client, sleeping.run_id, "RUNNING")
    client.terminate_run(sleeping.run_id)
    ended = wait_for_state(client, sleeping.run_id, "FAILED")
    seen["terminated"] = summary(ended)
    seen["terminated_twice"] = refusal(client.terminate_run, sleeping.run_id)

    flag = folder / "flag"
    failing = client.create_run_from_pipeline_func(
        needy, {"flag": str(flag)}, run_name="needs a flag", experiment_name="tour"
    )
    seen["failed"] = summary(wait_for_state(client, failing.run_id, "FAILED"))
    flag.touch()
    client._run_api.run_service_retry_run(failing.run_id)
    seen["retried"] = summary(wait_for_state(client, failing.run_id, "SUCCEEDED", "FAILED"))
    seen["retried_when_succeeded"] = refusal(client._run_api.run_service_retry_run, failing.run_id)
    branched = client.create_run_from_pipeline_func(branching, {}, experiment_name="tour aside")
    seen["branching"] = summary(wait_for_state(client, branched.run_id, "SUCCEEDED", "FAILED"))
    seen["recurring"] = refusal(
        client.create_recurring_run,
        experiment.experiment_id,
        "daily",
        cron_expression="0 0 * * *",
        pipeline_package_path=package,
    )

    client.archive_run(failing.run_id)
    archived = client.get_run(failing.run_id).storage_state
    client.unarchive_run(failing.run_id)
    seen["archived"] = [archived, client.get_run(failing.run_id).storage_state]
    client.delete_run(failing.run_id)
    seen["deleted"] = refusal(client.get_run, failing.run_id)
    seen["delete_pipeline_with_versions"] = refusal(client.delete_pipeline, pipeline.pipeline_id)
    for one in client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions:
        client.delete_pipeline_version(pipeline.pipeline_id, one.pipeline_version_id)
    client.delete_pipeline(pipeline.pipeline_id)
    seen["pipeline_gone"] = client.get_pipeline_id("greetings-uploaded") is None
    return seen


if __name__ == "__main__":
    print(json.dumps(tour(sys.argv[1], Path(sys.argv[2]))))
