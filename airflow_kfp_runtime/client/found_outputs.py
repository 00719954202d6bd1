"""What a reader has found of a run's outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_kfp_runtime.client.graph import Outputs


@dataclass(frozen=True)
class FoundOutputs:
    """The outputs of a run's tasks.

    :param outputs: by the path of the task in the run.
    :param iterations: how many iterations each loop has had, by its path; a loop that never started is left
        out.
    :param unread: a sentence for each output that is known to be there and could not be read.
    :param going_on: the paths of the tasks that are shown as going on.
    :param is_complete: whether the reader finds every output there is.
    """

    outputs: Outputs
    iterations: dict[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    going_on: tuple[str, ...] = ()
    is_complete: bool = True


def with_iteration(iterations: dict[str, int], loop: str, index: int) -> None:
    """Note that a loop has had the iteration ``index``."""
    iterations[loop] = max(iterations.get(loop, 0), index + 1)
