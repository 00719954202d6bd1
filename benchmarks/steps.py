"""The functions that the pipelines of the benchmarks are made of; they import nothing until they run.

Their annotations are evaluated here, since the kfp SDK does not read them as texts.
"""

try:
    from kfp.dsl import Dataset, Input, Metrics, Output
except ImportError:
    from airflow_kfp_runtime.dsl import Dataset, Input, Metrics, Output


def download(url: str, table: Output[Dataset]) -> int:
    """Read a table and return its number of lines."""
    import urllib.request
    from pathlib import Path

    with urllib.request.urlopen(url, timeout=60) as response:
        text = response.read().decode()
    Path(table.path).write_text(text)
    return text.count("\n")


def prepare(table_in: Input[Dataset], table: Output[Dataset], seed: int = 0) -> None:
    """Shuffle the lines of a table."""
    import random
    from pathlib import Path

    lines = Path(table_in.path).read_text().splitlines()
    random.Random(seed).shuffle(lines)
    Path(table.path).write_text("\n".join(lines))


def train(
    table_in: Input[Dataset], table: Output[Dataset], metrics: Output[Metrics], epochs: int, rate: float
) -> float:
    """Fit a line to the first column."""
    from pathlib import Path

    text = Path(table_in.path).read_text()
    values = [float(line.split(",")[0]) for line in text.splitlines()]
    slope = 0.0
    for _ in range(epochs):
        for position, value in enumerate(values):
            slope += rate * (value - slope * position) / (1 + position)
    metrics.log_metric("slope", slope)
    Path(table.path).write_text(text)
    return slope
