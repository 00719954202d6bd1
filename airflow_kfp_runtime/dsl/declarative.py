"""Steps written as data: a list of mappings with the parameters of ``pc.step``.

In them ``{"from": "download.dataset"}`` is an output of another step and ``{"argument": "url"}`` an argument
of the pipeline, also in settings where KFP takes such values; ``after`` lists names of steps::

    - {name: download, function: downloader, inputs: {url: {argument: url}}, outputs: {dataset: dataset}}
    - {name: train, function: train, inputs: {di: {from: download.dataset}}, values: [accuracy]}
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from airflow_kfp_runtime.dsl.context import PipelineContext
from airflow_kfp_runtime.dsl.pipeline import Pipeline
from airflow_kfp_runtime.dsl.references import PipelineArgument, StepOutput, is_name
from airflow_kfp_runtime.dsl.step import STEP_PARAMETERS, Step, refuse_unknown
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    from airflow_kfp_runtime.project.settings import TaskSettings

_FROM, _ARGUMENT = "from", "argument"

#: What a message says is allowed.
_FORMS = ('{"from": "step.output"}', '{"argument": "name"}')

#: How alike (0 to 1) a key is to be taken as a mistyped one: ``form`` is, ``augment`` is not.
_CLOSE = {_FROM: 0.75, _ARGUMENT: 0.85}


def pipeline_from_steps(
    steps: Sequence[Mapping[str, Any]],
    *,
    name: str,
    description: str | None = None,
    outputs: Mapping[str, Mapping[str, str]] | None = None,
) -> Pipeline:
    """Return the pipeline that a list of step mappings describes.

    :param steps: mappings with the keys of :meth:`PipelineContext.step` and ``after``. The order matters
        only to the eye: a step may refer to one further down.
    :param name: the pipeline's name.
    :param description: what it is for; KFP's UI shows it.
    :param outputs: the pipeline's own outputs (``{"accuracy": {"from": "train.accuracy"}}``).
    :raises StepError: with the step, the field, the value, and what is allowed.
    """
    if isinstance(steps, (str, Mapping)) or not isinstance(steps, Sequence) or not steps:
        raise StepError(f"{steps!r} is not a list of steps, with at least one", field="steps")
    references = _References()
    for position, mapping in enumerate(steps):
        references.add_step(position, mapping)
    references.connect()
    return Pipeline(
        name=name,
        description=description,
        arguments=tuple(references.arguments.values()),
        steps=tuple(references.context.steps),
        outputs={
            key: references.output(value, step=None, field=f"outputs[{key!r}]")
            for key, value in (outputs or {}).items()
        },
        written_as_data=True,
    )


class _References:
    """Makes all steps first and connects them then, so that their order in the list does not matter."""

    def __init__(self) -> None:
        self.context = PipelineContext()
        self.arguments: dict[str, PipelineArgument] = {}
        self._after: dict[str, Sequence[str]] = {}
        self._settings: dict[str, Mapping[str, Any]] = {}

    def add_step(self, position: int, mapping: Mapping[str, Any]) -> None:
        field = f"steps[{position}]"
        if not isinstance(mapping, Mapping):
            raise StepError(f"{mapping!r} is not a mapping", field=field)
        given = dict(mapping)
        name = given.pop("name", None)
        if name is None:
            raise StepError("has no name", field=field)
        after = given.pop("after", [])
        if isinstance(after, str):
            after = [after]
        if not isinstance(after, Sequence):
            raise StepError(f"{after!r} is not a list of names of steps", step=name, field="after")
        refuse_unknown(given, (*STEP_PARAMETERS, "after"), step=name)
        parameters = {key: given.pop(key) for key in STEP_PARAMETERS if key in given}
        self.context.step(name, **parameters)
        self._after[name] = after
        self._settings[name] = given

    def connect(self) -> None:
        for step in self.context.steps:
            step.inputs = self._resolved(step, "inputs", step.inputs)
            step.parameters = self._resolved(step, "parameters", step.parameters)
            step.after(*(self._step(name, of=step.name, field="after") for name in self._after[step.name]))
            step.settings = self._read_settings(step)

    def output(self, value: Mapping[str, str], *, step: str | None, field: str) -> StepOutput:
        """Return what ``{"from": "step.output"}`` names."""
        reference = value.get(_FROM) if isinstance(value, Mapping) else None
        if not isinstance(reference, str) or "." not in reference or len(value) != 1:
            raise StepError(
                f"{value!r} is not a reference", step=step, field=field, allowed=['{"from": "step.output"}']
            )
        # A step's name may hold dots, the name of an output cannot.
        producer, _, key = reference.rpartition(".")
        outputs = self._step(producer, of=step, field=field).outputs
        try:
            return outputs[key]
        except StepError as error:
            raise StepError(
                f"{key!r} is not an output of step {producer!r}",
                step=step,
                field=field,
                allowed=error.allowed,
            ) from None

    def _read_settings(self, step: Step) -> TaskSettings | None:
        if not self._settings[step.name]:
            return None
        from airflow_kfp_runtime.project.settings import TaskSettings

        def reference(value: Mapping[str, Any]) -> PipelineArgument | StepOutput:
            found = self._value(dict(value), step=step.name, field="settings")
            return cast("PipelineArgument | StepOutput", found)

        return TaskSettings.read(self._settings[step.name], step=step.name, references=reference)

    def _resolved(self, step: Step, field: str, given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: self._value(value, step=step.name, field=f"{field}[{key!r}]") for key, value in given.items()
        }

    def _value(self, value: Any, *, step: str, field: str) -> Any:
        match value:
            case {"argument": name, **others} if not others:
                return self._argument(name, step=step, field=field)
            case {"from": _, **others} if not others:
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

    def _argument(self, name: object, *, step: str, field: str) -> PipelineArgument:
        if not is_name(name):
            raise StepError(
                f"{name!r} is not the name of an argument: letters, digits, '_' and '-' are allowed, "
                "a letter or '_' first",
                step=step,
                field=field,
            )
        return self.arguments.setdefault(name, PipelineArgument(name))

    def _step(self, name: str, *, of: str | None, field: str) -> Step:
        step = self.context.find(name) if isinstance(name, str) else None
        if step is None:
            raise StepError(
                f"there is no step {name!r}", step=of, field=field, allowed=self.context.step_names
            )
        return step


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
