"""References to entities of a DigitalHub project: ``store://parking/function/python/download:3f2a``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, TypeVar

from airflow_kfp_runtime.errors import DefinitionError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SCHEME = "store://"

#: How a reference is written; DigitalHub's keys of runs and tasks, which have no name, are none.
FORM = "store://project/entity/kind/name:id"

#: What a project has by name, as DigitalHub calls it.
EntityType: TypeAlias = Literal["function", "workflow"]

_PART = r"[^/:\s]+"
_REFERENCE = re.compile(rf"store://({_PART})/({_PART})/({_PART})/({_PART})(?::({_PART}))?")


@dataclass(frozen=True)
class EntityReference:
    """What a reference names.

    :param project: the project's name.
    :param entity: the type of entity: ``function``, ``workflow``, ``dataitem``.
    :param kind: its kind: ``python``, ``container``, ``kfp``.
    :param name: its name.
    :param id: one version of it; ``None`` is the newest.
    """

    project: str
    entity: str
    kind: str
    name: str
    id: str | None = None

    def __str__(self) -> str:
        """Return the reference as it is written."""
        version = "" if self.id is None else f":{self.id}"
        return f"{SCHEME}{self.project}/{self.entity}/{self.kind}/{self.name}{version}"


def is_reference(text: str) -> bool:
    """Whether a text is meant as a reference, and not as a plain name."""
    return text.startswith(SCHEME)


def read_reference(
    text: str, *, field: str, error: type[DefinitionError] = DefinitionError
) -> EntityReference:
    """Return the reference that a text holds.

    :param field: where the text stands, for the error.
    :param error: the class of what is raised.
    :raises DefinitionError: it is not of the form ``store://project/entity/kind/name:id``, of which ``:id``
        may be left out.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise error(
            f"{text!r:.300} is not a reference", field=field, allowed=["a plain name", FORM, FORM[:-3]]
        )
    return EntityReference(*match.groups())


class Entity(Protocol):
    """What a reference can name."""

    @property
    def uuid(self) -> str | None:
        """Its id on a DigitalHub platform."""


_Entity = TypeVar("_Entity", bound=Entity)


def name_of(written: str, entity: EntityType, project: str, error: type[DefinitionError]) -> str:
    """Return the name that a plain name or a reference says.

    :param written: what the user wrote.
    :param entity: the type of entity that it is to name.
    :param project: the project in which it is looked for.
    :param error: the class of what is raised.
    :raises DefinitionError: it is no reference, or one to another project or type of entity.
    """
    if not is_reference(written):
        return written
    reference = read_reference(written, field=entity, error=error)
    if reference.project != project:
        raise error(
            f"{written!r} is of project {reference.project!r}, and this is project {project!r}", field=entity
        )
    if reference.entity != entity:
        raise error(
            f"{written!r} names a {reference.entity}, not a {entity}",
            field=entity,
            allowed=[f"{SCHEME}{project}/{entity}/<kind>/<name>"],
        )
    return reference.name


def find(
    written: str,
    entity: EntityType,
    project: str,
    known: Mapping[str, _Entity],
    kinds: Callable[[_Entity], Sequence[str]],
    error: type[DefinitionError],
) -> _Entity:
    """Return what a plain name or a reference names.

    :param known: the project's entities of that type, by name.
    :param kinds: says what the kind of one may be called in a reference; the usual one first.
    :raises DefinitionError: there is none, or it is of another kind or version.

    The other parameters are those of :func:`name_of`.
    """
    name = name_of(written, entity, project, error)
    if name not in known:
        raise error(
            f"project {project!r} has no {entity} {name!r}",
            field=entity,
            allowed=nearest(name, sorted(known)) or [f"none: add it with project.new_{entity}()"],
        )
    found = known[name]
    if is_reference(written):
        reference = read_reference(written, field=entity, error=error)
        kind, *others = kinds(found)
        if reference.kind not in {kind, *others}:
            wrong = f"is of kind {kind!r}, not {reference.kind!r}"
        elif reference.id not in {None, found.uuid}:
            wrong = f"has {f'the id {found.uuid!r}' if found.uuid else 'no id'}, not {reference.id!r}"
        else:
            return found
        there = str(EntityReference(project, entity, kind, name, found.uuid))
        raise error(f"{entity} {name!r} {wrong}", field=entity, allowed=[there])
    return found
