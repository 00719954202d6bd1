"""What a poller asks for in each of its rounds; nothing here does any input or output.

Each run is in one request per round, with others; some of them are also read whole, in turn. A request that
could not be read is made in halves the next time, until the run that spoils it stands alone. Where there are
too many runs to read each whole about once a minute, batches are counted in turn, and one with fewer runs
than it should have is read whole next: a run was deleted, or has a state that nobody has heard of.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence


@dataclass(frozen=True)
class Pace:
    """How often and how much is asked for.

    :param interval: seconds in which each run is looked at once. KFP's state lags the cluster by a second or
        more, so less than 2 gains nothing on a real server.
    :param batch: ids in one request; 150 fit a URL of 8 kB.
    :param whole: runs that one further request per interval reads whole; up to so many runs, that request is
        the only one. With thousands of runs there is one such request for each 20 others, and as many counts.
    :param progress: seconds after which a run is read whole again, where there are more of them than that.
    :param parallel: requests at the same time.
    """

    interval: float = 10.0
    batch: int = 150
    whole: int = 25
    progress: float = 60.0
    parallel: int = 4


class Reading(Enum):
    """How a request asks for its runs."""

    ENDED = "a list of those that have ended"
    WHOLE = "a list of all of them"
    COUNT = "how many of them there are, in states that are known"
    SINGLE = "one run by itself"


@dataclass(frozen=True)
class Request:
    """One request of a round."""

    reading: Reading
    run_ids: tuple[str, ...]


class Plan:
    """Divides the runs that are watched into the requests of each round."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._round = 0
        self._read_whole: dict[str, float] = {}
        self._narrowed: dict[str, int] = {}
        self._uncounted: set[str] = set()

    def requests(
        self, run_ids: Collection[str], *, under_way: Collection[str] = (), lists: bool = True
    ) -> list[Request]:
        """Return the requests of the next round.

        :param run_ids: the runs that are watched, in the order in which they joined: a run keeps its place,
            so that no two looks at it are much more than an interval apart.
        :param under_way: those of them that a request of an earlier round still asks for.
        :param lists: whether the server can be asked for lists.
        """
        self._round += 1
        self._read_whole = {run_id: self._read_whole.get(run_id, -math.inf) for run_id in run_ids}
        self._narrowed = {run_id: size for run_id, size in self._narrowed.items() if run_id in run_ids}
        self._uncounted.intersection_update(run_ids)
        if not lists:
            return [Request(Reading.SINGLE, (run_id,)) for run_id in run_ids if run_id not in under_way]
        together = [run_id for run_id in run_ids if run_id not in self._narrowed and run_id not in under_way]
        narrowed = list(self._narrowed_requests(under_way))
        if len(together) <= self._pace.whole:
            return [*([Request(Reading.WHOLE, tuple(together))] if together else []), *narrowed]
        ended = [Request(Reading.ENDED, part) for part in _parts(together, self._pace.batch)]
        room = 1 + len(ended) // 20
        due = list(self._due(together))
        chosen = heapq.nsmallest(self._pace.whole * room, due, key=self._read_whole.__getitem__)
        self._read_whole.update(dict.fromkeys(chosen, self._round))
        whole = [Request(Reading.WHOLE, part) for part in _parts(chosen, self._pace.whole)]
        # As long as each run is read whole in time, there is nothing that a count would show earlier.
        counts = self._counts(ended, room) if len(due) > len(chosen) else ()
        return [*ended, *whole, *counts, *narrowed]

    def was_short(self, run_ids: Iterable[str]) -> None:
        """Read these runs whole before others: not all of them were counted."""
        self._read_whole.update((run_id, -math.inf) for run_id in run_ids if run_id in self._read_whole)

    def was_listed(self, run_ids: Iterable[str], listed: Collection[str]) -> None:
        """Count only those of these runs that a list has shown in a known state: others are always missed."""
        self._uncounted.difference_update(listed)
        self._uncounted.update(run_id for run_id in run_ids if run_id not in listed)

    def was_unreadable(self, run_ids: Sequence[str]) -> None:
        """Ask for these runs in smaller requests: one of them spoiled the answer."""
        self._narrowed.update(dict.fromkeys(run_ids, max(1, len(run_ids) // 2)))

    def was_read(self, run_ids: Iterable[str]) -> None:
        """Ask for these runs together with all others again."""
        for run_id in run_ids:
            self._narrowed.pop(run_id, None)

    def _counts(self, ended: Sequence[Request], room: int) -> Iterator[Request]:
        """Return the next batches to count, in turn."""
        for number in range(room):
            batch = ended[(self._round * room + number) % len(ended)]
            countable = tuple(run_id for run_id in batch.run_ids if run_id not in self._uncounted)
            if countable:
                yield Request(Reading.COUNT, countable)

    def _due(self, run_ids: Iterable[str]) -> Iterator[str]:
        """Return the runs that were not read whole for a while, or never."""
        latest = self._round - self._pace.progress / self._pace.interval
        return (run_id for run_id in run_ids if self._read_whole[run_id] <= latest)

    def _narrowed_requests(self, under_way: Collection[str]) -> Iterator[Request]:
        narrowed = {run_id: size for run_id, size in self._narrowed.items() if run_id not in under_way}
        for size in sorted(set(narrowed.values()), reverse=True):
            run_ids = [run_id for run_id, narrowed_to in narrowed.items() if narrowed_to == size]
            for part in _parts(run_ids, size):
                yield Request(Reading.ENDED if size > 1 else Reading.SINGLE, part)


def _parts(run_ids: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(run_ids[first : first + size]) for first in range(0, len(run_ids), size))
