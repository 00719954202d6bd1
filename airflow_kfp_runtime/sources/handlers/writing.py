"""Has a handler that is named in a source write its pipeline, in a process of its own."""

from __future__ import annotations

import json
import logging
import signal
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.pipeline import Pipeline
from airflow_kfp_runtime.dsl.serialization import pipeline_from_data
from airflow_kfp_runtime.errors import DefinitionError, FunctionError, SourceError
from airflow_kfp_runtime.project.project import Function
from airflow_kfp_runtime.project.written import WrittenPipeline
from airflow_kfp_runtime.sources.handlers.explanation import stack_lines
from airflow_kfp_runtime.sources.handlers.location import Source
from airflow_kfp_runtime.sources.handlers.own_projects import project_from_data
from airflow_kfp_runtime.sources.handlers.process import run
from airflow_kfp_runtime.sources.inline import open_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.sources.handlers.process import Ended
    from airflow_kfp_runtime.sources.limits import Limits
    from airflow_kfp_runtime.sources.scheme import Fetched

_log = logging.getLogger(__name__)

#: What messages call a source that is a text.
_TEXT = "<code>"


def write_pipeline(
    source: Fetched | str,
    handler: str,
    *,
    name: str,
    limits: Limits,
    description: str | None = None,
    place: str = "",
    confined: bool = False,
) -> WrittenPipeline:
    """Run a handler in a process of its own and return what it writes.

    The process sees what this one can import, the source's folder first, and neither this one's environment
    nor its working directory. What it prints is logged.

    :param source: where the handler is, as it was fetched, or its module's text.
    :param handler: the function: ``func``, ``module:func``, ``dotted.path:func`` or ``dotted.path.func``.
    :param name: the pipeline's name.
    :param limits: seconds and bytes that the process may take.
    :param description: what the pipeline is for; by default the handler's docstring.
    :param place: what the source belongs to, for errors (``workflow 'etl'``).
    :param confined: refuse functions whose files are not in the source's folder: what was fetched must not
        read other files of this machine into a pipeline.
    :raises SourceError: the source does not hold the handler, or that takes too long or fails; with the
        user's lines that led to it.
    :raises DefinitionError: what the handler writes is wrong; of the class that it has in process.
    """
    where = f"{place}, handler {handler!r}" if place else f"handler {handler!r}"
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="airflow-kfp-runtime-handler-"))
        private = Path(folder).resolve()
        label = _TEXT if isinstance(source, str) else None
        fetched = opened.enter_context(open_text(source)) if isinstance(source, str) else source
        written = Source(fetched.folder.resolve(), fetched.file, label)
        request = {
            "folder": str(written.folder),
            "file": written.file,
            "label": written.label,
            "handler": handler,
            "name": name,
            "description": description,
        }
        try:
            ended = run(request, private, limits)
        except SourceError as error:
            raise SourceError(error.problem, field=where) from None
        if not ended.answer:
            raise SourceError(_without_answer(ended, written, limits), field=where)
    if ended.output:
        _log.info("%s printed:\n%s", where, ended.output)
    pipeline = _read(ended.answer, where)
    if confined:
        _confine(pipeline, written.folder)
    return pipeline


def _without_answer(ended: Ended, source: Source, limits: Limits) -> str:
    """Return why a process has not answered, and where it was."""
    match ended.status:
        case None:
            problem = f"has not written its steps within {limits.handler_timeout:g} seconds"
        case status if status < 0:
            problem = f"its process was ended by {_signal_name(-status)} before it had written its steps"
        case status:
            problem = f"its process ended with status {status} before it had written its steps"
    lines = stack_lines(ended.stack, source)
    printed = f"\nThe end of what it printed:\n{ended.output}" if ended.output else ""
    return problem + (f"\n{lines}" if lines else "") + printed


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _read(answer: bytes, where: str) -> WrittenPipeline:
    try:
        data = json.loads(answer)
        if "error" in data:
            raise _error(data["error"], where)
        projects = [project_from_data(written) for written in data["projects"]]
        names = [written["names"] for written in data["projects"]]
        return WrittenPipeline(pipeline_from_data(data["pipeline"]), projects, names)
    except DefinitionError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        # The user's code has the pipe as well, and may write anything to it.
        raise SourceError(f"its process answers what is no pipeline ({error})", field=where) from None


def _error(told: Mapping[str, Any], where: str) -> DefinitionError:
    ours: list[type[DefinitionError]] = [DefinitionError, *DefinitionError.__subclasses__()]
    kinds = {kind.__name__: kind for kind in ours}
    field = told["field"]
    if told["step"] is None:
        field = f"{where}, {field}" if field else where
    return kinds[told["class"]](told["problem"], step=told["step"], field=field, allowed=told["allowed"])


def _confine(written: WrittenPipeline, folder: Path) -> None:
    """Refuse functions and workflows that name files outside of a folder."""
    pipelines: list[Pipeline] = [written.pipeline]
    functions: list[Function] = []
    for project in written.projects:
        functions += project.functions.values()
        for name, workflow in project.workflows.items():
            _check_inside(workflow.code_src, folder, f"workflow {name!r}")
            # Its handler is still to run, and is as foreign as this one.
            project.workflows[name] = replace(workflow, confined=True)
            if isinstance(workflow.handler, Pipeline):
                pipelines.append(workflow.handler)
    for step in (step for pipeline in pipelines for step in pipeline.steps):
        if isinstance(step.function, Function):
            functions.append(step.function)
    for function in functions:
        _check_inside(getattr(function.specification, "source", None), folder, f"function {function.name!r}")


def _check_inside(location: object, folder: Path, owner: str) -> None:
    if not isinstance(location, str) or "://" in location or Path(location).resolve().is_relative_to(folder):
        return
    path = Path(location)
    shown = str(path.relative_to(folder)) if path.is_relative_to(folder) else location
    raise FunctionError(
        f"{shown!r} is not a file or folder of the source that was fetched",
        field=f"{owner}, source",
        allowed=["a path in that source", "an address"],
    )
