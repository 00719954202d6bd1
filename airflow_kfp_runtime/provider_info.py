"""What Airflow reads to find this provider: its connection type, operators, links and decorators.

Airflow calls :func:`get_provider_info` in every process, so this module imports nothing. The keys are
those of ``airflow/provider_info.schema.json``; ``conn-fields`` and ``ui-field-behaviour`` describe the
connection form since Airflow 3.2, and older versions ignore them and ask the hook.
"""

from __future__ import annotations

from typing import Any

from airflow_kfp_runtime import __version__

_INTEGRATION = "Kubeflow Pipelines"


def connection_fields() -> dict[str, dict[str, Any]]:
    """Return the fields that the connection form has beside the standard ones, by their key in ``extra``.

    :return: for each a ``label``, a ``description`` and the JSON ``schema`` of the value.
    """
    return {
        "namespace": _text("Namespace", "Profile namespace. Leave it out on a single-user server."),
        "ui_url": _text("UI URL", "Address of the UI, for links. Default: the API's address."),
        "metadata_url": _text(
            "Metadata URL", "Address that serves ML Metadata over gRPC-web. Default: the API's address."
        ),
        "ca_certificate": _text("CA certificate", "File with the certificates to trust, in PEM form."),
        "verify": {
            "label": "Verify TLS",
            "description": "Whether the server's certificate is checked. Default: yes.",
            "schema": {"type": ["boolean", "null"]},
        },
        "token_file": _text(
            "Token file",
            "File with a bearer token that is rotated: it is read for each request.",
        ),
        "user": _text("User", "Value of the kubeflow-userid header, for a server behind a trusted proxy."),
        "cookie": _secret("Cookie", "Session cookies as a browser sends them: name=value; name=value."),
        "connect_timeout": _seconds("Connect timeout", "Seconds until a connection must stand. Default: 5."),
        "read_timeout": _seconds("Read timeout", "Seconds the server may be silent. Default: 30."),
    }


def connection_form() -> dict[str, Any]:
    """Return how the standard fields of the connection form are shown."""
    return {
        "hidden-fields": ["login"],
        "relabeling": {"host": "API address", "schema": "Scheme", "password": "Token"},
        "placeholders": {
            "host": "http://ml-pipeline.kubeflow.svc:8888",
            "schema": "http or https, if the address does not say",
            "password": "bearer token",
        },
    }


def digitalhub_fields() -> dict[str, dict[str, Any]]:
    """Return the extra fields of a connection to a DigitalHub platform, as :func:`connection_fields` does."""
    return {
        "personal_access_token": _secret("Personal access token", "Of a user; the platform renews from it."),
        "refresh_token": _secret("Refresh token", "Of an OAuth2 login, with issuer and client ID."),
        "issuer": _text("Issuer", "Address of the platform's OAuth2 issuer."),
        "client_id": _text("Client ID", "Of the platform at its issuer."),
        "kubernetes_conn_id": _text(
            "Kubernetes connection",
            "Writes the credentials into the Kubernetes secret that the steps read. Without it, the secret "
            "has to be there.",
        ),
        "namespace": _text(
            "Namespace", "Of that secret. Default: the namespace of the Kubernetes connection, else default."
        ),
    }


def digitalhub_form() -> dict[str, Any]:
    """Return how the standard fields of a connection to a DigitalHub platform are shown."""
    return {
        "hidden-fields": [],
        "relabeling": {
            "host": "Endpoint",
            "schema": "Scheme",
            "login": "User",
            "password": "Password, or access token without a user",
        },
        "placeholders": {"host": "https://core.digitalhub.example"},
    }


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata (entry-point group ``apache_airflow_provider``)."""
    return {
        "package-name": "airflow-kfp-runtime",
        "name": _INTEGRATION,
        "description": "Runs DigitalHub-style steps of a DAG as a Kubeflow Pipelines run.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://www.kubeflow.org/docs/components/pipelines/",
                "tags": ["software"],
            }
        ],
        "operators": [_modules("airflow_kfp_runtime.operators.kfp")],
        "hooks": [_modules("airflow_kfp_runtime.hooks.kfp", "airflow_kfp_runtime.hooks.digitalhub")],
        "triggers": [_modules("airflow_kfp_runtime.triggers.kfp")],
        "connection-types": [
            {
                "connection-type": "kfp",
                "hook-class-name": "airflow_kfp_runtime.hooks.kfp.KfpHook",
                "hook-name": _INTEGRATION,
                "conn-fields": connection_fields(),
                "ui-field-behaviour": connection_form(),
            },
            {
                "connection-type": "digitalhub",
                "hook-class-name": "airflow_kfp_runtime.hooks.digitalhub.DigitalHubHook",
                "hook-name": "DigitalHub",
                "conn-fields": digitalhub_fields(),
                "ui-field-behaviour": digitalhub_form(),
            },
        ],
        "config": {"kfp": _configuration()},
        "extra-links": ["airflow_kfp_runtime.links.kfp.KfpRunLink"],
        "task-decorators": [
            {
                "name": "kfp_pipeline",
                "class-name": "airflow_kfp_runtime.decorators.kfp.kfp_pipeline_task",
            }
        ],
    }


def _configuration() -> dict[str, Any]:
    return {
        "description": "Kubeflow Pipelines: what holds for all tasks that run a pipeline.",
        "options": {
            "profiles": _option(
                "Named sets of Kubernetes settings, as a JSON object. A step takes one by the setting "
                "profile, and the set wins over what the step itself says.",
                "string",
                '{"1xa100": {"accelerator": {"type": "nvidia.com/gpu", "count": 1}, '
                '"node_selector": {"gpu": "a100"}}}',
            ),
            "source_cache": _option(
                "Folder of the sources that tasks have fetched, on each worker. Default: the user's cache, "
                "airflow-kfp-runtime/sources in XDG_CACHE_HOME or ~/.cache.",
                "string",
                "/opt/airflow/source-cache",
            ),
            "source_cache_size": _option(
                "MiB of that folder, above which what was not used for the longest time goes. Default: 1024.",
                "float",
                "4096",
            ),
            "source_timeout": _option("Seconds for fetching a source in all. Default: 120.", "float", "300"),
            "handler_timeout": _option(
                "Seconds that a handler in a source may take to write its steps. Default: 60.", "float", "120"
            ),
        },
    }


def _option(description: str, kind: str, example: str) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": kind,
        "example": example,
        "default": None,
    }


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": _INTEGRATION, "python-modules": list(names)}


def _text(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}


def _secret(label: str, description: str) -> dict[str, Any]:
    schema = {"type": ["string", "null"], "format": "password"}
    return {"label": label, "description": description, "schema": schema}


def _seconds(label: str, description: str) -> dict[str, Any]:
    return {
        "label": label,
        "description": description,
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
    }
