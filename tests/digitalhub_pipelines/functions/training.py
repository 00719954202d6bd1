"""What the steps of ``training.py`` compute: a class is where the mean of its measurements is nearest."""

import csv
import json
from pathlib import Path

from airflow_kfp_runtime.dsl import Dataset, Input, Model, Output


def data_prep(dataset: Output[Dataset]):
    rows = [("size", "class"), *((size, int(size > 4.5)) for size in (1, 2, 3, 4, 6, 7, 8, 9, 5.5, 4.9))]
    with Path(dataset.path).open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def train(di: Input[Dataset], model: Output[Model]):
    with Path(di.path).open(newline="") as file:
        rows = [(float(row["size"]), int(row["class"])) for row in csv.DictReader(file)]
    known, unseen = rows[:8], rows[2:]
    sizes = {label: [size for size, own in known if own == label] for label in (0, 1)}
    means = {label: sum(found) / len(found) for label, found in sizes.items()}
    Path(model.path).write_text(json.dumps(means))

    pairs = [(min(means, key=lambda one: abs(means[one] - size)), label) for size, label in unseen]
    hits, alarms, missed = (pairs.count(pair) for pair in ((1, 1), (1, 0), (0, 1)))
    model.metadata["accuracy"] = sum(found == label for found, label in pairs) / len(pairs)
    model.metadata["precision"] = hits / (hits + alarms)
    model.metadata["recall"] = hits / (hits + missed)
    model.metadata["f1"] = 2 * hits / (2 * hits + alarms + missed)
