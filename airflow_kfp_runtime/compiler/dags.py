"""The graph of a pipeline and the graphs inside it, and how values cross the border between them.

A task refers to tasks of its own graph alone. A value from outside is an input of the nested graph, one that
is wanted outside is its output; both come into being when a task asks for the value. Their names are those
that the kfp SDK 2.17 gives them (``pipelinechannel--<task>-<output>``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_kfp_runtime.compiler import specifications
from airflow_kfp_runtime.compiler.connections import channel_name
from airflow_kfp_runtime.dsl.references import PipelineArgument, StepOutput
from airflow_kfp_runtime.dsl.types import ArtifactType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_kfp_runtime.dsl.references import Reference
    from airflow_kfp_runtime.dsl.types import ValueType

#: Says the type of an argument or of a step's output.
TypeOf: TypeAlias = "Callable[[Reference], ValueType]"


class Dag:
    """One graph of tasks: the pipeline's own, or one that is itself a task of the graph around it.

    :param type_of: the type of each value that may cross its border.
    :param name: the task that it is in the graph around it.
    :param around: that graph; ``None`` for the pipeline's own.

    ``tasks`` are those of the graph, ``exposed`` its outputs, and ``homes`` has the graph of every task of
    the pipeline.
    """

    def __init__(self, type_of: TypeOf, name: str = "", around: Dag | None = None) -> None:
        self.name = name
        self.around = around
        self.tasks: dict[str, Any] = {}
        self._type_of = type_of
        self.homes: dict[str, Dag] = {} if around is None else around.homes
        self._inputs: dict[str, Reference] = {}
        self._input_sources: dict[str, dict[str, Any]] = {}
        self.exposed: dict[str, StepOutput] = {}
        self._dependencies: set[str] = set()
        if around is not None:
            around.place(name)

    def place(self, task: str) -> None:
        """Say that the task of that name is in this graph; all are placed before one asks for a value."""
        self.homes[task] = self

    @property
    def path(self) -> tuple[str, ...]:
        """The names of the nested graphs down to this one."""
        return () if self.around is None else (*self.around.path, self.name)

    def source(self, reference: Reference) -> dict[str, Any]:
        """Return where a task of this graph gets a value from, as the IR says it."""
        kind = "Artifact" if isinstance(self._type_of(reference), ArtifactType) else "Parameter"
        if isinstance(reference, StepOutput):
            inside = self._inside(reference)
            if inside:
                task, key = inside
                return {f"taskOutput{kind}": {"producerTask": task, f"output{kind}Key": key}}
        elif self.around is None:
            return {f"componentInput{kind}": reference.name}
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

    def outputs(self, outputs: Mapping[str, StepOutput]) -> dict[str, Any]:
        """Return where outputs of the graph itself come from (``dag.outputs``)."""
        selectors = {}
        types = {name: self._type_of(output) for name, output in outputs.items()}
        for name, output in outputs.items():
            inside = self._inside(output)
            if inside is None:
                raise LookupError(f"{output!r} is not produced inside {self.name!r}")
            selectors[name] = specifications.output_source(*inside, types[name])
        return specifications.by_kind(selectors, types)

    def component(self) -> dict[str, Any]:
        """Return the component of a nested graph, when all its tasks have been added."""
        dag: dict[str, Any] = {"tasks": self.tasks}
        if self.exposed:
            dag["outputs"] = self.outputs(self.exposed)
        component: dict[str, Any] = {"dag": dag}
        types = {name: self._type_of(reference) for name, reference in self._inputs.items()}
        if types:
            definitions = {name: self._definition(name) for name in types}
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
        types = {name: self._type_of(reference) for name, reference in self._inputs.items()}
        task: dict[str, Any] = {"taskInfo": {"name": self.name}, "componentRef": {"name": component}}
        if types:
            task["inputs"] = specifications.by_kind(self._input_sources, types)
        if self._dependencies:
            task["dependentTasks"] = sorted(self._dependencies)
        return task

    def absent_arguments(self) -> list[PipelineArgument]:
        """Return the arguments that come into this nested graph and of which a run may have none."""
        return [
            reference
            for reference in self._inputs.values()
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

    def _inside(self, output: StepOutput) -> tuple[str, str] | None:
        """Return the task of this graph that has an output, and the output's key there."""
        task = output.step.task_name
        if self._member(task) is None:
            return None
        key, dag = output.key, self.homes[task]
        while dag is not self and dag.around is not None:
            key = _named(dag.exposed, output)
            task, dag = dag.name, dag.around
        return task, key

    def _input(self, reference: Reference) -> str:
        name = _named(self._inputs, reference)
        if name not in self._input_sources and self.around is not None:
            self._input_sources[name] = self.around.source(reference)
            if isinstance(reference, StepOutput):
                self._dependencies.update(self.around.before([reference.step.task_name]))
        return name

    def _definition(self, name: str) -> dict[str, Any]:
        reference = self._inputs[name]
        definition = specifications.typed(self._type_of(reference))
        if isinstance(reference, PipelineArgument) and reference.default is None:
            definition["isOptional"] = True
        return definition


def _named(names: dict[str, Any], reference: Reference) -> str:
    """Return the name by which a reference crosses a border, the same one each time it does."""
    base = channel_name(reference)
    name, number = base, 1
    # str(): comparing run-time values is refused, since it would not compare what they stand for.
    while str(names.setdefault(name, reference)) != str(reference):
        number += 1
        name = f"{base}-{number}"
    return name
