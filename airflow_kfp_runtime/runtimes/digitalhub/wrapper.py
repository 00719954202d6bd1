"""Runs DigitalHub's wrapper inside a step's container, and hands its outputs to KFP.

The wrapper (``step.py``) takes its inputs on the command line and leaves its outputs as files of ``/tmp``:
KFP v1 collected those, KFP v2 does not. This file travels as text (``python -c``), needs Python >= 3.8 and
holds no double braces, which KFP and Argo take for placeholders.
"""
# ruff: noqa: PTH103, PTH113, PTH118, PTH120, PTH123

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

#: Where the wrapper leaves its outputs: ``/tmp``, or where a machine that runs several has a place for each.
FOLDERS = (tempfile.gettempdir(), "/tmp")  # noqa: S108


def as_text(value: Any) -> str:
    """Return a value as the first wrappers take it: they have nothing but texts."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def command_line(call: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """Return the wrapper's command line.

    :param call: what the compiler knows: ``command``; ``options``, by name; ``arguments``, for the whole
        run; the names of ``inputs`` and ``parameters``; ``outputs``, the run's name to the workflow's;
        ``values``; ``form``, ``0.9`` or ``0.13``.
    :param given: the values of inputs and parameters.
    """
    inputs = {name: given[name] for name in call["inputs"] if name in given}
    parameters = {name: given[name] for name in call["parameters"] if name in given}
    line = list(call["command"])
    for name, value in call["options"].items():
        line += [f"--{name}", value]
    if call["form"] == "0.13":
        parts = {"inputs": inputs, "parameters": parameters, "outputs": call["outputs"]}
        arguments = {name: part for name, part in parts.items() if part}
        arguments.update(call["arguments"])
        return [*line, "--kwargs", json.dumps(arguments, ensure_ascii=False)]
    pairs = {"-a": call["arguments"], "-ie": inputs, "-iv": parameters, "-oe": call["outputs"]}
    for option, values in pairs.items():
        for name, value in values.items():
            line += [option, f"{name}={as_text(value)}"]
    for name in call["values"]:
        line += ["-ov", name]
    return line


def run(line: list[str]) -> int:
    """Run a program and return its exit status; what ends this process ends it as well."""
    process = subprocess.Popen(line)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: process.send_signal(received))
    status = process.wait()
    return 128 - status if status < 0 else status


def found(names: list[str]) -> str | None:
    """Return the content of the first file of these names that the wrapper has left."""
    for name in names:
        for folder in FOLDERS:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                with open(path, encoding="utf-8") as file:
                    return file.read()
    return None


def collect(outputs: dict[str, list[str]], declared: dict[str, Any]) -> list[str]:
    """Copy the outputs to where KFP reads them, and return the names of those that are missing.

    :param outputs: the names of the files that may hold it, by the output.
    """
    missing = []
    for name, files in outputs.items():
        value = found(files)
        if value is None:
            missing.append(name)
            value = ""
        path = declared[name]["outputFile"]
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(value)
    return missing


def main(arguments: list[str]) -> int:
    options = dict(zip(arguments[::2], arguments[1::2]))  # noqa: B905
    call = json.loads(options["--call"])
    executor_input = json.loads(options["--executor-input"])
    status = run(command_line(call, executor_input.get("inputs", {}).get("parameterValues", {})))
    if status:
        return status
    missing = collect(call["files"], executor_input["outputs"]["parameters"])
    # The run's id is for the reader alone: without it, nothing that follows lacks something.
    needed = [name for name in missing if name != "run_id"]
    if needed:
        sys.stderr.write(
            f"The run on the platform has succeeded, but it has no output {', '.join(map(repr, needed))}. "
            "What the step names in outputs and values has to be what the function gives.\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
