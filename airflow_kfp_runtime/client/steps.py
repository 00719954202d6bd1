"""A run's outputs by the names that a user gave to the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.client.graph import join

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_kfp_runtime.client.outputs import RunOutputs


def outputs_by_step(outputs: RunOutputs, step_names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the outputs by the user's step names: every step, and of tasks in a step those with outputs.

    Inside a step whose own steps have names, such as a workflow, it is these alone.

    An output of a step in a loop is the list over the iterations, in their order, with ``None`` for an
    iteration that did not have it; of one in a loop in a loop a list of such lists. A step in a branch that
    was not taken has no outputs. Tasks that belong to no step, such as those that make and delete claims, are
    left out.

    :param step_names: the user's name of each step, by its task's path in KFP (``for-loop-1/train``).

    Example::

        outputs_by_step(outputs, {"for-loop-1/train": "train"})  # {"train": {"accuracy": [0.8, 0.9]}}
    """
    found = {name: _outputs(outputs, path) for path, name in step_names.items()}
    paths = {without_iterations(path, outputs.iterations) for path in outputs.tasks}
    with_names_inside = {around for path in step_names for around in _around(path)}
    for path in sorted(paths - step_names.keys()):
        step = next((around for around in _around(path) if around in step_names), None)
        if step is None or step in with_names_inside:
            continue
        if inside := _outputs(outputs, path):
            found[step_names[step] + path.removeprefix(step)] = inside
    return found


def without_iterations(path: str, iterations: Iterable[str]) -> str:
    """Return the path that a task has in the IR for one that it has in a run.

    :param iterations: the paths of the loops of the run.

    Example::

        without_iterations("for-loop-1/0/train", ["for-loop-1"])  # "for-loop-1/train"
    """
    loops = set(iterations)
    before = found = ""
    for name in path.split("/"):
        if before not in loops or not name.isdecimal():
            found = join(found, name)
        before = join(before, name)
    return found


def _around(path: str) -> Iterator[str]:
    """Yield the paths of the tasks around one, the innermost first."""
    while path := path.rpartition("/")[0]:
        yield path


def _outputs(outputs: RunOutputs, path: str) -> dict[str, Any]:
    """The outputs of a task by its path in the IR."""
    tree = _tree(outputs, "", tuple(path.split("/")))
    if isinstance(tree, dict):
        return dict(tree)
    leaves = list(_leaves(tree))
    names = dict.fromkeys(name for leaf in leaves for name in leaf)
    # Without an iteration the IR still tells what there would have been.
    return {name: _of(tree, name) for name in (names if leaves else outputs.declared.get(path, ()))}


def _tree(outputs: RunOutputs, before: str, names: tuple[str, ...]) -> Any:
    """The outputs of a task, in a list for each loop around it."""
    path = join(before, names[0])
    inner = names[1:]
    if not inner:
        return outputs.tasks.get(path, {})
    if path not in outputs.iterations:
        return _tree(outputs, path, inner)
    return [_tree(outputs, join(path, str(index)), inner) for index in range(outputs.iterations[path])]


def _leaves(tree: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(tree, list):
        for part in tree:
            yield from _leaves(part)
    else:
        yield tree


def _of(tree: Any, name: str) -> Any:
    return [_of(part, name) for part in tree] if isinstance(tree, list) else tree.get(name)
