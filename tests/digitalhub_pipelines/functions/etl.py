"""What the steps of ``etl.py`` compute: the sensors, and what each has counted."""

import csv
import shutil
from pathlib import Path
from urllib.request import urlopen

from airflow_kfp_runtime.dsl import Dataset, Input, Output


def download_data(url: str, dataset: Output[Dataset]):
    with urlopen(url, timeout=60) as answer, Path(dataset.path).open("wb") as file:
        shutil.copyfileobj(answer, file)


def rows_of(table):
    with Path(table.path).open(newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def process_spire(di: Input[Dataset]) -> dict:
    return {row["codice spira"]: row["Nome via"] for row in rows_of(di)}


def process_measures(di: Input[Dataset]) -> list:
    hours = ("00:00-01:00", "01:00-02:00")
    return [[row["codice spira"], hour[:5], int(row[hour])] for row in rows_of(di) for hour in hours]
