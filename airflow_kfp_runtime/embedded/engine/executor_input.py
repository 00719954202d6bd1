"""What a task is told and what it tells: KFP's executor input, and the outputs that it leaves.

The messages are ``ExecutorInput`` and ``ExecutorOutput`` of KFP's ``pipeline_spec.proto``; what wins over
what when outputs are read is as in KFP 2.17's launcher (``backend/src/v2/component/launcher_v2.go``).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_kfp_runtime.embedded.engine.values import (
    StoredArtifact,
    Values,
    ValueTypeError,
    as_json,
    check_type,
    parse,
    path_of,
    uri_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.embedded.engine.artifacts import OutputPlace

Json = dict[str, Any]


class OutputError(ValueError):
    """A task did not write what it has declared; the message names it."""


def executor_input(inputs: Values, output_definitions: Mapping[str, Any], place: OutputPlace) -> Json:
    """The executor input of one attempt.

    URIs are plain paths, which the SDK's artifact classes open as they are.

    :param output_definitions: ``outputDefinitions`` of the component.
    """
    return {
        "inputs": _filled(
            parameterValues=as_json(dict(inputs.parameters)),
            artifacts={
                name: {"artifacts": [_input_artifact(artifact) for artifact in artifacts]}
                for name, artifacts in inputs.artifacts.items()
            },
        ),
        "outputs": _filled(
            parameters={
                name: {"outputFile": str(place.parameter(name))}
                for name in output_definitions.get("parameters", {})
            },
            artifacts={
                name: {"artifacts": [_output_artifact(name, definition, place)]}
                for name, definition in output_definitions.get("artifacts", {}).items()
            },
            outputFile=str(place.executor_output),
        ),
    }


def read_outputs(told: Json, output_definitions: Mapping[str, Any], place: OutputPlace) -> Values:
    """What an attempt has left behind.

    :param told: its executor input.
    :raises OutputError: an output parameter was not written or has a value of another type, or the executor
        output file is not JSON.
    """
    reported = _reported(place.executor_output)
    values = reported.get("parameterValues", {})
    parameters = {
        name: _read_parameter(name, definition, values, place.parameter(name))
        for name, definition in output_definitions.get("parameters", {}).items()
    }
    artifacts = {
        name: [_read_artifact(planned["artifacts"][0], reported.get("artifacts", {}).get(name, {}))]
        for name, planned in told["outputs"].get("artifacts", {}).items()
    }
    return Values(parameters=parameters, artifacts=artifacts)


def _filled(**members: Any) -> Json:
    return {name: value for name, value in members.items() if value}


def _input_artifact(artifact: StoredArtifact) -> Json:
    return _filled(
        name=artifact["name"],
        uri=path_of(artifact["uri"]),
        type={"schemaTitle": artifact["type"]},
        metadata=as_json(artifact.get("metadata", {})),
    )


def _output_artifact(name: str, definition: Json, place: OutputPlace) -> Json:
    return _filled(
        name=name,
        uri=str(place.artifact(name)),
        type=definition.get("artifactType"),
        metadata=definition.get("metadata"),
    )


def _reported(file: Path) -> Json:
    try:
        text = file.read_text()
    except FileNotFoundError:
        return {}
    try:
        reported = json.loads(text)
    except ValueError as error:
        raise OutputError(f"The executor output file is not JSON: {error}.") from None
    if not isinstance(reported, dict):
        raise OutputError("The executor output file does not hold a JSON object.")
    return reported


def _read_parameter(name: str, definition: Json, reported: Json, file: Path) -> Any:
    parameter_type = definition.get("parameterType")
    try:
        if name in reported:
            return check_type(reported[name], parameter_type)
        return parse(file.read_text(), parameter_type)
    except FileNotFoundError:
        raise OutputError(
            f"The output parameter {name!r} ({parameter_type}) was not written: the step must return it or "
            "write it to its output file."
        ) from None
    except (ValueTypeError, UnicodeDecodeError) as error:
        raise OutputError(f"The output parameter {name!r}: {error}.") from None


def _read_artifact(planned: Json, reported: Json) -> StoredArtifact:
    found = (reported.get("artifacts") or [{}])[0]
    uri = found.get("uri") or planned["uri"]
    custom = found.get("custom_path") or found.get("customPath")
    if custom and uri.startswith("/"):
        _move(Path(custom), Path(uri))
    return {
        "id": str(uuid4()),
        "name": found.get("name") or planned["name"],
        "type": planned.get("type", {}).get("schemaTitle", "system.Artifact"),
        "uri": uri_of(uri),
        "metadata": {**planned.get("metadata", {}), **(found.get("metadata") or {})},
    }


def _move(source: Path, target: Path) -> None:
    """Bring what a step wrote to a path of its own choice to the artifact's place."""
    if source.exists() and source != target:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
