"""An ETL: two steps work in parallel on what one step downloaded, and a fourth joins their results.

Shows: ``@task.kfp_pipeline``, whose function is the pipeline's handler and whose call gives the arguments;
parallel steps (nothing but their inputs orders them); a ``dict`` and a number that pass between steps with
their types; and ``values``, the names of results that are plain
values, so that the next task gets them as such.

Data: the weather in Seattle of each day from 2012 to 2015 (NOAA, public domain).
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from airflow_kfp_runtime.dsl import Dataset, Input, Output, pipeline_context
from airflow_kfp_runtime.project import Project


def download(url: str, table: Output[Dataset]) -> None:
    """Download a file."""
    import shutil
    from pathlib import Path
    from urllib.request import urlopen

    with urlopen(url, timeout=60) as answer, Path(table.path).open("wb") as file:
        shutil.copyfileobj(answer, file)


def rain_by_year(table: Input[Dataset]) -> dict:
    """Return the precipitation of each year, in millimetres."""
    import csv
    from collections import Counter
    from pathlib import Path

    millimetres = Counter()
    with Path(table.path).open(newline="") as file:
        for day in csv.DictReader(file):
            millimetres[day["date"][:4]] += float(day["precipitation"])
    return {year: round(amount, 1) for year, amount in millimetres.items()}


def count_warm_days(table: Input[Dataset], warm: float) -> int:
    """Return the number of days that reached ``warm`` degrees Celsius."""
    import csv
    from pathlib import Path

    with Path(table.path).open(newline="") as file:
        return sum(float(day["temp_max"]) >= warm for day in csv.DictReader(file))


def summarise(millimetres: dict, warm_days: int) -> dict:
    """Return the wettest year with its precipitation, and the warm days of all years."""
    wettest = max(millimetres, key=millimetres.get)
    return {"wettest_year": wettest, "millimetres": millimetres[wettest], "warm_days": warm_days}


project = Project("weather")
for function in (download, rain_by_year, count_warm_days, summarise):
    project.new_function(function.__name__, kind="python", handler=function)


@dag(
    schedule=None,
    tags=["kubeflow", "example"],
    doc_md=__doc__,
    params={
        "url": Param(
            "https://cdn.jsdelivr.net/npm/vega-datasets@2/data/seattle-weather.csv",
            type="string",
            format="uri",
            title="Address of the table",
        )
    },
)
def weather():
    @task.kfp_pipeline(project=project, deferrable=True, poll_interval=5)
    def analyse(url: str, warm: float = 30.0):
        """Find the wettest year and the warm days."""
        with pipeline_context() as pc:
            downloaded = pc.step(name="download", function="download", inputs={"url": url})
            table = downloaded.outputs["table"]

            rain = pc.step(
                name="rain", function="rain_by_year", inputs={"table": table}, values=["millimetres"]
            )
            warm_days = pc.step(
                name="warm_days",
                function="count_warm_days",
                inputs={"table": table},
                parameters={"warm": warm},
                values=["days"],
            )

            pc.step(
                name="summary",
                function="summarise",
                inputs={
                    "millimetres": rain.outputs["millimetres"],
                    "warm_days": warm_days.outputs["days"],
                },
                values=["summary"],
            )

    @task
    def report(outputs: dict) -> str:
        """Put the summary into a sentence."""
        summary = outputs["summary"]["summary"]
        sentence = (
            f"The wettest year was {summary['wettest_year']} with {summary['millimetres']} mm; "
            f"{summary['warm_days']} days were warm."
        )
        print(sentence)
        return sentence

    report(analyse(url="{{ params.url }}"))


weather()
