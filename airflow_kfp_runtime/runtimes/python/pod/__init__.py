"""What travels to a step's container beside the executor, where a function's source is not a single text.

Each module here is text for the pod: Python >= 3.8, the standard library alone, and names that no other of
them has, since several travel as one. The last line of such a text makes the function.
"""

from __future__ import annotations

from pathlib import Path

from airflow_kfp_runtime.runtimes.travelling import travelling_text


def pod_text(*modules: str) -> str:
    """Return modules of this package as one text.

    :param modules: their names, ``loading`` first, which notes what the executor provides.
    """
    return travelling_text(*(Path(__file__).with_name(f"{module}.py") for module in modules))
