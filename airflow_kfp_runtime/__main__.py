"""The commands: ``python -m airflow_kfp_runtime compile`` and ``serve``."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from airflow_kfp_runtime import __version__
from airflow_kfp_runtime.embedded import command as serve
from airflow_kfp_runtime.errors import DefinitionError, KfpRuntimeError, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_kfp_runtime.compiler import PipelinePackage
    from airflow_kfp_runtime.project import Project

#: ``etl.py:handler``, ``git+https://git.example.org:8443/etl.git#v1:flows.etl:handler``.
_SOURCE_AND_HANDLER = re.compile(r"(?P<source>.+?):(?P<handler>[^\W\d][\w.]*(?::[^\W\d]\w*)?)")

#: What tells a project's file from a source with a handler, and from a project's name.
_PROJECT_FILES = (".yaml", ".yml", ".json")


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the arguments name and return its exit status.

    :param arguments: those of the command line, by default.
    """
    parser = argparse.ArgumentParser(
        prog="python -m airflow_kfp_runtime",
        description="Compile pipelines for Kubeflow Pipelines, or serve its API.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    compile_parser = commands.add_parser(
        "compile", help="write the YAML of a pipeline, as a KFP dashboard imports it"
    )
    compile_parser.add_argument(
        "source",
        metavar="SOURCE:HANDLER",
        help="a file, archive, folder or address, and the function in it: etl.py:handler, "
        "git+https://git.example.org/etl.git#v1:flows.etl:handler; or a project's file and one of its "
        "workflows: project.yaml:etl; credentials for an address come from the environment",
    )
    compile_parser.add_argument(
        "--handler", metavar="HANDLER", help="the function; what stands before is then the source alone"
    )
    compile_parser.add_argument(
        "-o", "--output", type=Path, help="the file to write (default: standard output)"
    )
    compile_parser.add_argument("--name", help="the pipeline's name (default: the handler's)")
    compile_parser.add_argument(
        "--project",
        help="the name of the Project in the module (default: the only one there is), or a project's file",
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
    package = _package(given)
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


def _package(given: argparse.Namespace) -> PipelinePackage:
    from airflow_kfp_runtime.compiler import compile_handler, compile_pipeline
    from airflow_kfp_runtime.project import Project
    from airflow_kfp_runtime.sources import Sources
    from airflow_kfp_runtime.sources.handlers import write_pipeline

    location, handler = _source_and_handler(given.source, given.handler)
    sources = Sources()
    options = {
        "sources": sources,
        "collect_outputs": given.collect_outputs,
        "enable_caching": False if given.disable_caching else None,
        "settings_policy": given.settings_policy,
    }
    if location.endswith(_PROJECT_FILES):
        if given.project is not None:
            raise SourceError("SOURCE is a project already", field="--project")
        workflow = Project.load(location, sources=sources).rendered(_refuse).workflow(handler)
        return compile_handler(workflow, name=given.name, **options)
    of_file = (given.project or "").endswith(_PROJECT_FILES)
    loaded = Project.load(given.project, sources=sources).rendered(_refuse) if of_file else None
    with sources.open(location, field="SOURCE") as fetched:
        name = given.name or re.split("[.:]", handler)[-1]
        written = write_pipeline(
            fetched, handler, name=name, limits=sources.limits, confined="://" in location
        )
        project = loaded or _project(written.projects, given.project)
        return compile_pipeline(written.completed(project), project=project, **options)


def _refuse(template: str) -> NoReturn:
    """Render a project's template: here there is nothing to fill it in with."""
    raise DefinitionError(
        f"{template!r:.100} is a template, which an Airflow task fills in: to compile it here, write a value "
        "in its place"
    )


def _source_and_handler(written: str, handler: str | None) -> tuple[str, str]:
    if handler is not None:
        return written, handler
    match = _SOURCE_AND_HANDLER.fullmatch(written)
    if match is None:
        raise SourceError(f"{written!r} names no handler", allowed=["SOURCE:HANDLER", "--handler HANDLER"])
    return match["source"], match["handler"]


def _project(projects: Sequence[Project], wanted: str | None) -> Project | None:
    """Return the project that is wanted, by default the only one."""
    named = {project.name: project for project in projects}
    if wanted is None and len(projects) <= 1:
        return next(iter(projects), None)
    if wanted not in named:
        problem = (
            "several projects are in the module: choose one" if wanted is None else f"there is no {wanted!r}"
        )
        raise SourceError(problem, field="--project", allowed=sorted(named) or ["none: the module has none"])
    return named[wanted]


if __name__ == "__main__":
    sys.exit(main())
