"""A value that a user wrote and where it stands, so that each error can say so."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from pydantic import ValidationError

from airflow_kfp_runtime.dsl.references import REFERENCE_IN_TEXT, Reference
from airflow_kfp_runtime.errors import DefinitionError, SettingError
from airflow_kfp_runtime.project.settings import quantities
from airflow_kfp_runtime.project.settings.fields import Settings
from airflow_kfp_runtime.project.settings.model import Inexpressible
from airflow_kfp_runtime.project.settings.problems import AT_RUN_TIME, kind_of, problem_of

if TYPE_CHECKING:
    from airflow_kfp_runtime.project.settings.inexpressible import Reason

_Part = TypeVar("_Part", bound=Settings)

#: Makes the run-time value of ``{"argument": "cpu"}`` or ``{"from": "step.output"}``.
References: TypeAlias = Callable[[Mapping[str, Any]], Reference]

_MARKS = ("argument", "from", "item", "one_of")
#: So many known names are all listed beside those that were probably meant.
_FEW = 8


@dataclass(frozen=True)
class Reading:
    """What one reading of settings knows and collects.

    :param step: the step whose settings they are.
    :param references: makes run-time values of mappings that stand for them.
    :param inexpressible: what was met and KFP cannot express.
    """

    step: str | None = None
    references: References | None = None
    inexpressible: list[Inexpressible] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """A value and its path (``volumes[1].spec.size``)."""

    value: Any
    path: str
    reading: Reading

    def refuse(self, problem: str, allowed: Iterable[str] = ()) -> NoReturn:
        """Raise a :class:`SettingError` for this place."""
        place = self.path.rstrip("., ")
        raise SettingError(problem, step=self.reading.step, field=place, allowed=allowed)

    def refuse_value(self, expected: str, allowed: Iterable[str] = ()) -> NoReturn:
        """Raise for a value of another kind than the one expected here (``a list``)."""
        if self.stands_for_reference():
            self.refuse(AT_RUN_TIME)
        self.refuse(f"is {kind_of(self.value)}, not {expected}", allowed)

    def note(self, reason: Reason) -> None:
        """Remember that KFP cannot express this, unless it says nothing that a pod does not have anyway."""
        empty = isinstance(self.value, str | list | Mapping) and not self.value
        if self.value is None or empty or (self.value is False and not reason.false_matters):
            return
        self.reading.inexpressible.append(
            Inexpressible(
                setting=self.path,
                reason=reason.why,
                instead=reason.instead,
                value=self.value if isinstance(self.value, str) else None,
            )
        )

    def fields(
        self,
        known: Iterable[str],
        *,
        aliases: Mapping[str, str] | None = None,
        inexpressible: Mapping[str, Reason] | None = None,
    ) -> dict[str, Place]:
        """Return what a mapping has, by the known names; what is ``None`` counts as left out.

        :param known: the names, in snake_case; camelCase is read as well.
        :param aliases: other names, to the known ones.
        :param inexpressible: names that KFP has no place for; they are noted and left out.
        """
        aliases, inexpressible = aliases or {}, inexpressible or {}
        names = tuple(known)
        found: dict[str, Place] = {}
        for key, place in self.entries():
            plain = snake_case(key)
            name = aliases.get(plain, plain)
            if name in found:
                place.refuse(f"says the same as {found[name].path}: give one of them")
            if name in names:
                found[name] = place
            elif name in inexpressible:
                place.note(inexpressible[name])
            else:
                meant = near(key, (*names, *aliases, *inexpressible))
                few = names if len(names) <= _FEW or not meant else ()
                place.refuse("is unknown", dict.fromkeys((*meant, *few)))
        return {name: place for name, place in found.items() if place.value is not None}

    def entries(self) -> list[tuple[str, Place]]:
        """Return the keys and values of a mapping whose keys are the user's own."""
        if not isinstance(self.value, Mapping):
            self.refuse_value("a mapping")
        for key in self.value:
            if not isinstance(key, str):
                self.refuse(f"has the key {key!r}, which is {kind_of(key)}, not a text: put it in quotes")
        return [(key, self._child(key, value)) for key, value in self.value.items()]

    def items(self) -> list[Place]:
        """Return the items of a list."""
        if not isinstance(self.value, list):
            self.refuse_value("a list")
        return [replace(self, value=value, path=f"{self.path}[{i}]") for i, value in enumerate(self.value)]

    def resolved(self) -> Place:
        """Return the place with its run-time value, where the value stands for one."""
        if self.is_reference() or self.reading.references is None or not self.stands_for_reference():
            return self
        try:
            return replace(self, value=self.reading.references(self.value))
        except DefinitionError as error:
            self.refuse(error.problem, error.allowed)

    def is_said(self) -> bool:
        """Whether the value is another than the empty text, which Kubernetes takes for nothing."""
        return not (isinstance(self.value, str) and self.value == "")

    def is_reference(self) -> bool:
        """Whether the value is known only while the pipeline runs."""
        return isinstance(self.value, Reference)

    def stands_for_reference(self) -> bool:
        """Whether the value is a run-time value, or a mapping that means one where it was written."""
        if self.is_reference():
            return True
        marked = isinstance(self.value, Mapping) and len(self.value) == 1
        return marked and self.reading.references is not None and not self.value.keys().isdisjoint(_MARKS)

    def quantity(self) -> Place:
        """Return the place with a number as the text of a quantity; run-time values stay."""
        place = self.resolved()
        value = place.value
        if isinstance(value, str) or place.is_reference():
            return place
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            place.refuse_value("a quantity", quantities.EXAMPLES)
        return replace(place, value=f"{Decimal(repr(value)).normalize():f}")

    def build(self, model: type[_Part], fields: Mapping[str, Any]) -> _Part:
        """Return a part of the model; what the model refuses is raised for the place that it came from.

        :param fields: the model's fields: values, places, or lists of places.
        """
        try:
            return model(**{name: _value(given) for name, given in fields.items()})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            problem, allowed = problem_of(first)
            place = _place_of(first["loc"], fields, self)
            if place.stands_for_reference():
                place.refuse(AT_RUN_TIME)
            place.refuse(problem, allowed)

    def _child(self, key: str, value: Any) -> Place:
        plain = re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII)
        if not self.path or self.path.endswith((".", " ")):
            return replace(self, value=value, path=self.path + key)
        return replace(self, value=value, path=f"{self.path}.{key}" if plain else f"{self.path}[{key!r}]")


def snake_case(name: str) -> str:
    """Return ``tolerationSeconds`` as ``toleration_seconds``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that were probably meant."""
    return difflib.get_close_matches(snake_case(name), list(known), n=3)


def refuse_references_in_text(place: Place) -> None:
    """Raise for a run-time value inside a text, which KFP would take literally."""
    match place.value:
        case str() if REFERENCE_IN_TEXT.search(place.value):
            place.refuse("holds a run-time value inside a text: give the argument or output itself, alone")
        case Mapping():
            for _, part in place.entries():
                refuse_references_in_text(part)
        case list():
            for part in place.items():
                refuse_references_in_text(part)


def _value(given: Any) -> Any:
    match given:
        case Place():
            return tuple(given.value) if isinstance(given.value, list) else given.value
        case list():
            return tuple(_value(part) for part in given)
        case dict():
            return {key: _value(part) for key, part in given.items()}
        case _:
            return given


def _place_of(location: tuple[int | str, ...], fields: Mapping[str, Any], whole: Place) -> Place:
    """Return the place that pydantic's location came from: a field, an item of it, or the whole."""
    found: Any = fields
    nearest = whole
    for part in location:
        match found:
            case Mapping() if part in found:
                found = found[part]
            case list() if isinstance(part, int) and part < len(found):
                found = found[part]
            case Place() if isinstance(found.value, list) and isinstance(part, int):
                found = found.items()[part]
            case _:
                continue
        nearest = found if isinstance(found, Place) else nearest
    return nearest
