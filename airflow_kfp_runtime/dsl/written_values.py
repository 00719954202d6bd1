"""Values of steps that are written as data: what ``{"from": ...}`` and its like stand for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_kfp_runtime.dsl.conditions import OPERATORS, Comparison, Condition, Junction, Negation, compare
from airflow_kfp_runtime.dsl.references import LoopItem, OutputReference, PipelineArgument, Reference, is_name
from airflow_kfp_runtime.errors import DefinitionError, StepError, nearest

if TYPE_CHECKING:
    from airflow_kfp_runtime.dsl.blocks import ForEach
    from airflow_kfp_runtime.dsl.context import PipelineContext
    from airflow_kfp_runtime.dsl.references import StepOutput
    from airflow_kfp_runtime.dsl.step import Step

_T = TypeVar("_T")

_FROM, _ARGUMENT = "from", "argument"

#: What a message says is allowed.
_FORMS = ('{"from": "step.output"}', '{"argument": "name"}')
_OUTPUT_FORMS = (_FORMS[0], '{"collected": "step.output"}', '{"one_of": ["step.output", ...]}')
_CONDITION_FORMS = (
    '{"left": {"from": "train.accuracy"}, "is": ">", "right": 0.9}',
    '{"all": [...]}',
    '{"any": [...]}',
    '{"not": ...}',
)

#: How alike (0 to 1) a key is to be taken as a mistyped one: ``form`` is, ``augment`` is not.
_CLOSE = {_FROM: 0.75, _ARGUMENT: 0.85}


class WrittenValues:
    """Finds what values refer to, among steps that are all there; arguments come into being by being used."""

    def __init__(self, context: PipelineContext) -> None:
        self.context = context
        self.arguments: dict[str, PipelineArgument] = {}

    def value(self, value: Any, *, loops: Mapping[str, ForEach], step: str | None, field: str) -> Any:
        """Return a run-time value for what stands for one, and anything else as it is.

        :param loops: the loops around, by the name of the item.
        :param step: the step whose value it is, for errors; and its ``field``.
        """
        match value:
            case {"argument": name, **others} if not others:
                return self._argument(name, step=step, field=field)
            case {"item": str() as name, **others} if not others:
                return self._item(name, loops, step=step, field=field)
            case {"from": _, **others} | {"collected": _, **others} | {"one_of": _, **others} if not others:
                return self.output(value, step=step, field=field)
            case list() | dict() if _refers_inside(value):
                raise StepError(
                    "holds an output or argument inside a list or dict, where KFP cannot put it: "
                    "give it as an input of its own",
                    step=step,
                    field=field,
                )
            case dict() if self._is_mistyped(value):
                raise StepError(f"{value!r} is not a reference", step=step, field=field, allowed=_FORMS)
            case _:
                return value

    def output(self, value: Any, *, step: str | None, field: str) -> OutputReference:
        """Return what ``{"from": "step.output"}``, ``{"collected": ...}`` or ``{"one_of": ...}`` names.

        :param step: the step in which it is written, for errors; ``None`` for a block.
        :param field: where it is written there.
        :raises StepError: it is none of these, or names what is not there.
        """
        match value:
            case {"from": str() as name, **others} if not others and "." in name:
                return self._step_output(name, step=step, field=field)
            case {"collected": str() as name, **others} if not others and "." in name:
                output = self._step_output(name, step=step, field=field)
                return _placed(lambda: self.context.collected(output), step, field)
            case {"one_of": [*names], **others} if not others and names:
                outputs = [self._step_output(name, step=step, field=field) for name in names]
                return _placed(lambda: self.context.one_of(*outputs), step, field)
        raise StepError(f"{value!r} is not a reference", step=step, field=field, allowed=_OUTPUT_FORMS)

    def condition(self, written: Any, *, loops: Mapping[str, ForEach], field: str) -> Condition:
        """Return the condition that a mapping describes.

        :param loops: the loops around it, by the names of their items.
        :raises StepError: it describes none, or names what is not there.
        """
        match written:
            case {"left": left, "is": operator, "right": right, **others} if not others:
                if operator not in OPERATORS:
                    raise StepError(f"{operator!r} compares nothing", field=f"{field}, is", allowed=OPERATORS)
                left, right = (
                    self.value(side, loops=loops, step=None, field=f"{field}, {name}")
                    for name, side in (("left", left), ("right", right))
                )
                if isinstance(left, Reference):
                    return _placed(lambda: compare(left, operator, right), None, field)
                if isinstance(right, Reference):
                    mirrored = _placed(lambda: compare(right, operator, left), None, field)
                    return Comparison(mirrored.right, operator, right)
                raise StepError("compares two constants", field=field, allowed=_CONDITION_FORMS)
            case {"not": negated, **others} if not others:
                return Negation(self.condition(negated, loops=loops, field=field))
            case {"all": [*parts], **others} if not others and parts:
                return Junction("&", tuple(self.condition(part, loops=loops, field=field) for part in parts))
            case {"any": [*parts], **others} if not others and parts:
                return Junction("|", tuple(self.condition(part, loops=loops, field=field) for part in parts))
        raise StepError(f"{written!r} is not a condition", field=field, allowed=_CONDITION_FORMS)

    def step(self, name: object, *, of: str | None, field: str) -> Step:
        """Return the step of that name.

        :param of: the step that names it, for errors.
        :raises StepError: there is none.
        """
        step = self.context.find(name) if isinstance(name, str) else None
        if step is None:
            raise StepError(
                f"there is no step {name!r}",
                step=of,
                field=field,
                allowed=nearest(str(name), self.context.step_names),
            )
        return step

    def _step_output(self, reference: object, *, step: str | None, field: str) -> StepOutput:
        if not isinstance(reference, str) or "." not in reference:
            raise StepError(
                f"{reference!r} is not a step's output", step=step, field=field, allowed=["step.output"]
            )
        # A step's name may hold dots, the name of an output cannot.
        producer, _, key = reference.rpartition(".")
        outputs = self.step(producer, of=step, field=field).outputs
        try:
            return outputs[key]
        except StepError as error:
            raise StepError(
                f"{key!r} is not an output of step {producer!r}",
                step=step,
                field=field,
                allowed=error.allowed,
            ) from None

    def _item(self, name: str, loops: Mapping[str, ForEach], *, step: str | None, field: str) -> LoopItem:
        item, _, key = name.partition(".")
        if item not in loops:
            raise StepError(
                f"there is no for_each around whose item is {item!r}",
                step=step,
                field=field,
                allowed=list(loops) or ["none: it is in no for_each"],
            )
        whole = LoopItem(loops[item])
        return _placed(lambda: whole[key], step, field) if key else whole

    def _is_mistyped(self, value: Mapping[Any, Any]) -> bool:
        """Whether a mapping was probably meant as a reference; any other is a constant."""
        if len(value) > 1:
            return any(self._looks_like(form, value[form]) for form in _CLOSE if form in value)
        return any(
            key.casefold() == form
            or (
                difflib.SequenceMatcher(None, key.casefold(), form).ratio() >= alike
                and self._looks_like(form, content)
            )
            for key, content in value.items()
            for form, alike in _CLOSE.items()
            if isinstance(key, str)
        )

    def _looks_like(self, form: str, content: object) -> bool:
        """Whether it is what may stand after ``from`` (an output of a step there is) or ``argument``."""
        if form == _ARGUMENT:
            return is_name(content)
        return isinstance(content, str) and self.context.find(content.rpartition(".")[0]) is not None

    def _argument(self, name: object, *, step: str | None, field: str) -> PipelineArgument:
        if not is_name(name):
            raise StepError(
                f"{name!r} is not the name of an argument: letters, digits, '_' and '-' are allowed, "
                "a letter or '_' first",
                step=step,
                field=field,
            )
        return self.arguments.setdefault(name, PipelineArgument(name))


def _placed(make: Callable[[], _T], step: str | None, field: str) -> _T:
    """Return what is made; an error says where the user wrote it."""
    try:
        return make()
    except DefinitionError as error:
        about = f"step {error.step!r} " if error.step else ""
        raise StepError(f"{about}{error.problem}", step=step, field=field, allowed=error.allowed) from None


def _refers_inside(value: object) -> bool:
    """Whether a list or mapping holds, at any depth, what would be a reference as a value of its own."""
    match value:
        case Mapping():
            inner: Collection[object] = value.values()
        case list() | tuple():
            inner = value
        case _:
            return False
    return any(_is_reference(part) or _refers_inside(part) for part in inner)


def _is_reference(value: object) -> bool:
    return isinstance(value, Mapping) and len(value) == 1 and not {_FROM, _ARGUMENT}.isdisjoint(value)
