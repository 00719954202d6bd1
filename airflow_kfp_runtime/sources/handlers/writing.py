"""Has a handler that is named in a source write its pipeline, in a process of its own."""

from __future__ import annotations

import json
import logging
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import DefinitionError, SourceError, StepError
from airflow_kfp_runtime.sources.handlers.explanation import stack_lines
from airflow_kfp_runtime.sources.handlers.location import Source
from airflow_kfp_runtime.sources.handlers.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_kfp_runtime.dsl.pipeline import Pipeline
    from airflow_kfp_runtime.project.project import Function, Project
    from airflow_kfp_runtime.sources.handlers.process import Ended
    from airflow_kfp_runtime.sources.limits import Limits
    from airflow_kfp_runtime.sources.scheme import Fetched

_log = logging.getLogger(__name__)

#: The file of a source that is a text, and what messages call it.
_TEXT_FILE, _TEXT_LABEL = "workflow.py", "<code>"


@dataclass(frozen=True)
class WrittenPipeline:
    """What a handler has written.

    :param pipeline: its steps.
    :param projects: the projects in the handler's module, each with the functions that the steps name.
    """

    pipeline: Pipeline
    projects: Sequence[Project] = ()

    @property
    def only_project(self) -> Project | None:
        """The project of the handler's module, where there is just one."""
        return self.projects[0] if len(self.projects) == 1 else None

    def completed(self, project: Project | None) -> Pipeline:
        """Return the pipeline, in which steps have the functions that a project does not have.

        :param project: where names are looked up first; what is not there comes from the handler's own
            projects, and a name that is in none of them stays a name.
        :raises StepError: several of those projects have a function of the name.
        """
        for step in self.pipeline.steps:
            if not isinstance(step.function, str) or (project and _find(project, step.function)):
                continue
            found = {own.name: function for own in self.projects if (function := _find(own, step.function))}
            if len(found) > 1:
                raise StepError(
                    f"{step.function!r} is in several projects of the handler's module "
                    f"({', '.join(sorted(found))}): give the function itself",
                    step=step.name,
                    field="function",
                )
            step.function = next(iter(found.values()), step.function)
        return self.pipeline


def write_pipeline(
    source: Fetched | str,
    handler: str,
    *,
    name: str,
    limits: Limits,
    description: str | None = None,
    place: str = "",
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
    :raises SourceError: the source does not hold the handler, or that takes too long or fails; with the
        user's lines that led to it.
    :raises DefinitionError: what the handler writes is wrong; of the class that it has in process.
    """
    where = f"{place}, handler {handler!r}" if place else f"handler {handler!r}"
    with tempfile.TemporaryDirectory(prefix="airflow-kfp-runtime-handler-") as folder:
        private = Path(folder).resolve()
        written = _source(source, private)
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
    return _read(ended.answer, where)


def _source(source: Fetched | str, private: Path) -> Source:
    if not isinstance(source, str):
        return Source(source.folder.resolve(), source.file)
    folder = private / "source"
    folder.mkdir()
    # A text from YAML or JSON may hold halves of a pair, which no file can: Python then names the place.
    (folder / _TEXT_FILE).write_text(source, encoding="utf-8", errors="surrogatepass")
    return Source(folder, _TEXT_FILE, _TEXT_LABEL)


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
    from airflow_kfp_runtime.dsl.serialization import pipeline_from_data

    try:
        data = json.loads(answer)
        if "error" in data:
            raise _error(data["error"], where)
        return WrittenPipeline(pipeline_from_data(data["pipeline"]), list(_projects(data["projects"])))
    except DefinitionError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        # The user's code has the pipe as well, and may write anything to it.
        raise SourceError(f"its process answers what is no pipeline ({error})", field=where) from None


def _error(told: Mapping[str, Any], where: str) -> DefinitionError:
    kinds: list[type[DefinitionError]] = [DefinitionError, *DefinitionError.__subclasses__()]
    kind = next(kind for kind in kinds if kind.__name__ == told["class"])
    field = told["field"]
    if told["step"] is None:
        field = f"{where}, {field}" if field else where
    return kind(told["problem"], step=told["step"], field=field, allowed=told["allowed"])


def _projects(written: Sequence[Mapping[str, Any]]) -> Iterator[Project]:
    from airflow_kfp_runtime.project.portable import function_from_data
    from airflow_kfp_runtime.project.project import Project

    for data in written:
        project = Project(data["name"])
        project.functions.update({one["name"]: function_from_data(one) for one in data["functions"]})
        yield project


def _find(project: Project, name: str) -> Function | None:
    try:
        return project.function(name)
    except DefinitionError:
        return None
