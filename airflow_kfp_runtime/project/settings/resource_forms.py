"""Reads cpu, memory and accelerators: DigitalHub's resources, Kubernetes' and KFP's."""

from __future__ import annotations

from typing import NamedTuple

from airflow_kfp_runtime.project.settings import inexpressible, quantities
from airflow_kfp_runtime.project.settings.model import Accelerator, Resources
from airflow_kfp_runtime.project.settings.place import Place

_SIDES = ("requests", "limits")
_FIELD = {"requests": "request", "limits": "limit"}
_NAMES = {"cpu": "cpu", "mem": "memory", "memory": "memory"}
_DIRECT = ("cpu_request", "cpu_limit", "memory_request", "memory_limit")

#: DigitalHub's ``gpu``.
_GPU = "nvidia.com/gpu"


class _Piece(NamedTuple):
    """One accelerator that was asked for: of which type, as request or limit, and how many."""

    type: str
    side: str
    number: Place


class _Found:
    """Collects what the forms give, and refuses what is given twice."""

    def __init__(self) -> None:
        self.quantities: dict[str, Place] = {}
        self.accelerators: list[_Piece] = []

    def quantity(self, field: str, place: Place) -> None:
        if field in self.quantities:
            place.refuse(f"says the same as {self.quantities[field].path}: give one of them")
        self.quantities[field] = place.quantity()

    def accelerator(self, kind: str, side: str, count: Place) -> None:
        for piece in self.accelerators:
            if (piece.type, piece.side) == (kind, side):
                count.refuse(f"says the same as {piece.number.path}: give one of them")
        self.accelerators.append(_Piece(kind, side, count))


def read_resources(
    resources: Place | None, accelerator: Place | None, whole: Place
) -> tuple[Resources | None, Accelerator | None]:
    """Return cpu and memory, and the accelerator, from ``resources`` and ``accelerator``.

    :param whole: the place of the settings that hold both.
    """
    found = _Found()
    if resources is not None:
        _read(resources, found)
    declared = None if accelerator is None else _declared(accelerator)
    counted = _counted(found.accelerators)
    if accelerator is not None and counted is not None:
        accelerator.refuse(f"says the same as {found.accelerators[0].number.path}: give one of them")
    # An empty mapping says something too: that there are no requests and limits, against a lower level.
    said = resources is not None and (found.quantities or not resources.value)
    place = resources or whole
    return place.build(Resources, found.quantities) if said else None, declared or counted


def _read(resources: Place, found: _Found) -> None:
    for key, place in resources.entries():
        if "/" in key:
            _extended(key, place, found)
    known = {key: value for key, value in resources.value.items() if "/" not in key}
    given = Place(known, resources.path, resources.reading).fields(
        (*_SIDES, *_DIRECT, "cpu", "memory", "gpu"),
        aliases={"mem": "memory"},
        inexpressible=inexpressible.RESOURCES,
    )
    for name, place in given.items():
        if name in _SIDES:
            _side(name, place, found)
        elif name in _DIRECT:
            found.quantity(name, place)
        elif name == "gpu":
            _extended(_GPU, place, found)
        elif _is_pair(place):
            for side, part in _pair(place).items():
                found.quantity(f"{name}_{_FIELD[side]}", part)
        else:
            found.quantity(f"{name}_request", place)


def _side(side: str, place: Place, found: _Found) -> None:
    """Read Kubernetes' ``requests`` or ``limits``."""
    plain = dict(place.value.items()) if isinstance(place.value, dict) else None
    if plain is None:
        place.refuse_value("a mapping of resources to quantities")
    for key, part in place.entries():
        if "/" in key:
            found.accelerator(key, side, part)
        elif key.startswith("hugepages-"):
            part.note(inexpressible.HUGE_PAGES)
        elif key == "ephemeral-storage":
            part.note(inexpressible.RESOURCES["disk"])
    rest = {
        key: value
        for key, value in plain.items()
        if "/" not in key and not key.startswith("hugepages-") and key != "ephemeral-storage"
    }
    given = Place(rest, place.path, place.reading).fields(
        ("cpu", "memory", "gpu"), aliases={"mem": "memory"}, inexpressible=inexpressible.RESOURCES
    )
    for name, part in given.items():
        if name == "gpu":
            found.accelerator(_GPU, side, part)
        else:
            found.quantity(f"{name}_{_FIELD[side]}", part)


def _extended(kind: str, place: Place, found: _Found) -> None:
    """Read a number of accelerators, which is a limit, or DigitalHub's requests and limits."""
    if _is_pair(place):
        for side, part in _pair(place).items():
            found.accelerator(kind, side, part)
    else:
        found.accelerator(kind, "limits", place)


def _is_pair(place: Place) -> bool:
    return isinstance(place.value, dict) and not place.resolved().is_reference()


def _pair(place: Place) -> dict[str, Place]:
    given = place.fields(_SIDES, aliases={"request": "requests", "limit": "limits"})
    if not given:
        place.refuse("has neither requests nor limits")
    return given


def _counted(pieces: list[_Piece]) -> Accelerator | None:
    """Return the accelerator that resources ask for; of further types it is noted that KFP has one."""
    if not pieces:
        return None
    kind = pieces[0].type
    for piece in pieces:
        if piece.type != kind:
            piece.number.note(inexpressible.SECOND_ACCELERATOR)
    sides = {piece.side: piece.number for piece in pieces if piece.type == kind}
    if "limits" not in sides:
        sides["requests"].refuse(f"is a request without a limit, which Kubernetes refuses for {kind!r}")
    limit = _count(sides["limits"])
    request = _count(sides["requests"]) if "requests" in sides else limit
    if request.value is not limit.value and (
        request.is_reference() or limit.is_reference() or request.value != limit.value
    ):
        request.refuse(f"is not equal to the limit, which Kubernetes demands for {kind!r}")
    return limit.build(Accelerator, {"type": kind, "count": limit})


def _declared(place: Place) -> Accelerator:
    given = place.fields(("type", "count"))
    fields = {name: part.resolved() for name, part in given.items()}
    if "count" in fields:
        fields["count"] = _count(fields["count"])
    return place.build(Accelerator, fields)


def _count(place: Place) -> Place:
    """Return a whole number that may be written as a text (``"2"``), as quantities are."""
    resolved = place.resolved()
    if not isinstance(resolved.value, str):
        return resolved
    try:
        number = quantities.amount(resolved.value)
    except ValueError as error:
        resolved.refuse(str(error), ("1", "2", "4"))
    if number != number.to_integral_value():
        resolved.refuse(f"{resolved.value!r} is not a whole number")
    return Place(int(number), resolved.path, resolved.reading)
