"""The program of a handler's process: a request comes in, a pipeline as JSON goes out.

Only the DSL is imported before the user's code, so that the process starts fast.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import inspect
import json
import os
import resource
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime import dsl
from airflow_kfp_runtime.dsl.pipeline import trace
from airflow_kfp_runtime.dsl.serialization import pipeline_as_data
from airflow_kfp_runtime.errors import DefinitionError, SourceError
from airflow_kfp_runtime.sources.handlers.explanation import (
    explanation,
    is_outside_context,
    missing_module,
    place,
    shown,
)
from airflow_kfp_runtime.sources.handlers.importing import function_of, imported
from airflow_kfp_runtime.sources.handlers.location import Source, locate
from airflow_kfp_runtime.sources.handlers.own_projects import projects_as_data, settle

if TYPE_CHECKING:
    from collections.abc import Mapping


#: The package that pipelines of DigitalHub import ``pipeline_context`` from.
_DIGITALHUB = "digitalhub_runtime_kfp"

_ADVICE = "a handler writes steps in a pipeline_context()"


def main() -> None:
    """Answer the request whose path is the first argument, on the file descriptor that is the second.

    The request has ``folder``, ``file`` and ``label`` of the source, ``handler``, the pipeline's ``name`` and
    ``description``, the path ``stack`` for :mod:`faulthandler`, ``timeout`` (seconds) and ``memory`` (bytes).
    The answer is ``{"pipeline": ..., "projects": [...]}`` or ``{"error": ...}``.
    """
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers = int(sys.argv[2])
    os.set_inheritable(answers, False)
    _limit(request["memory"], request["timeout"])
    stack = Path(request["stack"]).open("w", encoding="utf-8")  # noqa: SIM115 -- open to the end, for signals
    faulthandler.enable(stack, all_threads=False)
    faulthandler.register(signal.SIGUSR1, stack, all_threads=False)
    _provide_digitalhub()
    sys.path[:] = [entry for entry in sys.path if entry]
    answer = json.dumps(_answer(request)).encode()
    with os.fdopen(answers, "wb") as pipe:
        pipe.write(answer)
    # Whatever the user's code has left running does not matter any more.
    os._exit(0)


def _limit(memory: int, timeout: float) -> None:
    """Bound this process, even where the one that started it is gone."""
    for kind, wanted in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (bound, hard))
    signal.alarm(int(timeout) + 10)


def _provide_digitalhub() -> None:
    """Let the DSL be imported by the name that it has on a DigitalHub platform."""
    if importlib.util.find_spec(_DIGITALHUB) is None:
        package = ModuleType(_DIGITALHUB, "Stands for DigitalHub's package, with its DSL alone.")
        package.__path__ = []
        package.dsl = dsl  # type: ignore[attr-defined]
        sys.modules[_DIGITALHUB] = package
    sys.modules[f"{_DIGITALHUB}.dsl"] = dsl


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    source = Source(Path(request["folder"]), request["file"], request["label"])
    defined = None
    try:
        location = locate(source, request["handler"])
        sys.argv[:] = [str(location.file)]
        module = imported(location)
        file = shown(str(location.file), source)
        # A handler that Airflow's decorator wraps is the function inside.
        handler = inspect.unwrap(function_of(module, location.function, file))
        defined = f"{file}:{getattr(getattr(handler, '__code__', None), 'co_firstlineno', 1)}"
        pipeline = trace(handler, name=request["name"], description=request["description"])
        folders = list(dict.fromkeys([location.beside, location.folder]))
        projects = [*vars(module).values(), *settle(pipeline, folders)]
        return {
            "pipeline": pipeline_as_data(pipeline),
            "projects": projects_as_data(projects, pipeline, folders),
        }
    except DefinitionError as error:
        at = place(error, source) or defined
        advice = f"; {_ADVICE}" if defined and is_outside_context(error, source) else ""
        # The message will name the handler anyway.
        problem = error.problem.removeprefix(f"handler {request['name']!r} ")
        return _failure(error, f"{problem}{advice} ({at})" if at else problem)
    except BaseException as error:  # noqa: BLE001 -- the user's code may raise anything, SystemExit as well
        advice = f"\n{_ADVICE}" if defined and is_outside_context(error, source) else ""
        if missing := missing_module(error, source):
            advice = f"\n{missing}"
        if isinstance(error, MemoryError):
            advice += f"\nits process may take {request['memory']} bytes"
        return _failure(SourceError(""), f"{explanation(error, source)}{advice}")


def _failure(error: DefinitionError, problem: str) -> dict[str, Any]:
    ours = next(kind for kind in type(error).__mro__ if kind.__module__ == DefinitionError.__module__)
    told = {"step": error.step, "field": error.field, "allowed": [str(name) for name in error.allowed]}
    return {"error": {"class": ours.__name__, "problem": problem, **told}}
