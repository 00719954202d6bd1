"""The event with which a trigger has its task resumed: written in the triggerer, read on a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import KfpRuntimeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.client.watch import Ending


@dataclass(frozen=True)
class RunEvent:
    """What a trigger's event says.

    :param run_id: the run.
    :param ending: how the waiting for it ended.
    :param step_names: the user's name of each step, by its task's path in KFP.
    :param kfp_conn_id: the Airflow connection; ``None`` in events of versions that did not send it.
    """

    run_id: str
    ending: Ending
    step_names: dict[str, str]
    kfp_conn_id: str | None = None


def event_payload(
    run_id: str, ending: Ending, step_names: Mapping[str, str], kfp_conn_id: str | None = None
) -> dict[str, Any]:
    """Return the payload of a trigger's event.

    :return: ``status`` (a :class:`~airflow_kfp_runtime.client.watch.Verdict`'s value), ``run_id``, ``state``,
        ``reason``, ``step_names`` and ``kfp_conn_id``.
    """
    return {
        "status": ending.verdict.value,
        "run_id": run_id,
        "state": ending.state.value,
        "reason": ending.reason,
        "step_names": dict(step_names),
        "kfp_conn_id": kfp_conn_id,
    }


def read_event(event: object) -> RunEvent:
    """Return what an event says, of this version or an earlier one.

    :raises KfpRuntimeError: the event is not one of :func:`event_payload`.
    """
    from airflow_kfp_runtime.client.models import RunState
    from airflow_kfp_runtime.client.watch import Ending, Verdict

    try:
        fields: dict[str, Any] = dict(event)  # type: ignore[call-overload]
        ending = Ending(
            Verdict(fields["status"]), RunState.parse(fields.get("state")), fields.get("reason", "")
        )
        return RunEvent(
            run_id=str(fields["run_id"]),
            ending=ending,
            step_names=dict(fields.get("step_names", {})),
            kfp_conn_id=fields.get("kfp_conn_id"),
        )
    except (KeyError, TypeError, ValueError):
        raise KfpRuntimeError(
            f"the trigger sent an event that this version does not know: {event!r}; the run may be going on, "
            "and a retry of the task finds it"
        ) from None
