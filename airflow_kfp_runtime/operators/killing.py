"""What becomes of the run that a worker waits for when the worker is told to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import KfpRuntimeError

if TYPE_CHECKING:
    from airflow_kfp_runtime.hooks.kfp import KfpHook


@dataclass
class OwnRun:
    """The run that a try on a worker has submitted or goes on with.

    :param hook: of the server that has it.
    :param run_id: its id; ``None`` where there is none, or it is not this try's to end.
    """

    hook: KfpHook
    run_id: str | None = None

    @property
    def url(self) -> str:
        """Its address in the Kubeflow Pipelines UI."""
        return self.hook.run_url(self.run_id or "")

    def let_go(self) -> None:
        """Leave the run to whoever goes on with it."""
        self.run_id = None

    def end(self, log: Any) -> None:
        """Terminate it; where that fails, the log says so.

        :param log: the task's.
        """
        if self.run_id is None:
            return
        from airflow_kfp_runtime.client.abandoned import end_submitted

        log.info("Terminating run %s", self.run_id)
        try:
            # A client of its own: the one that waits may be in the middle of a request.
            with self.hook.client() as client:
                client.run(end_submitted(self.run_id, namespace=self.hook.settings.namespace))
        except KfpRuntimeError as error:
            log.error("Run %s could not be terminated and may go on: %s", self.run_id, error)  # noqa: TRY400
