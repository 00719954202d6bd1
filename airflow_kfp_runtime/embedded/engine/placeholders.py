"""Placeholders in the command line, the environment and the constants of a task.

``{{$.inputs.parameters['x']}}`` and its kin are filled in one pass, so that a value that looks like a
placeholder stays as it is. What is no placeholder of KFP's stays too: a component's source code may hold
anything. ``{"Concat": ...}`` and ``{"IfPresent": ...}`` are what the SDK compiles ``ConcatPlaceholder`` and
``IfPresentPlaceholder`` to (KFP 2.17, ``kfp/dsl/placeholders.py``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.engine.values import as_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_PLACEHOLDER = re.compile(r"\{\{\$(?:\.(?P<expression>[^{}]+?))?\}\}")
_ESCAPE = re.compile(r"(?P<rest>.*?)\.?json_escape\[(?P<level>\d+)\]")
_PARAMETER = re.compile(r"inputs\.parameters\['(?P<name>[^']+)'\]")
_OUTPUT_FILE = re.compile(r"outputs\.parameters\['(?P<name>[^']+)'\]\.output_file")
_ARTIFACT = re.compile(
    r"(?P<side>inputs|outputs)\.artifacts\['(?P<name>[^']+)'\]"
    r"\.(?P<field>uri|path|name|metadata)(?:\['(?P<key>[^']+)'\])?"
)


class PlaceholderError(ValueError):
    """A placeholder that stands for a value which is not there."""


@dataclass(frozen=True)
class Scope:
    """What placeholders stand for.

    :param names: values of the run and the task by their name: ``pipeline_job_uuid``, ``pipeline_root``, ...
    :param executor_input: the task's executor input; its URIs are plain paths.
    :param optional: the input parameters that are declared and have no value.
    """

    names: Mapping[str, str]
    executor_input: Mapping[str, Any] = field(default_factory=dict)
    optional: Collection[str] = ()

    def fill(self, text: str) -> str:
        """Replace the placeholders in a text.

        :raises PlaceholderError: one of them names an optional input that has no value, or the path of an
            artifact that is not on this machine.
        """
        return _PLACEHOLDER.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        expression = match["expression"] or ""
        escape = _ESCAPE.fullmatch(expression)
        value = self._look_up(escape["rest"] if escape else expression)
        if value is None:
            return match.group()
        for _ in range(int(escape["level"]) if escape else 0):
            value = json.dumps(value)[1:-1]
        return value

    def _look_up(self, expression: str) -> str | None:
        inputs = self.executor_input.get("inputs", {})
        outputs = self.executor_input.get("outputs", {})
        if expression == "":
            return json.dumps(self.executor_input, ensure_ascii=False) if self.executor_input else None
        if expression in ("outputs.output_file", "outputMetadataUri"):
            return str(outputs["outputFile"]) if outputs else None
        if match := _PARAMETER.fullmatch(expression):
            return self._parameter(match["name"], inputs.get("parameterValues", {}))
        if match := _OUTPUT_FILE.fullmatch(expression):
            file = outputs.get("parameters", {}).get(match["name"])
            return str(file["outputFile"]) if file else None
        if match := _ARTIFACT.fullmatch(expression):
            found = self.executor_input.get(match["side"], {}).get("artifacts", {}).get(match["name"])
            if not found:
                return None
            if not found["artifacts"]:
                raise PlaceholderError(f"the list of artifacts {match['name']!r} is empty")
            return _artifact_field(match["name"], found["artifacts"][0], match["field"], match["key"])
        return self.names.get(expression)

    def _parameter(self, name: str, values: Mapping[str, Any]) -> str | None:
        if name in values:
            return as_text(values[name])
        if name in self.optional:
            raise PlaceholderError(
                f"the input {name!r} is used in a text but has no value: give it one, or a default, "
                "or use an IfPresentPlaceholder"
            )
        return None


def _artifact_field(artifact_name: str, artifact: Mapping[str, Any], name: str, key: str | None) -> str:
    match name, key:
        case "metadata", None:
            return as_text(artifact.get("metadata", {}))
        case "metadata", _:
            return as_text(artifact.get("metadata", {}).get(key))
        case "path", None:
            path = str(artifact["uri"])
            if not path.startswith("/"):
                raise PlaceholderError(
                    f"the step wants a file of the artifact {artifact_name!r}, which is at {path}: the "
                    "embedded server fetches nothing; import a file of this machine, or open the URI in the "
                    "step"
                )
            return path
        case _:
            return as_text(artifact[name])


def expand(elements: Sequence[str], provided: Collection[str]) -> list[str]:
    """Resolve the ``Concat`` and ``IfPresent`` structures of a command line, to elements not yet filled.

    :param provided: the inputs that were given a value; a default does not count.
    """
    return [piece for element in elements for piece in _expand(_structure(element), provided)]


def _structure(element: str) -> object:
    if not element.lstrip().startswith(('{"Concat":', '{"IfPresent":')):
        return element
    try:
        return json.loads(element)
    except ValueError:
        return element


def _expand(element: object, provided: Collection[str]) -> Iterator[str]:
    match element:
        case None:
            return
        case str():
            yield element
        case {"Concat": list(items)}:
            yield "".join(piece for item in items for piece in _expand(item, provided))
        case {"IfPresent": {"InputName": name, "Then": then, **rest}}:
            yield from _expand(then if name in provided else rest.get("Else"), provided)
        case list():
            for item in element:
                yield from _expand(item, provided)
        case _:
            yield json.dumps(element)
