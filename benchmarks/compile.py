"""Compile 1,000 steps with this package and with the kfp SDK, and print the ratio.

    python -m benchmarks.compile [--steps 1000] [--repetitions 5]

The pipeline is the same for both: three Python functions; groups of ten steps in a chain, each passing an
artifact on, the groups in parallel. This package is timed from the steps to the form that the client uploads
(``to_json``), warm and in a fresh process with its import; its YAML is timed apart. The SDK writes YAML only,
in a fresh process of its own environment, since it cannot be installed beside Airflow.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

GROUP = 10


def this_package(steps: int) -> dict[str, float]:
    """Compile in this process and return the seconds of each part."""
    started = time.perf_counter()
    from airflow_kfp_runtime.compiler import compile_handler
    from airflow_kfp_runtime.dsl import pipeline_context
    from airflow_kfp_runtime.project import Project
    from benchmarks import steps as functions

    imported = time.perf_counter()
    project = Project("benchmark")
    for name in ("download", "prepare", "train"):
        project.new_function(name, kind="python", handler=getattr(functions, name), image="python:3.12")

    def pipeline(url: str = "https://example.org/data.csv", epochs: int = 3) -> None:
        with pipeline_context() as pc:
            for number in range(steps):
                group, position = divmod(number, GROUP)
                if position == 0:
                    last = pc.step(name=f"download-{group}", function="download", inputs={"url": url})
                elif position % 2:
                    last = pc.step(
                        name=f"prepare-{group}-{position}",
                        function="prepare",
                        inputs={"table_in": last.outputs["table"], "seed": position},
                    )
                else:
                    last = pc.step(
                        name=f"train-{group}-{position}",
                        function="train",
                        inputs={"table_in": last.outputs["table"]},
                        parameters={"epochs": epochs, "rate": 0.1},
                    )

    compiling = time.perf_counter()
    package = compile_handler(pipeline, project=project)
    uploaded = package.to_json()
    compiled = time.perf_counter()
    text = package.to_yaml()
    return {
        "import": imported - started,
        "compile": compiled - compiling,
        "yaml": time.perf_counter() - compiled,
        "json bytes": len(uploaded),
        "yaml bytes": len(text),
        "tasks": len(package.pipeline_spec["root"]["dag"]["tasks"]),
    }


def kfp_sdk(steps: int) -> dict[str, float]:
    """Compile with the kfp SDK in this process, which has it, and return the seconds of each part."""
    started = time.perf_counter()
    import tempfile

    from kfp import compiler, dsl

    sys.path.insert(0, str(Path(__file__).parent))
    import steps as functions

    imported = time.perf_counter()
    download, prepare, train = (
        dsl.component(function, base_image="python:3.12")
        for function in (functions.download, functions.prepare, functions.train)
    )

    def pipeline(url: str = "https://example.org/data.csv", epochs: int = 3) -> None:
        for number in range(steps):
            _, position = divmod(number, GROUP)
            if position == 0:
                last = download(url=url)
            elif position % 2:
                last = prepare(table_in=last.outputs["table"], seed=position)
            else:
                last = train(table_in=last.outputs["table"], epochs=epochs, rate=0.1)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(dsl.pipeline(pipeline), str(path))
        compiled = time.perf_counter()
        size = path.stat().st_size
    return {"import": imported - started, "compile": compiled - imported, "yaml bytes": size}


def main() -> None:
    """Run both as often as asked, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", choices=("this_package", "kfp_sdk"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(globals()[given.only](given.steps)))
        return
    from tests.environments import KFP_SDK, environment

    this_package(given.steps)
    warm = _medians([this_package(given.steps) for _ in range(given.repetitions)])
    fresh = _medians([_fresh(sys.executable, "this_package", given) for _ in range(given.repetitions)])
    sdk_python = str(environment("kfp", KFP_SDK))
    sdk = _medians([_fresh(sdk_python, "kfp_sdk", given) for _ in range(given.repetitions)])
    sdk_total = sdk["import"] + sdk["compile"]
    fresh_total = fresh["import"] + fresh["compile"]
    print(f"{given.steps} steps, medians of {given.repetitions} runs")
    print(
        f"  this package, steps to upload form   {warm['compile']:7.3f} s  {warm['json bytes']:>9,.0f} bytes"
    )
    print(f"  this package, further for the YAML   {warm['yaml']:7.3f} s  {warm['yaml bytes']:>9,.0f} bytes")
    print(f"  this package, fresh with its import  {fresh_total:7.3f} s  (import {fresh['import']:.3f} s)")
    print(
        f"  kfp SDK, fresh with its import       {sdk_total:7.3f} s  {sdk['yaml bytes']:>9,.0f} bytes of YAML"
    )
    print(f"  ratio, fresh, to what is uploaded    {sdk_total / fresh_total:7.1f}")
    print(f"  ratio, fresh, to YAML                {sdk_total / (fresh_total + fresh['yaml']):7.1f}")


def _fresh(python: str, which: str, given: argparse.Namespace) -> dict[str, float]:
    command = [python, str(Path(__file__).resolve()), "--only", which, "--steps", str(given.steps)]
    if which == "this_package":
        command[1:2] = ["-m", "benchmarks.compile"]
    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, check=True, capture_output=True, text=True, timeout=600
    )
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _medians(measured: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in measured) for name in measured[0]}


if __name__ == "__main__":
    main()
