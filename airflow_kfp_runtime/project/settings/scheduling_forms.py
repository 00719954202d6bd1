"""Reads tolerations and affinity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.project.settings import inexpressible
from airflow_kfp_runtime.project.settings.scheduling import (
    NodeAffinityTerm,
    NodeSelectorRequirement,
    Toleration,
)

if TYPE_CHECKING:
    from airflow_kfp_runtime.project.settings.place import Place

_REQUIRED = "required_during_scheduling_ignored_during_execution"
_PREFERRED = "preferred_during_scheduling_ignored_during_execution"
_TERM = ("match_expressions", "match_fields")


def read_toleration(place: Place) -> Toleration | Place:
    """Return one toleration, or the place of a run-time value."""
    resolved = place.resolved()
    if resolved.is_reference():
        return resolved
    fields = resolved.fields(("key", "operator", "value", "effect", "toleration_seconds"))
    # Kubernetes' empty texts mean the same as nothing.
    return resolved.build(Toleration, {name: part for name, part in fields.items() if part.is_said()})


def read_node_affinity(affinity: Place | None, node_affinity: Place | None) -> list[Any] | None:
    """Return the terms of ``affinity``, or of ``node_affinity`` by itself."""
    if affinity is not None:
        if affinity.resolved().is_reference():
            affinity.refuse("is known only while the pipeline runs: KFP takes that for node_affinity alone")
        parts = affinity.fields(("node_affinity",), inexpressible=inexpressible.AFFINITY)
        if node_affinity is not None and "node_affinity" in parts:
            node_affinity.refuse(f"says the same as {parts['node_affinity'].path}: give one of them")
        node_affinity = parts.get("node_affinity", node_affinity)
    if node_affinity is None:
        return None
    resolved = node_affinity.resolved()
    if resolved.is_reference():
        return [resolved]
    if isinstance(resolved.value, list):
        return [_term_or_reference(item) for item in resolved.items()]
    given = resolved.fields((_REQUIRED, _PREFERRED))
    terms: list[Any] = []
    if _REQUIRED in given:
        selector = given[_REQUIRED].fields(("node_selector_terms",))
        if not selector or not selector["node_selector_terms"].items():
            given[_REQUIRED].refuse("has no node_selector_terms")
        terms += [_term(item, {}) for item in selector["node_selector_terms"].items()]
    for item in given[_PREFERRED].items() if _PREFERRED in given else ():
        preferred = item.fields(("weight", "preference"))
        for name in ("weight", "preference"):
            if name not in preferred:
                item.refuse(f"has no {name}")
        terms.append(_term(preferred["preference"], {"weight": preferred["weight"]}))
    return terms


def _term_or_reference(place: Place) -> Any:
    resolved = place.resolved()
    if resolved.is_reference():
        return resolved
    weight = {name: part for name, part in resolved.fields((*_TERM, "weight")).items() if name == "weight"}
    return _term(resolved, weight, "weight")


def _term(place: Place, weight: dict[str, Place], *others: str) -> NodeAffinityTerm:
    given = place.fields((*_TERM, *others))
    conditions = {name: [_condition(item) for item in given[name].items()] for name in _TERM if name in given}
    return place.build(NodeAffinityTerm, {**conditions, **weight})


def _condition(place: Place) -> NodeSelectorRequirement:
    fields: dict[str, Any] = dict(place.fields(("key", "operator", "values")))
    if "values" in fields:
        fields["values"] = fields["values"].items()
    return place.build(NodeSelectorRequirement, fields)
