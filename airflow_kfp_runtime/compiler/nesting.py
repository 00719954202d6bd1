"""Which graph each task is in: the pipeline's own, or one under the exit handler of a claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.compiler.dags import Dag
from airflow_kfp_runtime.runtimes.component import NestedPipeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_kfp_runtime.compiler.claims import Claim
    from airflow_kfp_runtime.compiler.dags import TypeOf
    from airflow_kfp_runtime.dsl.step import Step
    from airflow_kfp_runtime.runtimes.component import Component


@dataclass(frozen=True)
class Nesting:
    """The graphs of a pipeline.

    :param root: the pipeline's own.
    :param steps: the graph in which every shared claim is there; all steps are in it or inside it.
    :param handlers: the nested graph of each claim, by its name; each comes after the one around it.
    :param own: the graphs of the steps that have a claim of their own, by the step.
    """

    root: Dag
    steps: Dag
    handlers: Mapping[str, Dag]
    own: Mapping[Step, Dag]

    def of(self, step: Step) -> Dag:
        """Return the graph that a step is a task of."""
        return self.own.get(step, self.steps)

    def around(self, claim: Claim) -> Dag:
        """Return the graph that the tasks of a claim are in, beside the nested graph that has it."""
        return self.handlers[claim.handler].around or self.root

    def close(self) -> dict[str, Any]:
        """Add the nested graphs to those around them, and return their components by key.

        Nothing may ask for a value from another graph after this.
        """
        components = {}
        for name, dag in self.handlers.items():
            components[f"comp-{name}"] = dag.component()
            (dag.around or self.root).tasks[name] = dag.task(f"comp-{name}")
        return components

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each argument that a run must be given because of the nested graphs."""
        names = {argument.name for dag in self.handlers.values() for argument in dag.absent_arguments()}
        for name in sorted(names):
            yield (
                f"argument {name!r}: give each run a value for it. KFP cannot pass an argument that is left "
                "out into the nested graph that a new claim needs; a default other than None avoids this"
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


def nested(steps: Iterable[Step], claims: Sequence[Claim], type_of: TypeOf) -> Nesting:
    """Return the graphs, with the steps and the tasks of the claims placed in them.

    :param claims: those that are shared come first.
    :param type_of: the type of each value that may cross a border.
    """
    root = Dag(type_of)
    shared = root
    handlers: dict[str, Dag] = {}
    own: dict[Step, Dag] = {}
    for claim in claims:
        around = shared if claim.step is None else own.get(claim.step, shared)
        around.place(claim.create.task_name)
        around.place(claim.delete.task_name)
        inside = handlers[claim.handler] = Dag(type_of, claim.handler, around)
        if claim.step is None:
            shared = inside
        else:
            own[claim.step] = inside
    nesting = Nesting(root, shared, handlers, own)
    for step in steps:
        nesting.of(step).place(step.task_name)
    return nesting
