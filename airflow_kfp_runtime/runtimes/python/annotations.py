"""What one annotation declares, read from its syntax."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from airflow_kfp_runtime.dsl.types import ARTIFACT_CLASSES, ArtifactType, ParameterType
from airflow_kfp_runtime.errors import FunctionError

if TYPE_CHECKING:
    from airflow_kfp_runtime.dsl.types import ValueType

#: Parameter types by the last part of the annotation's name (``typing.Dict`` is ``Dict``).
_PARAMETERS: dict[str, ParameterType] = {
    "str": ParameterType.STRING,
    "int": ParameterType.INTEGER,
    "float": ParameterType.DOUBLE,
    "bool": ParameterType.BOOLEAN,
    "list": ParameterType.LIST,
    "List": ParameterType.LIST,
    "dict": ParameterType.STRUCT,
    "Dict": ParameterType.STRUCT,
}

_ALLOWED = (
    "str",
    "int",
    "float",
    "bool",
    "list",
    "dict",
    "Input[Dataset]",
    "Output[Model]",
    "InputPath(...)",
)


class Direction(Enum):
    """Whether the function reads or writes what the argument names."""

    INPUT = "Input"
    OUTPUT = "Output"


@dataclass(frozen=True)
class AnnotatedType:
    """What an annotation declares; see :class:`~.signature.Argument`."""

    type: ValueType
    direction: Direction = Direction.INPUT
    as_path: bool = False


def read_annotation(node: ast.expr, place: str) -> AnnotatedType:
    """Return what an annotation declares.

    :param place: where it stands, for errors.
    :raises FunctionError: KFP has no type for it.
    """
    node = _without_wrappers(expression(node, place), place)
    match node:
        case ast.Name() | ast.Attribute():
            return _named(node, place)
        case ast.Subscript():
            name = last_name(node.value)
            if name in ("Input", "Output"):
                return AnnotatedType(_artifacts(node, Direction(name), place), Direction(name))
            if name in ("list", "List") and _is_artifact(node.slice):
                raise FunctionError(
                    f"a list of artifacts is annotated as Input[{ast.unparse(node)}]", field=place
                )
            if name in _PARAMETERS:
                return AnnotatedType(_PARAMETERS[name])
        case ast.Call():
            name = last_name(node.func)
            if name in ("InputPath", "OutputPath"):
                return _path(node, Direction(name.removesuffix("Path")), place)
    raise _no_type(node, place)


def expression(node: ast.expr, place: str) -> ast.expr:
    """Return the annotation itself, out of its quotes where it is a string.

    :raises FunctionError: the string is no expression.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return ast.parse(node.value, mode="eval").body
        except SyntaxError as error:
            raise FunctionError(
                f"{node.value!r} is not an annotation", field=place, allowed=_ALLOWED
            ) from error
    return node


def last_name(node: ast.expr) -> str:
    """Return the last part of a dotted name: ``Dataset`` of ``dsl.Dataset``; empty where it is not a name."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _without_wrappers(node: ast.expr, place: str) -> ast.expr:
    """Take the type out of ``Optional[X]``, ``Union[X, None]``, ``X | None`` and ``Annotated[X, ...]``."""
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            choices = [left, right]
        case ast.Subscript(value=wrapper, slice=ast.Tuple(elts=elements)) if last_name(wrapper) == "Union":
            choices = elements
        case ast.Subscript(value=wrapper, slice=inner) if last_name(wrapper) == "Optional":
            choices = [inner]
        case ast.Subscript(value=wrapper, slice=ast.Tuple(elts=[inner, *_])) if (
            last_name(wrapper) == "Annotated"
        ):
            choices = [inner]
        case _:
            return node
    kept = [choice for choice in choices if not (isinstance(choice, ast.Constant) and choice.value is None)]
    if len(kept) != 1:
        raise _no_type(node, place)
    return _without_wrappers(expression(kept[0], place), place)


def _named(node: ast.expr, place: str) -> AnnotatedType:
    name = last_name(node)
    if name in _PARAMETERS:
        return AnnotatedType(_PARAMETERS[name])
    if name in ARTIFACT_CLASSES:
        return AnnotatedType(_artifact(node, place))
    if name in ("InputPath", "OutputPath"):
        return AnnotatedType(ArtifactType(), Direction(name.removesuffix("Path")), as_path=True)
    raise _no_type(node, place)


def _is_artifact(node: ast.expr) -> bool:
    return last_name(node) in ARTIFACT_CLASSES


def _artifacts(node: ast.Subscript, direction: Direction, place: str) -> ArtifactType:
    """Read ``Input[Dataset]`` and ``Input[List[Dataset]]``, what the iterations of a loop have written."""
    inner = expression(node.slice, place)
    match inner:
        case ast.Subscript(value=wrapper, slice=item) if last_name(wrapper) in ("list", "List"):
            if direction is Direction.OUTPUT:
                raise FunctionError("KFP lets no step write a list of artifacts", field=place)
            return replace(_artifact(expression(item, place), place), is_list=True)
        case _:
            return _artifact(inner, place)


def _artifact(node: ast.expr, place: str) -> ArtifactType:
    if not _is_artifact(node):
        raise FunctionError(
            f"{ast.unparse(node)} is not a type of artifact", field=place, allowed=sorted(ARTIFACT_CLASSES)
        )
    return ArtifactType(ARTIFACT_CLASSES[last_name(node)].schema_title)


def _path(node: ast.Call, direction: Direction, place: str) -> AnnotatedType:
    """Read ``InputPath("Dataset")``, ``OutputPath(str)``, ``OutputPath()``."""
    named = [*node.args, *(keyword.value for keyword in node.keywords)]
    if not named:
        return AnnotatedType(ArtifactType(), direction, as_path=True)
    inner = read_annotation(named[0], place).type
    if direction is Direction.INPUT and isinstance(inner, ParameterType):
        raise FunctionError(
            f"a {ast.unparse(named[0])} arrives as a value, not as a file; annotate it so",
            field=place,
            allowed=[ast.unparse(named[0])],
        )
    return AnnotatedType(inner, direction, as_path=True)


def _no_type(node: ast.expr, place: str) -> FunctionError:
    return FunctionError(f"KFP has no type for {ast.unparse(node)}", field=place, allowed=_ALLOWED)
