"""Steps as plain data, and a form in Airflow's UI that asks for what the run needs.

Shows: the declarative form of a pipeline, a list of mappings that could as well be read from a file:
``{"from": "step.output"}`` is another step's output, ``{"argument": "name"}`` an argument of the pipeline.
The DAG's params have types, titles and limits, so that *Trigger* in the UI shows a form and refuses what
does not fit; without the form, ``airflow dags trigger electricity_form --conf '{"source": "Renewables"}'``.

Data: the electricity generated in Iowa by source and year (U.S. Energy Information Administration, public
domain).
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_kfp_runtime.dsl import Dataset, Input, Output
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.project import Project

SOURCES = ["Fossil Fuels", "Nuclear Energy", "Renewables"]


def download(url: str, table: Output[Dataset]) -> None:
    """Download a file."""
    import shutil
    from pathlib import Path
    from urllib.request import urlopen

    with urlopen(url, timeout=60) as answer, Path(table.path).open("wb") as file:
        shutil.copyfileobj(answer, file)


def select_years(table: Input[Dataset], first: int, last: int, selected: Output[Dataset]) -> None:
    """Keep the rows of some years, the first and the last one included."""
    import csv
    from pathlib import Path

    with Path(table.path).open(newline="") as source, Path(selected.path).open("w", newline="") as target:
        rows = csv.DictReader(source)
        writer = csv.DictWriter(target, rows.fieldnames)
        writer.writeheader()
        writer.writerows(row for row in rows if first <= int(row["year"][:4]) <= last)


def share(table: Input[Dataset], source: str) -> float:
    """Return the part of all electricity that came from ``source``, between 0 and 1."""
    import csv
    from pathlib import Path

    with Path(table.path).open(newline="") as file:
        rows = [(row["source"], float(row["net_generation"])) for row in csv.DictReader(file)]
    if not rows:
        raise ValueError("No year of the table is selected.")
    return sum(amount for name, amount in rows if name == source) / sum(amount for _, amount in rows)


project = Project("electricity")
for function in (download, select_years, share):
    project.new_function(function.__name__, kind="python", handler=function)

STEPS = [
    {"name": "download", "function": "download", "inputs": {"url": {"argument": "url"}}},
    {
        "name": "select",
        "function": "select_years",
        "inputs": {"table": {"from": "download.table"}},
        "parameters": {"first": {"argument": "first_year"}, "last": {"argument": "last_year"}},
    },
    {
        "name": "share",
        "function": "share",
        "inputs": {"table": {"from": "select.selected"}},
        "parameters": {"source": {"argument": "source"}},
        "values": ["share"],
    },
]

with DAG(
    "electricity_form",
    schedule=None,
    tags=["kubeflow", "example"],
    doc_md=__doc__,
    params={
        "source": Param("Renewables", type="string", enum=SOURCES, title="Source of the electricity"),
        "first_year": Param(2012, type="integer", minimum=2001, maximum=2017, title="First year"),
        "last_year": Param(
            2017,
            type="integer",
            minimum=2001,
            maximum=2017,
            title="Last year",
            description="Itself included; not before the first year.",
        ),
        "url": Param(
            "https://cdn.jsdelivr.net/npm/vega-datasets@2/data/iowa-electricity.csv",
            type="string",
            format="uri",
            title="Address of the table",
            section="Where the data is",
        ),
    },
):
    run = KfpPipelineOperator(
        task_id="run",
        steps=STEPS,
        project=project,
        pipeline_name="electricity",
        arguments={name: f"{{{{ params.{name} }}}}" for name in ("url", "first_year", "last_year", "source")},
        deferrable=True,
        poll_interval=5,
    )

    @task
    def report(outputs: dict, source: str) -> str:
        """Put the share into a sentence."""
        sentence = f"{source}: {outputs['share']['share']:.1%} of the electricity."
        print(sentence)
        return sentence

    report(run.output, "{{ params.source }}")
