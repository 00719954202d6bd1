"""Loops: what a task with an iterator runs over, what each iteration gets, and what all of them give.

The rules are those of KFP 2.17's driver (``DAG`` in ``backend/src/v2/driver/dag.go``, ``CollectInputs`` in
``resolve.go``): an iteration has the inputs of the loop, but its item in the place of the items; an output of
a loop is the list of what its iterations have put out, in their order, and those of a loop in a loop are one
flat list. Two things run here that do not on KFP 2.17: ``artifactIterator``, which the SDK compiles and the
driver lacks, and collecting the outputs of no iterations, where the driver fails and here is an empty list.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.embedded.engine.resolve import ResolveError, selectors
from airflow_kfp_runtime.embedded.engine.values import Values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Json = dict[str, Any]


@dataclass(frozen=True)
class Loop:
    """What a loop runs over.

    :param items: values, or artifacts.
    :param item_input: the input that each iteration has its item in.
    :param items_input: the loop's input that holds the items, which no iteration gets; ``None`` for items
        that are in the IR.
    :param of_artifacts: whether the items are artifacts.
    """

    items: Sequence[Any]
    item_input: str
    items_input: str | None = None
    of_artifacts: bool = False

    @classmethod
    def of(cls, task: Mapping[str, Any], inputs: Values) -> Loop:
        """Read it from a task that :func:`is_loop`.

        :param inputs: the task's inputs.
        :raises ResolveError: the items are no list.
        """
        if "artifactIterator" in task:
            iterator = task["artifactIterator"]
            source = iterator["items"]["inputArtifact"]
            return cls(inputs.artifacts.get(source, []), iterator["itemInput"], source, of_artifacts=True)
        iterator = task["parameterIterator"]
        if "raw" in iterator["items"]:
            return cls(_listed(iterator["items"]["raw"], iterator["itemInput"]), iterator["itemInput"])
        source = iterator["items"]["inputParameter"]
        return cls(_listed(inputs.parameters.get(source), source), iterator["itemInput"], source)

    def inputs_of(self, index: int, inputs: Values) -> Values:
        """The inputs of one iteration, not checked against their types.

        :param inputs: those of the loop.
        """
        given = {self.item_input: self.items[index]}
        parameters = {name: value for name, value in inputs.parameters.items() if name != self.items_input}
        artifacts = {name: value for name, value in inputs.artifacts.items() if name != self.items_input}
        if self.of_artifacts:
            return Values(parameters, artifacts | {name: [item] for name, item in given.items()})
        return Values(parameters | given, artifacts)


def is_loop(task: Mapping[str, Any]) -> bool:
    """Whether a task of an IR stands for iterations."""
    return "parameterIterator" in task or "artifactIterator" in task


def parallelism(task: Mapping[str, Any]) -> int:
    """How many iterations of a loop may run at the same time; 0 for any number."""
    return int(task.get("iteratorPolicy", {}).get("parallelismLimit") or 0)


def definitions_of_loop(task: Mapping[str, Any], definitions: Mapping[str, Any]) -> Json:
    """The inputs of the loop as a whole, which has no item."""
    return _without(definitions, _iterator(task)["itemInput"])


def definitions_of_iteration(task: Mapping[str, Any], definitions: Mapping[str, Any]) -> Json:
    """The inputs of an iteration, which does not have the list of items."""
    items = _iterator(task)["items"]
    return _without(definitions, items.get("inputParameter") or items.get("inputArtifact") or "")


def gathered(
    component: Mapping[str, Any], components: Mapping[str, Any], iterations: Sequence[Values]
) -> Values:
    """The outputs of a loop whose iterations have succeeded.

    An output that an iteration did not have, since a condition in it was false, the loop does not have.

    :param component: the component of its iterations.
    :param components: all components of the IR.
    :param iterations: their outputs, in order.
    """
    outputs = component["dag"].get("outputs", {})
    parameters: dict[str, list[Any]] = {}
    for name in outputs.get("parameters", {}):
        values = [one.parameters[name] for one in iterations if name in one.parameters]
        if len(values) == len(iterations):
            flat = _is_gathered(component, "parameters", name, components)
            parameters[name] = [item for value in values for item in value] if flat else values
    artifacts = {}
    for name in outputs.get("artifacts", {}):
        lists = [one.artifacts[name] for one in iterations if name in one.artifacts]
        if len(lists) == len(iterations):
            artifacts[name] = [artifact for found in lists for artifact in found]
    return Values(parameters, artifacts)


def _is_gathered(component: Mapping[str, Any], side: str, name: str, components: Mapping[str, Any]) -> bool:
    """Whether an output of a dag is itself the list that a loop in it has gathered."""
    dag = component["dag"]
    for selector in selectors(dag.get("outputs", {}).get(side, {}).get(name, {})):
        task = dag["tasks"][selector.task]
        inner = components[task["componentRef"]["name"]]
        if is_loop(task) or ("dag" in inner and _is_gathered(inner, side, selector.key, components)):
            return True
    return False


def _iterator(task: Mapping[str, Any]) -> Json:
    iterator: Json = task["artifactIterator" if "artifactIterator" in task else "parameterIterator"]
    return iterator


def _without(definitions: Mapping[str, Any], name: str) -> Json:
    return {
        side: {key: definition for key, definition in members.items() if key != name}
        for side, members in definitions.items()
    }


def _listed(items: object, name: str) -> list[Any]:
    """The items; a text is read as JSON."""
    try:
        found = json.loads(items) if isinstance(items, str) else items
    except ValueError:
        found = None
    if not isinstance(found, list):
        shown = repr(items)
        raise ResolveError(
            f"The items of the loop ({name}) are no list: {shown[:100]}{'...' if len(shown) > 100 else ''}."
        )
    return found
