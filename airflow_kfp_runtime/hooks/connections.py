"""What the hooks have in common: the base, the checked fields of a connection, the form that shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_kfp_runtime.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow.sdk import BaseHook, Connection
else:
    try:
        from airflow.sdk import BaseHook
    except ImportError:  # Airflow 3.0 has it in the core alone.
        from airflow.hooks.base import BaseHook

__all__ = ["BaseHook", "address", "checked_extra", "form_behaviour", "form_widgets", "place_of"]


def place_of(connection: Connection) -> str:
    """Return how errors call a connection."""
    return f"connection {connection.conn_id!r}"


def checked_extra(connection: Connection, conn_type: str, known: Collection[str]) -> dict[str, Any]:
    """Return the fields of ``extra`` that have a value.

    :param conn_type: the type that the connection must have. Another system's password must not reach this
        one; but some secrets backends leave the type out.
    :param known: the fields there are.
    :raises DefinitionError: the connection is of another type, or a field is unknown.
    """
    if connection.conn_type and connection.conn_type != conn_type:
        raise DefinitionError(
            f"is of type {connection.conn_type!r}, not {conn_type!r}", field=place_of(connection)
        )
    extra = {key: value for key, value in connection.extra_dejson.items() if value not in (None, "")}
    if unknown := sorted(extra.keys() - set(known)):
        raise DefinitionError(
            f"{unknown[0]!r} is unknown", field=f"{place_of(connection)}, extra", allowed=sorted(known)
        )
    return extra


def address(connection: Connection, what: str, *, example: str) -> str:
    """Return the address that ``host``, ``schema`` and ``port`` make, without a slash at its end.

    :param what: what has the address, for the error.
    :param example: an address such as it, for the error.
    :raises DefinitionError: there is none, or it holds a user or a password.
    """
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        raise DefinitionError(
            f"is empty; give the address of {what}, such as {example}", field=f"{place_of(connection)}, host"
        )
    if "@" in host:
        raise DefinitionError(
            "holds a user or a password; give them in the connection's fields for them",
            field=f"{place_of(connection)}, host",
        )
    if "://" not in host:
        scheme = connection.schema or ("https" if connection.port == 443 else "http")
        host = f"{scheme}://{host}"
    parts = urlsplit(host)
    if connection.port and ":" not in parts.netloc:
        host = parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
    return host


def form_widgets(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the extra fields of a connection form for Airflow 3.0 and 3.1.

    :param fields: as the provider's info has them (``conn-fields``).
    """
    from flask_appbuilder.fieldwidgets import (  # type: ignore[import-not-found,unused-ignore]
        BS3PasswordFieldWidget,
        BS3TextFieldWidget,
    )
    from wtforms import (  # type: ignore[import-untyped,unused-ignore]
        BooleanField,
        PasswordField,
        StringField,
    )

    def widget(field: Mapping[str, Any]) -> Any:
        text = {"label": field["label"], "description": field["description"]}
        match field["schema"]:
            case {"format": "password"}:
                return PasswordField(**text, widget=BS3PasswordFieldWidget())
            case {"type": ["boolean", _]}:
                return BooleanField(**text, default=True)
        return StringField(**text, widget=BS3TextFieldWidget())

    return {key: widget(field) for key, field in fields.items()}


def form_behaviour(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return how Airflow 3.0 and 3.1 show the standard fields of a connection form.

    :param form: as the provider's info has it (``ui-field-behaviour``).
    """
    return {key.replace("-", "_"): value for key, value in form.items()}
