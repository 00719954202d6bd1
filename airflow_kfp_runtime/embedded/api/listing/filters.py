"""The ``filter`` of a list call: JSON of the ``Filter`` message to predicates, predicates to a SQL condition.

The value has been unescaped once by HTTP and is unescaped once more here, as KFP does (2.17,
``parseAPIFilter``): a ``+`` becomes a space, and a ``%`` that starts no escape is an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from airflow_kfp_runtime.embedded.state.rows import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class FilterError(ValueError):
    """A filter that the server does not accept."""


class Operation(Enum):
    """The operations of ``kubeflow.pipelines.backend.api.v2beta1.Predicate``, with their numbers."""

    EQUALS = 1
    NOT_EQUALS = 2
    GREATER_THAN = 3
    GREATER_THAN_EQUALS = 5
    LESS_THAN = 6
    LESS_THAN_EQUALS = 7
    IN = 8
    IS_SUBSTRING = 9


@dataclass(frozen=True)
class Predicate:
    """One condition; a filter is the conjunction of its predicates.

    :param value: a string or an integer (seconds since 1970 for a time), or a tuple of either for ``IN``.
    """

    operation: Operation
    key: str
    value: str | int | tuple[str | int, ...]

    def sql(self, columns: Mapping[str, str]) -> tuple[str, tuple[Any, ...]]:
        """The condition with ``?`` for each of the values that are returned with it.

        :param columns: the SQL expression for each key.
        """
        column = columns[self.key]
        match self.operation:
            case Operation.IN if isinstance(self.value, tuple):
                marks = ", ".join("?" * len(self.value))
                return f"{column} IN ({marks})", self.value
            case Operation.IS_SUBSTRING:
                # As in the real server the wildcards of LIKE stay wildcards.
                return f"{column} LIKE ?", (f"%{self.value}%",)
            case _:
                return f"{column} {_COMPARISONS[self.operation]} ?", (self.value,)


_COMPARISONS = {
    Operation.EQUALS: "=",
    Operation.NOT_EQUALS: "<>",
    Operation.GREATER_THAN: ">",
    Operation.GREATER_THAN_EQUALS: ">=",
    Operation.LESS_THAN: "<",
    Operation.LESS_THAN_EQUALS: "<=",
}
_BROKEN_ESCAPE = re.compile("%(?![0-9a-fA-F]{2})")


def parse_filter(text: str) -> list[Predicate]:
    """Read the query parameter ``filter``.

    :param text: as it is after HTTP's own unescaping; empty for no filter.
    :raises FilterError: it cannot be unescaped or parsed, or operation and value do not fit.
    """
    if not text:
        return []
    if _BROKEN_ESCAPE.search(text):
        raise FilterError(f"failed to parse valid filter from {json.dumps(text)}: invalid URL escape")
    try:
        message = json.loads(unquote_plus(text))
        if not isinstance(message, dict) or set(message) - {"predicates"}:
            raise FilterError("a filter is an object with the field predicates")
        return [_predicate(predicate) for predicate in message.get("predicates") or []]
    except (ValueError, TypeError) as error:
        raise FilterError(f"failed to parse valid filter from {json.dumps(text)}: {error}") from error


def _predicate(message: object) -> Predicate:
    if not isinstance(message, dict):
        raise FilterError("a predicate is an object")
    fields = {_snake_case(name): value for name, value in message.items() if value is not None}
    operation = _operation(fields.pop("operation", None))
    key = fields.pop("key", "")
    if not isinstance(key, str) or not key:
        raise FilterError(f"Predicate key cannot be empty for operation {operation.name}")
    unknown = sorted(set(fields) - set(_VALUES))
    if unknown:
        raise FilterError(f'unknown field "{unknown[0]}"')
    if len(fields) != 1:
        raise FilterError(f"the predicate on {key} needs exactly one value; allowed: {', '.join(_VALUES)}")
    ((name, raw),) = fields.items()
    value = _VALUES[name](raw)
    match operation, value:
        case Operation.IN, str() | int():
            raise FilterError("cannot use IN operator with scalar type")
        case Operation.IS_SUBSTRING, int() | tuple():
            raise FilterError(f"cannot use non string value type with operator {operation.name}")
        case Operation.IN | Operation.IS_SUBSTRING, _:
            pass
        case _, tuple():
            raise FilterError(f"cannot use scalar operator {operation.name} on array type")
    return Predicate(operation, key, value)


def _operation(value: object) -> Operation:
    for operation in Operation:
        if value in (operation.name, operation.value):
            return operation
    raise FilterError(f"invalid predicate operation: {value}")


def _integer(value: object) -> int:
    # Protobuf's JSON writes a 64-bit integer as a string.
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise FilterError(f"invalid integer: {value}")
    return int(value)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise FilterError(f"invalid string: {value}")
    return value


def _seconds(value: object) -> int:
    return int(parse_timestamp(_string(value)).timestamp())


def _many(one: Callable[[object], str | int]) -> Callable[[object], tuple[str | int, ...]]:
    def read(message: object) -> tuple[str | int, ...]:
        if not isinstance(message, dict) or set(message) - {"values"}:
            raise FilterError('several values are an object with the field "values"')
        return tuple(one(value) for value in message.get("values") or ())

    return read


_VALUES: dict[str, Callable[[object], str | int | tuple[str | int, ...]]] = {
    "int_value": _integer,
    "long_value": _integer,
    "string_value": _string,
    "timestamp_value": _seconds,
    "int_values": _many(_integer),
    "long_values": _many(_integer),
    "string_values": _many(_string),
}


def _snake_case(name: str) -> str:
    return re.sub("([A-Z])", lambda match: f"_{match[0].lower()}", name)
