"""Making a client from an Airflow connection that Airflow may not be able to read at the moment.

Airflow's lookup says "isn't defined" of a connection that does not exist and of one that it could not read,
since its API, its database or a secrets backend is away (Airflow 3.1 to 3.3, ``_async_get_connection``; 3.0
has an error of its own for each). The two are told apart here: the one is the user's mistake, the other an
outage like one of the KFP server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import ServerUnavailableError

if TYPE_CHECKING:
    from airflow_kfp_runtime.client import AsyncKfpClient


class Connecting:
    """Makes the clients of one connection.

    :param kfp_conn_id: the Airflow connection; it is read anew for each client.
    """

    def __init__(self, kfp_conn_id: str) -> None:
        self._kfp_conn_id = kfp_conn_id
        self._was_read = False

    async def client(self) -> AsyncKfpClient:
        """Return a new client.

        :raises ServerUnavailableError: Airflow cannot read the connection at the moment.
        :raises AirflowNotFoundException: there is no such connection; of one that was there before, only that
            it cannot be read is said, as a secrets backend may be away.
        :raises DefinitionError: a field of the connection is wrong.
        """
        from airflow_kfp_runtime.hooks.kfp import KfpHook
        from airflow_kfp_runtime.operators.exceptions import AirflowNotFoundException, AirflowRuntimeError

        try:
            # A new hook each time: it keeps what it has read.
            client = await KfpHook(self._kfp_conn_id).async_client()
        except (AirflowNotFoundException, AirflowRuntimeError) as error:
            if not self._was_read and await self._is_missing(error):
                raise
            raise ServerUnavailableError(
                f"Airflow cannot read the connection {self._kfp_conn_id!r} at the moment; it says: {error}"
            ) from None
        self._was_read = True
        return client

    async def _is_missing(self, error: Exception) -> bool:
        """Return whether Airflow knows that there is no such connection."""
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection

        if isinstance(error, AirflowRuntimeError):
            return error.error.error is ErrorType.CONNECTION_NOT_FOUND
        triggerer = getattr(task_runner, "SUPERVISOR_COMMS", None)
        if triggerer is None:
            # Outside a triggerer there is nobody else to ask.
            return True
        try:
            answer = await triggerer.asend(GetConnection(conn_id=self._kfp_conn_id))
        except Exception:  # noqa: BLE001 - whatever it is: Airflow has not said that there is none
            return False
        return isinstance(answer, ErrorResponse) and answer.error is ErrorType.CONNECTION_NOT_FOUND
