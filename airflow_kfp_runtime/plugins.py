"""What can be added to this package from outside: pluggy's hook specifications and the manager.

A plugin is a module or object whose functions are marked with :data:`hookimpl`, named by an entry point of
the group ``airflow_kfp_runtime``::

    [project.entry-points.airflow_kfp_runtime]
    my_kinds = "my_package.kinds"
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any

import pluggy

from airflow_kfp_runtime.errors import FunctionError, SettingError, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_kfp_runtime.project.settings.model import TaskSettings
    from airflow_kfp_runtime.runtimes.component import FunctionKind
    from airflow_kfp_runtime.sources.scheme import SourceScheme

#: The entry-point group, and pluggy's name for the project.
GROUP = "airflow_kfp_runtime"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)

_BUILT_IN = (
    "airflow_kfp_runtime.runtimes.container",
    "airflow_kfp_runtime.runtimes.digitalhub",
    "airflow_kfp_runtime.runtimes.kfp",
    "airflow_kfp_runtime.runtimes.kfp_component",
    "airflow_kfp_runtime.runtimes.python",
    "airflow_kfp_runtime.runtimes.workflow",
    "airflow_kfp_runtime.sources.git",
    "airflow_kfp_runtime.sources.http",
    "airflow_kfp_runtime.sources.s3",
)


@hookspec
def function_kinds() -> Sequence[FunctionKind]:  # type: ignore[empty-body]
    """Return the kinds of function that this plugin adds."""


@hookspec
def source_schemes() -> Sequence[SourceScheme]:  # type: ignore[empty-body]
    """Return the schemes of addresses that this plugin can fetch sources from."""


@hookspec
def settings_profiles() -> Mapping[str, Mapping[str, Any]]:  # type: ignore[empty-body]
    """Return named sets of Kubernetes settings, which a step takes by ``profile``.

    :return: the settings of each, in any form that a step takes. The profiles of the provider's
        configuration win over these.
    """


@hookspec
def review_settings(step: str, function: str, settings: TaskSettings) -> TaskSettings | None:
    """See the settings of one step after they were merged: the administrator's policy.

    :param step: the step's name.
    :param function: the name of its function.
    :param settings: what its task would get.
    :return: what it gets instead (``settings.model_copy(update={...})``), or ``None`` to leave them.
    :raises SettingError: to refuse the step.

    Example::

        @hookimpl
        def review_settings(step, function, settings):
            count = settings.accelerator.count if settings.accelerator else 0
            if not isinstance(count, int) or count > 4:  # no int: known only at run time
                raise SettingError("at most 4 GPUs are allowed", step=step, field="accelerator")
    """


@cache
def plugin_manager() -> pluggy.PluginManager:
    """Return the manager, with the built-in plugins and those of installed packages registered."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(importlib.import_module(__name__))
    for module in _BUILT_IN:
        manager.register(importlib.import_module(module), name=module)
    manager.load_setuptools_entrypoints(GROUP)
    return manager


def function_kind(name: str) -> FunctionKind:
    """Return the kind of that name.

    :raises FunctionError: no plugin has it; the message lists those there are.
    """
    kinds: dict[str, FunctionKind] = {
        kind.name: kind for kinds in plugin_manager().hook.function_kinds() for kind in kinds
    }
    if name not in kinds:
        raise FunctionError(f"{name!r} is not a kind of function", field="kind", allowed=sorted(kinds))
    return kinds[name]


def source_scheme(name: str, *, field: str) -> SourceScheme:
    """Return the scheme of that name.

    :param name: what stands before ``://``.
    :param field: what the user calls the address, for the error.
    :raises SourceError: no plugin has it; the message lists those there are.
    """
    schemes: dict[str, SourceScheme] = {
        known: scheme
        for schemes in plugin_manager().hook.source_schemes()
        for scheme in schemes
        for known in scheme.names
    }
    if name.lower() not in schemes:
        raise SourceError(
            f"{name!r} is not the scheme of a source",
            field=field,
            allowed=["a path without a scheme", *(f"{known}://" for known in sorted(schemes))],
        )
    return schemes[name.lower()]


def settings_profiles_of_plugins() -> dict[str, Mapping[str, Any]]:
    """Return the profiles of all plugins, by name; of two the first that pluggy calls."""
    profiles: dict[str, Mapping[str, Any]] = {}
    for found in plugin_manager().hook.settings_profiles():
        profiles = {**found, **profiles}
    return profiles


def has_settings_policy() -> bool:
    """Whether a plugin reviews the settings of steps."""
    return bool(plugin_manager().hook.review_settings.get_hookimpls())


def reviewed_settings(step: str, function: str, settings: TaskSettings) -> TaskSettings:
    """Return settings after each plugin's policy in turn, in the order in which pluggy calls them.

    :raises SettingError: a policy refuses, or returns what are no settings.
    """
    from airflow_kfp_runtime.project.settings.model import TaskSettings

    given = {"step": step, "function": function}
    for policy in reversed(plugin_manager().hook.review_settings.get_hookimpls()):
        arguments = {**given, "settings": settings}
        changed = policy.function(**{name: arguments[name] for name in policy.argnames})
        if changed is not None and not isinstance(changed, TaskSettings):
            raise SettingError(
                f"the policy of plugin {policy.plugin_name!r} returned a {type(changed).__name__}",
                step=step,
                allowed=["TaskSettings", "None"],
            )
        settings = changed or settings
    return settings
