"""Seven pipelines as DigitalHub's users write them, run by the operator.

Where a platform runs the functions, DigitalHub's wrapper is played by a program that records its command
line. Where functions compute by themselves, they do so here, on tables of some rows.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from airflow.sdk import DAG

from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project
from tests.digitalhub_wrapper import Wrapper
from tests.http_server import HttpServer, file

PIPELINES = Path(__file__).parent / "digitalhub_pipelines"

EMPLOYEES = "store://hr/dataitem/table/employees:1a2b"

SPIRE = """\
codice spira;Nome via;00:00-01:00;01:00-02:00
0.127;VIA SAN FELICE;12;7
0.265;VIA ZANARDI;31;20
"""

PARKINGS = """\
parcheggio;data;posti_liberi;posti_totali
VIII Agosto;2024-06-07T10:00:00+00:00;200;625
Riva Reno;2024-06-07T10:00:00+00:00;94;470
VIII Agosto;2024-06-07T10:30:00+00:00;300;625
Riva Reno;2024-06-07T11:00:00+00:00;235;470
"""


@pytest.fixture
def wrapper(tmp_path):
    return Wrapper.create(tmp_path / "wrapper")


@pytest.fixture
def table():
    """Serve a text, and give its address."""
    server = HttpServer()

    def serve(text: str) -> str:
        server.answers["/table.csv"] = file(text.encode())
        return server.url("/table.csv")

    yield serve
    server.stop()


@pytest.fixture
def run(run_dag, kfp_client):
    """Run a workflow of a project with arguments, and give the outputs by step."""

    def run_workflow(project: Project, workflow: str, **arguments: object) -> dict[str, dict]:
        with DAG(f"dag-{uuid.uuid4().hex[:8]}", schedule=None) as dag:
            KfpPipelineOperator(
                task_id="run", workflow=workflow, project=project, arguments=arguments, poll_interval=0.1
            )
        result = run_dag(dag)
        assert result.errors == {}
        return result.xcom("run")

    return run_workflow


def on_platform(project: str, wrapper: Wrapper, kinds: dict[str, str], form: str = "0.13") -> Project:
    """A project whose functions, of these kinds, are on a platform."""
    made = Project(project)
    for name, kind in kinds.items():
        made.new_function(name, kind="digitalhub", function_kind=kind, wrapper=form, command=wrapper.command)
    return made


def computing(project: str, module: str, handlers: dict[str, str]) -> Project:
    """A project whose functions, with these handlers, are in a module that computes."""
    made = Project(project)
    for name, handler in handlers.items():
        made.new_function(name, kind="python", source=PIPELINES / "functions" / module, handler=handler)
    return made


def runs_of(wrapper: Wrapper) -> list[tuple[str, dict]]:
    """The key and the arguments of each run that a wrapper of 0.13 was told to make, in order."""
    runs = []
    for call in wrapper.calls():
        entity, key, kwargs, arguments = call["arguments"]
        assert (entity, kwargs) == ("--entity", "--kwargs")
        runs.append((key, json.loads(arguments)))
    return runs


def key(project: str, name: str, function: str) -> str:
    """The key of what a function on the platform has made."""
    return f"store://{project}/dataitem/table/{name}:of-{function}"


def lines_of(artifact: dict) -> list[str]:
    return Path(artifact["uri"].removeprefix("file://")).read_text().splitlines()


def add_etl(project: Project) -> Project:
    project.new_workflow("etl", kind="kfp", code_src=PIPELINES / "etl.py", handler="pipeline")
    return project


def test_etl_on_a_platform_processes_one_table_twice_at_a_time(run, wrapper):
    kinds = dict.fromkeys(["download-data", "process-spire", "process-measures"], "python")
    wrapper.behave(together=["job process-spire", "job process-measures"])

    outputs = run(add_etl(on_platform("etl", wrapper, kinds)), "etl", url="https://example.org/spire.csv")

    dataset = key("etl", "dataset", "download-data")
    first, *both = runs_of(wrapper)
    assert first == (
        "store://etl/function/python/download-data",
        {
            "inputs": {"url": "https://example.org/spire.csv"},
            "outputs": {"dataset": "dataset"},
            "action": "job",
            "wait": True,
        },
    )
    assert dict(both) == {
        f"store://etl/function/python/process-{table}": {
            "inputs": {"di": dataset},
            "action": "job",
            "wait": True,
        }
        for table in ("spire", "measures")
    }
    assert outputs == {
        "download-data": {"run_id": "run-1", "dataset": dataset},
        "process-spire": {"run_id": "run-1"},
        "process-measures": {"run_id": "run-1"},
    }


def test_etl_computes_both_tables(run, table):
    handlers = {
        name: name.replace("-", "_") for name in ("download-data", "process-spire", "process-measures")
    }

    outputs = run(add_etl(computing("etl", "etl.py", handlers)), "etl", url=table(SPIRE))

    assert lines_of(outputs["download-data"]["dataset"]) == SPIRE.splitlines()
    assert outputs["process-spire"] == {"Output": {"0.127": "VIA SAN FELICE", "0.265": "VIA ZANARDI"}}
    assert outputs["process-measures"] == {
        "Output": [
            ["0.127", "00:00", 12],
            ["0.127", "01:00", 7],
            ["0.265", "00:00", 31],
            ["0.265", "01:00", 20],
        ]
    }


@pytest.mark.parametrize("spelling", ["code_src", "source"])
def test_dbt_transforms_a_table_into_the_one_that_is_named(run, wrapper, spelling):
    project = on_platform("hr", wrapper, {"function-dbt": "dbt"})
    if spelling == "source":
        older = {"source": str(PIPELINES / "dbt.py"), "handler": "transform", "lang": "python"}
        project.new_workflow("pipeline_dbt", kind="kfp", source=older)
    else:
        text = (PIPELINES / "dbt.py").read_text()
        project.new_workflow("pipeline_dbt", kind="kfp", code=text, handler="transform")

    outputs = run(project, "pipeline_dbt", employees=EMPLOYEES)

    [(function, arguments)] = runs_of(wrapper)
    assert function == "store://hr/function/dbt/function-dbt"
    assert arguments == {
        "inputs": {"employees": EMPLOYEES},
        "outputs": {"output_table": "department-50"},
        "action": "transform",
        "wait": True,
    }
    assert outputs == {
        "transform": {
            "run_id": "run-1",
            "department-50": key("hr", "output_table", "function-dbt"),
        }
    }


def add_training(project: Project) -> Project:
    project.new_workflow("pipeline_train", kind="kfp", code_src=PIPELINES / "training.py", handler="pipeline")
    return project


def test_training_on_a_platform_takes_what_was_prepared(run, wrapper):
    project = add_training(on_platform("ml", wrapper, {"data-prep": "python", "train": "python"}))

    outputs = run(project, "pipeline_train")

    dataset = key("ml", "dataset", "data-prep")
    prepare, train = runs_of(wrapper)
    assert prepare == (
        "store://ml/function/python/data-prep",
        {"outputs": {"dataset": "dataset"}, "action": "job", "wait": True},
    )
    assert train == (
        "store://ml/function/python/train",
        {"inputs": {"di": dataset}, "outputs": {"model": "model"}, "action": "job", "wait": True},
    )
    assert outputs["train"] == {"run_id": "run-1", "model": key("ml", "model", "train")}


def test_training_here_logs_a_model_with_its_metrics(run):
    handlers = {"data-prep": "data_prep", "train": "train"}

    outputs = run(add_training(computing("ml", "training.py", handlers)), "pipeline_train")

    model = outputs["train"]["model"]
    assert model["type"] == "system.Model"
    assert model["metadata"] == {
        "accuracy": pytest.approx(7 / 8),
        "precision": 1.0,
        "recall": pytest.approx(5 / 6),
        "f1": pytest.approx(10 / 11),
    }
    assert json.loads(lines_of(model)[0]) == {"0": 2.5, "1": 7.5}


@pytest.mark.parametrize("kind", ["huggingfaceserve", "kubeai-text"])
def test_a_language_model_is_served_from_a_path(run, wrapper, kind):
    project = on_platform("llm", wrapper, {"llm": kind})
    project.new_workflow("pipeline_llm", kind="kfp", code_src=PIPELINES / "llm.py", handler="pipeline")

    outputs = run(project, "pipeline_llm", path="huggingface://distilbert/distilbert-base-uncased")

    assert runs_of(wrapper) == [
        (
            f"store://llm/function/{kind}/llm:0a1b2c3d",
            {
                "inputs": {"path": "huggingface://distilbert/distilbert-base-uncased"},
                "action": "serve",
                "wait": True,
            },
        )
    ]
    assert outputs == {"serve": {"run_id": "run-1"}}


def test_two_images_are_built_at_a_time_before_a_model_is_trained_and_served(run, wrapper):
    project = on_platform("churn", wrapper, {"train-model": "python", "serve-model": "python"})
    project.new_workflow("fan-in", kind="kfp", code_src=PIPELINES / "fan_in.py", handler="handler")
    wrapper.behave(together=["build train-model", "build serve-model"])

    outputs = run(project, "fan-in")

    jobs = [call["job"] for call in wrapper.calls()]
    assert {*jobs[:2]} == {"build train-model", "build serve-model"}
    assert jobs[2:] == ["job train-model", "serve serve-model"]
    *builds, train, serve = runs_of(wrapper)
    assert [arguments for _, arguments in builds] == [{"action": "build", "wait": True}] * 2
    assert train[1] == {"outputs": {"model": "model"}, "action": "job", "wait": True}
    model = key("churn", "model", "train-model")
    assert serve == (
        "store://churn/function/python/serve-model",
        {
            "parameters": {"model_key": model},
            "resources": {"cpu": "1", "mem": "2Gi"},
            "action": "serve",
            "wait": True,
        },
    )
    assert outputs == {
        "build-train": {"run_id": "run-1"},
        "build-serve": {"run_id": "run-1"},
        "train": {"run_id": "run-1", "model": model},
        "serve": {"run_id": "run-1"},
    }


PARKING_KINDS = dict.fromkeys(
    ("downloader-funct", "extract-parkings", "aggregate-parkings", "to-db"), "python"
)


@pytest.mark.parametrize("form", ["0.13", "0.9"])
def test_parking_on_a_platform_hands_the_keys_on(run, wrapper, form):
    project = on_platform("parking", wrapper, PARKING_KINDS, form)
    project.new_workflow("pipeline_parking", kind="kfp", code_src=PIPELINES / "parking.py", handler="handler")
    wrapper.behave(together=["job extract-parkings", "job aggregate-parkings"])

    outputs = run(project, "pipeline_parking", url="https://example.org/parkings.csv")

    jobs = [call["job"] for call in wrapper.calls()]
    assert (jobs[0], jobs[3]) == ("job downloader-funct", "job to-db")
    assert {*jobs[1:3]} == {"job extract-parkings", "job aggregate-parkings"}
    dataset = key("parking", "dataset", "downloader-funct")
    aggregated = key("parking", "parking_data_aggregated", "aggregate-parkings")
    assert outputs == {
        "download": {"run_id": "run-1", "dataset": dataset},
        "extract_parking": {"run_id": "run-1", "parkings": key("parking", "parkings", "extract-parkings")},
        "aggregate": {"run_id": "run-1", "parking_data_aggregated": aggregated},
        "to_db": {"run_id": "run-1"},
    }


def test_the_command_lines_of_parking_for_the_wrapper_of_0_13(run, wrapper):
    project = on_platform("parking", wrapper, PARKING_KINDS)
    project.new_workflow("pipeline_parking", kind="kfp", code_src=PIPELINES / "parking.py", handler="handler")

    run(project, "pipeline_parking", url="https://example.org/parkings.csv")

    runs = {name.rpartition("/")[2]: arguments for name, arguments in runs_of(wrapper)}
    assert runs == {
        name: {**arguments, "action": "job", "wait": True}
        for name, arguments in {
            "downloader-funct": {
                "inputs": {"url": "https://example.org/parkings.csv"},
                "outputs": {"dataset": "dataset"},
            },
            "extract-parkings": {
                "inputs": {"di": key("parking", "dataset", "downloader-funct")},
                "outputs": {"parkings": "parkings"},
            },
            "aggregate-parkings": {
                "inputs": {"di": key("parking", "dataset", "downloader-funct")},
                "outputs": {"parking_data_aggregated": "parking_data_aggregated"},
            },
            "to-db": {
                "inputs": {
                    "agg_di": key("parking", "parking_data_aggregated", "aggregate-parkings"),
                    "parkings_di": key("parking", "dataset", "downloader-funct"),
                }
            },
        }.items()
    }


def test_the_command_lines_of_parking_for_the_wrapper_of_0_9(run, wrapper):
    project = on_platform("parking", wrapper, PARKING_KINDS, "0.9")
    project.new_workflow("pipeline_parking", kind="kfp", code_src=PIPELINES / "parking.py", handler="handler")

    run(project, "pipeline_parking", url="https://example.org/parkings.csv?a=b")

    lines = {call["job"]: call["arguments"] for call in wrapper.calls()}
    dataset = key("parking", "dataset", "downloader-funct")

    def line(function: str, *pairs: str) -> list[str]:
        options = ["--project", "parking", "--function", function, "--action", "job", "--jsonprops", "{}"]
        return [*options, *pairs]

    assert lines == {
        "job downloader-funct": line(
            "downloader-funct", "-ie", "url=https://example.org/parkings.csv?a=b", "-oe", "dataset=dataset"
        ),
        "job extract-parkings": line("extract-parkings", "-ie", f"di={dataset}", "-oe", "parkings=parkings"),
        "job aggregate-parkings": line(
            *("aggregate-parkings", "-ie", f"di={dataset}"),
            *("-oe", "parking_data_aggregated=parking_data_aggregated"),
        ),
        "job to-db": line(
            *("to-db", "-ie", f"agg_di={key('parking', 'parking_data_aggregated', 'aggregate-parkings')}"),
            *("-ie", f"parkings_di={dataset}"),
        ),
    }


def test_parking_as_the_platform_exports_it_computes_here(run, table):
    project = Project.load(PIPELINES / "projects-parking.yaml")

    outputs = run(project, "pipeline_parking", url=table(PARKINGS))

    assert lines_of(outputs["extract_parking"]["parkings"]) == [
        "parcheggio;posti_totali",
        "Riva Reno;470",
        "VIII Agosto;625",
    ]
    assert outputs["extract_parking"]["parkings"]["metadata"]["rows"] == 2
    assert lines_of(outputs["aggregate"]["parking_data_aggregated"]) == [
        "parcheggio;ora;liberi",
        "Riva Reno;2024-06-07T10;94.0",
        "Riva Reno;2024-06-07T11;235.0",
        "VIII Agosto;2024-06-07T10;250.0",
    ]
    assert outputs["to_db"] == {"Output": {"Riva Reno": 0.2, "VIII Agosto": 0.4}}


def test_a_chained_transformation_reads_the_table_of_the_one_before(run, wrapper):
    project = on_platform("hr", wrapper, {"function-dbt-60": "dbt", "function-dbt-it": "dbt"})
    project.new_workflow("pipeline_dbt", kind="kfp", code_src=PIPELINES / "dbt.py", handler="chained")

    outputs = run(project, "pipeline_dbt", employees=EMPLOYEES)

    department = key("hr", "output_table", "function-dbt-60")
    first, second = (arguments for _, arguments in runs_of(wrapper))
    assert (first["inputs"], first["outputs"]) == ({"employees": EMPLOYEES}, {"output_table": "e60"})
    assert (second["inputs"], second["outputs"]) == ({"employees": department}, {"output_table": "e60-it"})
    assert outputs == {
        "transform-60": {"run_id": "run-1", "e60": department},
        "transform-60-it": {
            "run_id": "run-1",
            "e60-it": key("hr", "output_table", "function-dbt-it"),
        },
    }
