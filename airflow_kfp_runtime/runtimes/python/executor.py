"""Runs one Python function inside a step's container: KFP's executor input in, its executor output out.

This file travels as text (``python3 -c``) with the function's source, without its comments. It needs
Python >= 3.8 and nothing else, and holds no double braces, which KFP and Argo take for placeholders.
"""
# ruff: noqa: B905, PTH103, PTH110, PTH120, PTH123
# zip() has no ``strict`` before Python 3.10, and pathlib would double the time that the imports take.

from __future__ import annotations

import importlib.util
import io
import json
import linecache
import math
import os
import sys
import traceback
import types
import typing
from typing import Any

# Where KFP's launcher keeps the files of each kind of storage (backend/src/v2/component/launcher_v2.go).
MOUNTS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/", "file://": ""}
TYPES: Any = {"str": str, "int": int, "float": (int, float), "bool": bool, "list": list, "dict": dict}
# KFP keeps every number as a double, which holds no larger integer exactly.
LARGEST_INTEGER = 2**53


class ValueMismatchError(Exception):
    """A value that does not fit; its message is all that the log needs."""


class Artifact:
    schema_title = "system.Artifact"
    schema_version = "0.0.1"

    def __init__(self, name: str | None = None, uri: str | None = None, metadata: Any = None) -> None:
        self.name = name or ""
        self.uri = uri or ""
        self.metadata = metadata or {}
        self.custom_path = ""

    @property
    def path(self) -> str:
        path = self.custom_path or self.uri
        if path.startswith("oci://"):
            path = "/oci/" + path[6:].replace("/", "_") + "/models"
        for scheme, mount in MOUNTS.items():
            if path.startswith(scheme):
                path = mount + path[len(scheme) :]
        if self.metadata.get("_kfp_workspace") is True and not self.custom_path:
            path = "/kfp-workspace/.artifacts/" + path.lstrip("/")
        return path

    @path.setter
    def path(self, path: str) -> None:
        self.uri = path
        for scheme, mount in MOUNTS.items():
            if mount and path.startswith(mount):
                self.uri = scheme + path[len(mount) :]


class Dataset(Artifact):
    schema_title = "system.Dataset"


class Model(Artifact):
    schema_title = "system.Model"

    @property
    def framework(self) -> Any:
        return self.metadata.get("framework", "")

    @framework.setter
    def framework(self, framework: str) -> None:
        self.metadata["framework"] = framework


class Metrics(Artifact):
    schema_title = "system.Metrics"

    def log_metric(self, metric: str, value: float) -> None:
        self.metadata[metric] = value


class ClassificationMetrics(Artifact):
    schema_title = "system.ClassificationMetrics"

    def log_roc_data_point(self, fpr: float, tpr: float, threshold: float) -> None:
        point = {"confidenceThreshold": threshold, "recall": tpr, "falsePositiveRate": fpr}
        self.metadata.setdefault("confidenceMetrics", []).append(point)

    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None:
        if not len(fpr) == len(tpr) == len(threshold):
            raise ValueError("fpr, tpr and threshold must have the same length.")
        for point in zip(fpr, tpr, threshold):
            self.log_roc_data_point(*point)

    def set_confusion_matrix_categories(self, categories: list[str]) -> None:
        specs = [{"displayName": category} for category in categories]
        rows = [{"row": [0] * len(specs)} for _ in specs]
        self.metadata["confusionMatrix"] = {"annotationSpecs": specs, "rows": rows}

    def log_confusion_matrix_row(self, row_category: str, row: list[float]) -> None:
        cells = self._row(row_category)
        if len(row) != len(cells):
            raise ValueError(f"A row needs {len(cells)} values, not {len(row)}.")
        cells[:] = row

    def log_confusion_matrix_cell(self, row_category: str, col_category: str, value: float) -> None:
        self._row(row_category)[self._index(col_category)] = value

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[float]]) -> None:
        if len(matrix) != len(categories):
            raise ValueError(f"{len(categories)} categories need as many rows, not {len(matrix)}.")
        self.set_confusion_matrix_categories(categories)
        for category, row in zip(categories, matrix):
            self.log_confusion_matrix_row(category, row)

    def _index(self, category: str) -> int:
        specs = self.metadata.get("confusionMatrix", {}).get("annotationSpecs", [])
        names = [spec["displayName"] for spec in specs]
        if category not in names:
            raise ValueError(f"{category!r} is not a category. Allowed: {names}")
        return names.index(category)

    def _row(self, category: str) -> Any:
        index = self._index(category)
        return self.metadata["confusionMatrix"]["rows"][index]["row"]


class HTML(Artifact):
    schema_title = "system.HTML"


class Markdown(Artifact):
    schema_title = "system.Markdown"


KINDS: list[type[Artifact]] = [Artifact, *Artifact.__subclasses__()]


class Input:
    """``Input[X]`` is X: the types were read when the step was compiled."""

    def __class_getitem__(cls, annotated: Any) -> Any:
        return annotated


class Output(Input):
    pass


def path_of(_kind: Any = None) -> Any:
    """Stand for ``InputPath`` and ``OutputPath``: the function receives a str."""
    return str


def component(function: Any = None, **_options: Any) -> Any:
    """Stand for kfp's decorators: in its step, a function is just a function."""
    return function or (lambda decorated: decorated)


class Shim(types.ModuleType):
    """A module of the DSL: a source may import for its pipelines what no step can use."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def unusable(*_arguments: Any, **_named: Any) -> Any:
            raise RuntimeError(f"{self.__name__}.{name} describes pipelines; a step cannot use it.")

        return unusable


def provided() -> dict[str, Any]:
    """Return the names that every source finds, and let imports find kfp's where it is missing."""
    names: dict[str, Any] = {kind.__name__: kind for kind in KINDS}
    names.update(Input=Input, Output=Output, InputPath=path_of, OutputPath=path_of)
    dsl = Shim("kfp.dsl")
    vars(dsl).update(names, component=component, pipeline=component, container_component=component)
    for package in ("kfp", "airflow_kfp_runtime"):
        found = importlib.util.find_spec(package)
        root = names[package] = Shim(package)
        vars(root).update(dsl=dsl, __path__=list(found.submodule_search_locations or ()) if found else [])
        # kfp-pipeline-spec alone makes ``kfp`` a namespace, which has no origin.
        if found is None or found.origin is None:
            sys.modules.update({package: root, package + ".dsl": dsl})
    names["dsl"] = dsl
    return {**{name: getattr(typing, name) for name in typing.__all__}, **names}


def load(source: str, file: str, function: str) -> Any:
    """Execute the source and return its function; tracebacks show the source's own lines."""
    module = types.ModuleType("step_function")
    vars(module).update(provided(), __file__=file)
    sys.modules[module.__name__] = module
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    exec(compile(source, file, "exec", dont_inherit=True), vars(module))  # noqa: S102
    found = getattr(module, function)
    return getattr(found, "python_func", found)


def plain(value: Any, place: str) -> Any:
    """Return a value as KFP can carry it, or say which part of it cannot be carried."""
    value = unwrapped(value)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueMismatchError(f"{place} has the key {key!r}, but in JSON every key is a str.")
        return {key: plain(part, f"{place}[{key!r}]") for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part, f"{place}[{index}]") for index, part in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueMismatchError(f"{place} is {value}, which JSON and KFP cannot carry.")
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise ValueMismatchError(f"{place} is {value}, which KFP would round to a double. Pass it as a str.")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueMismatchError(f"{place} is not valid Unicode text: {value!r:.200}")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueMismatchError(f"{place} is of type {type(value).__name__}, which is not JSON: {value!r:.200}")


def unwrapped(value: Any) -> Any:
    """Return numpy's scalars as Python's."""
    scalar = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
    return value.item() if scalar else value


def typed(value: Any, declared: str, place: str, came: str) -> Any:
    """Return a value as its declared type, or raise."""
    value = unwrapped(value)
    if not isinstance(value, TYPES[declared]) or (isinstance(value, bool) and declared != "bool"):
        kind = type(value).__name__
        raise ValueMismatchError(f"{place} is declared {declared}, but {came} {kind}: {value!r:.200}")
    return float(value) if declared == "float" else value


def artifact_of(runtime: dict[str, Any]) -> Artifact:
    title = runtime.get("type", {}).get("schemaTitle")
    kind = next((kind for kind in KINDS if kind.schema_title == title), Artifact)
    artifact = kind(runtime.get("name"), runtime.get("uri"), runtime.get("metadata"))
    artifact.custom_path = runtime.get("customPath") or ""
    return artifact


class Step:
    """One call of the function.

    ``interface`` is what the compiler read from the signature: ``function``; ``inputs``, the declared type
    of each parameter, or null; ``outputs``, the output's name by argument; ``paths``, the arguments that
    take a path instead of an artifact; ``lists``, where there are some, those that take all the artifacts;
    ``returns``, a list of (output's name, field or null, declared type); ``form``, one of nothing, single,
    several.
    """

    def __init__(self, interface: dict[str, Any], executor_input: dict[str, Any]) -> None:
        self.interface = interface
        self.name = interface["function"]
        self.inputs = executor_input.get("inputs", {})
        self.outputs = executor_input.get("outputs", {})
        self.artifacts: dict[str, tuple[dict[str, Any], Artifact]] = {}

    def arguments(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        # A task has further inputs where texts or settings of it refer to run-time values.
        for name, value in self.inputs.get("parameterValues", {}).items():
            if value is not None and name in self.interface["inputs"]:
                made[name] = self.received(name, value)
        for name, given in self.inputs.get("artifacts", {}).items():
            if name in self.interface.get("lists", ()):
                made[name] = [artifact_of(runtime) for runtime in given.get("artifacts", ())]
            elif given.get("artifacts"):
                made[name] = self.passed(name, artifact_of(given["artifacts"][0]))
        for argument, output in self.interface["outputs"].items():
            made[argument] = self.output(argument, output)
        return made

    def received(self, name: str, value: Any) -> Any:
        declared = self.interface["inputs"].get(name)
        if declared == "int" and isinstance(value, float) and value.is_integer():
            value = int(value)
        place = f"Input {name!r} of function {self.name!r}"
        return typed(value, declared, place, "the step received") if declared else value

    def passed(self, argument: str, artifact: Artifact) -> Any:
        return artifact.path if argument in self.interface["paths"] else artifact

    def output(self, argument: str, output: str) -> Any:
        if output in self.outputs.get("parameters", {}):
            path = made = self.outputs["parameters"][output]["outputFile"]
        else:
            runtime = self.outputs["artifacts"][output]["artifacts"][0]
            artifact = artifact_of(runtime)
            self.artifacts[output] = (runtime, artifact)
            path, made = artifact.path, self.passed(argument, artifact)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        return made

    def write(self, result: Any) -> None:
        written = {"parameterValues": self.values(result), "artifacts": self.written()}
        path = self.outputs["outputFile"]
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(written, file)

    def values(self, result: Any) -> dict[str, Any]:
        if self.interface["form"] == "nothing":
            if result is not None:
                sys.stderr.write(f"No output of the step takes what {self.name!r} returned.\n")
            return {}
        results = [result] if self.interface["form"] == "single" else self.parts(result)
        values = {}
        for (output, _, declared), value in zip(self.interface["returns"], results):
            place = f"Output {output!r} of function {self.name!r}"
            values[output] = plain(typed(value, declared, place, "the function returned"), place)
        return values

    def parts(self, result: Any) -> list[Any]:
        fields = [field for _, field, _ in self.interface["returns"]]
        if type(result) is not tuple and all(field and hasattr(result, field) for field in fields):
            return [getattr(result, field) for field in fields]
        if isinstance(result, tuple) and len(result) == len(fields):
            return list(result)
        names = ", ".join(repr(field or output) for output, field, _ in self.interface["returns"])
        what = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        raise ValueMismatchError(
            f"Function {self.name!r} is declared to return {len(fields)} values ({names}), "
            f"but it returned {what}: {result!r:.200}"
        )

    def written(self) -> dict[str, Any]:
        written = {}
        for output, (runtime, artifact) in self.artifacts.items():
            if not artifact.metadata and not os.path.exists(artifact.path):
                sys.stderr.write(f"Output {output!r}: the function wrote nothing to {artifact.path}\n")
            entry = {"name": artifact.name, "type": runtime.get("type", {}), "uri": artifact.uri}
            entry["metadata"] = plain(artifact.metadata, f"The metadata of output {output!r}")
            if artifact.custom_path:
                entry["customPath"] = artifact.custom_path
            written[output] = {"artifacts": [entry]}
        return written


def report(error: Exception) -> str:
    """Return the traceback without the frames of this file and of the import system before the user's."""
    trace = error.__traceback__
    hidden = (report.__code__.co_filename, "<frozen importlib")
    while trace and trace.tb_frame.f_code.co_filename.startswith(hidden):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    if isinstance(error, ModuleNotFoundError):
        lines.append(
            f"Add {error.name!r} to the function's requirements, or use an image that has it. A module "
            "beside the function's file travels if the function's source is their folder.\n"
        )
    return "".join(lines)


def main(arguments: list[str]) -> int:
    options = dict(zip(arguments[::2], arguments[1::2]))
    source = options.get("--source") or json.loads(options["--source-json"])
    sys.argv = [options["--file"]]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    step = Step(json.loads(options["--interface"]), json.loads(options["--executor-input"]))
    try:
        function = load(source, options["--file"], step.name)
        step.write(function(**step.arguments()))
    except ValueMismatchError as mismatch:
        sys.stderr.write(f"{mismatch}\n")
        return 1
    except Exception as error:  # noqa: BLE001
        # User code may raise anything; all of it is told in the same way.
        sys.stderr.write(report(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
