"""What the administrator sets for all tasks, in the section ``[kfp]`` of Airflow's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow.configuration import conf

from airflow_kfp_runtime.errors import SettingError

_SECTION, _PROFILES = "kfp", "profiles"


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
