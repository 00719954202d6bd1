"""Importers: tasks that run nothing and put out an artifact that is there already.

Only its URI is recorded, as by KFP's importer. ``reimport`` makes no difference here: each run has artifact
rows of its own. Unlike KFP, which knows object stores only, a path or ``file:`` URI is one of this machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_kfp_runtime.embedded.engine.placeholders import PlaceholderError, Scope
from airflow_kfp_runtime.embedded.engine.resolve import ResolveError
from airflow_kfp_runtime.embedded.engine.values import Values, path_of, uri_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]


def imported(
    importer: Mapping[str, Any], component: Mapping[str, Any], inputs: Values, names: Mapping[str, str]
) -> Values:
    """The outputs of an importer.

    :param importer: the ``importer`` of its executor in the IR.
    :param component: its component.
    :param inputs: its inputs.
    :param names: values of the run and the task for placeholders in the metadata.
    :raises ResolveError: there is no URI, it is a path at which nothing is, or the component does not have
        one output.
    """
    uri = uri_of(_uri(importer, inputs))
    if uri.startswith("file:") and not Path(path_of(uri)).exists():
        raise ResolveError(
            f"The importer was given {uri}, and on the machine of this server nothing is at {path_of(uri)}."
        )
    outputs = component.get("outputDefinitions", {}).get("artifacts", {})
    if len(outputs) != 1:
        raise ResolveError(f"An importer has one output artifact, and this one has {len(outputs)}.")
    (name,) = outputs
    scope = Scope(names, {"inputs": {"parameterValues": inputs.parameters}})
    try:
        metadata = _filled(importer.get("metadata", {}), scope)
    except PlaceholderError as error:
        raise ResolveError(f"The importer's metadata: {error}.") from None
    artifact = {
        "id": str(uuid4()),
        "name": name,
        "type": importer.get("typeSchema", {}).get("schemaTitle", "system.Artifact"),
        "uri": uri,
        "metadata": metadata,
    }
    return Values(artifacts={name: [artifact]})


def _uri(importer: Mapping[str, Any], inputs: Values) -> str:
    match importer.get("artifactUri", {}):
        case {"constant": str(uri)} if uri:
            return uri
        case {"runtimeParameter": name}:
            given = inputs.parameters.get(name)
            if isinstance(given, str) and given:
                return given
            raise ResolveError(f"The importer's input {name!r}, its URI, has no value.")
        case _:
            raise ResolveError("The importer was given no URI.")


def _filled(value: Any, scope: Scope) -> Any:
    match value:
        case str():
            return scope.fill(value)
        case list():
            return [_filled(item, scope) for item in value]
        case dict():
            return {scope.fill(key): _filled(item, scope) for key, item in value.items()}
        case _:
            return value
