"""From the text of an expression to its tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from airflow_kfp_runtime.embedded.engine.cel.tokens import CelError, Token, tokens

if TYPE_CHECKING:
    from collections.abc import Callable

#: The functions, each of one argument: the type of what they return (``None``: that of the value), and the
#: types that they take.
FUNCTIONS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "int": ("int", ("int", "double", "string", "null")),
    "double": ("double", ("int", "double", "string")),
    "string": ("string", ("bool", "int", "double", "string", "null")),
    "bool": ("bool", ("bool", "string")),
    "parseJson": (None, ("string",)),
}

#: How deeply an expression may be nested; cel-go has a limit too.
_DEEPEST = 100
_LARGEST = 2**63 - 1

_RELATIONS = ("==", "!=", "<", "<=", ">", ">=")
_CONSTANTS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class Literal:
    """A constant: ``None``, a ``bool``, an ``int``, a ``float`` (CEL's double) or a ``str``."""

    value: str | float | int | bool | None


@dataclass(frozen=True)
class Name:
    """A variable."""

    name: str


@dataclass(frozen=True)
class Index:
    """``operand[key]``, and ``operand.key`` with a literal key."""

    operand: Tree
    key: Tree


@dataclass(frozen=True)
class Call:
    """A function of one argument."""

    function: str
    argument: Tree


@dataclass(frozen=True)
class Not:
    """``!operand``."""

    operand: Tree


@dataclass(frozen=True)
class Negative:
    """``-operand``."""

    operand: Tree


@dataclass(frozen=True)
class Relation:
    """A comparison."""

    operator: str
    left: Tree
    right: Tree


@dataclass(frozen=True)
class Junction:
    """``left && right`` or ``left || right``."""

    operator: str
    left: Tree
    right: Tree


Tree: TypeAlias = Literal | Name | Index | Call | Not | Negative | Relation | Junction


def read_condition(text: str) -> Tree:
    """Read a ``triggerPolicy.condition``, which knows ``inputs.parameter_values``.

    :raises CelError: it is no condition that can be evaluated.
    """
    tree = _read(text, ("inputs",))
    if _static_type(tree) not in (None, "bool"):
        raise CelError(f"{text!r} is of type {_static_type(tree)}, and a condition is true or false")
    return tree


def read_selector(text: str) -> Tree:
    """Read a ``parameterExpressionSelector``, which knows the value as ``string_value``, its JSON text.

    :raises CelError: it is no expression that can be evaluated.
    """
    return _read(text, ("string_value", "number_value", "bool_value", "list_value", "struct_value"))


def _read(text: str, names: tuple[str, ...]) -> Tree:
    parser = _Parser(text, names)
    tree = parser.either(0)
    parser.end()
    return tree


class _Parser:
    """Recursive descent: a method for each level of precedence, the loosest first."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        self._text = text
        self._names = names
        self._tokens = [*tokens(text), Token("end", "its end")]
        self._place = 0

    def end(self) -> None:
        if self._next.kind != "end":
            raise self._unexpected()

    def either(self, depth: int) -> Tree:
        return self._junction("||", self._both, depth)

    def _both(self, depth: int) -> Tree:
        return self._junction("&&", self._relation, depth)

    def _junction(self, operator: str, operand: Callable[[int], Tree], depth: int) -> Tree:
        tree = operand(depth)
        while self._take(operator):
            right = operand(depth)
            for side in (tree, right):
                self._expect_bool(operator, side)
            tree = Junction(operator, tree, right)
        return tree

    def _relation(self, depth: int) -> Tree:
        tree = self._unary(depth)
        while self._next.kind == "symbol" and self._next.text in _RELATIONS:
            operator = self._advance().text
            right = self._unary(depth)
            kinds = (_static_type(tree), _static_type(right))
            if None not in kinds and kinds[0] != kinds[1]:
                raise CelError(
                    f"{self._text!r}: {operator} cannot compare {kinds[0]} with {kinds[1]}: convert one of "
                    "them with int(), double(), string() or bool()"
                )
            tree = Relation(operator, tree, right)
        return tree

    def _unary(self, depth: int) -> Tree:
        if depth > _DEEPEST:
            raise CelError(f"{self._text[:60]!r}... is nested more deeply than {_DEEPEST} levels")
        if self._take("!"):
            operand = self._unary(depth + 1)
            self._expect_bool("!", operand)
            return Not(operand)
        if self._take("-"):
            return self._negative(depth)
        return self._member(depth)

    def _negative(self, depth: int) -> Tree:
        # The smallest integer has no positive counterpart, so a sign belongs to its literal.
        match self._next:
            case Token("literal", _, int() as number) if number == _LARGEST + 1:
                self._advance()
                return Literal(-number)
        operand = self._unary(depth + 1)
        if _static_type(operand) not in (None, "int", "double"):
            raise CelError(f"{self._text!r}: - is not for the type {_static_type(operand)}")
        return Negative(operand)

    def _member(self, depth: int) -> Tree:
        tree = self._primary(depth)
        while True:
            if self._take("["):
                tree = Index(tree, self.either(depth + 1))
                self._expect("]")
            elif self._take("."):
                if self._next.kind != "name":
                    raise self._unexpected()
                tree = Index(tree, Literal(self._advance().text))
                if self._next.text == "(" and self._next.kind == "symbol":
                    raise self._unsupported(f"the function {self._tokens[self._place - 1].text!r}")
            else:
                return tree

    def _primary(self, depth: int) -> Tree:
        token = self._advance()
        match token:
            case Token("literal", text, value):
                if isinstance(value, int) and value > _LARGEST:
                    raise CelError(f"{self._text!r}: {text} is larger than an integer of 64 bits")
                return Literal(value)
            case Token("symbol", "("):
                tree = self.either(depth + 1)
                self._expect(")")
                return tree
            case Token("name", name) if self._take("("):
                return self._call(name, depth)
            case Token("name", name) if name in _CONSTANTS:
                return Literal(_CONSTANTS[name])
            case Token("name", name) if name in self._names:
                return Name(name)
            case Token("name", name):
                raise CelError(
                    f"{self._text!r}: there is no {name!r} here, only {', '.join(map(repr, self._names))}"
                )
        self._place -= 1
        raise self._unexpected()

    def _call(self, name: str, depth: int) -> Tree:
        if name not in FUNCTIONS:
            raise self._unsupported(f"the function {name!r}")
        argument = self.either(depth + 1)
        self._expect(")")
        kind = _static_type(argument)
        if kind is not None and kind not in FUNCTIONS[name][1]:
            raise CelError(f"{self._text!r}: {name}() is not for the type {kind}")
        return Call(name, argument)

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _advance(self) -> Token:
        token = self._next
        self._place += token.kind != "end"
        return token

    def _take(self, symbol: str) -> bool:
        if self._next.kind == "symbol" and self._next.text == symbol:
            self._place += 1
            return True
        return False

    def _expect(self, symbol: str) -> None:
        if not self._take(symbol):
            raise self._unexpected(f" where {symbol!r} should be")

    def _expect_bool(self, operator: str, operand: Tree) -> None:
        if _static_type(operand) not in (None, "bool"):
            raise CelError(f"{self._text!r}: {operator} is not for the type {_static_type(operand)}")

    def _unexpected(self, where: str = "") -> CelError:
        if self._next.kind == "symbol" and self._next.text in "+-*/%?:{[":
            return self._unsupported(f"{self._next.text!r}")
        return CelError(f"{self._text!r}: {self._next.text!r} is not expected{where}")

    def _unsupported(self, what: str) -> CelError:
        known = ", ".join(f"{function}()" for function in FUNCTIONS)
        return CelError(
            f"{self._text!r}: {what} of CEL is not supported by the embedded server, only comparisons, "
            f"&&, ||, !, members and {known}"
        )


def _static_type(tree: Tree) -> str | None:
    """The type that is known before evaluation; ``None`` where it is the value's."""
    match tree:
        case Literal(bool()) | Not() | Relation() | Junction():
            return "bool"
        case Literal(None):
            return "null"
        case Literal(int()):
            return "int"
        case Literal(float()):
            return "double"
        case Literal(str()):
            return "string"
        case Negative(operand):
            return _static_type(operand)
        case Call(function):
            return FUNCTIONS[function][0]
        case _:
            return None
