"""Has kfp compile a function, in this process or in one of its own."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import FunctionError, SourceError, nearest
from airflow_kfp_runtime.runtimes.kfp import program

if TYPE_CHECKING:
    from airflow_kfp_runtime.runtimes.kfp.specification import KfpFunction
    from airflow_kfp_runtime.sources.handlers.process import Ended, Program
    from airflow_kfp_runtime.sources.scheme import Fetched
    from airflow_kfp_runtime.sources.sources import Sources

_WITHOUT_KFP = (
    "kfp is not installed beside this package",
    (
        "the extra, airflow-kfp-runtime[kfp]",
        "kfp_python='/path/to/python', an interpreter that has it",
        "kfp_requirements=['kfp==...'], for an environment that is made of them",
    ),
)


def compile_function(function: KfpFunction, sources: Sources | None) -> list[dict[str, Any]]:
    """Return what a function compiles to: its IR, and its platform spec if it has one.

    :param sources: where its source comes from, and where environments are kept.
    :raises SourceError: its source cannot be had or fails, or there is no kfp to compile it.
    :raises FunctionError: it is nothing that kfp compiles.
    """
    if isinstance(function.handler, str):
        answer = _elsewhere(function, sources)
    else:
        try:
            answer = program.compiled(function.handler)
        except program.NotCompiledError as error:
            if not program.has_kfp():
                problem, allowed = _WITHOUT_KFP
                raise FunctionError(f"{error}; {problem}", field="handler", allowed=allowed) from None
            raise FunctionError(str(error), field="handler", allowed=error.allowed) from None
    return [document for document in (answer["pipeline_spec"], answer["platform_spec"]) if document]


def _elsewhere(function: KfpFunction, sources: Sources | None) -> dict[str, Any]:
    """Compile a function in a process of its own."""
    from airflow_kfp_runtime.sources.sources import Sources

    sources = sources or Sources()
    with ExitStack() as stack:
        runs = _program(function, sources, stack)
        fetched = stack.enter_context(_source(function, sources))
        private = stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-kfp-runtime-kfp-"))
        return _run(function.handler, fetched, runs, sources, Path(private).resolve())


def _program(function: KfpFunction, sources: Sources, stack: ExitStack) -> Program:
    from airflow_kfp_runtime.sources.handlers.process import Program

    text = Path(program.__file__).read_text(encoding="utf-8")
    if function.kfp_python is not None:
        if not Path(function.kfp_python).is_file():
            raise SourceError(
                f"there is no interpreter {function.kfp_python!r}",
                field="kfp_python",
                allowed=["the path of a Python that has kfp"],
            )
        return Program(text, function.kfp_python, shares_imports=False)
    if function.kfp_requirements is not None:
        from airflow_kfp_runtime.runtimes.kfp.environment import kfp_environment

        python = stack.enter_context(kfp_environment(function.kfp_requirements, sources.cache))
        return Program(text, python, shares_imports=False)
    if not program.has_kfp():
        problem, allowed = _WITHOUT_KFP
        raise SourceError(problem, field="handler", allowed=allowed)
    return Program(text, sys.executable)


def _source(function: KfpFunction, sources: Sources) -> Any:
    """Return the context manager of a function's source."""
    from airflow_kfp_runtime.sources.inline import decoded, open_text

    if function.code is not None:
        return open_text(function.code, name="component")
    if function.base64 is not None:
        return open_text(decoded(function.base64), name="component")
    return sources.open(str(function.source), field="source")


def _run(handler: str, fetched: Fetched, runs: Program, sources: Sources, private: Path) -> dict[str, Any]:
    from airflow_kfp_runtime.sources.handlers.explanation import stack_lines
    from airflow_kfp_runtime.sources.handlers.importing import module_place
    from airflow_kfp_runtime.sources.handlers.location import Source, locate
    from airflow_kfp_runtime.sources.handlers.process import run

    source = Source(fetched.folder.resolve(), fetched.file)
    try:
        location = locate(source, handler)
    except SourceError as error:
        raise SourceError(error.problem, field="handler", allowed=error.allowed) from None
    place = module_place(location)
    request = {
        "file": str(location.file),
        "name": place.name,
        "folders": [str(folder) for folder in place.folders],
        "function": location.function,
    }
    ended = run(request, private, sources.limits, runs)
    try:
        answer = json.loads(ended.answer)
        if "error" not in answer:
            return {name: answer[name] for name in ("pipeline_spec", "platform_spec")}
        problem, allowed = answer["error"]["problem"], nearest(location.function, answer["error"]["allowed"])
    except (ValueError, KeyError, TypeError):
        problem, allowed = _without_answer(ended, runs, sources, stack_lines(ended.stack, source)), []
    raise SourceError(f"{handler!r} cannot be compiled: {problem}", field="handler", allowed=allowed)


def _without_answer(ended: Ended, runs: Program, sources: Sources, stack: str) -> str:
    """Return why a process has not answered."""
    problem = (
        f"this takes more than {sources.limits.handler_timeout:g} seconds"
        if ended.status is None
        else f"{runs.python} ended with status {ended.status}"
    )
    where = f"\n{stack}" if stack else ""
    printed = f"\nThe end of what it printed:\n{ended.output}" if ended.output else ""
    return f"{problem}{where}{printed}"
