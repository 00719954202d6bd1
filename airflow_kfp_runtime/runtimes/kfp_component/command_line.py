"""The command line of a component of KFP v1, with KFP v2's placeholders."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.types import ArtifactType
from airflow_kfp_runtime.errors import FunctionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_kfp_runtime.dsl.types import ValueType

_CONDITION = '{"if": {"cond": {"isPresent": NAME}, "then": ..., "else": ...}}'
_FORMS = (
    *('{"inputValue": NAME}', '{"inputPath": NAME}', '{"inputUri": NAME}', '{"outputPath": NAME}'),
    *('{"outputUri": NAME}', '{"concat": [...]}', _CONDITION, '{"executorInput": null}'),
)
#: What each placeholder refers to, and what KFP v2 has for it: for a parameter, and for an artifact.
_PLACEHOLDERS: dict[str, tuple[str, str | None, str | None]] = {
    "inputValue": ("inputs", "{{$.inputs.parameters['NAME']}}", None),
    "inputPath": ("inputs", None, "{{$.inputs.artifacts['NAME'].path}}"),
    "inputUri": ("inputs", None, "{{$.inputs.artifacts['NAME'].uri}}"),
    "outputPath": (
        "outputs",
        "{{$.outputs.parameters['NAME'].output_file}}",
        "{{$.outputs.artifacts['NAME'].path}}",
    ),
    "outputUri": ("outputs", None, "{{$.outputs.artifacts['NAME'].uri}}"),
}

#: The whole of what a task is given.
_EVERYTHING = "{{$}}"


def input_name(name: str) -> str:
    """Return the name that an input or output has in KFP v2 (``dsl.utils.sanitize_input_name``, kfp 2.17)."""
    return re.sub("[^_0-9a-z]+", "_", name.lower()).strip("_")


@dataclass(frozen=True)
class CommandLine:
    """Writes command lines.

    :param inputs: the types of the inputs by their names in KFP v2.
    :param outputs: those of the outputs.
    """

    inputs: Mapping[str, ValueType | None]
    outputs: Mapping[str, ValueType]

    def arguments(self, written: object, place: str) -> tuple[str, ...]:
        """Return the arguments of a command line, each one text.

        :raises FunctionError: one is no text and no placeholder that KFP v2 has.
        """
        if written is None:
            return ()
        if not isinstance(written, list):
            raise FunctionError(f"is a {type(written).__name__}, not a list", field=place)
        return tuple(self._argument(part, f"{place}[{position}]") for position, part in enumerate(written))

    def variables(self, written: object, place: str) -> dict[str, str]:
        """Return environment variables.

        :raises FunctionError: they are no mapping of names to texts.
        """
        if written is None:
            return {}
        if not isinstance(written, dict):
            raise FunctionError(f"is a {type(written).__name__}, not a mapping", field=place)
        for name, value in written.items():
            if not isinstance(value, str):
                raise FunctionError(
                    f"{value!r:.200} is not a text: KFP fills in placeholders in command and args alone",
                    field=f"{place}.{name}",
                )
        return dict(written)

    def _argument(self, part: object, place: str) -> str:
        match part:
            case {"if": condition}:
                return self._condition(condition, place, self._branch)
            case {"concat": list(parts)} if any(_is_condition(one) for one in parts):
                return self._text_with_condition(parts, place)
            case _:
                return self._text(part, place)

    def _text_with_condition(self, parts: list[Any], place: str) -> str:
        """Return a text with one condition in it as a condition of the whole text."""
        positions = [index for index, one in enumerate(parts) if _is_condition(one)]
        if len(positions) > 1:
            raise FunctionError(
                "has several conditions in one argument, and KFP v2 evaluates one for each: "
                "write an argument for each of them",
                field=place,
            )
        (position,) = positions
        before, after = (
            self._text({"concat": some}, place) for some in (parts[:position], parts[position + 1 :])
        )

        def branch(written: object, place: str) -> str:
            pieces = written if isinstance(written, list) else [written]
            return before + self._text({"concat": pieces}, place) + after

        condition = parts[position]["if"]
        if isinstance(condition, dict):
            condition = {"else": [], **condition}
        return self._condition(condition, f"{place}.concat[{position}]", branch)

    def _condition(self, condition: object, place: str, branch: Callable[[object, str], object]) -> str:
        """Return a condition as the server reads it.

        :param branch: returns what a branch becomes.
        """
        match condition:
            case {"cond": {"isPresent": str(written)}, "then": then, **rest} if not rest.keys() - {"else"}:
                name = self._known(written, self.inputs, "input", place)
            case _:
                raise FunctionError(
                    f"{condition!r:.200} is not a condition", field=place, allowed=[_CONDITION]
                )
        if isinstance(self.inputs[name], ArtifactType):
            # KFP 2.17, ``driver/util.go`` (``resolveCondition``): an artifact would never be present.
            raise FunctionError(
                f"depends on {name!r}, an artifact, and KFP v2 evaluates conditions on plain values: "
                "leave the condition out, or give the input a type such as String",
                field=place,
            )
        structure = {"InputName": name, "Then": branch(then, f"{place}.then")}
        if rest.get("else") is not None:
            structure["Else"] = branch(rest["else"], f"{place}.else")
        return json.dumps({"IfPresent": structure})

    def _branch(self, written: object, place: str) -> str | list[str]:
        if isinstance(written, list):
            return [self._text(part, f"{place}[{position}]") for position, part in enumerate(written)]
        return self._text(written, place)

    def _text(self, part: object, place: str) -> str:
        match part:
            case str():
                return part
            case bool() | int() | float():
                raise FunctionError(
                    f'{part!r} is not a text: write "{json.dumps(part)}", in quotes', field=place
                )
            case {"concat": list(parts)}:
                texts = (self._text(one, f"{place}.concat[{index}]") for index, one in enumerate(parts))
                return "".join(texts)
            case {"if": _}:
                raise FunctionError(
                    "is a condition inside another argument or condition, which KFP v2 does not evaluate: "
                    "write an argument of its own for it",
                    field=place,
                )
            case {"executorInput": None}:
                return _EVERYTHING
            case dict() if len(part) == 1:
                ((form, name),) = part.items()
                return self._placeholder(form, name, place)
            case _:
                raise FunctionError(f"{part!r:.200} is not an argument", field=place, allowed=_FORMS)

    def _placeholder(self, form: str, written: object, place: str) -> str:
        if form not in _PLACEHOLDERS:
            raise FunctionError(f"{form!r} is not a placeholder of KFP v2", field=place, allowed=_FORMS)
        side, of_parameter, of_artifact = _PLACEHOLDERS[form]
        known = self.inputs if side == "inputs" else self.outputs
        name = self._known(written, known, side[:-1], place)
        is_artifact = isinstance(known[name], ArtifactType)
        template = of_artifact if is_artifact else of_parameter
        if template is None:
            what = "an artifact, which has no value" if is_artifact else "a plain value, which is in no file"
            instead = [other for other in _PLACEHOLDERS if other != form and _fits(other, side, is_artifact)]
            raise FunctionError(
                f"{name!r} is {what}: change its type, or the placeholder",
                field=place,
                allowed=[f'{{"{other}": {name}}}' for other in instead],
            )
        return template.replace("NAME", name)

    def _known(self, written: object, known: Mapping[str, object], side: str, place: str) -> str:
        name = input_name(written) if isinstance(written, str) else ""
        if name not in known:
            raise FunctionError(
                f"{written!r:.200} is not an {side} of the component",
                field=place,
                allowed=sorted(known) or [f"none: it has no {side}s"],
            )
        return name


def _fits(form: str, side: str, is_artifact: bool) -> bool:
    known_side, of_parameter, of_artifact = _PLACEHOLDERS[form]
    return known_side == side and (of_artifact if is_artifact else of_parameter) is not None


def _is_condition(part: object) -> bool:
    return isinstance(part, dict) and "if" in part
