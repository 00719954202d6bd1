"""A Python function's interface, read from its text: nothing of the user's is imported or executed."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import FunctionError
from airflow_kfp_runtime.runtimes.interface import TYPE_NAMES, value_type
from airflow_kfp_runtime.runtimes.python.annotations import (
    Direction,
    expression,
    last_name,
    read_annotation,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.runtimes.python.text import Definition, FunctionSource

#: The types that JSON and KFP have, by the Python type of a default.
_LITERALS: dict[type, ParameterType] = {
    str: ParameterType.STRING,
    int: ParameterType.INTEGER,
    float: ParameterType.DOUBLE,
    bool: ParameterType.BOOLEAN,
    list: ParameterType.LIST,
    dict: ParameterType.STRUCT,
}


@dataclass(frozen=True)
class Argument:
    """One argument of the function.

    :param type: ``None`` where it is not annotated.
    :param direction: whether the function reads or writes it.
    :param as_path: it takes a path (``InputPath``, ``OutputPath``) instead of an artifact object.
    :param required: the function has no default for it.
    :param default: the default, where it is a literal; otherwise ``None``, and the function's own applies.
    """

    type: ValueType | None
    direction: Direction = Direction.INPUT
    as_path: bool = False
    required: bool = True
    default: Any = None


class ReturnForm(Enum):
    """What a function returns; the values are the executor's words."""

    NOTHING = "nothing"
    SINGLE = "single"
    SEVERAL = "several"


@dataclass(frozen=True)
class Returns:
    """What a function returns.

    :param types: one for each returned value.
    :param fields: their names, where the annotation has some (``NamedTuple``).
    :param annotated: whether there is an annotation at all.
    """

    form: ReturnForm
    types: tuple[ParameterType, ...] = ()
    fields: tuple[str, ...] = ()
    annotated: bool = True


@dataclass(frozen=True)
class Signature:
    """The interface of a function: its arguments by name, and what it returns."""

    function: str
    arguments: Mapping[str, Argument]
    returns: Returns


def read_signature(source: FunctionSource) -> Signature:
    """Read a function's interface.

    :raises SourceError: the source is not Python or has no such function.
    :raises FunctionError: a step could not call it: ``*args``, an annotation that KFP has no type for.
    """
    definition = source.definition()
    if isinstance(definition, ast.AsyncFunctionDef):
        raise FunctionError(
            f"{definition.name!r} is written with async def, which a step cannot call; write it with def",
            field="handler",
        )
    arguments = definition.args
    if arguments.vararg is not None:
        raise FunctionError(
            "a step names every value that it passes; list the arguments one by one",
            field=f"argument *{arguments.vararg.arg} of {definition.name!r}",
        )
    if arguments.kwarg is not None:
        raise FunctionError(
            "KFP needs to know every input's name beforehand; list the arguments one by one",
            field=f"argument **{arguments.kwarg.arg} of {definition.name!r}",
        )
    if arguments.posonlyargs:
        raise FunctionError(
            "a step passes values by name; remove the `/`",
            field=f"argument {arguments.posonlyargs[0].arg} of {definition.name!r}",
        )
    without_default = len(arguments.args) - len(arguments.defaults)
    defaults = [*[None] * without_default, *arguments.defaults, *arguments.kw_defaults]
    return Signature(
        function=definition.name,
        arguments={
            argument.arg: _argument(definition.name, argument, default)
            for argument, default in zip([*arguments.args, *arguments.kwonlyargs], defaults, strict=True)
        },
        returns=_returns(definition, source),
    )


def _argument(function: str, argument: ast.arg, default: ast.expr | None) -> Argument:
    place = f"argument {argument.arg!r} of {function!r}"
    if argument.annotation is None:
        return Argument(type=None, required=default is None, default=_literal(default))
    annotation = read_annotation(argument.annotation, place)
    literal = _literal(default)
    if literal is not None and annotation.direction is Direction.OUTPUT:
        raise FunctionError("an output has no default", field=place)
    if literal is not None and not _is_default_of(literal, annotation.type):
        raise FunctionError(
            f"the default {literal!r} is not of the type that the annotation declares",
            field=place,
            allowed=[ast.unparse(argument.annotation)],
        )
    return Argument(
        annotation.type, annotation.direction, annotation.as_path, required=default is None, default=literal
    )


def _literal(default: ast.expr | None) -> Any:
    """Return a default's value where it is a JSON value written out, else ``None``."""
    if default is None:
        return None
    try:
        value = ast.literal_eval(default)
    except ValueError:
        return None
    return value if type(value) in _LITERALS else None


def _is_default_of(literal: Any, declared: ValueType) -> bool:
    given = _LITERALS[type(literal)]
    return given == declared or (given is ParameterType.INTEGER and declared is ParameterType.DOUBLE)


def _returns(definition: Definition, source: FunctionSource) -> Returns:
    if definition.returns is None:
        return Returns(ReturnForm.NOTHING, annotated=False)
    place = f"the return of {definition.name!r}"
    node = expression(definition.returns, place)
    if isinstance(node, ast.Constant) and node.value is None:
        return Returns(ReturnForm.NOTHING)
    named = _named_fields(node, source)
    if named is not None:
        return Returns(
            ReturnForm.SEVERAL,
            tuple(_returned_type(type_node, place) for type_node in named.values()),
            tuple(named),
        )
    if isinstance(node, ast.Subscript) and last_name(node.value) in ("tuple", "Tuple"):
        elements = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return Returns(ReturnForm.SEVERAL, tuple(_returned_type(element, place) for element in elements))
    return Returns(ReturnForm.SINGLE, (_returned_type(node, place),))


def _returned_type(node: ast.expr, place: str) -> ParameterType:
    annotation = read_annotation(node, place)
    if isinstance(annotation.type, ArtifactType) or annotation.as_path:
        raise FunctionError(
            f"{ast.unparse(node)} is written, not returned: take an argument such as `result: "
            "Output[Dataset]` and write to `result.path`",
            field=place,
        )
    return annotation.type


def _named_fields(node: ast.expr, source: FunctionSource) -> dict[str, ast.expr] | None:
    """Return name and annotation of each field, where the annotation is a named tuple."""
    if isinstance(node, ast.Call) and last_name(node.func) == "NamedTuple":
        fields = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        for listed in node.args[1:]:
            pairs = listed.elts if isinstance(listed, (ast.List, ast.Tuple)) else []
            for pair in pairs:
                match pair:
                    case ast.Tuple(elts=[ast.Constant(value=str(name)), annotation]):
                        fields[name] = annotation
        return fields
    if isinstance(node, ast.Name) and value_type(node.id) is None:
        for statement in source.module().body:
            if isinstance(statement, ast.ClassDef) and statement.name == node.id:
                return _class_fields(statement)
    return None


def _class_fields(definition: ast.ClassDef) -> dict[str, ast.expr]:
    if not any(last_name(base) == "NamedTuple" for base in definition.bases):
        raise FunctionError(
            "KFP has no type for this class",
            field=f"class {definition.name!r}",
            allowed=["NamedTuple", *TYPE_NAMES],
        )
    return {
        statement.target.id: statement.annotation
        for statement in definition.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
