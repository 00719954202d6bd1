"""The graph of a pipeline and the graphs inside it, and how values cross the border between them.

A task refers to tasks of its own graph alone. A value from outside is an input of the nested graph, one that
is wanted outside is its output; both come into being when a task asks for the value. Their names are those
that the kfp SDK 2.17 gives them (``pipelinechannel--<task>-<output>``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_kfp_runtime.compiler import specifications
from airflow_kfp_runtime.compiler.conditions import expression
from airflow_kfp_runtime.compiler.connections import channel_name
from airflow_kfp_runtime.dsl.blocks import Choice, ForEach
from airflow_kfp_runtime.dsl.references import (
    Collected,
    LoopItem,
    OneOf,
    PipelineArgument,
    Reference,
    StepOutput,
    producers_of,
)
from airflow_kfp_runtime.dsl.types import ArtifactType

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from airflow_kfp_runtime.dsl.blocks import Group
    from airflow_kfp_runtime.dsl.conditions import Condition
    from airflow_kfp_runtime.dsl.references import OutputReference
    from airflow_kfp_runtime.dsl.types import ValueType

#: Says the type of an argument or of a step's output.
TypeOf: TypeAlias = "Callable[[Reference], ValueType]"


class Dag:
    """One graph of tasks: the pipeline's own, or one that is itself a task of the graph around it.

    :param type_of: the type of each value that may cross its border.
    :param name: the task that it is in the graph around it.
    :param around: that graph; ``None`` for the pipeline's own.
    :param group: the block of the DSL that it is; ``None`` for the pipeline's own and that of a claim.

    ``tasks`` are those of the graph, ``exposed`` its outputs, ``homes`` has the graph of every task of the
    pipeline, ``choices`` that of every choice, and ``policy`` is what its own task has besides its inputs.
    """

    def __init__(
        self, type_of: TypeOf, name: str = "", around: Dag | None = None, group: Group | None = None
    ) -> None:
        self.name = name
        self.around = around
        self.group = group
        self.tasks: dict[str, Any] = {}
        self.policy: dict[str, Any] = {}
        self._type_of = type_of
        self.homes: dict[str, Dag] = {} if around is None else around.homes
        self.choices: dict[Choice, Dag] = {} if around is None else around.choices
        self._inputs: dict[str, Reference] = {}
        self._input_sources: dict[str, dict[str, Any]] = {}
        self._item_inputs: dict[str, ValueType] = {}
        self._item = ""
        self.exposed: dict[str, OutputReference] = {}
        self._dependencies: set[str] = set()
        if around is not None:
            around.place(name)
        if isinstance(group, Choice):
            self.choices[group] = self

    def place(self, task: str) -> None:
        """Say that the task of that name is in this graph; all are placed before one asks for a value."""
        self.homes[task] = self

    @property
    def path(self) -> tuple[str, ...]:
        """The names of the nested graphs down to this one."""
        return () if self.around is None else (*self.around.path, self.name)

    def iterate(self, loop: ForEach) -> None:
        """Make this graph run once for each item of a loop.

        The input that has all items is not there inside: the server replaces it by that with the item
        (KFP 2.17, ``resolveInputs``). So a task that wants the whole list gets it by another input.
        """
        if isinstance(loop.items, Reference):
            all_items = self._input_name(loop.items)
            self._take(all_items, loop.items)
            self._item_inputs[all_items] = self._type_of(loop.items)
            items = {"inputParameter": all_items}
            name = f"{all_items}-loop-item"
        else:
            items = {"raw": json.dumps(loop.items, sort_keys=True)}
            name = channel_name(LoopItem(loop))
        self._item = name
        self._item_inputs[name] = self._type_of(LoopItem(loop))
        self.policy["parameterIterator"] = {"items": items, "itemInput": name}
        if loop.parallelism is not None:
            self.policy["iteratorPolicy"] = {"parallelismLimit": loop.parallelism}

    def decide(self, condition: Condition) -> None:
        """Make this graph run only if a condition holds."""
        self.policy["triggerPolicy"] = {"condition": expression(condition, self._input, self._type_of)}

    def source(self, reference: Reference) -> dict[str, Any]:
        """Return where a task of this graph gets a value from, as the IR says it."""
        kind = "Artifact" if isinstance(self._type_of(reference), ArtifactType) else "Parameter"
        match reference:
            case LoopItem(loop=loop, key=str() as key):
                # Selected here and not at a border: a server would select again in each iteration.
                whole = self.source(LoopItem(loop))
                return {**whole, "parameterExpressionSelector": f"parseJson(string_value)[{json.dumps(key)}]"}
            case LoopItem(loop=loop):
                if loop is self.group:
                    return {"componentInputParameter": self._item}
            case PipelineArgument(name=name):
                if self.around is None:
                    return {f"componentInput{kind}": name}
            case _:
                inside = self._inside(reference)
                if inside:
                    task, key = inside
                    return {f"taskOutput{kind}": {"producerTask": task, f"output{kind}Key": key}}
        return {f"componentInput{kind}": self._input(reference)}

    def before(self, tasks: Iterable[str]) -> list[str]:
        """Return the tasks of this graph that end before one of it that comes after ``tasks`` can start.

        Where such a task is further out, the nested graph as a whole comes after it.
        """
        here = set()
        for task in tasks:
            name = self._member(task)
            if name is not None:
                here.add(name)
            elif self.around is not None:
                self._dependencies.update(self.around.before([task]))
        return sorted(here)

    def outputs(self, outputs: Mapping[str, OutputReference]) -> dict[str, Any]:
        """Return where outputs of the graph itself come from (``dag.outputs``)."""
        types = {name: self._type_of(output) for name, output in outputs.items()}
        selectors = {}
        for name, output in outputs.items():
            if isinstance(output, OneOf) and output.choice is self.group:
                branches = [self._produced(of_branch) for of_branch in output.outputs]
                selectors[name] = specifications.one_of_sources(branches, types[name])
            else:
                selectors[name] = specifications.output_source(*self._produced(output), types[name])
        return specifications.by_kind(selectors, types)

    def component(self) -> dict[str, Any]:
        """Return the component of a nested graph, when all its tasks have been added."""
        dag: dict[str, Any] = {"tasks": self.tasks}
        if self.exposed:
            dag["outputs"] = self.outputs(self.exposed)
        component: dict[str, Any] = {"dag": dag}
        types = self._input_types()
        if types:
            definitions = {name: self._definition(name, value_type) for name, value_type in types.items()}
            component["inputDefinitions"] = specifications.by_kind(definitions, types)
        if self.exposed:
            component["outputDefinitions"] = specifications.output_definitions(
                {name: self._type_of(output) for name, output in self.exposed.items()}
            )
        return component

    def task(self, component: str) -> dict[str, Any]:
        """Return the task that a nested graph is in the graph around it, when all its tasks have been added.

        :param component: the key of its component.
        """
        task: dict[str, Any] = {"taskInfo": {"name": self.name}, "componentRef": {"name": component}}
        if self._input_sources:
            task["inputs"] = specifications.by_kind(self._input_sources, self._input_types())
        if self._dependencies:
            task["dependentTasks"] = sorted(self._dependencies)
        return {**task, **self.policy}

    def absent_arguments(self) -> list[PipelineArgument]:
        """Return the arguments that come into this nested graph and of which a run may have none."""
        taken = [*self._inputs.values()]
        if isinstance(self.group, ForEach) and isinstance(self.group.items, Reference):
            taken.append(self.group.items)
        return [
            reference
            for reference in taken
            if isinstance(reference, PipelineArgument) and reference.default is None
        ]

    def _member(self, task: str) -> str | None:
        """Return the task of this graph that is, or holds, the one of that name."""
        dag = self.homes[task]
        while dag is not self:
            if dag.around is None:
                return None
            task, dag = dag.name, dag.around
        return task

    def _produced(self, output: OutputReference) -> tuple[str, str]:
        inside = self._inside(output)
        if inside is None:
            raise LookupError(f"{output!r} is not produced inside {self.name!r}")
        return inside

    def _inside(self, reference: Reference) -> tuple[str, str] | None:
        """Return the task of this graph that has a value of steps, and the output's key there."""
        exposed: OutputReference
        match reference:
            case OneOf():
                choice = self.choices[reference.choice]
                key = f"pipelinechannel--{choice.name}-oneof-{reference.position}"
                choice.exposed[key] = reference
                task, exposed = choice.name, reference
            case Collected(output=output) | (StepOutput() as output):
                task, key, exposed = output.step.task_name, output.key, output
            case _:
                return None
        if self._member(task) is None:
            return None
        dag = self.homes[task]
        while dag is not self and dag.around is not None:
            if isinstance(reference, Collected) and isinstance(dag.group, ForEach):
                exposed = reference
            key = _named(dag.exposed, exposed, _exposed_name(exposed, key))
            task, dag = dag.name, dag.around
        return task, key

    def _input(self, reference: Reference) -> str:
        """Return the input of this graph that has a value from outside."""
        name = _named(self._inputs, reference, self._input_name(reference), reserved=self._item_inputs)
        self._take(name, reference)
        return name

    def _input_name(self, reference: Reference) -> str:
        """Return the name by which a value comes in: that of the task of an outer graph which has it."""
        dag = self.around
        while dag is not None and isinstance(reference, (Collected, OneOf)):
            inside = dag._inside(reference)  # noqa: SLF001 -- of the same class
            if inside:
                return f"pipelinechannel--{'-'.join(inside)}"
            dag = dag.around
        return channel_name(reference)

    def _take(self, name: str, reference: Reference) -> None:
        """Have an input's value from the graph around."""
        if name in self._input_sources or self.around is None:
            return
        self._input_sources[name] = self.around.source(reference)
        if not isinstance(reference, LoopItem):
            tasks = [output.step.task_name for output in producers_of(reference)]
            self._dependencies.update(self.around.before(tasks))

    def _input_types(self) -> dict[str, ValueType]:
        types = {name: self._type_of(reference) for name, reference in self._inputs.items()}
        return {**types, **self._item_inputs}

    def _definition(self, name: str, value_type: ValueType) -> dict[str, Any]:
        definition = specifications.typed(value_type)
        reference = self._inputs.get(name)
        if isinstance(reference, PipelineArgument) and reference.default is None:
            definition["isOptional"] = True
        return definition


def _exposed_name(reference: OutputReference, key: str) -> str:
    """Return the name by which a value leaves a graph."""
    match reference:
        case Collected(output=output):
            return channel_name(output)
        case OneOf():
            return key
        case _:
            return channel_name(reference)


def _named(names: dict[str, Any], reference: Reference, base: str, reserved: Collection[str] = ()) -> str:
    """Return the name by which a reference crosses a border, the same one each time it does."""
    name, number = base, 1
    # str(): comparing run-time values makes a condition, since it would not compare what they stand for.
    while name in reserved or str(names.setdefault(name, reference)) != str(reference):
        number += 1
        name = f"{base}-{number}"
    return name
