"""The connection to a Kubeflow Pipelines server: settings for the client, links, and the connection form."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import DefinitionError, KfpRuntimeError
from airflow_kfp_runtime.hooks.connections import (
    BaseHook,
    address,
    checked_extra,
    form_behaviour,
    form_widgets,
    place_of,
)
from airflow_kfp_runtime.provider_info import connection_fields, connection_form

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_kfp_runtime.client import AsyncKfpClient, ClientSettings, KfpClient


class KfpHook(BaseHook):
    """Builds clients for the Kubeflow Pipelines server of an Airflow connection of type ``kfp``.

    The connection's fields:

    - ``host``: the API's address, ``http://ml-pipeline.kubeflow.svc:8888``. Without a scheme it takes the
      one in ``schema``, by default ``http``, and ``https`` for port 443.
    - ``password``: a bearer token.
    - ``extra``: ``namespace``, ``ui_url``, ``metadata_url``, ``ca_certificate`` (a PEM file), ``verify``
      (default true), ``token_file``, ``user`` (sent as ``kubeflow-userid``), ``headers`` (a mapping),
      ``cookie`` (``name=value; name=value``), ``connect_timeout`` and ``read_timeout`` (seconds).

    :param kfp_conn_id: the Airflow connection.
    """

    conn_name_attr = "kfp_conn_id"
    default_conn_name = "kfp_default"
    conn_type = "kfp"
    hook_name = "Kubeflow Pipelines"

    def __init__(self, kfp_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.kfp_conn_id = kfp_conn_id
        self._settings: ClientSettings | None = None

    @property
    def settings(self) -> ClientSettings:
        """What the connection says; read once and kept.

        :raises AirflowNotFoundException: there is no such connection.
        :raises DefinitionError: a field of the connection is wrong; the message names it.
        """
        if self._settings is None:
            self._settings = client_settings(self.get_connection(self.kfp_conn_id))
        return self._settings

    async def load(self) -> ClientSettings:
        """Read the connection without blocking the event loop; :attr:`settings` then has it."""
        if self._settings is None:
            from asgiref.sync import sync_to_async

            # Airflow 3.0 can only read connections synchronously. Its own calls need asgiref's way back to
            # the running loop, which asyncio.to_thread does not give.
            read = getattr(self, "aget_connection", None) or sync_to_async(self.get_connection)
            connection = await read(self.kfp_conn_id)
            # In a thread as well: masking the secrets in `extra` can stall the loop (apache/airflow#65286).
            self._settings = await sync_to_async(client_settings)(connection)
        return self._settings

    def client(self) -> KfpClient:
        """Return a new client, a context manager that owns one connection pool."""
        from airflow_kfp_runtime.client import KfpClient

        return KfpClient(self.settings)

    async def async_client(self) -> AsyncKfpClient:
        """Return a new asynchronous client, a context manager that owns one connection pool."""
        return await asyncio.to_thread(_async_client, await self.load())

    def get_conn(self) -> KfpClient:
        """Return :meth:`client`; the name that Airflow gives to this."""
        return self.client()

    def run_url(self, run_id: str) -> str:
        """Return the address of a run in the Kubeflow Pipelines UI; needs the connection, not the server."""
        return run_url(self.settings, run_id)

    def test_connection(self) -> tuple[bool, str]:
        """Ask the server for its health and one run of the namespace.

        :return: whether both worked, and the server's version and namespace or the reason of the failure.
        """
        from airflow_kfp_runtime.client import calls

        try:
            with self.client() as client:
                health = client.send(calls.health())
                client.send(calls.list_runs(namespace=self.settings.namespace, page_size=1))
        except KfpRuntimeError as error:
            return False, str(error)
        version = health.tag_name or "of unknown version"
        where = f"namespace {self.settings.namespace}" if self.settings.namespace else "no namespace"
        return True, f"Kubeflow Pipelines {version}, {where}"

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's extra fields for Airflow 3.0 and 3.1; later versions read the provider's info."""
        return form_widgets(connection_fields())

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how Airflow 3.0 and 3.1 show the form's standard fields."""
        return form_behaviour(connection_form())


def _async_client(settings: ClientSettings) -> AsyncKfpClient:
    """Make the client in a thread, with all that takes longer than a loop should be kept."""
    import anyio

    from airflow_kfp_runtime.client import AsyncKfpClient

    # Imports what the first request would import else, which takes 50 ms.
    anyio.run(anyio.sleep, 0)
    return AsyncKfpClient(settings)


def run_url(settings: ClientSettings, run_id: str) -> str:
    """Return the address of a run in the Kubeflow Pipelines UI."""
    return f"{(settings.ui_url or settings.host).rstrip('/')}/#/runs/details/{run_id}"


def client_settings(connection: Connection) -> ClientSettings:
    """Return the client's settings from an Airflow connection, checked.

    :raises DefinitionError: the connection is of another type, or a field is missing, unknown or of the
        wrong form.
    """
    from airflow_kfp_runtime.client import ClientSettings
    from airflow_kfp_runtime.client.settings import USER_HEADER

    place = place_of(connection)
    extra = checked_extra(connection, KfpHook.conn_type, {*connection_fields(), "headers"})
    headers = _mapping(extra.get("headers", {}), place)
    if user := extra.get("user"):
        headers[USER_HEADER] = str(user)
    verify = _boolean(extra.get("verify", True), place)
    try:
        return ClientSettings(
            host=address(connection, "the Kubeflow Pipelines API", example="http://localhost:8888"),
            token=connection.password or None,
            token_file=extra.get("token_file"),
            headers=headers,
            cookies=_cookies(str(extra.get("cookie", "")), place),
            verify=str(extra["ca_certificate"]) if verify and "ca_certificate" in extra else verify,
            namespace=extra.get("namespace"),
            ui_url=extra.get("ui_url"),
            metadata_url=extra.get("metadata_url"),
            connect_timeout=_seconds(extra.get("connect_timeout", 5.0), "connect_timeout", place),
            read_timeout=_seconds(extra.get("read_timeout", 30.0), "read_timeout", place),
        )
    except DefinitionError as error:
        if error.field and error.field.startswith(place):
            raise
        raise DefinitionError(error.problem, field=f"{place}, {error.field}", allowed=error.allowed) from None


def _mapping(value: object, place: str) -> dict[str, str]:
    try:
        read = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise DefinitionError("is not a mapping of names to values", field=f"{place}, headers")
    return {str(key): str(entry) for key, entry in read.items()}


def _cookies(text: str, place: str) -> dict[str, str]:
    pairs = [part.strip().partition("=") for part in text.split(";") if part.strip()]
    if any(not (name and equals) for name, equals, _ in pairs):
        raise DefinitionError("does not read name=value; name=value", field=f"{place}, cookie")
    return {name: value for name, _, value in pairs}


def _boolean(value: object, place: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    word = str(value).lower()
    if word not in words:
        raise DefinitionError(f"{value!r} is neither true nor false", field=f"{place}, verify")
    return words[word]


def _seconds(value: object, key: str, place: str) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise DefinitionError(f"{value!r} is not a number of seconds above 0", field=f"{place}, {key}")
    return seconds
