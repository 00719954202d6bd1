"""Which nodes a task's pod may run on: tolerations and node affinity."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from airflow_kfp_runtime.project.settings.fields import Key, LabelValue, Settings


class Toleration(Settings):
    """A taint of a node that the pod tolerates.

    :param key: the taint's key; ``None`` with ``Exists`` is every taint.
    :param operator: ``Equal`` (to ``value``) or ``Exists``; ``None`` is Kubernetes' default, ``Equal``.
    :param value: the taint's value.
    :param effect: the taint's effect; ``None`` is every one.
    :param toleration_seconds: seconds that the pod stays on the node (with ``NoExecute``);
        ``None`` is for ever.
    """

    key: Key | None = None
    operator: Literal["Equal", "Exists"] | None = None
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError("has a value, which the operator 'Exists' cannot have")
        if self.operator != "Exists" and self.key is None:
            raise ValueError("has no key, which only the operator 'Exists' may leave out")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("has toleration_seconds, which only the effect 'NoExecute' has")
        return self


class NodeSelectorRequirement(Settings):
    """A condition on a node's label or field.

    :param key: the label's key, or the field's name (``metadata.name``).
    :param operator: how the node's value compares.
    :param values: the values to compare with: none for ``Exists`` and ``DoesNotExist``, one whole number for
        ``Gt`` and ``Lt``, at least one otherwise.
    """

    key: Key
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        match self.operator:
            case "Exists" | "DoesNotExist":
                if self.values:
                    raise ValueError(f"has values, which the operator {self.operator!r} cannot have")
            case "Gt" | "Lt":
                if len(self.values) != 1 or not re.fullmatch(r"-?[0-9]+", self.values[0]):
                    raise ValueError(f"needs one whole number as its values for {self.operator!r}")
            case "In" | "NotIn":
                if not self.values:
                    raise ValueError(f"has no values, which the operator {self.operator!r} needs")
        return self


class NodeAffinityTerm(Settings):
    """Conditions that a node fulfils together. Of several required terms one is enough.

    :param match_expressions: conditions on the node's labels.
    :param match_fields: conditions on the node's fields.
    :param weight: 1 to 100 for a preference, by that weight; ``None`` for what is required.
    """

    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()
    weight: Annotated[int, Field(ge=1, le=100)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.match_expressions and not self.match_fields:
            raise ValueError("has neither match_expressions nor match_fields: KFP skips such a term")
        return self
