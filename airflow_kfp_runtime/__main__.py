"""The commands: ``python -m airflow_kfp_runtime compile`` and ``serve``."""

from __future__ import annotations

import argparse
import inspect
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime import __version__
from airflow_kfp_runtime.embedded import command as serve
from airflow_kfp_runtime.errors import KfpRuntimeError, SourceError
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.sources.handler import source_handler

if TYPE_CHECKING:
    from collections.abc import Callable


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the arguments name and return its exit status.

    :param arguments: those of the command line, by default.
    """
    parser = argparse.ArgumentParser(prog="python -m airflow_kfp_runtime", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    compile_parser = commands.add_parser(
        "compile", help="write the YAML of a pipeline, as a KFP dashboard imports it"
    )
    compile_parser.add_argument("source", metavar="FILE.py:HANDLER", help="the file and the function in it")
    compile_parser.add_argument(
        "-o", "--output", type=Path, help="the file to write (default: standard output)"
    )
    compile_parser.add_argument("--name", help="the pipeline's name (default: the handler's)")
    compile_parser.add_argument(
        "--project", help="the name of the Project in the file (default: the only one there is)"
    )
    compile_parser.add_argument(
        "--collect-outputs", action="store_true", help="add a task that makes all outputs readable over REST"
    )
    compile_parser.add_argument(
        "--disable-caching",
        action="store_true",
        help="run every step, also where an equal one has run before",
    )
    compile_parser.add_argument(
        "--settings-policy",
        choices=("error", "warn"),
        default="error",
        help="what to do with a Kubernetes setting that KFP cannot express (default: error)",
    )
    compile_parser.set_defaults(run=_compile)

    serve_parser = commands.add_parser("serve", help="serve KFP's API on this machine and run pipelines here")
    serve.add_arguments(serve_parser)
    serve_parser.set_defaults(run=serve.run)

    given = parser.parse_args(arguments)
    try:
        status: int = given.run(given)
    except KfpRuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


def _compile(given: argparse.Namespace) -> int:
    from airflow_kfp_runtime.compiler import compile_handler

    path, separator, name = given.source.rpartition(":")
    if not separator:
        raise SourceError(f"{given.source!r} names no handler", allowed=["FILE.py:HANDLER"])
    # A handler that Airflow's decorator wraps is the function inside.
    handler = inspect.unwrap(source_handler(name, path=path, field="FILE.py"))
    try:
        package = compile_handler(
            handler,
            name=given.name,
            project=_project(getattr(handler, "__globals__", {}), given.project),
            collect_outputs=given.collect_outputs,
            enable_caching=False if given.disable_caching else None,
            settings_policy=given.settings_policy,
        )
    except Exception as error:
        # A handler is the user's code and may raise anything; what is ours keeps its traceback.
        failure = _failure(handler, error)
        if failure is None:
            raise
        raise SourceError(failure, field=given.source) from error
    for warning in package.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if given.output is None:
        sys.stdout.write(package.to_yaml())
    else:
        try:
            given.output.write_text(package.to_yaml(), encoding="utf-8")
        except OSError as error:
            raise SourceError(f"cannot be written: {error.strerror}", field=str(given.output)) from None
        print(f"Wrote pipeline {package.name!r} to {given.output}", file=sys.stderr)
    return 0


def _failure(handler: Callable[..., Any], error: Exception) -> str | None:
    """Return what a handler failed with and where, or ``None`` where the error says it by itself."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    codes = [code for code, _ in frames]
    own_code = getattr(handler, "__code__", None)
    if own_code not in codes:
        return None
    opens_context = any("pipeline_context" in code.co_names for code in codes[codes.index(own_code) :])
    if isinstance(error, KfpRuntimeError):
        if opens_context:
            return None
        failure = str(error)
    else:
        code, line = frames[-1]
        failure = f"{traceback.format_exception_only(error)[-1].strip()} ({code.co_filename}:{line})"
    return failure if opens_context else f"{failure}; a handler writes steps in a pipeline_context()"


def _project(names: dict[str, object], wanted: str | None) -> Project | None:
    projects = {value.name: value for value in names.values() if isinstance(value, Project)}
    if wanted is None and len(projects) <= 1:
        return next(iter(projects.values()), None)
    if wanted not in projects:
        problem = (
            "several projects are in the file: choose one" if wanted is None else f"there is no {wanted!r}"
        )
        raise SourceError(problem, field="--project", allowed=sorted(projects))
    return projects[wanted]


if __name__ == "__main__":
    sys.exit(main())
