"""Reads environment variables, and the secrets and config maps that may be mounted as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.project.settings import inexpressible, syntax
from airflow_kfp_runtime.project.settings.environment import ConfigMapKey, FieldPath, SecretKey
from airflow_kfp_runtime.project.settings.place import Place
from airflow_kfp_runtime.project.settings.volume_forms import Mounted, volume_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.project.settings.fields import Settings

#: The name of the field that holds the object's name, by the setting.
_OBJECT = {"secrets": "secret", "config_maps": "config_map"}
_KEY: dict[str, type[Settings]] = {"secrets": SecretKey, "config_maps": ConfigMapKey}


class _Variables:
    """Collects variables by name, and refuses a name that is given twice."""

    def __init__(self) -> None:
        self.sources: dict[str, Any] = {}
        self._places: dict[str, str] = {}

    def add(self, name: str, source: Any, place: Place) -> None:
        try:
            syntax.environment_name(name)
        except ValueError as error:
            place.refuse(str(error))
        if name in self.sources:
            place.refuse(f"sets {name!r}, which {self._places[name]} sets already")
        self.sources[name], self._places[name] = source, place.path


def read_environment(given: Mapping[str, Place]) -> tuple[dict[str, Any], list[Mounted]]:
    """Return the variables by name, and the volumes that ``secrets`` and ``config_maps`` mount.

    :param given: the settings by name; those that are no environment are left alone.
    """
    variables = _Variables()
    volumes: list[Mounted] = []
    if "envs" in given:
        _read_variables(given["envs"], variables)
    for setting in ("secrets", "config_maps"):
        for item in given[setting].items() if setting in given else ():
            _read_object(setting, item, variables, volumes)
    for name, path in given["field_paths"].entries() if "field_paths" in given else ():
        variables.add(name, path.build(FieldPath, {"path": path}), path)
    return variables.sources, volumes


def _read_variables(place: Place, variables: _Variables) -> None:
    """Read Kubernetes' list of names and values, or a mapping of them."""
    if not isinstance(place.value, list):
        for name, value in place.entries():
            _add(name, value, value, variables)
        return
    for item in place.items():
        given = item.fields(("name", "value", "value_from"))
        if "name" not in given:
            item.refuse("has no name")
        named = given["name"]
        if not isinstance(named.value, str):
            named.refuse_value("a text")
        if "value" in given and "value_from" in given:
            item.refuse("has a value and a value_from: give one of them")
        if "value_from" in given:
            source = _source(given["value_from"])
            if source is not None:
                variables.add(named.value, source, named)
        else:
            # Kubernetes takes a variable without a value for an empty one.
            _add(named.value, given.get("value", Place("", item.path, item.reading)), named, variables)


def _add(name: str, value: Place, place: Place, variables: _Variables) -> None:
    """Add a variable with a value of its own; ``place`` is where it is named."""
    if isinstance(value.value, str):
        variables.add(name, value, place)
    elif value.is_reference() or isinstance(value.value, dict):
        value.refuse_value("a text: give what is known at run time to the function, as an input")
    else:
        value.refuse(f"is of type {type(value.value).__name__}, not a text: put it in quotes")


def _source(place: Place) -> SecretKey | ConfigMapKey | FieldPath | None:
    """Read Kubernetes' ``valueFrom``; ``None`` where KFP cannot express it."""
    noted = len(place.reading.inexpressible)
    given = place.fields(
        ("secret_key_ref", "config_map_key_ref", "field_ref"), inexpressible=inexpressible.ENVIRONMENT
    )
    if not given and len(place.reading.inexpressible) > noted:
        return None
    if len(given) != 1:
        place.refuse("has not exactly one source", ("secret_key_ref", "config_map_key_ref", "field_ref"))
    (kind, source), *_ = given.items()
    if kind == "field_ref":
        field = source.fields(("field_path", "api_version"))
        if "field_path" not in field:
            source.refuse("has no field_path")
        return source.build(FieldPath, {"path": field["field_path"]})
    parts = source.fields(("name", "key", "optional"))
    for name in ("name", "key"):
        if name not in parts:
            source.refuse(f"has no {name}")
    named = parts.pop("name").resolved()
    if kind == "secret_key_ref":
        return source.build(SecretKey, {**parts, "secret": named})
    return source.build(ConfigMapKey, {**parts, "config_map": named})


def _read_object(setting: str, place: Place, variables: _Variables, volumes: list[Mounted]) -> None:
    """Read one entry of ``secrets`` or ``config_maps``."""
    if setting == "secrets" and isinstance(place.value, str):
        # DigitalHub: a key of the project's secret, under its own name.
        variables.add(place.value, place.build(SecretKey, {"secret": None, "key": place}), place)
        return
    kind = _OBJECT[setting]
    given = place.fields(
        ("name", "keys", "optional", "mount_path", "sub_path", "items"),
        aliases={f"{kind}_name": "name"},
    )
    for unused in ("items", "sub_path"):
        if unused in given:
            reason = (
                inexpressible.VOLUME_SOURCE["items"] if unused == "items" else inexpressible.MOUNT_SUB_PATH
            )
            given[unused].note(reason)
    if "name" not in given and (setting == "config_maps" or "mount_path" in given or "keys" not in given):
        place.refuse("has no name")
    optional = {"optional": given["optional"]} if "optional" in given else {}
    name = given["name"].resolved() if "name" in given else None
    for variable, key in _keys(given["keys"]) if "keys" in given else ():
        source = place.build(_KEY[setting], {kind: name, "key": key, **optional})
        variables.add(variable, source, key)
    if "mount_path" in given and name is not None:
        source_fields = {kind: name, **optional}
        volumes.append(Mounted(volume_of(kind, name, given["mount_path"], source_fields, place), place))
    if "keys" not in given and "mount_path" not in given:
        place.note(inexpressible.SETTINGS["env_from"])


def _keys(place: Place) -> list[tuple[str, Place]]:
    """Return variables and keys: of ``{key: variable}``, or of a list of keys that name both."""
    if isinstance(place.value, list):
        pairs = []
        for item in place.items():
            if not isinstance(item.value, str):
                item.refuse_value("a text")
            pairs.append((item.value, item))
        return pairs
    found = []
    for key, variable in place.entries():
        if not isinstance(variable.value, str):
            variable.refuse_value("the name of an environment variable")
        found.append((variable.value, Place(key, variable.path, variable.reading)))
    return found
