"""Numbers as every reader returns them: what protobuf and JSON do not keep is decided here, once."""

from __future__ import annotations

import json
from typing import Any

#: The types whose values are more than a text (``PipelineSpec``, ``ParameterTypeEnum``).
_NO_TEXT = {"BOOLEAN", "LIST", "NUMBER_DOUBLE", "NUMBER_INTEGER", "STRUCT"}


def typed(parameter_type: str, value: Any) -> Any:
    """Return a parameter's value in its declared type.

    KFP keeps every number as a double, so that ``3`` and ``3.0`` cannot be told apart in what it answers: the
    declared type decides, and inside lists and mappings whole numbers are ``int``.

    :param parameter_type: such as ``NUMBER_INTEGER``; with any other word than the IR's the value stays as
        it is.
    """
    if parameter_type not in _NO_TEXT:
        return value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if parameter_type != "NUMBER_DOUBLE":
        return whole(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else value


def whole(value: Any) -> Any:
    """Return a JSON value in which each number without a fraction is an ``int``."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [whole(item) for item in value]
        case dict():
            return {name: whole(item) for name, item in value.items()}
    return value
