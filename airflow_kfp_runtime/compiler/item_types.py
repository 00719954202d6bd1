"""The types of the items of loops: those of constants are known, others follow from what uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.dsl.references import PipelineArgument
from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import StepError
from airflow_kfp_runtime.runtimes.interface import PYTHON_NAMES

if TYPE_CHECKING:
    from airflow_kfp_runtime.dsl.blocks import ForEach
    from airflow_kfp_runtime.dsl.references import LoopItem
    from airflow_kfp_runtime.dsl.types import ValueType


class ItemTypes:
    """The types of items, as far as they are known.

    A server converts an item to the type that is declared for it: an integer that is declared a text arrives
    as one, which a step that takes an integer refuses (KFP 2.17, ``resolveInputs``).
    """

    def __init__(self) -> None:
        self._settled: dict[tuple[ForEach, str | None], tuple[ParameterType, str]] = {}

    def type_of(self, item: LoopItem) -> ParameterType | None:
        """Return the type of an item, or of a part of it; ``None`` where it is open."""
        known = item.loop.known_type(item.key)
        items = item.loop.items
        if known is None and item.key is None and isinstance(items, PipelineArgument):
            known = items.item_type
        if known is not None:
            return known
        if (item.loop, item.key) in self._settled:
            return self._settled[item.loop, item.key][0]
        return ParameterType.STRUCT if item.key is None and item.loop.keys else None

    def settle(self, item: LoopItem, declared: ValueType | None, step: str, field: str) -> None:
        """Give an item whose type is open the one that a step declares for it.

        :param step: the step, or the block, that does.
        :raises StepError: another has declared another type.
        """
        if declared is None:
            return
        if isinstance(declared, ArtifactType):
            raise StepError(
                f"is an artifact ({declared.schema_title}), and {item!r} is a plain value",
                step=step,
                field=field,
                allowed=["an output of a step"],
            )
        if self.type_of(item) is None:
            self._settled[item.loop, item.key] = (declared, step)
        found, user = self._settled.get((item.loop, item.key), (declared, step))
        if found is not declared:
            raise StepError(
                f"{item!r} is {PYTHON_NAMES[found]} for step {user!r} and {PYTHON_NAMES[declared]} for this "
                "one: declare the same for both",
                step=step,
                field=field,
            )
