"""What the administrator sets for all tasks, in the section ``[kfp]`` of Airflow's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf

from airflow_kfp_runtime.errors import DefinitionError, SettingError

if TYPE_CHECKING:
    from airflow_kfp_runtime.sources import Sources
    from airflow_kfp_runtime.sources.credentials import CredentialsLookup

_SECTION, _PROFILES = "kfp", "profiles"

_MIB = 1024 * 1024


def configured_profiles() -> dict[str, Mapping[str, Any]]:
    """Return the sets of Kubernetes settings that a step takes by ``profile``, by name.

    They are JSON in ``[kfp] profiles`` (``AIRFLOW__KFP__PROFILES``)::

        {"1xa100": {"accelerator": {"type": "nvidia.com/gpu", "count": 1}, "node_selector": {"gpu": "a100"}}}

    :raises SettingError: it is no JSON, or no mapping of names to settings.
    """
    place = f"[{_SECTION}] {_PROFILES}"
    written = conf.get(_SECTION, _PROFILES, fallback=None)
    if not written:
        return {}
    try:
        profiles = json.loads(written)
    except ValueError as error:
        raise SettingError(f"Airflow's configuration holds no JSON there: {error}", field=place) from None
    if not isinstance(profiles, Mapping):
        raise SettingError("is not a mapping of profiles' names to settings", field=place)
    for name, settings in profiles.items():
        if not isinstance(settings, Mapping):
            raise SettingError(f"{settings!r} is not a mapping of settings", field=f"{place}, {name!r}")
    return dict(profiles)


def configured_sources(folders: tuple[Path, ...], credentials: CredentialsLookup) -> Sources:
    """Return where sources come from, with the cache and the limits of the configuration.

    ``[kfp] source_cache`` is the cache's folder, ``source_cache_size`` its size in MiB, ``source_timeout``
    the seconds of a fetch and ``handler_timeout`` those of a handler.

    :param folders: where relative paths are looked for, in this order.
    :raises DefinitionError: one of them is not a number above 0.
    """
    from airflow_kfp_runtime.sources import Cache, Limits, Sources

    cache, limits = Cache.default(), Limits()
    folder = conf.get(_SECTION, "source_cache", fallback=None)
    return Sources(
        folders=folders,
        credentials=credentials,
        limits=replace(
            limits,
            timeout=_number("source_timeout", limits.timeout),
            handler_timeout=_number("handler_timeout", limits.handler_timeout),
        ),
        cache=Cache(
            folder=Path(folder).expanduser() if folder else cache.folder,
            largest=int(_number("source_cache_size", cache.largest / _MIB) * _MIB),
        ),
    )


def _number(name: str, default: float) -> float:
    written = conf.get(_SECTION, name, fallback=None)
    if not written:
        return default
    try:
        number = float(written)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise DefinitionError(f"{written!r} is not a number above 0", field=f"[{_SECTION}] {name}")
    return number
