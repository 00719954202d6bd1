"""Which failed task is tried again, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class RetryPolicy:
    """A task's ``retryPolicy``; times are in seconds.

    :param retries: how often it is tried again after the first failure.
    :param backoff: the wait before the first retry.
    :param factor: by what the wait grows with each retry.
    :param longest: how long after its first start a task may be started again (Argo's ``maxDuration``).
    """

    retries: int = 0
    backoff: float = 0.0
    factor: float = 2.0
    longest: float = 3600.0

    @classmethod
    def of(cls, task: Mapping[str, Any]) -> RetryPolicy:
        """Read it from a task of an IR; one without it is not tried again."""
        policy = task.get("retryPolicy", {})
        return cls(
            retries=int(policy.get("maxRetryCount", 0)),
            backoff=_seconds(policy.get("backoffDuration"), cls.backoff),
            factor=float(policy.get("backoffFactor") or cls.factor),
            longest=_seconds(policy.get("backoffMaxDuration"), cls.longest),
        )

    def delay(self, attempt: int, elapsed: float) -> float | None:
        """How long to wait before the attempt after this one, or ``None`` if there is none.

        :param attempt: the one that failed; 1 for the first.
        :param elapsed: the time since the first one started.

        >>> RetryPolicy(retries=2, backoff=10).delay(2, elapsed=15)
        20.0
        """
        if attempt > self.retries:
            return None
        wait = self.backoff * self.factor ** (attempt - 1)
        return wait if elapsed + wait <= self.longest else None


def _seconds(duration: str | None, default: float) -> float:
    """A protobuf duration in JSON: ``30s``, ``1.5s``."""
    return float(duration.rstrip("s")) if duration else default
