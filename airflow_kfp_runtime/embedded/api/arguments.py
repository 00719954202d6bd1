"""A run's arguments: macros in them are expanded, then they are checked against the pipeline's parameters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class ArgumentsError(ValueError):
    """An argument is missing, unknown, or of another type than the pipeline declares."""


#: Type in the spec: the types that a JSON value may have, and the server's word for it in the message.
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "NUMBER_INTEGER": ((int, float), "double or integer"),
    "NUMBER_DOUBLE": ((int, float), "double or integer"),
    "STRING": ((str,), "string"),
    "BOOLEAN": ((bool,), "bool"),
    "LIST": ((list,), "list"),
    "STRUCT": ((dict,), "struct"),
}
_VALUE_NAMES = {"double or integer": "number"}


def check_arguments(pipeline_spec: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Check arguments as the server does before it compiles a run (KFP 2.17, ``validatePipelineJobInputs``).

    :param arguments: the run's ``runtime_config.parameters``.
    :raises ArgumentsError: with the server's words.
    """
    declared = pipeline_spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name, parameter in declared.items():
        if name in arguments:
            _check_type(name, parameter, arguments[name])
        elif not parameter.get("isOptional") and parameter.get("defaultValue") is None:
            raise ArgumentsError(
                f"parameter {name} is not optional, yet has neither default value nor user provided value"
            )
    extra = [name for name in arguments if name not in declared]
    if extra:
        raise ArgumentsError(f"parameter(s) provided are not required by pipeline: {', '.join(extra)}")


def _check_type(name: str, parameter: Mapping[str, Any], value: Any) -> None:
    declared = parameter.get("parameterType", "")
    if declared not in _TYPES:
        raise ArgumentsError(f"input parameter {name} has unspecified type")
    types, word = _TYPES[declared]
    # To Python True is an integer, to JSON it is not.
    if not isinstance(value, types) or (isinstance(value, bool) and declared != "BOOLEAN"):
        raise ArgumentsError(
            f"input parameter {name} requires type {word}, but the parameter value is not of "
            f"{_VALUE_NAMES.get(word, word)} value type"
        )
    literals = parameter.get("literals")
    if literals and value not in literals:
        raise ArgumentsError(
            f"input parameter {name} with value {value} is not one of the literals {literals}"
        )


_MACRO = re.compile(r"\[\[(.*?)\]\]|\{\{\$\.(.*?)\}\}")
_STRFTIME = re.compile(r"(currentTime|scheduledTime)\.strftime\('(.*)'\)")

#: Go writes a time format as the time 2006-01-02 15:04:05 would look.
_GO_LAYOUT = {
    "2006": "%Y", "January": "%B", "Jan": "%b", "Monday": "%A", "Mon": "%a",
    "01": "%m", "02": "%d", "15": "%H", "03": "%I", "04": "%M", "05": "%S", "06": "%y", "PM": "%p",
}  # fmt: skip
_GO_TOKEN = re.compile("|".join(_GO_LAYOUT))


def expand_macros(
    arguments: Mapping[str, Any], *, run_id: str, created_at: datetime, scheduled_at: datetime | None
) -> dict[str, Any]:
    """Replace ``[[RunUUID]]``, ``[[CurrentTime]]``, ``[[ScheduledTime]]`` and their forms with a format.

    Only values that are strings are looked at, not strings inside lists or structs. ``[[Index]]`` and,
    without a scheduled time, ``[[ScheduledTime]]`` stay as they are: they belong to recurring runs. Times are
    in UTC. Source: KFP 2.17, ``ParameterFormatter``.

    >>> from datetime import datetime, timezone
    >>> moment = datetime(2026, 8, 1, 12, 30, tzinfo=timezone.utc)
    >>> expand_macros({"day": "[[CurrentTime.2006-01-02]]"}, run_id="r", created_at=moment, scheduled_at=None)
    {'day': '2026-08-01'}
    """
    moments = {"CurrentTime": created_at, "currentTime": created_at}
    if scheduled_at is not None:
        moments |= {"ScheduledTime": scheduled_at, "scheduledTime": scheduled_at}

    def substitute(match: re.Match[str]) -> str:
        if match[1] is None:
            call = _STRFTIME.fullmatch(match[2])
            return moments[call[1]].strftime(call[2]) if call and call[1] in moments else match[0]
        name, _, layout = match[1].partition(".")
        if name == "RunUUID":
            return run_id
        if name not in moments:
            return match[0]
        layout = _GO_TOKEN.sub(lambda token: _GO_LAYOUT[token[0]], layout or "20060102150405")
        return moments[name].strftime(layout)

    return {
        name: _MACRO.sub(substitute, value) if isinstance(value, str) else value
        for name, value in arguments.items()
    }
