"""What an expression gives for the inputs of a task, as cel-go evaluates it in KFP's driver.

CEL tells integers, ``int`` here, from doubles, ``float``; every number in an input is a double, since KFP's
values are those of JSON. Values of different types are unequal, but for numbers, which compare by their
value; to order them is an error.
"""

from __future__ import annotations

import json
import math
import operator
import re
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.engine.cel.syntax import (
    Call,
    Index,
    Junction,
    Literal,
    Name,
    Negative,
    Not,
    Relation,
    Tree,
)
from airflow_kfp_runtime.embedded.engine.cel.tokens import CelError
from airflow_kfp_runtime.embedded.engine.values import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_DOUBLE = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)
#: From this exponent on Go writes one (``strconv``, ``%g`` with the shortest digits).
_GO_EXPONENT = 6
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(condition: Tree, parameters: Mapping[str, Any]) -> bool:
    """Whether a condition is true for a task's input parameters.

    :raises CelError: it names an input without a value, compares what cannot be compared, or is not a bool.
    """
    result = _value(condition, {"inputs": {"parameter_values": _doubles(dict(parameters))}})
    if not isinstance(result, bool):
        raise CelError(f"it is {_shown(result)}, and a condition is true or false")
    return result


def select(selector: Tree, value: object) -> Any:
    """What a selector takes out of the value of an input.

    :raises CelError: there is no such member.
    """
    kinds = {str: "string", float: "number", bool: "bool", list: "list", dict: "struct"}
    plain = _doubles(value)
    known = {f"{kinds[type(plain)]}_value": plain} if type(plain) in kinds else {}
    # The driver gives any value as text too, which the SDK's selectors parse again.
    return _value(selector, {**known, "string_value": as_text(value)})


def _value(tree: Tree, variables: Mapping[str, Any]) -> Any:
    match tree:
        case Literal(value):
            return value
        case Name(name):
            if name not in variables:
                raise CelError(f"the value has no {name}")
            return variables[name]
        case Index(operand, key):
            return _member(_value(operand, variables), _value(key, variables))
        case Call(function, argument):
            return _CALLS[function](_value(argument, variables))
        case Not(operand):
            return not _bool("!", _value(operand, variables))
        case Negative(operand):
            return _negative(_value(operand, variables))
        case Relation(relation, left, right):
            return _related(relation, _value(left, variables), _value(right, variables))
        case Junction(junction, left, right):
            return _joined(junction, (left, right), variables)


def _joined(junction: str, operands: tuple[Tree, Tree], variables: Mapping[str, Any]) -> bool:
    """CEL's logic: one side that decides is enough, even where the other cannot be evaluated."""
    decides = junction == "||"
    failure: CelError | None = None
    for operand in operands:
        try:
            if _bool(junction, _value(operand, variables)) is decides:
                return decides
        except CelError as error:  # noqa: PERF203  two operands
            failure = failure or error
    if failure is not None:
        raise failure
    return not decides


def _related(relation: str, left: Any, right: Any) -> bool:
    left, right = _alike(left, right)
    if relation in ("==", "!="):
        return _equal(left, right) is (relation == "==")
    comparable = (_kind(left), _kind(right))
    if not (_is_number(left) and _is_number(right)) and comparable not in (
        ("string", "string"),
        ("bool", "bool"),
    ):
        raise CelError(f"{relation} cannot compare {_shown(left)} with {_shown(right)}")
    return _ORDERS[relation](left, right)


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """An integer beside a double as a double, which is how cel-go compares them."""
    if {_kind(left), _kind(right)} == {"int", "double"}:
        return float(left), float(right)
    return left, right


def _equal(left: Any, right: Any) -> bool:
    if _is_number(left) and _is_number(right):
        return bool(left == right)
    if _kind(left) != _kind(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def _member(operand: Any, key: Any) -> Any:
    match operand:
        case dict() if isinstance(key, str) and key in operand:
            return operand[key]
        case dict():
            known = ", ".join(map(repr, sorted(operand)[:10])) or "nothing"
            raise CelError(f"there is no {key!r}, only {known}")
        case list() if _is_number(key) and float(key).is_integer():
            if 0 <= key < len(operand):
                return operand[int(key)]
            raise CelError(f"there is no item {int(key)} in a list of {len(operand)}")
        case _:
            raise CelError(f"{_shown(operand)} has no member {key!r}")


def _negative(value: Any) -> Any:
    if not _is_number(value):
        raise CelError(f"- is not for {_shown(value)}")
    return _in_range(-value, value)


def _to_int(value: Any) -> int:
    match value:
        case str() if _INTEGER.fullmatch(value):
            return int(_in_range(int(value), value))
        case float() if math.isfinite(value):
            return int(_in_range(int(value), value))
        case int() if not isinstance(value, bool):
            return value
    raise CelError(f"int() cannot convert {_shown(value)}")


def _in_range(number: Any, value: Any) -> Any:
    if isinstance(number, int) and not -(2**63) <= number < 2**63:
        raise CelError(f"{_shown(value)} does not fit into an integer of 64 bits")
    return number


def _to_double(value: Any) -> float:
    if (isinstance(value, str) and _DOUBLE.fullmatch(value)) or _is_number(value):
        return float(value)
    raise CelError(f"double() cannot convert {_shown(value)}")


def _to_string(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _go_text(value)
    raise CelError(f"string() cannot convert {_shown(value)}")


def _to_bool(value: Any) -> bool:
    match value:
        case bool():
            return value
        case str() if value in _TRUE:
            return True
        case str() if value in _FALSE:
            return False
    raise CelError(f"bool() cannot convert {_shown(value)}")


def _parse_json(text: Any) -> Any:
    if not isinstance(text, str):
        raise CelError(f"parseJson() is for a string, not for {_shown(text)}")
    try:
        return _doubles(json.loads(text, parse_constant=_refuse_constant))
    except (ValueError, RecursionError):
        raise CelError(f"parseJson() was given {_shown(text)}, which is not JSON") from None


def _refuse_constant(name: str) -> None:
    # NaN and Infinity are Python's, not JSON's.
    raise ValueError(name)


_CALLS: dict[str, Callable[[Any], Any]] = {
    "int": _to_int,
    "double": _to_double,
    "string": _to_string,
    "bool": _to_bool,
    "parseJson": _parse_json,
}


def _go_text(number: float) -> str:
    """A double as Go's ``%g`` writes it: the shortest digits, with an exponent below -4 and from 6 on.

    >>> _go_text(2.0), _go_text(1e6), _go_text(0.00001)
    ('2', '1e+06', '1e-05')
    """
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else f"{'+' if number > 0 else '-'}Inf"
    digits, exponent = f"{number:.17e}".split("e")
    for precision in range(17):
        if float(f"{number:.{precision}e}") == number:
            digits, exponent = f"{number:.{precision}e}".split("e")
            break
    if -4 <= int(exponent) < _GO_EXPONENT:
        places = max(len(digits.lstrip("-").replace(".", "")) - 1 - int(exponent), 0)
        return f"{number:.{places}f}"
    return f"{digits}e{exponent}"


def _double(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        # JSON has no bound for integers, and a double has one.
        raise CelError("an integer is larger than a double can be") from None


def _doubles(value: Any) -> Any:
    """A value with its numbers as doubles."""
    match value:
        case bool():
            return value
        case int():
            return _double(value)
        case list():
            return [_doubles(item) for item in value]
        case dict():
            return {key: _doubles(item) for key, item in value.items()}
        case _:
            return value


def _bool(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise CelError(f"{where} is not for {_shown(value)}")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "double"
        case str():
            return "string"
        case list():
            return "list"
        case _:
            return "map"


def _shown(value: object) -> str:
    text = "null" if value is None else json.dumps(value, default=str)
    return f"the {_kind(value)} {text if len(text) <= 60 else text[:60] + '...'}"
