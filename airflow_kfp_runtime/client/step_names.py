"""The names that a user gave to the steps of a pipeline, by the paths of their tasks in KFP.

A task's path is its name (``train``), and that of one in a nested pipeline has the names around it
(``outer/train``). In a run the index of an iteration follows the name of its loop (``for-loop-1/0/train``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def user_name(path: str, step_names: Mapping[str, str]) -> str | None:
    """Return a task's path with the user's name of the step that it is, or is a part of.

    :return: ``None`` for a task that belongs to no step, such as one that makes a claim.

    Example::

        user_name("load-data", {"load-data": "load_data"})  # "load_data"
        user_name("load-data/fetch", {"load-data": "load_data"})  # "load_data/fetch"
        user_name("for-loop-1/0/train", {"for-loop-1/train": "Train"})  # "Train [0]"
    """
    names = path.split("/")
    # A name of the SDK's is no number, so that a number after one is an iteration.
    indices = [] if path in step_names else [name for name in names[1:] if name.isdecimal()]
    found = _named([names[0], *(name for name in names[1:] if name not in indices)], step_names)
    return found and " ".join([found, "".join(f"[{index}]" for index in indices)]).rstrip()


def _named(parts: list[str], step_names: Mapping[str, str]) -> str | None:
    for length in range(len(parts), 0, -1):
        step = "/".join(parts[:length])
        if step in step_names:
            return "/".join([step_names[step], *parts[length:]])
    return None


def by_task_name(step_names: Mapping[str, str]) -> dict[str, str]:
    """Return the users' names by the last part of the paths: what a run's ``task_details`` know of a task."""
    return {path.rpartition("/")[2]: name for path, name in step_names.items()}
