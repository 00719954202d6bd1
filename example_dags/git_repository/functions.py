"""The functions that the steps of ``flows.py`` run."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from urllib.request import urlopen

from airflow_kfp_runtime.dsl import Dataset, Input, Output


def download(url: str, table: Output[Dataset]) -> None:
    with urlopen(url, timeout=60) as answer, Path(table.path).open("wb") as file:
        shutil.copyfileobj(answer, file)


def rain(table: Input[Dataset], months: list) -> float:
    """Return the precipitation in some months of all years, in millimetres."""
    with Path(table.path).open(newline="") as file:
        days = [day for day in csv.DictReader(file) if int(day["date"][5:7]) in months]
    return round(sum(float(day["precipitation"]) for day in days), 1)
