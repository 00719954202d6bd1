"""The connection to a DigitalHub platform: what the steps that run its functions are given of it.

A step on the platform runs in a pod, which asks the platform for a run of the function. It reads the
platform's address and its credentials from environment variables, which come from a Kubernetes secret.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.hooks.connections import (
    BaseHook,
    address,
    checked_extra,
    form_behaviour,
    form_widgets,
    place_of,
)
from airflow_kfp_runtime.provider_info import digitalhub_fields, digitalhub_form
from airflow_kfp_runtime.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow.sdk import Connection
    from kubernetes.client import CoreV1Api

#: The extra fields that become variables of the step.
_VARIABLES = {
    "personal_access_token": "DHCORE_PERSONAL_ACCESS_TOKEN",
    "refresh_token": "DHCORE_REFRESH_TOKEN",
    "issuer": "DHCORE_ISSUER",
    "client_id": "DHCORE_CLIENT_ID",
}

#: Marks the secrets that this hook has written; it leaves others alone.
_MANAGED_BY = {"app.kubernetes.io/managed-by": "airflow-kfp-runtime"}

#: What the Kubernetes API answers for a name that is taken.
_CONFLICT = 409


class DigitalHubHook(BaseHook):
    """Hands the endpoint and the credentials of a DigitalHub platform to the steps that run its functions.

    The fields of the Airflow connection, of type ``digitalhub``:

    - ``host``: the platform's endpoint, ``https://core.digitalhub.example``.
    - ``login`` and ``password``: a user and the password; a password alone is an access token.
    - ``extra``: ``personal_access_token``, ``refresh_token``, ``issuer``, ``client_id``;
      ``kubernetes_conn_id``, the Kubernetes connection by which the secret is written; ``namespace``, where.

    :param digitalhub_conn_id: the Airflow connection.
    """

    conn_name_attr = "digitalhub_conn_id"
    default_conn_name = "digitalhub_default"
    conn_type = "digitalhub"
    hook_name = "DigitalHub"

    def __init__(self, digitalhub_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.digitalhub_conn_id = digitalhub_conn_id

    def write_secrets(self, names: Iterable[str], namespace: str | None = None) -> tuple[str, ...]:
        """Write the connection into the Kubernetes secrets that steps read, where it says how.

        :param names: the secrets' names.
        :param namespace: the namespace of the run; the connection's own wins.
        :return: the names of those written; none without a ``kubernetes_conn_id``, and then they have to be
            there already.
        :raises AirflowNotFoundException: there is no such connection.
        :raises DefinitionError: a field of the connection is wrong; or a secret of that name was written by
            somebody else; or the Kubernetes API refuses.
        """
        connection = self.get_connection(self.digitalhub_conn_id)
        variables = platform_variables(connection)
        extra = connection.extra_dejson
        kubernetes_conn_id = extra.get("kubernetes_conn_id")
        if not kubernetes_conn_id:
            return ()
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

        kubernetes = KubernetesHook(conn_id=kubernetes_conn_id)
        where = extra.get("namespace") or namespace or kubernetes.get_namespace() or "default"
        written = tuple(sorted(set(names)))
        for name in written:
            _write_secret(kubernetes.core_v1_client, name, where, variables, place_of(connection))
        return written

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's extra fields for Airflow 3.0 and 3.1; later versions read the provider's info."""
        return form_widgets(digitalhub_fields())

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how Airflow 3.0 and 3.1 show the form's standard fields."""
        return form_behaviour(digitalhub_form())


def platform_variables(connection: Connection) -> dict[str, str]:
    """Return the environment variables that DigitalHub's SDK reads, from a connection.

    :raises DefinitionError: the connection is of another type, or a field is missing or unknown.
    """
    extra = checked_extra(connection, DigitalHubHook.conn_type, digitalhub_fields())
    variables = {
        "DHCORE_ENDPOINT": address(
            connection, "the DigitalHub platform", example="https://core.digitalhub.example"
        )
    }
    if connection.login:
        variables["DHCORE_USER"] = connection.login
        variables["DHCORE_PASSWORD"] = connection.password or ""
    elif connection.password:
        variables["DHCORE_ACCESS_TOKEN"] = connection.password
    return variables | {_VARIABLES[key]: str(value) for key, value in extra.items() if key in _VARIABLES}


def _write_secret(
    kubernetes: CoreV1Api, name: str, namespace: str, values: Mapping[str, str], place: str
) -> None:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    where = f"secret {name!r} in the namespace {namespace!r}"
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": _MANAGED_BY},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }
    problem = ""
    try:
        # The Kubernetes client logs answers, which hold the secret.
        with Redaction(values.values()).in_logs():
            if not _applied(kubernetes, body):
                problem = (
                    "was not written by this provider, which does not overwrite it: give the functions "
                    "another `secret`, or leave kubernetes_conn_id out to use that one as it is"
                )
    except ApiException as error:
        # Without its text, which holds the headers of the answer.
        problem = (
            f"cannot be written: the Kubernetes API answers {error.status} {error.reason}; the account of "
            "kubernetes_conn_id needs get, create and update of secrets there"
        )
    except HTTPError as error:
        problem = (
            "cannot be written: the Kubernetes API of kubernetes_conn_id cannot be reached "
            f"({type(error).__name__})"
        )
    if problem:
        # Outside the handlers: the Kubernetes client's exception holds the answer's body.
        raise DefinitionError(f"{where} {problem}", field=place)


def _applied(kubernetes: CoreV1Api, body: dict[str, Any]) -> bool:
    """Create a secret, or bring one that was written here before to this; ``False`` for one of others."""
    from kubernetes.client import ApiException

    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    try:
        kubernetes.create_namespaced_secret(namespace, body)
    except ApiException as error:
        if error.status != _CONFLICT:
            raise
    else:
        return True
    existing = kubernetes.read_namespaced_secret(name, namespace)
    if not _MANAGED_BY.items() <= (existing.metadata.labels or {}).items():
        return False
    if existing.data != body["data"]:
        kubernetes.replace_namespaced_secret(name, namespace, body)
    return True
