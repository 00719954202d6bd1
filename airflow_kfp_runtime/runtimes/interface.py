"""What every kind of function checks alike: names of types, connections, and the names of outputs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_kfp_runtime.dsl.references import MISSING, Missing, PipelineArgument, Reference, StepOutput
from airflow_kfp_runtime.dsl.types import ARTIFACT_CLASSES, ArtifactType, ParameterType
from airflow_kfp_runtime.errors import StepError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_kfp_runtime.dsl.types import ValueType
    from airflow_kfp_runtime.runtimes.component import ComponentRequest

#: Python's name of each parameter type.
PYTHON_NAMES: dict[ParameterType, str] = {
    ParameterType.STRING: "str",
    ParameterType.INTEGER: "int",
    ParameterType.DOUBLE: "float",
    ParameterType.BOOLEAN: "bool",
    ParameterType.LIST: "list",
    ParameterType.STRUCT: "dict",
}

_ARTIFACT_NAMES = {artifact.schema_title: name for name, artifact in ARTIFACT_CLASSES.items()}

_BY_NAME: dict[str, ValueType] = {
    "string": ParameterType.STRING,
    "text": ParameterType.STRING,
    "integer": ParameterType.INTEGER,
    "double": ParameterType.DOUBLE,
    "boolean": ParameterType.BOOLEAN,
    "jsonarray": ParameterType.LIST,
    "jsonobject": ParameterType.STRUCT,
    **{name: parameter for parameter, name in PYTHON_NAMES.items()},
    **{parameter.value.lower(): parameter for parameter in ParameterType},
    **{name.lower(): ArtifactType(title) for title, name in _ARTIFACT_NAMES.items()},
    **{title.lower(): ArtifactType(title) for title in _ARTIFACT_NAMES},
}

#: The names of types as messages list them.
TYPE_NAMES = (*PYTHON_NAMES.values(), *ARTIFACT_CLASSES)


def value_type(name: str) -> ValueType | None:
    """Return the type of that name, or ``None`` where there is none.

    :param name: Python's (``int``), KFP's (``NUMBER_INTEGER``, ``String``) or an artifact's (``Dataset``,
        ``system.Dataset``), in any case.
    """
    return _BY_NAME.get(name.strip().lower())


def type_name(value: ValueType) -> str:
    """Return the name that a user writes for a type: ``int``, ``Dataset``."""
    match value:
        case ParameterType():
            return PYTHON_NAMES[value]
        case ArtifactType():
            name = _ARTIFACT_NAMES.get(value.schema_title, value.schema_title)
            return f"list[{name}]" if value.is_list else name


def fits(given: ValueType, declared: ValueType) -> bool:
    """Tell whether a value of one type may be connected to an input of another.

    An int fits a float; ``Artifact`` fits every artifact and the other way round, as in KFP.
    """
    match given, declared:
        case ArtifactType(), ArtifactType():
            general = ArtifactType().schema_title
            titles = (given.schema_title, declared.schema_title)
            alike = general in titles or given.schema_title == declared.schema_title
            return alike and given.is_list == declared.is_list
        case ParameterType.INTEGER, ParameterType.DOUBLE:
            return True
        case _:
            return given == declared


def connection(request: ComponentRequest, name: str) -> str:
    """Return in words what an input is connected to and its type: ``argument 'url' is a str``."""
    match request.given.get(name, MISSING):
        case Missing():
            what = "what is connected"
        case PipelineArgument() as argument:
            what = f"argument {argument.name!r}"
        case StepOutput() as output:
            what = f"output {output.key!r} of step {output.step.name!r}"
        case reference if isinstance(reference, Reference):
            what = repr(reference)
        case value:
            what = f"{value!r:.200}"
    given = request.inputs[name]
    kind = type_name(given) if given is not None else "plain value"
    return f"{what} is {'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def check_given(request: ComponentRequest, name: str, wanted: ValueType | None, taker: str) -> None:
    """Raise a :class:`StepError` where an input is given a value of another type than it takes.

    :param wanted: the type it takes; ``None`` for any.
    :param taker: what takes it, for the message: ``function 'train'``.
    """
    # An argument whose type is open can become any plain value, and no artifact.
    given = request.inputs[name] or (ParameterType.STRING if isinstance(wanted, ArtifactType) else wanted)
    if given is not None and wanted is not None and not fits(given, wanted):
        raise StepError(
            f"{connection(request, name)}, which {taker} does not take",
            step=request.step,
            field=request.field_of(name),
            allowed=[type_name(wanted)],
        )


def check_known(step: str, field: str, names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise a :class:`StepError` for the first of ``names`` that is not known.

    :param field: the step's field whose keys the names are.
    :param what: the end of the sentence: ``an input of function 'train'``.
    """
    there = sorted(known)
    for name in names:
        if name not in there:
            raise StepError(
                f"{name!r} is not {what}",
                step=step,
                field=f"{field}[{name!r}]",
                allowed=nearest(name, there) or ["none: it has none"],
            )


def workflow_output_names(request: ComponentRequest) -> dict[str, str]:
    """Return the workflow's name of each output that the step names, by the function's name.

    A dot becomes an underscore, as DigitalHub's steps have it.

    :raises StepError: two outputs would have the same name.
    """
    names = {name: workflow_name(name) for name in request.values}
    names.update((name, workflow_name(named)) for name, named in request.outputs.items())
    check_distinct(request.step, names)
    return names


def workflow_name(name: str) -> str:
    """Return an output's name as ``step.outputs[...]`` knows it."""
    return re.sub(r"\.", "_", name)


def check_distinct(step: str, names: Mapping[str, str]) -> None:
    """Raise a :class:`StepError` where two outputs have the same name in the workflow."""
    seen: dict[str, str] = {}
    for name, named in names.items():
        if named in seen:
            raise StepError(
                f"{named!r} is already the name of output {seen[named]!r}; give this one another",
                step=step,
                field=f"outputs[{name!r}]",
            )
        seen[named] = name
