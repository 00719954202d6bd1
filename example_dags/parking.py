"""The pipeline that DigitalHub's documentation shows: download a table, extract the car parks from it.

Shows: a handler in DigitalHub's style, unchanged but for its import line; the functions that its steps name,
in a project; and the operator that runs it and waits for it in the triggerer, with a DAG param as the
pipeline's argument. The next task gets ``{step: {output: value}}``; an artifact is its address and metadata.

Data: the free spaces in the car parks of Bologna (open data of the city, CC BY 4.0). Its table has a row a
reading, ``;`` between the columns, and repeats what does not change: name, place and size of the car park.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_kfp_runtime.dsl import Dataset, Input, Output, pipeline_context
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project

PORTAL = "https://opendata.comune.bologna.it/api/explore/v2.1/catalog/datasets"


# The functions run in containers of their own, so each imports what it needs in its body.
def download(url: str, dataset: Output[Dataset]) -> None:
    """Download a file."""
    import shutil
    from pathlib import Path
    from urllib.request import urlopen

    with urlopen(url, timeout=60) as answer, Path(dataset.path).open("wb") as file:
        shutil.copyfileobj(answer, file)


def extract_parkings(di: Input[Dataset], parkings: Output[Dataset]) -> None:
    """Keep one row for each car park."""
    import csv
    from pathlib import Path

    columns = ["parcheggio", "coordinate", "posti_totali"]
    with Path(di.path).open(encoding="utf-8-sig", newline="") as file:
        by_name = {row["parcheggio"]: row for row in csv.DictReader(file, delimiter=";")}
    with Path(parkings.path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(by_name[name] for name in sorted(by_name))
    parkings.metadata["rows"] = len(by_name)
    parkings.metadata["spaces"] = sum(int(row["posti_totali"]) for row in by_name.values())


project = Project("parking")
project.new_function("downloader-funct", kind="python", handler=download)
project.new_function("extract-parkings", kind="python", handler=extract_parkings)


def myhandler(url):
    # Use pipeline_context() manager
    with pipeline_context() as pc:
        # Define first step
        step1 = pc.step(
            name="download",  # Name of the step 1
            function="downloader-funct",  # Name of the function to execute
            action="job",  # Action to execute
            inputs={"url": url},  # Input parameters
            outputs={"dataset": "dataset"},  # Mapped outputs
        )

        pc.step(
            name="extract_parking",  # Name of the step 2
            function="extract-parkings",  # Name of the function to execute
            action="job",  # Action to execute
            inputs={"di": step1.outputs["dataset"]},  # Input parameters from previous step
            outputs={"parkings": "parkings"},  # Mapped outputs
        )


with DAG(
    "parking",
    schedule=None,
    tags=["kubeflow", "example"],
    doc_md=__doc__,
    params={
        "url": Param(
            f"{PORTAL}/disponibilita-parcheggi-vigente/exports/csv?use_labels=false&delimiter=%3B",
            type="string",
            format="uri",
            title="Address of the table",
        )
    },
):
    run = KfpPipelineOperator(
        task_id="run",
        workflow=myhandler,
        project=project,
        pipeline_name="parking",
        arguments={"url": "{{ params.url }}"},
        deferrable=True,
        poll_interval=5,
    )

    @task
    def report(outputs: dict) -> str:
        """Say how many car parks and spaces there are, and where the table is."""
        parkings = outputs["extract_parking"]["parkings"]
        sentence = "{rows} car parks with {spaces} spaces".format(**parkings["metadata"])
        print(f"{sentence}: {parkings['uri']}")
        return sentence

    report(run.output)
