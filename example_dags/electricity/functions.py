"""The functions of the project ``electricity``. They run in containers of their own."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

from airflow_kfp_runtime.dsl import Dataset, Input, Output


def download(url: str, table: Output[Dataset]) -> None:
    with urlopen(url, timeout=60) as answer, Path(table.path).open("wb") as file:
        shutil.copyfileobj(answer, file)


def by_year(table: Input[Dataset], source: str) -> dict:
    """Return the GWh of a source in each year, and its share of all."""
    generated, everything = Counter(), Counter()
    with Path(table.path).open(newline="") as file:
        for row in csv.DictReader(file):
            year, amount = row["year"][:4], int(row["net_generation"])
            everything[year] += amount
            generated[year] += amount if row["source"] == source else 0
    return {
        year: {"generated": generated[year], "share": round(generated[year] / everything[year], 3)}
        for year in everything
    }


def growth(years: dict) -> float:
    """Return the last year's electricity divided by the first year's."""
    return round(years[max(years)]["generated"] / years[min(years)]["generated"], 1)
