"""Steps of Python functions as they travel: compiled, then run as a process the way KFP's launcher does."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.plugins import function_kind
from airflow_kfp_runtime.runtimes.component import ComponentRequest


class Step:
    """One step of a function: compiled, then run as KFP's launcher would."""

    def __init__(self, folder, function, *, inputs=None, outputs=None, values=(), sources=None):
        self.folder = folder
        kind = function_kind("python")
        specification = kind.specification.model_validate(function)
        types = {name: _type_of(value) for name, value in (inputs or {}).items()}
        request = ComponentRequest(
            "train", "trainer", specification, "job", types, outputs or {}, list(values), sources=sources
        )
        self.component = kind.build(request)
        self.given = inputs or {}

    def executor_input(self):
        parameters, artifacts = {}, {}
        for name, value in self.given.items():
            if isinstance(value, dict) and "uri" in value:
                artifacts[name] = {"artifacts": [value]}
            else:
                parameters[name] = value
        for name, declared in self.component.inputs.items():
            if declared.optional and declared.default is not None:
                parameters.setdefault(name, declared.default)
        outputs = {"parameters": {}, "artifacts": {}, "outputFile": str(self.folder / "out" / "output.json")}
        for name, declared in self.component.outputs.items():
            if isinstance(declared, ArtifactType):
                runtime = {
                    "name": f"projects/1/{name}",
                    "type": {"schemaTitle": declared.schema_title, "schemaVersion": "0.0.1"},
                    "uri": f"file://{self.folder}/artifacts/{name}",
                }
                outputs["artifacts"][name] = {"artifacts": [runtime]}
            else:
                outputs["parameters"][name] = {"outputFile": str(self.folder / "parameters" / name)}
        return {"inputs": {"parameterValues": parameters, "artifacts": artifacts}, "outputs": outputs}

    def command(self, python=sys.executable, options=("-I", "-S")):
        filled = json.dumps(self.executor_input())
        container = self.component.implementation
        line = [part.replace("{{$}}", filled) for part in (*container.command, *container.args)]
        return [python, *options, *line[1:]] if line[0] == "python3" else line

    def run(self, *, environment=None, **options):
        (self.folder / "out" / "output.json").unlink(missing_ok=True)
        return subprocess.run(
            self.command(**options),
            capture_output=True,
            text=True,
            timeout=30,
            cwd=self.folder,
            env={**os.environ, "TMPDIR": str(self.folder), **(environment or {})},
        )

    def output(self, **options):
        done = self.run(**options)
        assert done.returncode == 0, done.stderr
        return json.loads((self.folder / "out" / "output.json").read_text())

    def failure(self, **options):
        done = self.run(**options)
        assert done.returncode == 1
        assert not (self.folder / "out" / "output.json").exists()
        return done.stderr


def _type_of(value):
    types = {
        str: ParameterType.STRING,
        int: ParameterType.INTEGER,
        float: ParameterType.DOUBLE,
        bool: ParameterType.BOOLEAN,
        list: ParameterType.LIST,
        dict: ParameterType.STRUCT,
    }
    if isinstance(value, dict) and "uri" in value:
        return ArtifactType(value["type"]["schemaTitle"])
    return types[type(value)]


def dataset(path, title="system.Dataset", **metadata):
    return {"name": "d", "uri": str(path), "type": {"schemaTitle": title}, "metadata": metadata}
