"""Components of KFP v1: their YAML to a container, as the kfp SDK 2.17 converts it (``structures.py``).

One thing is written otherwise. KFP's server fills in placeholders in a text and the condition of an argument,
but not the SDK's ``{"Concat": [...]}`` (KFP 2.17, ``component/launcher_v2.go``), so that here a ``concat`` is
the text itself.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import FunctionError
from airflow_kfp_runtime.runtimes.compiled import Compiled
from airflow_kfp_runtime.runtimes.component import Container, InputDeclaration
from airflow_kfp_runtime.runtimes.kfp_component.command_line import CommandLine, input_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_kfp_runtime.dsl.types import ValueType

#: Names of types that are parameters, in lower case (``type_utils.PARAMETER_TYPES_MAPPING``).
_PARAMETERS = {
    "integer": ParameterType.INTEGER,
    "int": ParameterType.INTEGER,
    "double": ParameterType.DOUBLE,
    "float": ParameterType.DOUBLE,
    "string": ParameterType.STRING,
    "str": ParameterType.STRING,
    "text": ParameterType.STRING,
    "bool": ParameterType.BOOLEAN,
    "boolean": ParameterType.BOOLEAN,
    "dict": ParameterType.STRUCT,
    "jsonobject": ParameterType.STRUCT,
    "list": ParameterType.LIST,
    "jsonarray": ParameterType.LIST,
}

#: The classes of artifacts by their names in lower case.
_ARTIFACTS = {
    name.lower(): ArtifactType(f"system.{name}")
    for name in (
        *("Artifact", "Model", "Dataset", "Metrics", "ClassificationMetrics"),
        *("SlicedClassificationMetrics", "HTML", "Markdown"),
    )
}
_GOOGLE_TYPE = re.compile(r"google.[A-Za-z]+")
_BOOLEANS = {
    **dict.fromkeys(("y", "yes", "t", "true", "on", "1"), True),
    **dict.fromkeys(("n", "no", "f", "false", "off", "0"), False),
}


def is_version_1(document: Mapping[str, Any]) -> bool:
    """Whether a document is a component of KFP v1."""
    return "implementation" in document


def read_version_1(document: Mapping[str, Any], title: str) -> Compiled:
    """Return the container of a component.

    :param title: whose it is, for errors.
    :raises FunctionError: it is a graph, or wrong; with the place in the document.
    """
    container = _container(document)
    if not container.get("command"):
        raise FunctionError(
            "is missing: KFP v2 starts the program itself and does not know the image's ENTRYPOINT; name it",
            field="implementation.container.command",
        )
    inputs = {
        input_name(entry["name"]): _input(entry, place) for place, entry in _entries(document, "inputs")
    }
    outputs = {
        input_name(entry["name"]): _type_of(entry, place) for place, entry in _entries(document, "outputs")
    }
    line = CommandLine({name: declaration.type for name, declaration in inputs.items()}, outputs)
    place = "implementation.container"
    return Compiled(
        title,
        inputs,
        outputs,
        Container(
            image=_image(container),
            command=line.arguments(container.get("command"), f"{place}.command"),
            args=line.arguments(container.get("args"), f"{place}.args"),
            env=line.variables(container.get("env"), f"{place}.env"),
        ),
    )


def _container(document: Mapping[str, Any]) -> Mapping[str, Any]:
    implementation = document["implementation"]
    if isinstance(implementation, dict) and "graph" in implementation:
        raise FunctionError(
            "is a graph of components, which KFP v2 does not read: write its tasks as the steps of a "
            "workflow and name that as the step's workflow, or compile it as a pipeline of KFP v2",
            field="implementation.graph",
            allowed=["implementation.container"],
        )
    container = implementation.get("container") if isinstance(implementation, dict) else None
    if not isinstance(container, dict):
        raise FunctionError("is missing", field="implementation.container")
    if container.get("fileOutputs"):
        raise FunctionError(
            "has outputs at fixed paths, which KFP v2 has not: write the paths into the command line as "
            '{"outputPath": NAME}',
            field="implementation.container.fileOutputs",
        )
    return container


def _image(container: Mapping[str, Any]) -> str:
    image = container.get("image")
    if not isinstance(image, str) or not image:
        raise FunctionError(f"{image!r} is not an image", field="implementation.container.image")
    return image


def _entries(document: Mapping[str, Any], side: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the inputs or outputs that are declared, each with its place."""
    entries = document.get(side) or []
    if not isinstance(entries, list):
        raise FunctionError(f"is a {type(entries).__name__}, not a list", field=side)
    found: dict[str, str] = {}
    for position, entry in enumerate(entries):
        place = f"{side}[{position}]"
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not input_name(name):
            raise FunctionError(f"{entry!r:.200} has no name", field=place)
        other = found.setdefault(input_name(name), name)
        if other != name or any(entry is not one and one["name"] == name for one in entries[:position]):
            raise FunctionError(f"{name!r} is called {input_name(name)!r}, as {other!r} is", field=place)
    return [(f"{side}[{position}]", entry) for position, entry in enumerate(entries)]


def _input(entry: Mapping[str, Any], place: str) -> InputDeclaration:
    optional = bool(entry.get("optional")) or "default" in entry
    declared = _type_of(entry, place)
    default = entry.get("default")
    if default is None or isinstance(declared, ArtifactType):
        return InputDeclaration(declared, optional)
    return InputDeclaration(declared, optional, _default(default, declared, f"{place}.default"))


def _default(default: Any, declared: ParameterType, place: str) -> Any:
    """Return a default in the declared type: v1 has all of them as texts."""
    readers: dict[ParameterType, Callable[[str], Any]] = {
        ParameterType.INTEGER: int,
        ParameterType.DOUBLE: float,
        ParameterType.BOOLEAN: lambda text: _BOOLEANS[text.lower()],
        ParameterType.LIST: json.loads,
        ParameterType.STRUCT: json.loads,
        ParameterType.STRING: str,
    }
    written = default if isinstance(default, str) else json.dumps(default)
    try:
        return readers[declared](written)
    except (KeyError, ValueError):
        raise FunctionError(f"{default!r:.200} is not of the type {declared.value}", field=place) from None


def _type_of(entry: Mapping[str, Any], place: str) -> ValueType:
    """Return the type of an input or output; what is no parameter and no known artifact is any artifact."""
    written = entry.get("type")
    if not isinstance(written, str):
        # Types with properties ({"GCSPath": {...}}) had a meaning for v1's type checks alone.
        return ArtifactType()
    name = written.removeprefix("typing.")
    if name.lower().startswith(("list", "dict")):
        name = name.partition("[")[0]
    if name in {"PipelineTaskFinalStatus", "TaskConfig"}:
        raise FunctionError(f"is of type {name}, which only a task of KFP's SDK can be given", field=place)
    if name.lower() in _PARAMETERS:
        return _PARAMETERS[name.lower()]
    if _GOOGLE_TYPE.match(name):
        return ArtifactType(name)
    return _ARTIFACTS.get(name.lower(), ArtifactType())
