"""Which graph each task is in: the pipeline's own, that of a block, or one under a claim's exit handler."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.compiler.dags import Dag
from airflow_kfp_runtime.dsl.blocks import Branch, Choice, ForEach, OnExit, groups_of
from airflow_kfp_runtime.runtimes.component import NestedPipeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_kfp_runtime.compiler.claims import Claim
    from airflow_kfp_runtime.compiler.dags import TypeOf
    from airflow_kfp_runtime.dsl.blocks import Group
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.runtimes.component import Component


#: The names of tasks that are blocks, or the graphs in which a claim is there.
_GRAPH = re.compile(r"(?:condition|condition-branches|for-loop|exit-handler)-\d+")


@dataclass(frozen=True)
class Nesting:
    """The graphs of a pipeline.

    :param root: the pipeline's own.
    :param steps: the graph in which every shared claim is there; all steps are in it or inside it.
    :param inner: the nested graphs by name; each comes after the one around it.
    :param groups: those of the blocks.
    :param own: those of the steps that have a claim of their own, by the step.
    """

    root: Dag
    steps: Dag
    inner: Mapping[str, Dag]
    groups: Mapping[Group, Dag]
    own: Mapping[Step, Dag]

    def of(self, step: Step) -> Dag:
        """Return the graph that a step is a task of."""
        around = groups_of(step.block)
        return self.own.get(step) or (self.groups[around[-1]] if around else self.steps)

    def around(self, claim: Claim) -> Dag:
        """Return the graph that the tasks of a claim are in, beside the nested graph that has it."""
        return self.inner[claim.handler].around or self.root

    def close(self) -> dict[str, Any]:
        """Add the nested graphs to those around them, and return their components by key.

        Nothing may ask for a value from another graph after this.
        """
        for group, dag in self.groups.items():
            if isinstance(group, Branch):
                dag.decide(group.full_condition)
        components = {}
        for name, dag in self.inner.items():
            components[f"comp-{name}"] = dag.component()
            (dag.around or self.root).tasks[name] = dag.task(f"comp-{name}")
        return components

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each argument that a run must be given because of the nested graphs."""
        names = {argument.name for dag in self.inner.values() for argument in dag.absent_arguments()}
        for name in sorted(names):
            yield (
                f"argument {name!r}: give each run a value for it. KFP cannot pass an argument that is left "
                "out into the nested graph that a block of steps or a new claim needs; a default other than "
                "None avoids this"
            )

    def step_names(self, steps: Iterable[Step], components: Mapping[Step, Component]) -> dict[str, str]:
        """Return the user's name of each step, and of the steps inside it, by the paths of their tasks."""
        names = {}
        for step in steps:
            path = "/".join((*self.of(step).path, step.task_name))
            names[path] = step.name
            match components[step].implementation:
                case NestedPipeline(step_names=inner):
                    names |= {f"{path}/{task}": f"{step.name}/{name}" for task, name in inner.items()}
        return names


def group_names(steps: Sequence[Step]) -> dict[Group, str]:
    """Return the names of the tasks that blocks are, as the kfp SDK gives them: ``for-loop-1``.

    They are numbered in the order in which they were written; a name that a step has is left out.
    """
    taken = {step.task_name for step in steps}
    names: dict[Group, str] = {}
    number = 0
    for group in dict.fromkeys(group for step in steps for group in groups_of(step.block)):
        number += 1
        while f"{_word(group)}-{number}" in taken:
            number += 1
        names[group] = f"{_word(group)}-{number}"
    return names


def is_graph_name(task: str) -> bool:
    """Return whether a task has the name that blocks and claims have, and is no step by itself."""
    return _GRAPH.fullmatch(task) is not None


def nested(
    steps: Iterable[Step], names: Mapping[Group, str], claims: Sequence[Claim], type_of: TypeOf
) -> Nesting:
    """Return the graphs, with the steps and the tasks of the claims placed in them.

    :param names: those of the blocks; a block comes after the one around it.
    :param claims: those that are shared come first.
    :param type_of: the type of each value that may cross a border.
    """
    root = shared = Dag(type_of)
    inner: dict[str, Dag] = {}
    for claim in claims:
        if claim.step is None:
            shared = _claimed(claim, shared, type_of, inner)
    groups: dict[Group, Dag] = {}
    for group, name in names.items():
        around = groups_of(group.around) if isinstance(group, Choice) else groups_of(group)[:-1]
        outer = groups[around[-1]] if around else shared
        groups[group] = inner[name] = Dag(type_of, name, outer, group)
    own: dict[Step, Dag] = {}
    nesting = Nesting(root, shared, inner, groups, own)
    for claim in claims:
        if claim.step is not None:
            own[claim.step] = _claimed(claim, nesting.of(claim.step), type_of, inner)
    for step in steps:
        nesting.of(step).place(step.task_name)
    for group, dag in groups.items():
        if isinstance(group, ForEach):
            dag.iterate(group)
    return nesting


def _claimed(claim: Claim, around: Dag, type_of: TypeOf, inner: dict[str, Dag]) -> Dag:
    """Return the graph in which a claim is there."""
    around.place(claim.create.task_name)
    around.place(claim.delete.task_name)
    inner[claim.handler] = Dag(type_of, claim.handler, around)
    return inner[claim.handler]


def _word(group: Group) -> str:
    match group:
        case Choice():
            return "condition-branches"
        case Branch():
            return "condition"
        case ForEach():
            return "for-loop"
        case OnExit():
            return "exit-handler"
