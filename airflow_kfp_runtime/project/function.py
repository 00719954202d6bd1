"""Functions, which the steps of a pipeline name, and how one is checked against its kind."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import FunctionError, SourceError
from airflow_kfp_runtime.plugins import function_kind
from airflow_kfp_runtime.project.definitions import Definition, check_settings
from airflow_kfp_runtime.project.problems import Location, Problem, path

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    from airflow_kfp_runtime.project.settings import TaskSettings
    from airflow_kfp_runtime.runtimes.component import FunctionKind

#: Pydantic's type of error for a field that the model does not have.
_UNKNOWN = "extra_forbidden"

#: DigitalHub's fields that describe a function of any kind.
_DESCRIPTIVE = ("description", "labels", "uuid", "embedded")


@dataclass(frozen=True)
class Function:
    """A function that steps may name.

    :param name: unique in its project.
    :param kind: what it is and how a step with it becomes a component.
    :param specification: the kind's own fields, checked.
    :param settings: Kubernetes settings of all steps with it; a step's own win.
    :param description: what it is for; kept, not sent.
    :param labels: DigitalHub's labels; kept, not sent.
    :param uuid: its id on a DigitalHub platform; references may end in it.
    :param embedded: whether an exported project holds it whole; kept.
    """

    name: str
    kind: FunctionKind
    specification: BaseModel
    settings: TaskSettings | None = None
    description: str | None = None
    labels: Sequence[str] = ()
    uuid: str | None = None
    embedded: bool = True

    @property
    def reference_kinds(self) -> Sequence[str]:
        """Its kind as references may have it: that of the platform it runs on, and the one it has here."""
        of_platform = getattr(self.specification, "function_kind", None)
        return (self.kind.name,) if of_platform is None else (str(of_platform), self.kind.name)


def new_function(
    name: str, *, kind: str = "python", settings: Mapping[str, Any] | None = None, **specification: Any
) -> Function:
    """Make a function outside of a project, for a step that is given it as its ``function``.

    The parameters and errors are those of :meth:`Project.new_function`. Templates in it stay as they are.
    """
    function, problems = check_function(function_definition(name, kind, settings, specification))
    if function is None:
        raise problems[0].exception()
    return function


def function_definition(
    name: str, kind: str, settings: Mapping[str, Any] | None, specification: Mapping[str, Any]
) -> Definition:
    """Return what was written of a function in Python."""
    return Definition(f"function {name!r}", name, {"kind": kind, "settings": settings, **specification})


def check_function(definition: Definition) -> tuple[Function | None, list[Problem]]:
    """Return the function of a definition, or all that is wrong with it; what matters most comes first."""
    from pydantic import ValidationError

    try:
        written = {name: value for name, value in definition.fields.items() if value is not None}
        fields = dict(definition.resolve(written))
        kind = _kind(fields.pop("kind", "python"))
    except (FunctionError, SourceError) as error:
        return None, [definition.problem(error)]
    fields.pop("settings", None)
    described = {
        key: fields.pop(key)
        for key in _DESCRIPTIVE
        if key in fields and key not in kind.specification.model_fields
    }
    problems = [definition.placed(problem) for problem in _description_problems(definition, described)]
    specification, settings = None, None
    try:
        specification = kind.specification(**fields)
    except ValidationError as error:
        found = _specification_problems(definition.title, kind, fields, error)
        problems.extend(definition.placed(problem) for problem in found)
    if "settings" in written:
        settings, wrong = check_settings(definition, written["settings"], within=("settings",))
        problems.extend(wrong)
    if specification is None or problems:
        return None, problems
    described["labels"] = tuple(described.get("labels", ()))
    return Function(definition.name, kind, specification, settings, **described), []


def _kind(name: object) -> FunctionKind:
    if not isinstance(name, str):
        raise FunctionError(f"{name!r} is not a text", field="kind", allowed=["python", "container"])
    try:
        return function_kind(name)
    except FunctionError as error:
        from airflow_kfp_runtime.runtimes.digitalhub.specification import ACTIONS

        if name not in ACTIONS:
            raise
        raise FunctionError(
            f"{error.problem} here; the platform of DigitalHub runs it where it is registered there",
            field=error.field,
            allowed=[f"kind 'digitalhub' with function_kind {name!r}"],
        ) from None


def _description_problems(definition: Definition, described: Mapping[str, Any]) -> Iterator[Problem]:
    for key, value in described.items():
        match key, value:
            case (("description" | "uuid"), str()):
                continue
            case "labels", list() | tuple() if all(isinstance(label, str) for label in value):
                continue
            case "embedded", bool():
                continue
        wanted = {"labels": "a list of texts", "embedded": "true or false"}.get(key, "a text")
        yield Problem(
            FunctionError, f"{value!r:.200} is not {wanted}", f"{definition.title}, {key}", (), (key,)
        )


def _specification_problems(
    title: str, kind: FunctionKind, fields: Mapping[str, Any], error: ValidationError
) -> list[Problem]:
    """Return pydantic's errors as problems, one for each value; unknown fields first.

    An unknown field that was meant for a missing one tells all: the missing one is left out.
    """
    groups: dict[Location, list[ErrorDetails]] = {}
    for found in error.errors(include_url=False):
        groups.setdefault(_written_location(found, fields), []).append(found)
    known = [*_DESCRIPTIVE, "settings", *field_names(kind.specification)]
    problems: list[Problem] = []
    meant: set[str] = set()
    for location, group in sorted(groups.items(), key=lambda entry: entry[1][0]["type"] != _UNKNOWN):
        allowed: Sequence[str] = ()
        if group[0]["type"] == _UNKNOWN:
            close = difflib.get_close_matches(str(location[0]), known)
            meant.update(close)
            allowed = close or sorted(set(known) - set(_DESCRIPTIVE))
        if location and location[0] in meant and location[0] not in fields:
            continue
        place = f"{title}, {path(location)}" if location else title
        problems.append(Problem(FunctionError, _problem(group), place, tuple(allowed), location))
    return problems


def field_names(specification: type[BaseModel]) -> list[str]:
    """Return the names that a kind's fields may be given by, its other spellings among them."""
    return sorted({*specification.model_fields, *getattr(specification, "OTHER_SPELLINGS", ())})


def _written_location(error: ErrorDetails, fields: Mapping[str, Any]) -> Location:
    """Return an error's location without the parts that pydantic adds, such as the types of a union."""
    location: list[str | int] = list(error["loc"][:1])
    value: Any = fields.get(str(location[0])) if location else None
    for part in error["loc"][1:]:
        match value, part:
            case Mapping(), str() if part in value or error["type"] == "missing":
                value = value.get(part)
            case ((list() | tuple()), int()) if part < len(value):
                value = value[part]
            case _:
                break
        location.append(part)
    return tuple(location)


def _problem(errors: Sequence[ErrorDetails]) -> str:
    """Return pydantic's problems with one value as the clause that follows a field's name."""
    from airflow_kfp_runtime.project.settings.problems import WANTED, kind_of, problem_of

    first = errors[0]
    given = first["input"]
    wanted = list(dict.fromkeys(WANTED[error["type"]] for error in errors if error["type"] in WANTED))
    if len(wanted) > 1:
        return f"is {kind_of(given)}, not {' or '.join(wanted)}"
    match first["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a field of this kind"
        case "tuple_type" if isinstance(given, str):
            return f"{given!r} is a text, not a list: write [{json.dumps(given, ensure_ascii=False)}]"
        case _:
            return problem_of(first)[0]
