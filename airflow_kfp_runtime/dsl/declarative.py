"""Steps written as data: a list of mappings with the parameters of ``pc.step``.

In them ``{"from": "download.dataset"}`` is an output of another step and ``{"argument": "url"}`` an argument
of the pipeline, also in settings where KFP takes such values; ``after`` lists names of steps::

    - {name: download, function: downloader, inputs: {url: {argument: url}}, outputs: {dataset: dataset}}
    - {name: train, function: train, inputs: {di: {from: download.dataset}}, values: [accuracy]}

Blocks of steps are mappings with ``steps``, as ``pc.when``, ``pc.otherwise``, ``pc.for_each`` and
``pc.on_exit`` open them::

    - when: {left: {from: train.accuracy}, is: ">", right: 0.9}
      steps: [{name: deploy, function: deploy, inputs: {model: {from: train.model}}}]
    - otherwise:
      steps: [{name: report, function: report}]
    - for_each: {argument: regions}
      as: region
      parallelism: 2
      steps: [{name: score, function: score, inputs: {region: {item: region}}, values: [points]}]
    - {name: rank, function: rank, inputs: {points: {collected: score.points}}}
    - on_exit: clean
      steps: [{name: load, function: load}]
    - {name: clean, function: clean}

- A condition compares two values with ``==``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``; ``{"all": [...]}``,
  ``{"any": [...]}`` and ``{"not": ...}`` put conditions together. An ``otherwise`` comes directly after its
  ``when``; with a condition it is one more of the branches.
- ``for_each`` is a list of values or a reference to one. ``as`` names the item (``item`` where it is left
  out), which ``{"item": "region"}`` refers to, and ``{"item": "region.name"}`` to a part of it.
- Outside of a block, ``{"collected": "score.points"}`` is the list of what all iterations give, and
  ``{"one_of": ["a.model", "b.model"]}`` what the branch that ran does.
- ``on_exit`` names a step of the same list, which runs when the block's steps have ended in any way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from airflow_kfp_runtime.dsl.blocks import Branch, ForEach
from airflow_kfp_runtime.dsl.conditions import Condition
from airflow_kfp_runtime.dsl.context import PipelineContext
from airflow_kfp_runtime.dsl.open_blocks import checked_items
from airflow_kfp_runtime.dsl.pipeline import Pipeline
from airflow_kfp_runtime.dsl.references import is_name
from airflow_kfp_runtime.dsl.step import STEP_PARAMETERS, Step, refuse_unknown
from airflow_kfp_runtime.dsl.written_values import WrittenValues
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from airflow_kfp_runtime.dsl.references import Reference
    from airflow_kfp_runtime.project.settings import TaskSettings

#: What a block may be, each with the keys that it has besides.
_BLOCKS: dict[str, tuple[str, ...]] = {
    "when": (),
    "otherwise": (),
    "for_each": ("as", "parallelism"),
    "on_exit": (),
}


def pipeline_from_steps(
    steps: Sequence[Mapping[str, Any]],
    *,
    name: str,
    description: str | None = None,
    outputs: Mapping[str, Mapping[str, Any]] | None = None,
) -> Pipeline:
    """Return the pipeline that a list of step mappings describes.

    :param steps: mappings with the keys of :meth:`PipelineContext.step` and ``after``, and blocks of them.
        The order matters only to the eye: a step may refer to one further down.
    :param name: the pipeline's name.
    :param description: what it is for; KFP's UI shows it.
    :param outputs: the pipeline's own outputs (``{"accuracy": {"from": "train.accuracy"}}``).
    :raises StepError: with the step, the field, the value, and what is allowed.
    """
    written = _WrittenSteps()
    written.add(steps, "steps", {})
    written.connect()
    return Pipeline(
        name=name,
        description=description,
        arguments=tuple(written.values.arguments.values()),
        steps=tuple(written.context.steps),
        outputs={
            key: written.values.output(value, step=None, field=f"outputs[{key!r}]")
            for key, value in (outputs or {}).items()
        },
        written_as_data=True,
    )


@dataclass(frozen=True)
class _Written:
    """What is left of a step or block for when all steps are there.

    :param it: the step or block.
    :param rest: what it was given that may refer to steps: a step's settings and ``after``, or what a block
        decides by or goes through.
    :param loops: the loops around, by the name of the item.
    :param field: the place in the data.
    """

    it: Step | Branch | ForEach
    rest: Any
    loops: Mapping[str, ForEach]
    field: str
    after: Sequence[str] = ()


class _WrittenSteps:
    """Makes all steps first and connects them then, so that their order in the list does not matter."""

    def __init__(self) -> None:
        self.context = PipelineContext()
        self.values = WrittenValues(self.context)
        self._written: list[_Written] = []

    def add(self, steps: object, field: str, loops: Mapping[str, ForEach]) -> None:
        """Add the steps and blocks of a list; the steps first, since a block may name one of them."""
        if isinstance(steps, (str, Mapping)) or not isinstance(steps, Sequence) or not steps:
            raise StepError(f"{steps!r} is not a list of steps, with at least one", field=field)
        kinds = [_block_kind(member) for member in steps]
        for position, (member, kind) in enumerate(zip(steps, kinds, strict=True)):
            if kind is None:
                self._add_step(member, f"{field}[{position}]", loops)
        for position, (member, kind) in enumerate(zip(steps, kinds, strict=True)):
            if kind is not None:
                before = kinds[position - 1] if position else None
                self._add_block(member, kind, before, f"{field}[{position}]", loops)

    def connect(self) -> None:
        """Give blocks and steps what they refer to."""
        # Loops come first: whether an item has a key depends on the items.
        for written in self._written:
            if isinstance(written.it, ForEach):
                items = self.values.value(written.rest, loops=written.loops, step=None, field=written.field)
                written.it.items = checked_items(items)
                written.it.known_type()
        for written in self._written:
            match written.it:
                case Branch():
                    written.it.condition = self.values.condition(
                        written.rest, loops=written.loops, field=written.field
                    )
                case Step() as step:
                    self._connect_step(step, written)

    def _add_step(self, mapping: object, field: str, loops: Mapping[str, ForEach]) -> None:
        if not isinstance(mapping, Mapping):
            raise StepError(f"{mapping!r} is not a mapping", field=field)
        given = dict(mapping)
        name = given.pop("name", None)
        if name is None:
            raise StepError("has no name", field=field, allowed=["a step's name", *_BLOCKS])
        after = given.pop("after", [])
        if isinstance(after, str):
            after = [after]
        if not isinstance(after, Sequence):
            raise StepError(f"{after!r} is not a list of names of steps", step=name, field="after")
        refuse_unknown(given, (*STEP_PARAMETERS, "after"), step=name)
        parameters = {key: given.pop(key) for key in STEP_PARAMETERS if key in given}
        step = self.context.step(name, **parameters)
        self._written.append(_Written(step, given, loops, field, after))

    def _add_block(
        self,
        mapping: Mapping[str, Any],
        kind: str,
        before: str | None,
        field: str,
        loops: Mapping[str, ForEach],
    ) -> None:
        allowed = (kind, *_BLOCKS[kind], "steps")
        for key in mapping:
            if key not in allowed:
                raise StepError("is unknown in a block", field=f"{field}, {key}", allowed=allowed)
        if kind == "otherwise" and before not in {"when", "otherwise"}:
            raise StepError("follows no when: it belongs directly after one", field=f"{field}, otherwise")
        item = mapping.get("as", "item")
        if not is_name(item):
            raise StepError(f"{item!r} is not a name for the item", field=f"{field}, as")
        with self._opened(mapping, kind, field):
            block = self.context.blocks.current
            if isinstance(block, ForEach):
                self._written.append(_Written(block, mapping[kind], loops, f"{field}, {kind}"))
                loops = {**loops, item: block}
            if isinstance(block, Branch) and block.condition is not None:
                self._written.append(_Written(block, mapping[kind], loops, f"{field}, {kind}"))
            self.add(mapping.get("steps"), f"{field}, steps", loops)

    def _opened(self, mapping: Mapping[str, Any], kind: str, field: str) -> AbstractContextManager[Any]:
        """Open a block that does not know yet what it refers to."""
        match kind:
            case "when":
                return self.context.when(Condition())
            case "otherwise":
                return self.context.otherwise(None if mapping[kind] is None else Condition())
            case "for_each":
                return self.context.for_each([0], parallelism=mapping.get("parallelism"))
            case _:
                step = self.values.step(mapping[kind], of=None, field=f"{field}, {kind}")
                return self.context.on_exit(step)

    def _connect_step(self, step: Step, written: _Written) -> None:
        step.inputs = self._resolved(step, "inputs", step.inputs, written.loops)
        step.parameters = self._resolved(step, "parameters", step.parameters, written.loops)
        step.after(*(self.values.step(name, of=step.name, field="after") for name in written.after))
        step.settings = self._read_settings(step, written)

    def _resolved(
        self, step: Step, field: str, given: Mapping[str, Any], loops: Mapping[str, ForEach]
    ) -> dict[str, Any]:
        return {
            key: self.values.value(value, loops=loops, step=step.name, field=f"{field}[{key!r}]")
            for key, value in given.items()
        }

    def _read_settings(self, step: Step, written: _Written) -> TaskSettings | None:
        if not written.rest:
            return None
        from airflow_kfp_runtime.project.settings import TaskSettings

        def reference(value: Mapping[str, Any]) -> Reference:
            found = self.values.value(dict(value), loops=written.loops, step=step.name, field="settings")
            return cast("Reference", found)

        return TaskSettings.read(written.rest, step=step.name, references=reference)


def _block_kind(member: object) -> str | None:
    """Return which block a member of a list is; ``None`` for a step."""
    if not isinstance(member, Mapping):
        return None
    return next((kind for kind in _BLOCKS if kind in member), None)
