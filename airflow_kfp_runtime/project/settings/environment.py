"""Where an environment variable of a task has its value from."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from airflow_kfp_runtime.project.settings import syntax
from airflow_kfp_runtime.project.settings.fields import DataKey, ObjectName, RunTimeValue, Settings


class SecretKey(Settings):
    """A key of a Kubernetes secret, as an environment variable.

    :param secret: the secret's name, a run-time value, or ``None`` for the secret of the DigitalHub project,
        ``proj-secrets-<project>``. Merged settings hold no ``None``: merging puts the project's name in.
    :param key: the key in the secret's data.
    :param optional: start the pod without it where secret or key is missing.
    """

    secret: ObjectName | RunTimeValue | None
    key: DataKey
    optional: bool = False


class ConfigMapKey(Settings):
    """A key of a Kubernetes config map, as an environment variable.

    :param config_map: the config map's name, or a run-time value.
    :param key: the key in its data.
    :param optional: start the pod without it where config map or key is missing.
    """

    config_map: ObjectName | RunTimeValue
    key: DataKey
    optional: bool = False


class FieldPath(Settings):
    """A field of the pod itself, as an environment variable.

    :param path: ``metadata.name``, ``status.podIP`` and the others of Kubernetes' downward API.
    """

    path: Annotated[str, AfterValidator(syntax.field_path)]


#: A text is the value itself.
EnvironmentSource: TypeAlias = str | SecretKey | ConfigMapKey | FieldPath
