"""How long importing operator, hook and trigger takes over ``airflow.sdk``: the median of fresh processes.

The budget is 30 ms. Run: ``python benchmarks/import_budget.py``
"""

from __future__ import annotations

import statistics
import subprocess
import sys

PROCESSES = 5
BUDGET = 30.0
SCRIPT = """
import time, resource
import airflow.sdk
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator
from airflow_kfp_runtime.hooks.kfp import KfpHook
from airflow_kfp_runtime.triggers.kfp import KfpRunTrigger
seconds = time.perf_counter() - start
print(seconds * 1000, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024)
"""


def measure() -> tuple[float, float]:
    """Return milliseconds and MiB of one fresh process."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    milliseconds, mebibytes = done.stdout.split()[-2:]
    return float(milliseconds), float(mebibytes)


def main() -> int:
    """Print each process and the median; return 1 if that is over the budget."""
    runs = [measure() for _ in range(PROCESSES)]
    for milliseconds, mebibytes in runs:
        print(f"{milliseconds:6.1f} ms  {mebibytes:5.2f} MiB")
    median = statistics.median(milliseconds for milliseconds, _ in runs)
    memory = statistics.median(mebibytes for _, mebibytes in runs)
    print(f"median {median:.1f} ms, {memory:.2f} MiB (budget {BUDGET:.0f} ms)")
    return int(median > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
