"""What the steps of ``parking.py`` compute; the database is a file of SQLite."""

import csv
import shutil
import sqlite3
from collections import defaultdict
from pathlib import Path
from urllib.request import urlopen

from airflow_kfp_runtime.dsl import Dataset, Input, Output


def download(url: str, dataset: Output[Dataset]):
    with urlopen(url, timeout=60) as answer, Path(dataset.path).open("wb") as file:
        shutil.copyfileobj(answer, file)


def read(table):
    with Path(table.path).open(newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def write(table, columns, rows):
    with Path(table.path).open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerows([columns, *rows])


def extract(di: Input[Dataset], parkings: Output[Dataset]):
    places = {row["parcheggio"]: row["posti_totali"] for row in read(di)}
    write(parkings, ["parcheggio", "posti_totali"], sorted(places.items()))
    parkings.metadata["rows"] = len(places)


def aggregate(di: Input[Dataset], parking_data_aggregated: Output[Dataset]):
    free = defaultdict(list)
    for row in read(di):
        free[row["parcheggio"], row["data"][:13]].append(int(row["posti_liberi"]))
    means = [[*key, sum(counts) / len(counts)] for key, counts in sorted(free.items())]
    write(parking_data_aggregated, ["parcheggio", "ora", "liberi"], means)


def to_db(agg_di: Input[Dataset], parkings_di: Input[Dataset]) -> dict:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE parkings (name TEXT PRIMARY KEY, places INTEGER)")
    database.execute("CREATE TABLE free (name TEXT, hour TEXT, places REAL)")
    parkings = {row["parcheggio"]: int(row["posti_totali"]) for row in read(parkings_di)}
    database.executemany("INSERT INTO parkings VALUES (?, ?)", parkings.items())
    database.executemany("INSERT INTO free VALUES (?, ?, ?)", [list(row.values()) for row in read(agg_di)])
    share = (
        "SELECT name, MIN(free.places / parkings.places) FROM free JOIN parkings USING (name) GROUP BY name"
    )
    return dict(database.execute(share).fetchall())
