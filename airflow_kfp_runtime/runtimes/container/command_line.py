"""The command line of a container step: references to inputs and outputs become KFP's placeholders."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_kfp_runtime.dsl.types import ArtifactType
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_kfp_runtime.dsl.types import ValueType

_REFERENCE = re.compile(r"\$\((inputs|parameters|outputs)\.([^()\s]+)\)")

#: What is a reference or is meant as one: ``$(input.x)``, ``$(inputs.)``, ``${inputs.x}``, ``{{inputs.x}}``.
#: Group 1 is the escape. Other ``$(...)`` are the shell's and stay as they are.
_MENTION = re.compile(
    r"(\$?)\$\(SIDES?\.[^(){}\n]*\)?|\$\{SIDES?\.[^(){}\n]*\}?|\{\{\s*SIDES?\.[^(){}\n]*\}{0,2}".replace(
        "SIDE", "(?:input|output|parameter|param)"
    ),
    re.IGNORECASE,
)

#: What each key of KFP's component notation refers to.
_KFP_NOTATION = {
    "inputValue": ("inputs", "value"),
    "inputPath": ("inputs", "path"),
    "inputUri": ("inputs", "uri"),
    "outputPath": ("outputs", "path"),
    "outputUri": ("outputs", "uri"),
}


def has_mention(text: str) -> bool:
    """Whether something in a text is a reference to an input or output, or is meant as one."""
    return _MENTION.search(text) is not None


@dataclass
class CommandLine:
    """Fills in the references of one step's command line, and notes which outputs it writes.

    :param step: the step's name, for errors.
    :param inputs: the type of each input; ``None`` for one that is not known yet.
    :param outputs: the type of each output, by the function's name of it.
    :param output_names: the workflow's name of each output, by the function's.
    :param written: the outputs that the command line refers to.
    """

    step: str
    inputs: Mapping[str, ValueType | None]
    outputs: Mapping[str, ValueType]
    output_names: Mapping[str, str]
    written: set[str] = field(default_factory=set)

    def filled_in(self, place: str, entries: Sequence[str | dict[str, str]]) -> tuple[str, ...]:
        """Return the entries with KFP's placeholders in place of the references.

        :param place: ``command`` or ``args``.
        :raises StepError: one refers to what the step does not have, or is spelt wrong.
        """
        return tuple(self._entry(f"{place}[{index}]", entry) for index, entry in enumerate(entries))

    def _entry(self, place: str, entry: str | dict[str, str]) -> str:
        if isinstance(entry, dict):
            filled = self._notation(place, entry)
        else:
            filled = _MENTION.sub(lambda match: self._reference(place, match), entry)
        if place == "command[0]" and "{{$" in filled:
            raise StepError(
                f"{entry!r} refers to an input or output, but KFP does not fill in the program's own name; "
                "begin the command with `env`",
                step=self.step,
                field=place,
            )
        return filled

    def _notation(self, place: str, entry: dict[str, str]) -> str:
        match list(entry.items()):
            case [(key, name)] if key in _KFP_NOTATION:
                side, facet = _KFP_NOTATION[key]
                return self._placeholder(place, str(entry), side, name, facet)
            case _:
                raise StepError(
                    f"{entry!r} is not a reference",
                    step=self.step,
                    field=place,
                    allowed=[f'{{"{key}": NAME}}' for key in _KFP_NOTATION],
                )

    def _reference(self, place: str, match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        reference = _REFERENCE.fullmatch(match[0])
        if reference is None:
            raise self._misspelt(place, match[0])
        side, name = reference.groups()
        known = self.outputs if side == "outputs" else self.inputs
        facet = ""
        stem, _, end = name.rpartition(".")
        if name not in known and end in ("uri", "path", "value"):
            name, facet = stem, end
        elif side == "parameters":
            facet = "value"
        return self._placeholder(place, match[0], side, name, facet)

    def _placeholder(self, place: str, written: str, side: str, name: str, facet: str) -> str:
        """Return KFP's placeholder for an input or output.

        :param facet: ``value``, ``path``, ``uri``, or empty for the one that is usual for its type.
        """
        if side == "outputs":
            own = {named: own for own, named in self.output_names.items()}
            name = name if name in self.outputs else own.get(name, name)
            return self._output(place, written, name, facet)
        if name not in self.inputs:
            raise self._unknown(place, written, "input", self.inputs)
        if isinstance(self.inputs[name], ArtifactType):
            if facet == "value":
                raise self._wrong(place, written, name, "an artifact, which has no value", "path or uri")
            return f"{{{{$.inputs.artifacts['{name}'].{facet or 'path'}}}}}"
        if facet not in ("", "value"):
            raise self._wrong(place, written, name, f"a parameter, which has no {facet}", "its value")
        return f"{{{{$.inputs.parameters['{name}']}}}}"

    def _output(self, place: str, written: str, name: str, facet: str) -> str:
        if name not in self.outputs:
            raise self._unknown(place, written, "output", self.outputs)
        self.written.add(name)
        named = self.output_names[name]
        if facet == "value":
            raise self._wrong(place, written, name, "an output, which has no value yet", "its path")
        if isinstance(self.outputs[name], ArtifactType):
            return f"{{{{$.outputs.artifacts['{named}'].{facet or 'path'}}}}}"
        if facet not in ("", "path"):
            raise self._wrong(place, written, name, f"a plain value, which has no {facet}", "its path")
        return f"{{{{$.outputs.parameters['{named}'].output_file}}}}"

    def _misspelt(self, place: str, written: str) -> StepError:
        advice = f"; where the shell is to get it, write ${written}" if written.startswith("$(") else ""
        return StepError(
            f"{written} is not a reference to an input or output{advice}",
            step=self.step,
            field=place,
            allowed=["$(inputs.NAME)", "$(parameters.NAME)", "$(outputs.NAME)"],
        )

    def _unknown(self, place: str, written: str, what: str, known: Mapping[str, object]) -> StepError:
        names = sorted(known)
        return StepError(
            f"{written} refers to an {what} that the step does not have",
            step=self.step,
            field=place,
            allowed=names or [f"none: the step has no {what}s"],
        )

    def _wrong(self, place: str, written: str, name: str, what: str, allowed: str) -> StepError:
        return StepError(f"{written}: {name!r} is {what}", step=self.step, field=place, allowed=[allowed])
