"""What can be added to this package from outside: pluggy's hook specifications and the manager.

A plugin is a module or object whose functions are marked with :data:`hookimpl`, named by an entry point of
the group ``airflow_kfp_runtime``::

    [project.entry-points.airflow_kfp_runtime]
    my_kinds = "my_package.kinds"
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING

import pluggy

from airflow_kfp_runtime.errors import FunctionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_kfp_runtime.runtimes.component import FunctionKind

#: The entry-point group, and pluggy's name for the project.
GROUP = "airflow_kfp_runtime"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)

_BUILT_IN = ("airflow_kfp_runtime.runtimes.container", "airflow_kfp_runtime.runtimes.python")


@hookspec
def function_kinds() -> Sequence[FunctionKind]:  # type: ignore[empty-body]
    """Return the kinds of function that this plugin adds."""


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
